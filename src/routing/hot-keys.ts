/**
 * Which keys have more of the traffic than one replica can bear: a Space-Saving sketch that forgets. It counts as many keys as it
 * has counters, whatever the number of keys, and never holds a key itself.
 */
import { SpaceSaving } from './space-saving.js';

const COUNTERS = 256;
/** One in so many sightings is counted, chosen by chance. */
const SAMPLING = 2;
/** What was counted counts half after so many: enough to tell shares around the threshold apart, and no more, since a crowd that comes must outweigh them. */
const WINDOW = { least: 1_024, most: 4_096, evidence: 128 };
/** And after so long. */
const HALF_LIFE_MILLIS = 5_000;
/** Fewer say nothing: a key that is read so seldom is no load either. */
const EVIDENCE = 16;

/** A key that is hot now. */
export interface HotKey {
  /** The key's hash; see `partition.ts`. */
  readonly hash: number;
  /** Its part of the reads by key, 0 to 1: at least that much. */
  readonly share: number;
}

export class HotKeys {
  readonly #isHot = new Uint8Array(COUNTERS);
  readonly #counters = new SpaceSaving(COUNTERS, (slot) => {
    this.#isHot[slot] = 0;
  });
  #total = 0;
  #chance = 1;
  #halvedAt = Number.NEGATIVE_INFINITY;

  /**
   * A read by that key has come. Allocates nothing.
   * @param threshold the share that matters @param now our monotonic clock
   */
  recordUse(key: number, threshold: number, now: number): void {
    this.#chance = (Math.imul(this.#chance, 1664525) + 1013904223) | 0;
    if ((this.#chance >>> 16) % SAMPLING !== 0) return;
    this.#pass(now);
    if (this.#total >= Math.min(WINDOW.most, Math.max(WINDOW.least, WINDOW.evidence / threshold))) this.#halve(1);
    this.#total++;
    this.#counters.add(key);
  }

  /** The key's part of the traffic while it is hot: above `threshold`, until it is below half of it; else 0. */
  shareOf(key: number, threshold: number, now: number): number {
    this.#pass(now);
    const slot = this.#counters.slotOf(key);
    if (slot === undefined) return 0;
    const certain = this.#counters.certainOf(slot);
    const share = certain / this.#total;
    const isHot = certain >= EVIDENCE && share > (this.#isHot[slot] === 1 ? threshold / 2 : threshold);
    this.#isHot[slot] = isHot ? 1 : 0;
    return isHot ? share : 0;
  }

  /** The keys that are hot now, the hottest first. */
  list(threshold: number, now: number): HotKey[] {
    return [...this.#counters.keys()]
      .map((hash) => ({ hash, share: this.shareOf(hash, threshold, now) }))
      .filter(({ share }) => share > 0)
      .sort((a, b) => b.share - a.share);
  }

  /** Lets time pass. */
  #pass(now: number): void {
    const halvings = Math.floor((now - this.#halvedAt) / HALF_LIFE_MILLIS);
    if (halvings < 1) return;
    this.#halvedAt = now;
    this.#halve(Math.min(halvings, 31));
  }

  #halve(times: number): void {
    this.#total >>= times;
    this.#counters.halve(times);
  }
}
