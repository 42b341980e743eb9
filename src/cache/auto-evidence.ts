/**
 * What was seen of one statement while reads were looked at, and what follows for keeping its
 * answers. What was seen long ago counts less. Pure: time is handed in.
 */
import { Latency } from '../nodes/latency.js';

/** With each weighing, what was counted before counts so much of it. */
const FADING = 0.8;
const COST_SAMPLES = 128;
/** Fewer comparisons say nothing of how often an answer changes. */
const FEWEST_COMPARISONS = 3;
/** What was compared counts half after so many comparisons: however seldom they are, they are not forgotten before. */
const MOST_COMPARISONS = 16;
const MOST_JUDGED = 40;

/** Whether what was held was what a server said, of late. */
export class Comparisons {
  readonly #most: number;
  agreedCount = 0;
  differedCount = 0;

  /** @param most of which the latest half is sure to count */
  constructor(most = MOST_JUDGED) {
    this.#most = most;
  }

  get count(): number {
    return this.agreedCount + this.differedCount;
  }

  /** The share of those that agreed, 0 to 1; 1 without any. */
  get agreement(): number {
    return this.count === 0 ? 1 : this.agreedCount / this.count;
  }

  add(isSame: boolean): void {
    if (this.count >= this.#most) {
      this.agreedCount /= 2;
      this.differedCount /= 2;
    }
    if (isSame) this.agreedCount++;
    else this.differedCount++;
  }

  /** Takes others back. */
  without({ agreedCount, differedCount }: Comparisons): void {
    this.agreedCount = Math.max(0, this.agreedCount - agreedCount);
    this.differedCount = Math.max(0, this.differedCount - differedCount);
  }

  forget(): void {
    this.agreedCount = 0;
    this.differedCount = 0;
  }
}

/** How often something changes that is compared now and then. */
export class ChangeRate {
  readonly comparisons = new Comparisons(MOST_COMPARISONS);
  /** The mean time between what was compared, in milliseconds. */
  intervalMillis = 0;

  /** @param millis between what was compared */
  add(isSame: boolean, millis: number): void {
    this.comparisons.add(isSame);
    this.intervalMillis += (millis - this.intervalMillis) / this.comparisons.count;
  }

  forget(): void {
    this.comparisons.forget();
    this.intervalMillis = 0;
  }

  /**
   * Changes in a millisecond; `undefined` while too little was compared. Two changes between two
   * looks seem one, which the logarithm makes up for.
   *
   * @see https://doi.org/10.1145/857166.857170 Estimating frequency of change (Cho, Garcia-Molina 2003)
   */
  get perMilli(): number | undefined {
    const { count, agreedCount } = this.comparisons;
    if (count < FEWEST_COMPARISONS || this.intervalMillis <= 0) return undefined;
    return Math.max(0, -Math.log((agreedCount + 0.5) / (count + 0.5)) / this.intervalMillis);
  }
}

/**
 * The share of answers that are not the present one, where each is given until it has an age, and
 * changes come by chance.
 */
export function staleShareOf(changesPerMilli: number, ageMillis: number): number {
  const changes = changesPerMilli * ageMillis;
  return changes < 1e-6 ? 0 : 1 - (1 - Math.exp(-changes)) / changes;
}

export class Evidence {
  /** Reads that a kept answer could have served, by what was looked at. */
  callCount = 0;
  /** Those of them that one did serve, or would have. */
  hitCount = 0;
  /** Those for which an answer is read to be kept, or would be: their key has come before. */
  fillCount = 0;
  /** Reads whose text came once, and never before. */
  anewCount = 0;
  /** What was looked at since the start. */
  sampleCount = 0;
  /** Of reads that a kept answer would have served: whether it was what the server said. */
  readonly comparisons = new Comparisons();
  /** Since when all that was counted, faded alike. */
  millis = 0;
  readonly changes = new ChangeRate();
  /** How long servers took, in milliseconds. */
  readonly costs = new Latency(COST_SAMPLES);
  /** What servers say that it takes, for as long as nothing is known of it here. */
  expectedMillis = 0;
  #costSum = 0;
  #costCount = 0;
  #byteSum = 0;
  #byteCount = 0;

  cost(millis: number): void {
    this.costs.add(millis);
    this.#costSum += millis;
    this.#costCount++;
  }

  size(bytes: number): void {
    this.#byteSum += bytes;
    this.#byteCount++;
  }

  /** The mean, in milliseconds. */
  get costMillis(): number {
    return this.#costCount === 0 ? this.expectedMillis : this.#costSum / this.#costCount;
  }

  /** The mean size of an answer. */
  get bytes(): number {
    return this.#byteCount === 0 ? 0 : Math.round(this.#byteSum / this.#byteCount);
  }

  /** Each counter by itself: `Latency` keeps the latest ones. @param millis since it was last called */
  fade(millis: number): void {
    this.millis = this.millis * FADING + millis;
    this.callCount *= FADING;
    this.hitCount *= FADING;
    this.fillCount *= FADING;
    this.anewCount *= FADING;
    this.#costSum *= FADING;
    this.#costCount *= FADING;
    this.#byteSum *= FADING;
    this.#byteCount *= FADING;
  }

  /** What was compared before counts no more. */
  compareAnew(): void {
    this.comparisons.forget();
    this.changes.forget();
  }
}
