/**
 * What one process keeps, within a bound of bytes. It decides what is worth keeping: a new entry
 * pushes others out only if it saves more time for its size. So a scan flushes nothing. It has no
 * timers, knows nothing of freshness, and never changes what it holds.
 */
import { LRUCache } from 'lru-cache';
import { bytesOfString } from './bytes.js';
import { FrequencySketch } from './frequency-sketch.js';

/**
 * An entry's part of the list, the map, the slots and the sketch: 180 to 225, as measured. They grow
 * in leaps, so it is most just after one.
 */
const OVERHEAD_BYTES = 200;
/** An entry may have this share of the bound. */
const LARGEST_SHARE = 1 / 8;
/** A query's time below it is noise, and an entry that costs nothing would never be kept. */
const LEAST_COST_MILLIS = 0.1;

/** What a store can hold: anything that says what it weighs and what it saves. */
export interface Weighed {
  /** What it holds on the heap. The store adds the key and its own bookkeeping. */
  readonly bytes: number;
  /** What it took to get. */
  readonly costMillis: number;
}

/**
 * - `'kept'`: it is held from now on
 * - `'passed-over'`: those that it would push out save more
 * - `'too-large'`: over an eighth of the bound
 */
export type Admission = 'kept' | 'passed-over' | 'too-large';

/** A use is counted without hashing the key again: its hash is kept. */
class Slot<Held> {
  constructor(
    readonly held: Held,
    readonly hash: number,
    readonly size: number,
  ) {}
}

export class MemoryStore<Held extends Weighed> {
  readonly #maxBytes: number;
  readonly #slots: LRUCache<string, Slot<Held>>;
  #sketch = new FrequencySketch();
  #evictedCount = 0;
  #passedOverCount = 0;
  // Handed to each call: without, lru-cache makes an object for each.
  readonly #gettingOptions = {};
  readonly #settingOptions = { size: 1 };

  /** @param options.maxBytes the bound of {@link byteCount}; with 0 nothing is kept */
  constructor({ maxBytes }: { readonly maxBytes: number }) {
    this.#maxBytes = maxBytes;
    this.#slots = new LRUCache({ maxSize: Math.max(1, Math.floor(maxBytes)) });
  }

  get entryCount(): number {
    return this.#slots.size;
  }

  /** What all entries weigh, with their keys and the bookkeeping. */
  get byteCount(): number {
    return this.#slots.calculatedSize;
  }

  /** How many entries had to go for others. */
  get evictedCount(): number {
    return this.#evictedCount;
  }

  /** How many new entries were worth less than those that they would have pushed out. */
  get passedOverCount(): number {
    return this.#passedOverCount;
  }

  /** Counts the use, also of a key that is not held: what is asked for often is worth keeping. */
  get(key: string): Held | undefined {
    if (this.#maxBytes === 0) return undefined;
    const slot = this.#slots.get(key, this.#gettingOptions);
    if (slot === undefined) {
      this.#sketch.recordUse(this.#sketch.hashOf(key));
      return undefined;
    }
    this.#sketch.recordUse(slot.hash);
    return slot.held;
  }

  /** Like {@link get}, and counts nothing. */
  peek(key: string): Held | undefined {
    return this.#slots.peek(key, this.#gettingOptions)?.held;
  }

  /**
   * Keeps an entry. One that replaces another of the same key is always kept, unless it is too
   * large: then the other one goes too.
   */
  set(key: string, held: Held): Admission {
    if (this.#maxBytes === 0) return 'too-large';
    const size = Math.ceil(held.bytes) + bytesOfString(key) + OVERHEAD_BYTES;
    const present = this.#slots.peek(key, this.#gettingOptions);
    if (size > this.#maxBytes * LARGEST_SHARE) {
      this.#slots.delete(key);
      return 'too-large';
    }
    const slot = new Slot(held, present?.hash ?? this.#sketch.hashOf(key), size);
    if (present === undefined && !this.#isWorthItsPlace(slot)) {
      this.#passedOverCount++;
      return 'passed-over';
    }
    const expectedCount = this.#slots.size + (present === undefined ? 1 : 0);
    this.#settingOptions.size = size;
    this.#slots.set(key, slot, this.#settingOptions);
    this.#evictedCount += expectedCount - this.#slots.size;
    this.#sketch.suit(this.#slots.size);
    return 'kept';
  }

  /** @returns whether there was one */
  delete(key: string): boolean {
    return this.#slots.delete(key);
  }

  /** Forgets all entries, and how often each key was used. */
  clear(): void {
    this.#slots.clear();
    this.#sketch = new FrequencySketch();
  }

  /** The most recently used first. Entries may be deleted on the way. */
  *entries(): Generator<[key: string, held: Held], void, undefined> {
    for (const [key, slot] of this.#slots.entries()) yield [key, slot.held];
  }

  /** Whether it saves more for its size than those that it would push out: the least recently used. */
  #isWorthItsPlace(candidate: Slot<Held>): boolean {
    const missingBytes = this.#slots.calculatedSize + candidate.size - this.#maxBytes;
    if (missingBytes <= 0) return true;
    // It was needed just now, whether or not that was counted.
    const saved = this.#savedMillis(candidate, 1);
    const stronger: string[] = [];
    let lostMillis = 0;
    let freedBytes = 0;
    for (const key of this.#slots.rkeys()) {
      const victim = this.#slots.peek(key, this.#gettingOptions)!;
      const lost = this.#savedMillis(victim, 0);
      if (lost * candidate.size >= saved * victim.size) stronger.push(key);
      lostMillis += lost;
      freedBytes += victim.size;
      if (lostMillis * candidate.size >= saved * Math.max(freedBytes, missingBytes)) break;
      if (freedBytes >= missingBytes) return true;
    }
    // A second chance, as if they were used: else the same few would guard the others for ever.
    for (const key of stronger) this.#slots.get(key, this.#gettingOptions);
    return false;
  }

  #savedMillis({ held, hash }: Slot<Held>, leastFrequency: number): number {
    const frequency = Math.max(leastFrequency, this.#sketch.frequencyOf(hash));
    return frequency * Math.max(LEAST_COST_MILLIS, held.costMillis);
  }
}
