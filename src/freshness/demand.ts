/**
 * The one rule, for every rung: it has reached the session's floor, and it is not older than the
 * read accepts. Pure. Whatever can answer a read is compared here and nowhere else.
 */

import type { Lsn } from './lsn.js';
import type { PrimaryHistory } from './primary-history.js';

/** A place that can answer a read: a server now, a cache entry next. */
export interface Rung {
  /** How much of the primary's history it shows; `undefined` while that is not proven. */
  readonly lsn: Lsn | undefined;
  /** The moment of our monotonic clock up to which it shows every commit; −∞ when nothing is shown. */
  readonly freshAsOf: number;
}

/** What a read asks of the rung that answers it. */
export interface Demand {
  /** The LSN that the rung must have reached. */
  readonly floor: Lsn;
  /** The moment of our monotonic clock up to which it must show every commit; −∞ for no bound. */
  readonly freshSince: number;
}

/** Which half of the rule a rung does not meet. */
export type Gap = 'behind-floor' | 'too-stale';

/** @returns `undefined` when the rung meets the demand */
export function gapOf(rung: Rung, { floor, freshSince }: Demand): Gap | undefined {
  const { lsn } = rung;
  if (lsn === undefined || lsn < floor) return 'behind-floor';
  // Without a bound the age is not looked up: that takes a search.
  return freshSince !== Number.NEGATIVE_INFINITY && rung.freshAsOf < freshSince ? 'too-stale' : undefined;
}

export function meets(rung: Rung, demand: Demand): boolean {
  return gapOf(rung, demand) === undefined;
}

/** The rung that a server is at some position of the primary's history. */
export class RungAt implements Rung {
  readonly lsn: Lsn | undefined;
  readonly #history: PrimaryHistory;

  constructor(lsn: Lsn | undefined, history: PrimaryHistory) {
    this.lsn = lsn;
    this.#history = history;
  }

  get freshAsOf(): number {
    return this.lsn === undefined ? Number.NEGATIVE_INFINITY : this.#history.clock.freshAsOf(this.lsn);
  }
}
