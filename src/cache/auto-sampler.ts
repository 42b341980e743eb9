/**
 * Which reads are looked at: all of few, and of many one in so many, by chance. A read that is not
 * looked at costs a subtraction. It knows no statements.
 */

/** How often the number of reads is looked at. */
const REVIEW_MILLIS = 250;
const LARGEST_STRIDE = 4_096;
/** So many times as much as is allowed in that time may be looked at before less is. */
const MOST_AT_ONCE = 2;

export class Sampler {
  readonly #perSecond: number;
  #stride = 1;
  #gap = 1;
  #left = 1;
  #passed = 0;
  /** Looked at since the number of reads was, and the stride was raised. */
  #taken = 0;
  #reviewedAt = Number.NEGATIVE_INFINITY;
  /** Reads that have come, up to the latest one that was looked at. */
  readCount = 0;
  /** Reads that were looked at. */
  sampledCount = 0;

  /** @param perSecond how many are looked at in a second, about */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** A read has come. @returns whether it is to be looked at: call `take` then */
  isDue(): boolean {
    return --this.#left <= 0;
  }

  /** Looks at the read. @param now our monotonic clock @returns how many reads it stands for */
  take(now: number): number {
    const weight = this.#stride;
    this.readCount += this.#gap;
    this.sampledCount++;
    this.#passed += this.#gap;
    if (now - this.#reviewedAt >= REVIEW_MILLIS) this.#review(now);
    // After a pause all come at once: what was reckoned over the pause is too little.
    else if (++this.#taken * 1_000 > MOST_AT_ONCE * REVIEW_MILLIS * this.#perSecond) this.#raise();
    // By chance, so that no rhythm of the application hides a statement.
    this.#gap = this.#stride === 1 ? 1 : 1 + Math.floor(Math.random() * (2 * this.#stride - 1));
    this.#left = this.#gap;
    return weight;
  }

  #raise(): void {
    this.#taken = 0;
    this.#stride = Math.min(LARGEST_STRIDE, 2 * this.#stride);
  }

  #review(now: number): void {
    const seconds = (now - this.#reviewedAt) / 1_000;
    if (Number.isFinite(seconds)) {
      const stride = Math.ceil(this.#passed / seconds / this.#perSecond);
      this.#stride = Math.min(LARGEST_STRIDE, Math.max(1, stride));
    }
    this.#passed = 0;
    this.#taken = 0;
    this.#reviewedAt = now;
  }
}

/** So much a second, and at once what a second allows. */
export class Allowance {
  readonly #perSecond: number;
  #left: number;
  #at = Number.NEGATIVE_INFINITY;

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = perSecond;
  }

  /** Whether anything is left now. What is taken may be more: the next ones wait for it. */
  isLeft(now: number): boolean {
    if (now > this.#at) {
      const earned = ((now - this.#at) / 1_000) * this.#perSecond;
      this.#left = Math.min(this.#perSecond, this.#left + earned);
      this.#at = now;
    }
    return this.#left > 0;
  }

  take(amount: number): void {
    this.#left -= amount;
  }
}
