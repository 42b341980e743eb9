/**
 * How a server answers those who ask for a connection: while it refuses most, only about twice as many are asked for as it
 * gives, and at least one now and then. That keeps what is starting, or full, from being asked by everybody all the time. It
 * never ejects the server. See "Handling Overload" in Google's Site Reliability Engineering: accepts over requests, K = 2.
 */
import { codeOf } from '../postgres/errors.js';

/** It cannot be told now (starting, stopping, recovering), it has no room, and nothing listens. */
const REFUSALS = new Set(['57P03', '53300', 'ECONNREFUSED']);
/** Asked for, beside what is given. */
const K = 2;
/** Two of them are looked at, the present one and the one before. */
const WINDOW_MILLIS = 5_000;

interface Window {
  asked: number;
  given: number;
}

export class Refusals {
  #present: Window = { asked: 0, given: 0 };
  #before: Window = { asked: 0, given: 0 };
  #startedAt = Number.NEGATIVE_INFINITY;
  #heldBackCount = 0;

  /** Reads that were sent elsewhere without asking, since the start. */
  get heldBackCount(): number {
    return this.#heldBackCount;
  }

  /** It gave a connection. @param now our monotonic clock */
  gave(now: number): void {
    this.#pass(now);
    this.#present.asked++;
    this.#present.given++;
  }

  /** It gave none. */
  failed(error: unknown, now: number): void {
    if (!REFUSALS.has(codeOf(error) ?? '')) return;
    this.#pass(now);
    this.#present.asked++;
  }

  /** Whether the next read is not to ask. @param dice 0 to 1, by chance; thrown only where it matters */
  holdsBack(now: number, dice: () => number): boolean {
    this.#pass(now);
    const asked = this.#present.asked + this.#before.asked;
    const given = this.#present.given + this.#before.given;
    // As a rule.
    if (asked === given) return false;
    if (dice() >= (asked - K * given) / (asked + 1)) return false;
    this.#present.asked++;
    this.#heldBackCount++;
    return true;
  }

  /** It is known to take connections again: what it has refused before says nothing any more. */
  forget(): void {
    this.#present = { asked: 0, given: 0 };
    this.#before = { asked: 0, given: 0 };
  }

  #pass(now: number): void {
    if (now - this.#startedAt < WINDOW_MILLIS) return;
    const isNext = now - this.#startedAt < 2 * WINDOW_MILLIS;
    this.#before = isNext ? this.#present : { asked: 0, given: 0 };
    this.#present = { asked: 0, given: 0 };
    this.#startedAt = now;
  }
}
