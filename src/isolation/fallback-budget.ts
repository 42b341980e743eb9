/**
 * How many reads that no replica can serve run on the primary at once. The others queue, by priority and then by who came first, for as long
 * as each of them likes: a lag spike is no stampede. It counts turns and knows nothing of nodes.
 */
import type { Priority } from '../options/calls.js';

/** One read's place in the queue. */
interface Waiter {
  readonly grant: () => void;
}

/** What the budget has done so far, for `stats()`. */
export interface FallbackStats {
  /** Turns at the same time. */
  readonly limit: number;
  /** Turns taken now. */
  readonly inUse: number;
  /** Reads that wait for one. */
  readonly waiting: number;
  /** Turns given since the start. */
  readonly admitted: number;
  /** How many of them had to be waited for. */
  readonly queued: number;
  /** Reads that gave up waiting: `LADDER_OVERLOADED`, or their own signal. */
  readonly refused: number;
}

/** How much the latest turn counts in the mean. */
const MEAN_WEIGHT = 0.1;

export class FallbackBudget {
  readonly #queues: Record<Priority, Set<Waiter>> = { high: new Set(), normal: new Set(), low: new Set() };
  readonly #limit: () => number;
  #inUse = 0;
  #admitted = 0;
  #queued = 0;
  #refused = 0;
  /** How long a turn is held, in milliseconds. */
  #meanMillis = 0;

  /** @param limit turns at the same time, at least 1; asked each time, since another primary may have another pool */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  get stats(): FallbackStats {
    return {
      limit: this.#limit(),
      inUse: this.#inUse,
      waiting: this.#waiting,
      admitted: this.#admitted,
      queued: this.#queued,
      refused: this.#refused,
    };
  }

  /** Takes a turn if one is free and nobody waits for it. */
  tryEnter(): boolean {
    if (this.#inUse >= this.#limit() || this.#waiting > 0) return false;
    this.#inUse++;
    this.#admitted++;
    return true;
  }

  /** Waits for a turn until `signal` aborts. @returns whether there is one; it must be given back with `leave` */
  enter(priority: Priority, signal: AbortSignal): Promise<boolean> {
    if (this.tryEnter()) return Promise.resolve(true);
    this.#queued++;
    return new Promise((resolve) => {
      const queue = this.#queues[priority];
      const giveUp = (): void => {
        queue.delete(waiter);
        resolve(false);
      };
      const grant = (): void => {
        queue.delete(waiter);
        signal.removeEventListener('abort', giveUp);
        resolve(true);
      };
      const waiter: Waiter = { grant };
      queue.add(waiter);
      if (signal.aborted) giveUp();
      else signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** Gives a turn back. @param heldMillis how long it was held */
  leave(heldMillis: number): void {
    this.#inUse--;
    this.#meanMillis += (heldMillis - this.#meanMillis) * (this.#meanMillis === 0 ? 1 : MEAN_WEIGHT);
    this.#grant();
  }

  /** A read gave up. */
  refuse(): void {
    this.#refused++;
  }

  /** How long somebody who comes now is likely to wait, in milliseconds. */
  get estimateMillis(): number {
    const ahead = this.#waiting + 1;
    return Math.max(1, Math.ceil((ahead / this.#limit()) * this.#meanMillis));
  }

  get #waiting(): number {
    const { high, normal, low } = this.#queues;
    return high.size + normal.size + low.size;
  }

  #grant(): void {
    for (const queue of [this.#queues.high, this.#queues.normal, this.#queues.low]) {
      for (const waiter of queue) {
        if (this.#inUse >= this.#limit()) return;
        this.#inUse++;
        this.#admitted++;
        waiter.grant();
      }
    }
  }
}
