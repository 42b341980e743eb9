/** How long things take: rings of recent samples that cost nothing to fill, and are only sorted when somebody asks. */

/** The latest `size` samples of a duration. */
export class Latency {
  readonly #millis: Float64Array;
  #count = 0;

  constructor(size: number) {
    this.#millis = new Float64Array(size);
  }

  add(millis: number): void {
    this.#millis[this.#count++ % this.#millis.length] = millis;
  }

  /** Whether so many samples were taken that the ring is full. */
  get isFull(): boolean {
    return this.#count >= this.#millis.length;
  }

  clear(): void {
    this.#count = 0;
  }

  /** @param share 0 to 1 @returns milliseconds; `undefined` without a sample */
  percentile(share: number): number | undefined {
    const samples = this.#millis.slice(0, Math.min(this.#count, this.#millis.length)).sort();
    return samples[Math.min(samples.length - 1, Math.floor(samples.length * share))];
  }
}
