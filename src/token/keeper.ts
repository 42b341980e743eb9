/**
 * Keeps a TokenStore in step with the session of one answer: one `put` at a time, and one more for
 * all that has moved meanwhile. It knows what the answer has to wait for, and for what its end came
 * too early. It neither makes tokens nor waits itself.
 */
import { settledWithin } from '../deadline.js';

/**
 * Keeps the token as it is then, and tells of failures itself.
 * @param hasToken to be called when only the store is left to answer
 */
export type Put = (hasToken: () => void) => Promise<unknown>;

/** A store that never answers must not keep what comes later from it. */
const PATIENCE_MILLIS = 10_000;

export class TokenKeeper {
  readonly #put: Put;
  readonly #sightCount: () => number;
  #running: Promise<void> | undefined;
  /** The one behind it, which has not begun. */
  #next: Promise<void> | undefined;
  /** What the store has of that, or is about to have. */
  #keptCount = 0;
  #isAwaitingPosition = false;
  #isMarked = false;
  #hasEnded = false;
  #hasToldLate = false;

  /** @param sightCount grows with all that was read and that tokens carry */
  constructor(put: Put, sightCount: () => number) {
    this.#put = put;
    this.#sightCount = sightCount;
  }

  /** Whether a position is missing, and not the store's answer. */
  get isAwaitingPosition(): boolean {
    return this.#isAwaitingPosition;
  }

  /**
   * There is more to be seen than before.
   * @returns what resolves when that is kept; it does not reject
   */
  moved(): Promise<void> {
    if (this.#running === undefined) return this.#start();
    // One that is under way may have taken its token before.
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      return this.#start();
    });
    return this.#next;
  }

  /**
   * What resolves when all that has been written and seen so far is kept; `undefined` when it is.
   */
  keeping(): Promise<void> | undefined {
    if (this.#isMarked) return undefined;
    if (this.#next === undefined && this.#sightCount() > this.#keptCount) return this.moved();
    return this.#next ?? this.#running;
  }

  /** The store has a primary-only token: it covers everything that comes later. */
  marked(): void {
    this.#isMarked = true;
  }

  /** The whole answer has left. @returns whether the store had everything by then */
  ended(): boolean {
    this.#hasEnded = true;
    return this.keeping() === undefined;
  }

  /** Whether something moved after the response had ended, for the first time. */
  isFirstLate(): boolean {
    if (!this.#hasEnded || this.#isMarked || this.#hasToldLate) return false;
    this.#hasToldLate = true;
    return true;
  }

  #start(): Promise<void> {
    this.#keptCount = this.#sightCount();
    this.#isAwaitingPosition = true;
    const running = settledWithin(
      this.#put(() => this.#hasToken()),
      PATIENCE_MILLIS,
      true,
    ).then(() => {
      this.#isAwaitingPosition = false;
      this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  #hasToken(): void {
    this.#isAwaitingPosition = false;
  }
}
