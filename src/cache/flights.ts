/**
 * Reads whose answers will be kept, while they are under way: a call for the same waits for
 * that answer, and judges it as any other. It runs nothing.
 */
import { clearTimeout, performance, setImmediate, setTimeout } from '../clock.js';
import type { Demand } from '../freshness/demand.js';

/** How a read ended; `'overdue'` for one that takes far longer than it should. */
export type Landed<Answer> = { readonly answer: Answer } | { readonly error: unknown } | 'overdue';

/** What the first caller has asked for, and when by our monotonic clock; a word while its floor was not known. */
export interface Asked {
  readonly demand: Demand | string;
  readonly at: number;
}

/** Costs less than `queueMicrotask`, which Node wraps. */
const SETTLED = Promise.resolve();

/** What runs before the next event, or promise. */
interface Turn {
  isOver: boolean;
}

export class Flight<Answer> {
  readonly asked: Asked;
  /** How long others wait for it, in milliseconds. */
  readonly patienceMillis: number;
  readonly #turn: Turn;
  /** Most flights have no joiners: what these wait for is made for the first. */
  #landing: Promise<Landed<Answer>> | undefined;
  #land: ((landed: Landed<Answer>) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(asked: Asked, patienceMillis: number, turn: Turn) {
    this.asked = asked;
    this.patienceMillis = patienceMillis;
    this.#turn = turn;
  }

  /** Whether it has not been sent yet: calls that join now see all that they must. */
  get isBoarding(): boolean {
    return !this.#turn.isOver;
  }

  /** Never rejects. All joiners share one timer. */
  get landed(): Promise<Landed<Answer>> {
    this.#landing ??= new Promise((resolve) => {
      this.#land = resolve;
      const leftMillis = this.asked.at + this.patienceMillis - performance.now();
      // While our own event loop was held up, the answer may have come: it is read first.
      this.#timer = setTimeout(() => setImmediate(() => resolve('overdue')), Math.max(0, leftMillis));
    });
    return this.#landing;
  }

  land(landed: Landed<Answer>): void {
    this.#landing ??= Promise.resolve(landed);
    clearTimeout(this.#timer);
    this.#land?.(landed);
  }
}

export class Flights<Answer> {
  readonly #byKey = new Map<string, Flight<Answer>>();
  #turn: Turn | undefined;

  get(key: string): Flight<Answer> | undefined {
    return this.#byKey.get(key);
  }

  begin(key: string, asked: Asked, patienceMillis: number): Flight<Answer> {
    const flight = new Flight<Answer>(asked, patienceMillis, this.#turn ?? this.#beginTurn());
    this.#byKey.set(key, flight);
    return flight;
  }

  /** Those that begin in one turn share it. */
  #beginTurn(): Turn {
    const turn = { isOver: false };
    this.#turn = turn;
    // What was answered to this process before that, was answered before they are sent.
    void SETTLED.then(() => {
      turn.isOver = true;
      this.#turn = undefined;
    });
    return turn;
  }

  /** Whether its answer may be kept: nothing was forgotten since it began, and no other flight has its key. */
  owns(key: string, flight: Flight<Answer>): boolean {
    return this.#byKey.get(key) === flight;
  }

  end(key: string, flight: Flight<Answer>): void {
    if (this.owns(key, flight)) this.#byKey.delete(key);
  }

  /** Flights under way keep nothing, and take no more joiners. */
  disown(): void {
    this.#byKey.clear();
  }
}
