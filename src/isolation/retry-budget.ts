/**
 * How often reads may be sent a second time, after a loss or a refusal: as a part of the traffic, so that an outage does not
 * multiply it. What was drawn and what was asked count for ten seconds. Reads that are lost with their server have a reserve
 * beside that, as large as what one server had under way, so that the loss of any one server never exhausts it. It knows
 * numbers alone, and sends nothing.
 */
import { performance } from '../clock.js';
import type { RetryBudgetSettings } from '../options/cluster.js';
import type { Publisher } from '../publisher.js';

const BUCKET_MILLIS = 1_000;
const BUCKETS = 10;

/** What the budget has done so far, for `stats()`. */
export interface RetryStats {
  /** Reads that may be sent again now. */
  readonly left: number;
  /** Reads that were sent again since the start. */
  readonly drawnCount: number;
  /** Reads that failed since the budget was empty. */
  readonly refusedCount: number;
  /** Whether it was empty for the latest read that asked for it. */
  readonly retryBudgetEmpty: boolean;
}

/** One second's worth. */
interface Bucket {
  asked: number;
  drawn: number;
  /** The most that one server had under way. */
  peak: number;
}

export class RetryBudget {
  readonly #settings: RetryBudgetSettings;
  readonly #publisher: Publisher;
  readonly #buckets: Bucket[] = Array.from({ length: BUCKETS }, () => ({ asked: 0, drawn: 0, peak: 0 }));
  #current = this.#buckets[0] as Bucket;
  #index = 0;
  #endsAt = performance.now() + BUCKET_MILLIS;
  #drawnCount = 0;
  #refusedCount = 0;
  #isEmpty = false;

  constructor(settings: RetryBudgetSettings, publisher: Publisher) {
    this.#settings = settings;
    this.#publisher = publisher;
  }

  get stats(): RetryStats {
    this.#pass(performance.now());
    return {
      left: Math.max(0, Math.floor(this.#left(false))),
      drawnCount: this.#drawnCount,
      refusedCount: this.#refusedCount,
      retryBudgetEmpty: this.#isEmpty,
    };
  }

  /**
   * A statement goes to a server. It runs for every statement.
   * @param isFirst whether it was not sent before
   * @param now our monotonic clock, about
   * @param inFlight what that server has under way, this one included
   */
  sent(isFirst: boolean, now: number, inFlight: number): void {
    if (now >= this.#endsAt) this.#pass(now);
    const current = this.#current;
    if (isFirst) current.asked++;
    if (inFlight > current.peak) current.peak = inFlight;
  }

  /**
   * Draws on it for one read.
   * @param isLoss whether the read was lost with its connection
   * @param now our monotonic clock
   * @returns whether it may be sent again
   */
  draw(isLoss: boolean, now = performance.now()): boolean {
    this.#pass(now);
    if (this.#left(isLoss) >= 1) {
      this.spend();
      this.#isEmpty = false;
      return true;
    }
    this.#refusedCount++;
    if (!this.#isEmpty) this.#tell();
    this.#isEmpty = true;
    return false;
  }

  /** A read is sent again, whatever is left: there is no error that it could fail with. */
  spend(): void {
    this.#current.drawn++;
    this.#drawnCount++;
  }

  #left(isLoss: boolean): number {
    const { share, perSecond } = this.#settings;
    let asked = 0;
    let drawn = 0;
    let peak = 0;
    for (const bucket of this.#buckets) {
      asked += bucket.asked;
      drawn += bucket.drawn;
      peak = Math.max(peak, bucket.peak);
    }
    const base = share * asked + (perSecond * BUCKETS * BUCKET_MILLIS) / 1_000;
    return base + (isLoss ? peak : 0) - drawn;
  }

  #pass(now: number): void {
    if (now < this.#endsAt) return;
    const count = 1 + Math.floor((now - this.#endsAt) / BUCKET_MILLIS);
    this.#endsAt += count * BUCKET_MILLIS;
    // What is under way goes on.
    for (let i = Math.min(count, BUCKETS); i > 0; i--) {
      this.#index = (this.#index + 1) % BUCKETS;
      this.#current = this.#buckets[this.#index] as Bucket;
      Object.assign(this.#current, { asked: 0, drawn: 0, peak: 0 });
    }
  }

  #tell(): void {
    if (!this.#publisher.wants('warning')) return;
    const { share, perSecond } = this.#settings;
    const message =
      `the retry budget is empty (${share} of the statements of ten seconds, and ${perSecond} a second): reads that are lost, or ` +
      'refused by a replica, fail with the first error until there is more; look at what ends connections, or raise retryBudget';
    this.#publisher.publish('warning', { code: 'retry-budget-empty', message });
  }
}
