/** How long things take: rings of recent samples that cost nothing to fill, and are only sorted when somebody asks. */

/** Samples that a moving average goes by. */
const INERTIA = 16;

/** The latest `size` samples of a duration. */
export class Latency {
  readonly #millis: Float64Array;
  #count = 0;
  #typical = 0;

  constructor(size: number) {
    this.#millis = new Float64Array(size);
  }

  add(millis: number): void {
    this.#typical += this.#count === 0 ? millis : (millis - this.#typical) / INERTIA;
    this.#millis[this.#count++ % this.#millis.length] = millis;
  }

  /** A moving average, in milliseconds; 0 without a sample. */
  get typical(): number {
    return this.#typical;
  }

  /** Whether so many samples were taken that the ring is full. */
  get isFull(): boolean {
    return this.#count >= this.#millis.length;
  }

  clear(): void {
    this.#count = 0;
    this.#typical = 0;
  }

  /** @param share 0 to 1 @returns milliseconds; `undefined` without a sample */
  percentile(share: number): number | undefined {
    const samples = this.#millis.slice(0, Math.min(this.#count, this.#millis.length)).sort();
    return samples[Math.min(samples.length - 1, Math.floor(samples.length * share))];
  }
}
