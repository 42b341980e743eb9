/**
 * Reads whose answers will be kept, while they are under way: a call for the same waits for
 * that answer, and judges it as any other. It runs nothing.
 */

import type { Demand } from '../freshness/demand.js';

/** How a read ended. */
export type Landed<Answer> = { readonly answer: Answer } | { readonly error: unknown };

/** What the first caller has asked for, and when by our monotonic clock; a word while its floor was not known. */
export interface Asked {
  readonly demand: Demand | string;
  readonly at: number;
}

export class Flight<Answer> {
  readonly asked: Asked;
  /** Never rejects. */
  readonly landed: Promise<Landed<Answer>>;
  /** Whether it has not been sent yet: calls that join now see all that they must. */
  isBoarding = true;
  #land: (landed: Landed<Answer>) => void = () => undefined;

  constructor(asked: Asked) {
    this.asked = asked;
    this.landed = new Promise((resolve) => {
      this.#land = resolve;
    });
    // What was answered to this process before that, was answered before it is sent.
    queueMicrotask(() => {
      this.isBoarding = false;
    });
  }

  land(landed: Landed<Answer>): void {
    this.#land(landed);
  }
}

export class Flights<Answer> {
  readonly #byKey = new Map<string, Flight<Answer>>();

  get(key: string): Flight<Answer> | undefined {
    return this.#byKey.get(key);
  }

  begin(key: string, asked: Asked): Flight<Answer> {
    const flight = new Flight<Answer>(asked);
    this.#byKey.set(key, flight);
    return flight;
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
