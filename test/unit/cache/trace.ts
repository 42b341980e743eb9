/** Requests for keys whose popularity follows Zipf's law, drawn from a seed. */

/** A request asks a cache for a key, which then keeps it if it likes. @returns whether it was a hit */
export type Request = (key: number) => boolean;

/** Numbers of 0 to 1: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Trace {
  readonly #random: () => number;
  /** Up to each rank, the share of requests. */
  readonly #shares: Float64Array;
  /** Which key has which rank. */
  readonly #keys: Int32Array;

  constructor(
    readonly keyCount: number,
    seed: number,
  ) {
    this.#random = seeded(seed);
    this.#shares = new Float64Array(keyCount);
    let total = 0;
    for (let rank = 0; rank < keyCount; rank++) {
      total += 1 / (rank + 1);
      this.#shares[rank] = total;
    }
    this.#shares = this.#shares.map((share) => share / total);
    this.#keys = Int32Array.from({ length: keyCount }, (_, key) => key);
    this.shift();
  }

  /** Deals all popularity anew. */
  shift(): void {
    for (let last = this.keyCount - 1; last > 0; last--) {
      const other = Math.floor(this.#random() * (last + 1));
      const key = this.#keys[last]!;
      this.#keys[last] = this.#keys[other]!;
      this.#keys[other] = key;
    }
  }

  /** One request. */
  next(): number {
    const at = this.#random();
    let low = 0;
    let high = this.keyCount - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#shares[middle]! < at) low = middle + 1;
      else high = middle;
    }
    return this.#keys[low]!;
  }
}
