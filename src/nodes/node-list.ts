/**
 * The list of nodes. It grows and shrinks while statements run; those on a node that leaves run to their end. Who
 * belongs to the list is decided elsewhere.
 */
import { setTimeout } from '../clock.js';
import type { NodeAnswer } from '../options/discovery.js';
import type { NodeSettings } from '../options/servers.js';
import { isNear, type Node } from './node.js';

/** How often a node that has left looks whether its last statement has ended. */
const LEAVING_MILLIS = 50;

export class NodeList {
  readonly #ownZone: string | undefined;
  readonly #open: (settings: NodeSettings) => Node;
  readonly #onChange: () => void;
  readonly #left = new WeakSet<Node>();
  /** Settle when the nodes that have left are closed. */
  readonly #leaving = new Set<Promise<void>>();
  #nodes: readonly Node[] = [];

  /** @param ownZone where this process stands @param onChange called when nodes have joined or left */
  constructor(ownZone: string | undefined, open: (settings: NodeSettings) => Node, onChange: () => void) {
    this.#ownZone = ownZone;
    this.#open = open;
    this.#onChange = onChange;
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
    if (isLate) this.find(settings.name)?.health.joined();
    this.#onChange();
  }

  /** Whether it belonged to the list and does not any more. */
  hasLeft(node: Node): boolean {
    return this.#left.has(node);
  }

  /** What discovery says of a node has changed. */
  relabel(name: string, { weight, zone }: Pick<NodeSettings, 'weight' | 'zone'>): void {
    const node = this.find(name);
    if (node === undefined) return;
    node.weight = weight;
    node.isNear = isNear(zone, this.#ownZone);
  }

  /** @param staying the primary stays until there is another one @returns whether it is gone */
  leave(name: string, staying: Node | undefined): boolean {
    const node = this.find(name);
    if (node === undefined) return true;
    if (node === staying) return false;
    this.#left.add(node);
    const leaving = closeWhenIdle(node).finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    this.#nodes = this.#nodes.filter((one) => one !== node);
    this.#onChange();
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

/** Nothing new comes to a node that has left. It closes when its last statement has ended. */
async function closeWhenIdle(node: Node): Promise<void> {
  // Not at once: a read may have chosen it already.
  const aWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, LEAVING_MILLIS));
  for (await aWhile(); node.inFlight > 0; await aWhile()) {
    // Only a server that is asked is noticed to hang; its answer is not waited for.
    node.probe.observe().catch(() => undefined);
  }
  await node.close();
}

async function answerOf<Row>(node: Node, text: string): Promise<NodeAnswer<Row>[]> {
  const { name, observation, probe, adminQueries } = node;
  const role = observation === undefined ? probe.untrackedRole : observation.inRecovery ? 'replica' : 'primary';
  return role === undefined ? [] : [{ node: name, role, rows: await adminQueries.ask<Row>(text) }];
}
