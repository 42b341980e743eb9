/**
 * How many reads that no replica can serve run on the primary at once. The others queue, by priority and
 * then caller by caller, for as long as each of them likes: a lag spike is no stampede. No caller takes
 * more than half of the turns, or of the queue. It counts turns and knows nothing of nodes.
 */
import type { Priority } from '../options/calls.js';

/** Whose reads share one part of the budget; `undefined` where no one caller is named. */
export type Caller = object | string | undefined;

/** One read's place in the queue. */
interface Waiter {
  readonly grant: () => void;
}

/** Callers in the order in which they have their next turn, each with its reads in the order in which they came. */
type Queue = Map<object | string, Set<Waiter>>;

const RANKED: readonly Priority[] = ['high', 'normal', 'low'];

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

export class PriorityLimiter {
  readonly #queues: Record<Priority, Queue> = { high: new Map(), normal: new Map(), low: new Map() };
  readonly #waiting: Record<Priority, number> = { high: 0, normal: 0, low: 0 };
  readonly #limit: () => number;
  readonly #maxWaiting: number;
  /** Turns of each caller that has any. */
  readonly #held = new Map<object | string, number>();
  #inUse = 0;
  #admitted = 0;
  #queued = 0;
  #refused = 0;
  /** How long a turn is held, in milliseconds. */
  #meanMillis = 0;

  /** @param limit turns at the same time, at least 1; asked each time, since another primary may have another pool */
  /** @param maxWaiting reads that wait at the same time, those of lower priority not counted, at least 1 */
  constructor(limit: () => number, maxWaiting = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
    this.#maxWaiting = maxWaiting;
  }

  get stats(): FallbackStats {
    return {
      limit: this.#limit(),
      inUse: this.#inUse,
      waiting: this.#waitingUpTo('low'),
      admitted: this.#admitted,
      queued: this.#queued,
      refused: this.#refused,
    };
  }

  /** Takes a turn if one is free, and no waiter could have it. */
  tryEnter(caller: Caller): boolean {
    if (this.#inUse >= this.#limit() || this.#hasItsShare(caller) || this.#next() !== undefined) return false;
    this.#take(caller);
    return true;
  }

  /** Whether a read cannot even wait: the queue is full, or half full with reads of the same caller. */
  isFull(priority: Priority, caller: Caller): boolean {
    if (this.#waitingUpTo(priority) >= this.#maxWaiting) return true;
    if (caller === undefined) return false;
    const own = RANKED.reduce((sum, each) => sum + (this.#queues[each].get(caller)?.size ?? 0), 0);
    return own >= Math.max(1, this.#maxWaiting / 2);
  }

  /** Waits for a turn until `signal` aborts. @returns whether there is one; it must be given back with `leave` */
  enter(priority: Priority, caller: Caller, signal: AbortSignal): Promise<boolean> {
    if (this.tryEnter(caller)) return Promise.resolve(true);
    this.#queued++;
    return new Promise((resolve) => {
      const grant = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve(true);
      };
      const waiter: Waiter = { grant };
      // Nobody in particular is somebody else each time.
      const place = caller ?? waiter;
      const giveUp = (): void => {
        this.#forget(priority, place, waiter);
        resolve(false);
      };
      const queue = this.#queues[priority];
      const own = queue.get(place);
      if (own === undefined) queue.set(place, new Set([waiter]));
      else own.add(waiter);
      this.#waiting[priority]++;
      if (signal.aborted) giveUp();
      else signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** Gives a turn back. @param heldMillis how long it was held */
  leave(heldMillis: number, caller: Caller): void {
    this.#inUse--;
    if (caller !== undefined) {
      const held = (this.#held.get(caller) ?? 1) - 1;
      if (held === 0) this.#held.delete(caller);
      else this.#held.set(caller, held);
    }
    this.#meanMillis += (heldMillis - this.#meanMillis) * (this.#meanMillis === 0 ? 1 : MEAN_WEIGHT);
    this.#grant();
  }

  /** A read gave up. */
  refuse(): void {
    this.#refused++;
  }

  /** How long somebody who comes now is likely to wait, in milliseconds. */
  get estimateMillis(): number {
    const ahead = this.#waitingUpTo('low') + 1;
    return Math.max(1, Math.ceil((ahead / this.#limit()) * this.#meanMillis));
  }

  /** Those of that priority, and of any above it. */
  #waitingUpTo(priority: Priority): number {
    const { high, normal, low } = this.#waiting;
    return high + (priority === 'high' ? 0 : normal) + (priority === 'low' ? low : 0);
  }

  #take(caller: Caller): void {
    this.#inUse++;
    this.#admitted++;
    if (caller !== undefined) this.#held.set(caller, (this.#held.get(caller) ?? 0) + 1);
  }

  /** One caller's slow reads must leave turns for others, who may come at any moment. */
  #hasItsShare(caller: Caller): boolean {
    return caller !== undefined && (this.#held.get(caller) ?? 0) >= Math.max(1, Math.floor(this.#limit() / 2));
  }

  /** The next read that may have a turn. */
  #next(): { priority: Priority; place: object | string; waiter: Waiter } | undefined {
    for (const priority of RANKED) {
      for (const [place, [waiter]] of this.#queues[priority]) {
        if (waiter !== undefined && !this.#hasItsShare(place)) return { priority, place, waiter };
      }
    }
    return undefined;
  }

  #forget(priority: Priority, place: object | string, waiter: Waiter): void {
    const queue = this.#queues[priority];
    const own = queue.get(place);
    if (own?.delete(waiter) !== true) return;
    this.#waiting[priority]--;
    if (own.size === 0) queue.delete(place);
  }

  #grant(): void {
    while (this.#inUse < this.#limit()) {
      const next = this.#next();
      if (next === undefined) return;
      const { priority, place, waiter } = next;
      const queue = this.#queues[priority];
      this.#forget(priority, place, waiter);
      const others = queue.get(place);
      if (others !== undefined) {
        // Its next read comes after those of everybody who waits.
        queue.delete(place);
        queue.set(place, others);
      }
      this.#take(place === waiter ? undefined : place);
      waiter.grant();
    }
  }
}
