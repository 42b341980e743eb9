/**
 * The tokens that a session was opened with. They are looked at when a read or a token first needs them, and not before: by then authentication has said who
 * asks. It takes strangers' text, counts what it refuses, and fails for no token.
 */
import { performance, wallMillis } from '../clock.js';
import type { Claim } from '../freshness/floor.js';
import type { TokenFault } from '../token/codec.js';
import { type Subject, subjectOf } from './subject.js';

/** When they came. */
export interface Moment {
  /** Epoch milliseconds. */
  readonly epochMillis: number;
  /** Our monotonic clock. */
  readonly monotonicMillis: number;
}

/** Why a token was refused: by what it is, or since it is of another cluster. */
export type Refused = TokenFault | 'foreign';

/** Reads tokens. */
export interface TokenReader {
  /**
   * What a token says: a position, or that its reads belong on the primary.
   * @param isAsked whether the subject was asked for: then tokens that were made for nobody hold for everybody
   */
  judge(token: unknown, subject: string | undefined, isAsked: boolean, at: Moment): Claim | 'primary-only' | Refused;
  refuse(why: Refused): void;
}

/** One that was believed. */
export interface Arrival {
  readonly token: string;
  /** `undefined`: it keeps reads on the primary. */
  readonly claim: Claim | undefined;
}

export class Arrivals {
  /** Those that were believed; it only grows. */
  readonly accepted: Arrival[] = [];
  readonly #reader: TokenReader;
  readonly #subject: Subject;
  readonly #onForeign: (() => void) | undefined;
  readonly #at: Moment = momentOf();
  /** Those of which nothing is decided; all that nobody is believed with wait for somebody. */
  #waiting: readonly string[];
  #isRepeated = false;

  /** @param onForeign called when one is refused while the subject is nobody: it is forged, or somebody's */
  constructor(tokens: readonly string[], reader: TokenReader, subject: Subject, onForeign?: () => void) {
    this.#waiting = tokens;
    this.#reader = reader;
    this.#subject = subject;
    this.#onForeign = onForeign;
  }

  /** Decides about those that wait. @throws what the subject's function throws */
  settle(): void {
    if (this.#waiting.length === 0) return;
    const subject = subjectOf(this.#subject);
    const isAsked = typeof this.#subject === 'function';
    const isNobody = subject === undefined && isAsked;
    if (isNobody && this.#isRepeated) return;
    const left: string[] = [];
    for (const token of this.#waiting) {
      const found = this.#reader.judge(token, subject, isAsked, this.#at);
      if (found === 'forged' && isNobody) left.push(token);
      if (found === 'primary-only') this.accepted.push({ token, claim: undefined });
      else if (typeof found !== 'string') this.accepted.push({ token, claim: found });
      else if (!this.#isRepeated) this.#reader.refuse(found);
    }
    this.#waiting = left;
    this.#isRepeated = true;
    if (left.length > 0) this.#onForeign?.();
  }
}

export function momentOf(): Moment {
  return { epochMillis: wallMillis(), monotonicMillis: performance.now() };
}
