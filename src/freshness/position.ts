/**
 * A place in the history of one cluster, and what became of it. After a failover a position can be numerically reached
 * while its row is gone, so a bare LSN is never compared across timelines: the chain of fork points decides first.
 */
import type { Lsn } from './lsn.js';

/** A place in a cluster's write-ahead log. */
export interface Position {
  /** The system identifier, an unsigned 64-bit number in decimal. */
  readonly clusterId: string;
  /** The timeline, 1 to 2^32 − 1; each promotion starts a new one. */
  readonly timeline: number;
  readonly lsn: Lsn;
}

/** Orders positions of one cluster: by timeline, then by LSN. Negative when `a` is older. */
export function comparePositions(a: Position, b: Position): number {
  if (a.timeline !== b.timeline) return a.timeline - b.timeline;
  return a.lsn < b.lsn ? -1 : a.lsn > b.lsn ? 1 : 0;
}

/** The newer of two positions of one cluster. */
export function newerPosition(a: Position | undefined, b: Position): Position {
  return a !== undefined && comparePositions(a, b) >= 0 ? a : b;
}

/**
 * What became of a position: `kept` is in the primary's history; `lost` was written on a timeline after it had been
 * left; `ahead` lies on a timeline or place that the primary has not been seen at; `unknown` crosses a fork that was not seen.
 */
export type Fate = 'kept' | 'lost' | 'ahead' | 'unknown';

/** The primary's timeline and the places at which earlier ones were left, as far as they were seen. Immutable. */
export class Timelines {
  readonly timeline: number;
  readonly #leftAt: ReadonlyMap<number, Lsn>;
  readonly #disowned: ReadonlyMap<number, Lsn>;

  /** @param disowned see `disowning` */
  constructor(
    timeline: number,
    leftAt: ReadonlyMap<number, Lsn> = new Map(),
    disowned: ReadonlyMap<number, Lsn> = new Map(),
  ) {
    this.timeline = timeline;
    this.#leftAt = leftAt;
    this.#disowned = disowned;
  }

  /** The same history continued on `timeline`, its predecessor left at `leftAt` (`undefined`: where is not known). */
  continuedOn(timeline: number, leftAt: Lsn | undefined): Timelines {
    const forks = new Map(this.#leftAt);
    if (leftAt !== undefined) forks.set(timeline - 1, leftAt);
    return new Timelines(timeline, forks, this.#disowned);
  }

  /** The same history, of which it is known that positions on `timeline` up to `upTo` were handed out by a server that had no right to. */
  disowning(timeline: number, upTo: Lsn): Timelines {
    const before = this.#disowned.get(timeline) ?? 0n;
    const disowned = new Map(this.#disowned).set(timeline, before > upTo ? before : upTo);
    return new Timelines(this.timeline, this.#leftAt, disowned);
  }

  /** Where a timeline was left; `undefined` while it is the current one or when it was not seen. */
  leftAt(timeline: number): Lsn | undefined {
    return this.#leftAt.get(timeline);
  }

  /** @param highest the highest LSN the primary has been seen at */
  fateOf(timeline: number, lsn: Lsn, highest: Lsn): Fate {
    if (timeline > this.timeline) return 'ahead';
    // Two servers have written under that number, and nothing tells whose it is.
    const disowned = this.#disowned.get(timeline);
    if (disowned !== undefined && lsn <= disowned) return 'unknown';
    if (timeline === this.timeline) return lsn > highest ? 'ahead' : 'kept';
    // Every fork since then must be known, and a history only ever bends at its forks: each bounds what came before it.
    for (let t = timeline; t < this.timeline; t++) {
      const leftAt = this.#leftAt.get(t);
      if (leftAt === undefined) return 'unknown';
      if (lsn > leftAt) return 'lost';
    }
    return 'kept';
  }
}
