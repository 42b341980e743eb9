/**
 * Finds lists of constants of one kind, such as `in (1, 2, 3, …)`, and which part of a long one can be
 * left out: a list of that many constants does what a shorter one does. It reads no text itself.
 */
import { ZERO } from './lexical.js';

export type ConstantKind = 'parameter' | 'string' | 'int4' | 'int8' | undefined;

/** Constants that are kept of a list: more than a function has arguments. */
const KEPT_COUNT = 128;

export class ConstantList {
  readonly #cuts: number[];
  /** Of the list that is under way. */
  #kind: ConstantKind;
  #count = 0;
  #expects: 'comma' | 'constant' | undefined;
  #keptUpTo = 0;
  #commaAt = 0;
  #lastFrom = 0;

  /** @param cuts where to add what can be left out: from and to */
  constructor(cuts: number[]) {
    this.#cuts = cuts;
  }

  get expectsConstant(): boolean {
    return this.#expects === 'constant';
  }

  /** A bracket opens: a list may begin. */
  open(): void {
    this.#expects = 'constant';
  }

  comma(at: number): void {
    if (this.#expects !== 'comma') this.end();
    this.#commaAt = at;
    this.#expects = 'constant';
  }

  /** @param kind `undefined` where nothing is known of it @returns whether it can be left out */
  constant(kind: ConstantKind): boolean {
    const goesOn = kind !== undefined && kind === this.#kind && this.#expects === 'constant' && this.#count > 0;
    if (!goesOn) this.end();
    this.#kind = kind;
    this.#count++;
    this.#expects = 'comma';
    // Up to the comma behind the last one that is kept.
    if (this.#count === KEPT_COUNT + 1) this.#keptUpTo = this.#commaAt;
    this.#lastFrom = this.#commaAt;
    return this.#count > KEPT_COUNT + 1;
  }

  /** Anything else comes: what is between the first constants and the last one can be left out. */
  end(): void {
    if (this.#count > KEPT_COUNT + 1) this.#cuts.push(this.#keptUpTo, this.#lastFrom);
    this.#kind = undefined;
    this.#count = 0;
    this.#expects = undefined;
  }
}

/** By its digits alone; a number that may be of either size breaks a list. */
export function integerKind(first: number, length: number): ConstantKind {
  if (length <= 9 || (length === 10 && first === ZERO + 1)) return 'int4';
  const isLarge = first > ZERO && (length > 10 || first > ZERO + 2);
  return isLarge && (length < 19 || (length === 19 && first < ZERO + 9)) ? 'int8' : undefined;
}
