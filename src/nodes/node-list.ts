/**
 * The list of nodes: it grows and shrinks while statements run, and nobody who was sent to one that leaves notices. Who belongs to it is decided elsewhere.
 */
import type { NodeAnswer } from '../options/discovery.js';
import type { NodeSettings } from '../options/servers.js';
import type { Node } from './node.js';

export class NodeList {
  readonly #open: (settings: NodeSettings) => Node;
  readonly #changed: () => void;
  /** Those that have left, and run what is under way on them to its end. */
  readonly #leaving = new Set<Promise<void>>();
  #nodes: readonly Node[] = [];

  /** @param changed told when nodes have joined or left */
  constructor(open: (settings: NodeSettings) => Node, changed: () => void) {
    this.#open = open;
    this.#changed = changed;
  }

  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  find(name: string): Node | undefined {
    return this.#nodes.find((node) => node.name === name);
  }

  /** One that is there from the start. */
  add(settings: NodeSettings): void {
    this.#nodes = [...this.#nodes, this.#open(settings)];
  }

  /** @param isLate whether the others are in use already: where none has warm caches, all are alike */
  join(settings: NodeSettings, isLate: boolean): void {
    this.add(settings);
    if (isLate) this.find(settings.name)?.joined();
    this.#changed();
  }

  /** @param staying the primary stays until there is another one @returns whether it is gone */
  leave(name: string, staying: Node | undefined): boolean {
    const node = this.find(name);
    if (node === undefined) return true;
    if (node === staying) return false;
    const leaving = node.leave().finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    this.#nodes = this.#nodes.filter((one) => one !== node);
    this.#changed();
    return true;
  }

  /** What all that answer have to say. @throws the error, when all that answer do so with one */
  async ask<Row>(text: string): Promise<NodeAnswer<Row>[]> {
    const answers = await Promise.allSettled(this.#nodes.map((node) => answerOf<Row>(node, text)));
    const given = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    const failure = answers.find((answer) => answer.status === 'rejected');
    if (given.length === 0 && failure !== undefined) throw failure.reason;
    return given;
  }

  /** Resolves when all are closed, those that have left, too. */
  async close(): Promise<void> {
    await Promise.all([...this.#nodes.map((node) => node.close()), ...this.#leaving]);
  }
}

async function answerOf<Row>(node: Node, text: string): Promise<NodeAnswer<Row>[]> {
  const { name, observation, untracked, adminQueries } = node;
  const role = observation === undefined ? untracked : observation.inRecovery ? 'replica' : 'primary';
  return role === undefined ? [] : [{ node: name, role, rows: await adminQueries.ask<Row>(text) }];
}
