/**
 * What the grammar is given of a text: all of it, an abridged form that says the same, or nothing,
 * where it is too long or too deeply nested to be read without holding up the event loop or
 * overflowing a stack. One pass over the text by PostgreSQL's lexical rules, without recursion. It
 * never decides what a text does.
 */

import { type ConstantKind, ConstantList, integerKind } from './constant-list.js';
import {
  CLOSE,
  CLOSE_SQUARE,
  COMMA,
  DOLLAR,
  DOT,
  DOUBLE_QUOTE,
  endOfComment,
  endOfEscaped,
  endOfLine,
  endOfQuoted,
  isDigit,
  isSpace,
  isTagPart,
  isWordPart,
  isWordStart,
  LETTER_E,
  MINUS,
  OPEN,
  OPEN_SQUARE,
  QUOTE,
  SEMICOLON,
  SLASH,
  STAR,
} from './lexical.js';

/** In characters. A longer text is not read at all. */
export const MAX_TEXT_LENGTH = 2 ** 20;
/** In characters, of what the grammar is given. */
const MAX_READ_LENGTH = 2 ** 17;
/** The grammar and the walk through its tree take some 2 µs for one. */
const MAX_TOKEN_COUNT = 10_000;
/**
 * In tokens that one expression may lead through; the grammar's own stack is good for three times
 * that.
 */
const MAX_DEPTH = 500;
/**
 * A shorter text is read as it is. The grammar takes a time for comments that grows with their
 * square: so short, it is nothing.
 */
const SHORT_LENGTH = 4_000;

/**
 * What PostgreSQL's grammar is to read instead of `text`; `undefined` for what it must not be
 * given.
 */
export function readable(text: string): string | undefined {
  // Nothing is nested more deeply than it is long.
  if (text.length <= MAX_DEPTH) return text;
  if (text.length > MAX_TEXT_LENGTH) return undefined;
  return new Scan(text).result();
}

/** Behind these words, in the same brackets, an expression begins anew. */
const ANEW = new Set(['and', 'or', 'on', 'where', 'select']);
/** They nest without brackets, and what is within them may begin anew. */
const NESTING = new Set(['case', 'join', 'union', 'intersect', 'except']);
const LONGEST_WORD = 'intersect'.length;

class Scan {
  readonly #text: string;
  readonly #end: number;
  /** What is left out, from and to. */
  readonly #cuts: number[] = [];
  #tokenCount = 0;
  #deepest = 0;
  /** Of each open bracket: what `#chain`, `#fixed` and `#betweenCount` were outside of it. */
  readonly #outside: number[] = [];
  #outsideDepth = 0;
  /** Tokens since the expression began. */
  #chain = 0;
  /** Those in these brackets that nest whatever comes between. */
  #fixed = 0;
  #betweenCount = 0;
  /** Behind a dot or AS every word is a name. */
  #isName = false;
  readonly #list: ConstantList;

  constructor(text: string) {
    this.#text = text;
    this.#list = new ConstantList(this.#cuts);
    const nul = text.indexOf('\0');
    // The server and the grammar read no further.
    this.#end = nul < 0 ? text.length : nul;
  }

