/**
 * Turns a replica's LSN into a sound age. It remembers at which moments of our clock the primary stood at which LSN; a
 * replica at R then holds everything that was committed when the primary was last seen at or below R. The servers' clocks
 * play no part, and without a sample the age is infinite, never 0.
 */
import type { Lsn } from './lsn.js';

/** Samples closer together than this are thinned out, so that a busy process keeps seconds and not milliseconds of history. */
const SPACING_MILLIS = 5;
/** At the spacing above more than 20 seconds, which is twice the default bound on lag. */
const CAPACITY = 4096;

export class StalenessClock {
  // A ring in two flat arrays: nothing is allocated for a sample.
  readonly #at = new Float64Array(CAPACITY);
  readonly #lsn = new BigUint64Array(CAPACITY);
  #start = 0;
  #count = 0;

  /** Grows with every sample, so that what was computed from the clock can be kept until it changes. */
  version: number;

  /** Another one where nothing that was kept before can be judged any more, by age or by position. */
  readonly era: number;

  /** @param version to go on counting from: above that of the clock it replaces */
  constructor(version = 0, era = 0) {
    this.version = version;
    this.era = era;
  }

  /**
   * Adds that the primary stood at `lsn`, asked at `sentAt`.
   * @param sentAt our monotonic clock *before* the question was sent, in milliseconds
   */
  sample(sentAt: number, lsn: Lsn): void {
    this.version++;
    const last = this.#count - 1;
    if (last >= 0) {
      // Answers can overtake each other between connections; a sample that moves backwards adds nothing.
      if (sentAt < this.#atOf(last) || lsn < this.#lsnOf(last)) return;
      const unchanged = lsn === this.#lsnOf(last);
      const crowded = last >= 1 && sentAt - this.#atOf(last - 1) < SPACING_MILLIS;
      if (unchanged || crowded) {
        this.#set(last, sentAt, lsn);
        return;
      }
    }
    if (this.#count === CAPACITY) this.#start = (this.#start + 1) % CAPACITY;
    else this.#count++;
    this.#set(this.#count - 1, sentAt, lsn);
  }

  /** The latest moment at which the primary was known to stand at or below `lsn`; −∞ without one. A position is as fresh as that moment. */
  freshAsOf(lsn: Lsn): number {
    const after = this.#firstWhere((i) => this.#lsnOf(i) > lsn);
    return after === 0 ? Number.NEGATIVE_INFINITY : this.#atOf(after - 1);
  }

  /** The LSN of the first sample asked for after `moment`: it covers every commit that had returned by then. `undefined` without one. */
  firstAfter(moment: number): Lsn | undefined {
    const index = this.#firstWhere((i) => this.#atOf(i) > moment);
    return index === this.#count ? undefined : this.#lsnOf(index);
  }

  #firstWhere(holds: (index: number) => boolean): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (holds(middle)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #atOf(index: number): number {
    return this.#at[(this.#start + index) % CAPACITY] as number;
  }

  #lsnOf(index: number): Lsn {
    return this.#lsn[(this.#start + index) % CAPACITY] as Lsn;
  }

  #set(index: number, at: number, lsn: Lsn): void {
    this.#at[(this.#start + index) % CAPACITY] = at;
    this.#lsn[(this.#start + index) % CAPACITY] = lsn;
  }
}
