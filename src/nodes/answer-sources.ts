/**
 * Whether all connections to replicas write their answers alike: then a result that came on one of
 * them may answer for all. It counts connections, asks nothing, and decides nothing else.
 */
import type { KnownSource, SettledSource } from './answer-source.js';

interface Counted {
  /** What is known of each of these connections, or why nothing is. */
  readonly found: KnownSource | string;
  count: number;
}

/** The connections of one node. */
export class SourceTally {
  readonly #onChange: () => void;
  readonly #counts = new Map<string, Counted>();

  /** @param onChange called when there is one that is like no other, and when the last of its like is gone */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  add(found: KnownSource | string): void {
    const counted = this.#counts.get(likenessOf(found));
    if (counted !== undefined) counted.count++;
    else {
      this.#counts.set(likenessOf(found), { found, count: 1 });
      this.#onChange();
    }
  }

  remove(found: KnownSource | string): void {
    const likeness = likenessOf(found);
    const counted = this.#counts.get(likeness);
    if (counted === undefined || --counted.count > 0) return;
    this.#counts.delete(likeness);
    this.#onChange();
  }

  /** One of each kind. */
  get kinds(): (KnownSource | string)[] {
    return Array.from(this.#counts.values(), ({ found }) => found);
  }
}

/** What is seen of a node here. */
interface Tallied {
  readonly name: string;
  readonly connections: { readonly sources: SourceTally | undefined };
}

interface Judged {
  readonly current: SettledSource | undefined;
  readonly problem: string | undefined;
}

export class AnswerSources {
  readonly #replicasNow: () => readonly Tallied[];
  #replicas: readonly Tallied[] = [];
  #isOutdated = true;
  #judged: Judged = { current: undefined, problem: undefined };

  /** @param replicasNow the same array for as long as they are the same */
  constructor(replicasNow: () => readonly Tallied[]) {
    this.#replicasNow = replicasNow;
  }

  /** One of the tallies has changed. */
  changed(): void {
    this.#isOutdated = true;
  }

  /**
   * What the connections to replicas have in common: `undefined` while they differ, and before there
   * was one. It stays when the last one has ended: the next one will show whether it is alike.
   */
  get current(): SettledSource | undefined {
    return this.#upToDate().current;
  }

  /** Why there is none, where that is a matter of how things are set up. */
  get problem(): string | undefined {
    return this.#upToDate().problem;
  }

  #upToDate(): Judged {
    const replicas = this.#replicasNow();
    if (this.#isOutdated || replicas !== this.#replicas) {
      this.#isOutdated = false;
      this.#replicas = replicas;
      this.#judged = judge(replicas, this.#judged.current);
    }
    return this.#judged;
  }
}

function judge(replicas: readonly Tallied[], before: SettledSource | undefined): Judged {
  let first: (KnownSource & { readonly node: string }) | undefined;
  let unknown: string | undefined;
  for (const { name, connections } of replicas) {
    for (const found of connections.sources?.kinds ?? []) {
      if (typeof found === 'string') unknown ??= `${found} (node "${name}")`;
      else if (first === undefined) first = { ...found, node: name };
      else if (first.likeness !== found.likeness) {
        const nodes = first.node === name ? `of node "${name}"` : `of the nodes "${first.node}" and "${name}"`;
        return { current: undefined, problem: `connections ${nodes} differ in ${differences(first, found)}` };
      }
    }
  }
  if (first !== undefined) return { current: first.source, problem: undefined };
  return unknown === undefined ? { current: before, problem: undefined } : { current: undefined, problem: unknown };
}

/** Names alone: a value may be anything. */
function differences(a: KnownSource, b: KnownSource): string {
  const names = [...a.values.keys()].filter((name) => a.values.get(name) !== b.values.get(name));
  return names.length === 0 ? 'their type parsers' : names.join(', ');
}

function likenessOf(found: KnownSource | string): string {
  return typeof found === 'string' ? found : found.likeness;
}