  result(): string | undefined {
    let at = 0;
    while (at < this.#end) {
      at = this.#token(at);
      if (this.#deepest > MAX_DEPTH || this.#tokenCount > MAX_TOKEN_COUNT) return undefined;
    }
    this.#list.end();
    const cuts = this.#text.length > SHORT_LENGTH ? this.#cuts : [];
    const text = this.#without(cuts);
    return text.length > MAX_READ_LENGTH ? undefined : text;
  }

  #without(cuts: readonly number[]): string {
    if (cuts.length === 0) return this.#text;
    const parts: string[] = [];
    let from = 0;
    for (let i = 0; i < cuts.length; i += 2) {
      parts.push(this.#text.slice(from, cuts[i]));
      from = cuts[i + 1] as number;
    }
    parts.push(this.#text.slice(from, this.#end));
    return parts.join(' ');
  }

  /** @returns where the token at a place ends */
  #token(from: number): number {
    const text = this.#text;
    const code = text.charCodeAt(from);
    if (isSpace(code)) return from + 1;
    if (isWordStart(code)) return this.#word(from);
    if (isDigit(code)) return this.#number(from);
    const next = text.charCodeAt(from + 1);
    switch (code) {
      case COMMA:
        return this.#comma(from);
      case QUOTE: {
        const end = endOfQuoted(text, from, QUOTE);
        this.#constant('string');
        return end;
      }
      case DOUBLE_QUOTE:
        this.#other();
        return endOfQuoted(text, from, DOUBLE_QUOTE);
      case DOLLAR:
        return this.#dollar(from, next);
      case MINUS:
        if (next === MINUS) return this.#comment(from, endOfLine(text, from));
        // A negative number is a constant where no operand stands before it.
        if (this.#list.expectsConstant && isDigit(next)) return this.#number(from + 1);
        break;
      case SLASH:
        if (next === STAR) return this.#comment(from, endOfComment(text, from));
        break;
      case OPEN:
      case OPEN_SQUARE:
        this.#open();
        return from + 1;
      case CLOSE:
      case CLOSE_SQUARE:
        this.#close();
        return from + 1;
      case SEMICOLON:
        this.#other();
        this.#anew();
        if (this.#outside.length === 0) this.#fixed = 0;
        return from + 1;
      case DOT:
        this.#other();
        this.#isName = true;
        return from + 1;
    }
    this.#other();
    return from + 1;
  }

  #comment(from: number, end: number): number {
    this.#list.end();
    this.#tokenCount++;
    // One without an end is an error, which the grammar would take long to find.
    if (end > this.#end) this.#deepest = Number.POSITIVE_INFINITY;
    else this.#cuts.push(from, end);
    return end;
  }

  #word(from: number): number {
    const text = this.#text;
    let end = from + 1;
    while (isWordPart(text.charCodeAt(end))) end++;
    const wasName = this.#isName;
    this.#other();
    if (text.charCodeAt(end) === QUOTE && end === from + 1 && (text.charCodeAt(from) | 32) === LETTER_E)
      return endOfEscaped(text, end);
    if (end - from > LONGEST_WORD) return end;
    const word = text.slice(from, end).toLowerCase();
    if (word === 'as') this.#isName = true;
    else if (wasName) return end;
    else if (word === 'between') this.#betweenCount++;
    else if (NESTING.has(word)) this.#fixed++;
    // The AND of a BETWEEN is part of it.
    else if (word === 'and' && this.#betweenCount > 0) this.#betweenCount--;
    else if (ANEW.has(word)) this.#anew();
    return end;
  }

  /** @param digits where it goes on behind its sign */
  #number(digits: number): number {
    const text = this.#text;
    let end = digits;
    while (isDigit(text.charCodeAt(end))) end++;
    const code = text.charCodeAt(end);
    const isInteger = code !== DOT && !isTagPart(code);
    // Whatever hangs on it: a fraction, an exponent, or what makes the text invalid.
    if (!isInteger) while (isTagPart(text.charCodeAt(end)) || text.charCodeAt(end) === DOT) end++;
    this.#constant(isInteger ? integerKind(text.charCodeAt(digits), end - digits) : undefined);
    return end;
  }

  #dollar(from: number, next: number): number {
    const text = this.#text;
    if (isDigit(next)) {
      let end = from + 2;
      while (isDigit(text.charCodeAt(end))) end++;
      this.#constant(isTagPart(text.charCodeAt(end)) ? undefined : 'parameter');
      return end;
    }
    this.#other();
    let end = from + 1;
    if (isWordStart(next)) while (isTagPart(text.charCodeAt(end))) end++;
    if (text.charCodeAt(end) !== DOLLAR) return from + 1;
    const tag = text.slice(from, end + 1);
    const close = text.indexOf(tag, end + 1);
    return close < 0 ? text.length : close + tag.length;
  }

  #count(): void {
    this.#isName = false;
    this.#tokenCount++;
    const depth = this.#outsideDepth + this.#fixed + ++this.#chain;
    if (depth > this.#deepest) this.#deepest = depth;
  }

  #other(): void {
    this.#list.end();
    this.#count();
  }

  #anew(): void {
    this.#chain = 0;
  }

  #open(): void {
    this.#other();
    this.#outside.push(this.#chain, this.#fixed, this.#betweenCount);
    this.#outsideDepth += this.#chain + this.#fixed;
    this.#chain = 0;
    this.#fixed = 0;
    this.#betweenCount = 0;
    this.#list.open();
  }

  #close(): void {
    this.#other();
    if (this.#outside.length === 0) return;
    this.#betweenCount = this.#outside.pop() as number;
    this.#fixed = this.#outside.pop() as number;
    this.#chain = this.#outside.pop() as number;
    this.#outsideDepth -= this.#chain + this.#fixed;
  }

  #comma(from: number): number {
    this.#list.comma(from);
    this.#count();
    this.#anew();
    return from + 1;
  }

  /** @param kind `undefined` where nothing is known of it */
  #constant(kind: ConstantKind): void {
    // A constant that is left out does not count, nor does the comma before it.
    const isLeftOut = this.#list.constant(kind);
    this.#count();
    if (isLeftOut) this.#tokenCount -= 2;
  }
}
