/**
 * Counts the most frequent keys with as many counters as it is given, whatever the number of keys, and never holds a
 * key itself: a key without a counter takes that of the key with the lowest count, and the count with it. So a count
 * may be too high, by at most what it says to be inherited, and is never too low. It knows no time: see `halve`.
 *
 * @see https://doi.org/10.1007/978-3-540-30570-5_27 Space-Saving (Metwally, Agrawal, El Abbadi 2005)
 */
export class SpaceSaving {
  readonly #size: number;
  readonly #onAssigned: (slot: number) => void;
  readonly #slots = new Map<number, number>();
  readonly #keys: Int32Array;
  readonly #counts: Int32Array;
  /** How much of a count may be that of the keys which had the counter before. */
  readonly #inherited: Int32Array;
  #lowest = 0;
  #cursor = 0;

  /** @param size how many counters @param onAssigned told when a counter gets another key */
  constructor(size: number, onAssigned: (slot: number) => void) {
    this.#size = size;
    this.#onAssigned = onAssigned;
    this.#keys = new Int32Array(size);
    this.#counts = new Int32Array(size);
    this.#inherited = new Int32Array(size);
  }

  /** Keys that have a counter. */
  keys(): IterableIterator<number> {
    return this.#slots.keys();
  }

  /** Counts the key. Allocates nothing. @returns its counter */
  add(key: number): number {
    const slot = this.#slots.get(key) ?? this.#assign(key);
    this.#counts[slot] = (this.#counts[slot] as number) + 1;
    return slot;
  }

  /** The key's counter; `undefined` where it has none. */
  slotOf(key: number): number | undefined {
    return this.#slots.get(key);
  }

  /** How often the counter's key has come, at least. */
  certainOf(slot: number): number {
    return (this.#counts[slot] as number) - (this.#inherited[slot] as number);
  }

  /** All that was counted so far counts half as much, so many times. */
  halve(times: number): void {
    this.#lowest >>= times;
    for (let slot = 0; slot < this.#size; slot++) {
      this.#counts[slot] = (this.#counts[slot] as number) >> times;
      this.#inherited[slot] = (this.#inherited[slot] as number) >> times;
    }
  }

  #assign(key: number): number {
    let slot = this.#slots.size;
    if (slot === this.#size) {
      slot = this.#lowestSlot();
      this.#slots.delete(this.#keys[slot] as number);
    }
    this.#inherited[slot] = this.#counts[slot] as number;
    this.#keys[slot] = key;
    this.#slots.set(key, slot);
    this.#onAssigned(slot);
    return slot;
  }

  /** Counts only grow between decays, so the search goes on where it ended. */
  #lowestSlot(): number {
    for (let i = 0; i < this.#size; i++) {
      const slot = (this.#cursor + i) % this.#size;
      if ((this.#counts[slot] as number) > this.#lowest) continue;
      this.#cursor = slot + 1;
      return slot;
    }
    this.#lowest = Math.min(...this.#counts);
    return this.#lowestSlot();
  }
}
