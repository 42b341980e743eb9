/**
 * How long calls to something that may be slow are waited for, and whether it is asked at all. It
 * decides by what became of the latest calls. It never cancels one: what comes late is not heard.
 * All calls under way share one timer, since each has the same time.
 */
import { performance, setImmediate, setTimeout } from '../clock.js';

export interface CallBudgetOptions {
  /** How long an answer is waited for, in milliseconds, above 0. Default 5. */
  readonly budgetMillis?: number;
  /**
   * Calls whose answer is outstanding at the same time, those that were given up included, at least
   * 1: a client whose server is gone keeps everything that it cannot send. Default 10,000.
   */
  readonly maxUnanswered?: number;
  /** How long it is open before a trial, in milliseconds. A failed one doubles it. Default 100. */
  readonly minPauseMillis?: number;
  /** At most so long, in milliseconds. Default 5,000. */
  readonly maxPauseMillis?: number;
}

/** `closed`: calls are made. `open`: none is. `trial`: one is under way, which decides. */
export type BreakerState = 'closed' | 'open' | 'trial';

export interface CallBudgetStats {
  readonly state: BreakerState;
  /** Calls that were made. */
  readonly callCount: number;
  /** Of these: not answered in time. */
  readonly lateCount: number;
  /** Of these: failed in time. */
  readonly failedCount: number;
  /** Calls that were not made: the breaker was open, or too many answers were outstanding. */
  readonly refusedCount: number;
}

/** So many calls in a row that go wrong open the breaker. */
const MAX_WRONG_IN_ROW = 5;
/** So does this share of the latest ones, of which each weighs so much. */
const MAX_WRONG_SHARE = 0.5;
const SHARE_WEIGHT = 1 / 32;
/** So many good calls in a row make the next pause a short one again. */
const GOOD_IN_ROW = 32;

interface Pending {
  readonly resolve: (value: undefined) => void;
  readonly endsAt: number;
  readonly isTrial: boolean;
}

const NOTHING: Promise<undefined> = Promise.resolve(undefined);

export class CallBudget {
  readonly #budgetMillis: number;
  readonly #maxUnanswered: number;
  readonly #minPauseMillis: number;
  readonly #maxPauseMillis: number;
  /** In the order of their ends. */
  readonly #pending = new Set<Pending>();
  #hasTimer = false;
  #unanswered = 0;

  #state: BreakerState = 'closed';
  #pauseMillis: number;
  #openUntil = 0;
  #wrongInRow = 0;
  #goodInRow = 0;
  #wrongShare = 0;

  #callCount = 0;
  #lateCount = 0;
  #failedCount = 0;
  #refusedCount = 0;

  constructor(options: CallBudgetOptions = {}) {
    const { budgetMillis = 5, maxUnanswered = 10_000, minPauseMillis = 100, maxPauseMillis = 5_000 } = options;
    this.#budgetMillis = budgetMillis;
    this.#maxUnanswered = maxUnanswered;
    this.#minPauseMillis = minPauseMillis;
    this.#maxPauseMillis = Math.max(minPauseMillis, maxPauseMillis);
    this.#pauseMillis = minPauseMillis;
  }

  get stats(): CallBudgetStats {
    return {
      state: this.#state,
      callCount: this.#callCount,
      lateCount: this.#lateCount,
      failedCount: this.#failedCount,
      refusedCount: this.#refusedCount,
    };
  }

  /**
   * What `call` resolves with; `undefined` where it took too long, failed (or threw), or was not
   * made. Never rejects.
   * @param now our monotonic clock
   */
  run<T>(call: () => Promise<T>, now = performance.now()): Promise<T | undefined> {
    if (!this.#admits(now)) {
      this.#refusedCount++;
      return NOTHING;
    }
    this.#callCount++;
    this.#unanswered++;
    return new Promise<T | undefined>((resolve) => {
      const pending = { resolve, endsAt: now + this.#budgetMillis, isTrial: this.#state === 'trial' };
      this.#pending.add(pending);
      this.#watch(this.#budgetMillis);
      const onFailed = (): void => {
        this.#unanswered--;
        if (!this.#pending.delete(pending)) return;
        this.#failedCount++;
        this.#wrong(pending);
        resolve(undefined);
      };
      try {
        call().then((value) => {
          this.#unanswered--;
          if (!this.#pending.delete(pending)) return;
          this.#right(pending);
          resolve(value);
        }, onFailed);
      } catch {
        onFailed();
      }
    });
  }

  /** Whether a call may be made; the one that may be made while it is open is the trial. */
  #admits(now: number): boolean {
    if (this.#unanswered >= this.#maxUnanswered) return false;
    if (this.#state === 'closed') return true;
    if (this.#state === 'trial' || now < this.#openUntil) return false;
    this.#state = 'trial';
    return true;
  }

  #right({ isTrial }: Pending): void {
    this.#wrongInRow = 0;
    this.#wrongShare -= this.#wrongShare * SHARE_WEIGHT;
    if (isTrial) this.#close();
    // What was asked before it opened says little of now.
    else if (this.#state === 'closed' && ++this.#goodInRow >= GOOD_IN_ROW) this.#pauseMillis = this.#minPauseMillis;
  }

  #wrong({ isTrial }: Pending): void {
    this.#goodInRow = 0;
    this.#wrongInRow++;
    this.#wrongShare += (1 - this.#wrongShare) * SHARE_WEIGHT;
    const isTooMuch = this.#wrongInRow >= MAX_WRONG_IN_ROW || this.#wrongShare > MAX_WRONG_SHARE;
    if (isTrial || (this.#state === 'closed' && isTooMuch)) this.#open();
  }

  #open(): void {
    this.#state = 'open';
    this.#openUntil = performance.now() + this.#pauseMillis;
    this.#pauseMillis = Math.min(this.#pauseMillis * 2, this.#maxPauseMillis);
  }

  #close(): void {
    this.#state = 'closed';
    this.#wrongInRow = 0;
    this.#goodInRow = 0;
    this.#wrongShare = 0;
  }

  /**
   * One timer for all that are under way. It is not stopped when they are answered: the next call
   * would set it again.
   */
  #watch(millis: number): void {
    if (this.#hasTimer) return;
    this.#hasTimer = true;
    // While our own event loop was held up, an answer may have come: it is read first.
    setTimeout(() => setImmediate(this.#giveUp), millis).unref();
  }

  readonly #giveUp = (): void => {
    this.#hasTimer = false;
    const now = performance.now();
    for (const pending of this.#pending) {
      const leftMillis = pending.endsAt - now;
      if (leftMillis > 0) {
        this.#watch(leftMillis);
        return;
      }
      this.#pending.delete(pending);
      this.#lateCount++;
      this.#wrong(pending);
      pending.resolve(undefined);
    }
  };
}
