/**
 * Where the parts of a text end, by PostgreSQL's lexical rules with `standard_conforming_strings`
 * on. Places are code units. Nothing here recurs or goes back.
 */

export const QUOTE = 0x27;
export const DOUBLE_QUOTE = 0x22;
export const DOLLAR = 0x24;
export const COMMA = 0x2c;
export const DOT = 0x2e;
export const SEMICOLON = 0x3b;
export const MINUS = 0x2d;
export const SLASH = 0x2f;
export const STAR = 0x2a;
const BACKSLASH = 0x5c;
const UNDERSCORE = 0x5f;
export const OPEN = 0x28;
export const CLOSE = 0x29;
export const OPEN_SQUARE = 0x5b;
export const CLOSE_SQUARE = 0x5d;
export const ZERO = 0x30;
export const LETTER_E = 0x65;

/** Where a text goes on behind white space and comments. */
export function skipBlank(text: string, from: number): number {
  let at = from;
  for (;;) {
    if (isSpace(text.charCodeAt(at))) at++;
    else if (text.startsWith('--', at)) at = endOfLine(text, at);
    else if (text.startsWith('/*', at)) at = endOfComment(text, at);
    else return at;
  }
}

/** Behind the closing quote; two quotes are one within. */
export function endOfQuoted(text: string, from: number, quote: number): number {
  const sign = quote === QUOTE ? "'" : '"';
  let at = text.indexOf(sign, from + 1);
  while (at >= 0 && text.charCodeAt(at + 1) === quote) at = text.indexOf(sign, at + 2);
  return at < 0 ? text.length : at + 1;
}

/** Behind an escape string, with the strings on the lines below that continue it. */
export function endOfEscaped(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) at += 2;
    else if (code !== QUOTE) at++;
    else if (text.charCodeAt(at + 1) === QUOTE) at += 2;
    else {
      const next = continuationOf(text, at + 1);
      if (next === undefined) return at + 1;
      at = next + 1;
    }
  }
  return text.length;
}

/** The quote that a string goes on with on another line. */
function continuationOf(text: string, from: number): number | undefined {
  let at = from;
  let hasLineBreak = false;
  for (;;) {
    const code = text.charCodeAt(at);
    if (isSpace(code)) {
      hasLineBreak ||= isLineBreak(code);
      at++;
    } else if (text.startsWith('--', at)) at = endOfLine(text, at);
    else return hasLineBreak && code === QUOTE ? at : undefined;
  }
}

export function endOfLine(text: string, from: number): number {
  let at = from;
  while (at < text.length && !isLineBreak(text.charCodeAt(at))) at++;
  return at;
}

/** Comments nest. Beyond the end of the text for one that has none. */
export function endOfComment(text: string, from: number): number {
  let at = from + 2;
  for (let open = 1; open > 0; ) {
    if (at >= text.length) return text.length + 1;
    const code = text.charCodeAt(at);
    const next = text.charCodeAt(at + 1);
    const isPair = (code === SLASH && next === STAR) || (code === STAR && next === SLASH);
    if (isPair) open += code === SLASH ? 1 : -1;
    at += isPair ? 2 : 1;
  }
  return at;
}

export function isSpace(code: number): boolean {
  return code === 32 || (code >= 9 && code <= 13);
}

function isLineBreak(code: number): boolean {
  return code === 10 || code === 13;
}

export function isDigit(code: number): boolean {
  return code >= ZERO && code <= ZERO + 9;
}

export function isWordStart(code: number): boolean {
  const lower = code | 32;
  return (lower >= 97 && lower <= 122) || code === UNDERSCORE || code >= 128;
}

export function isTagPart(code: number): boolean {
  return isWordStart(code) || isDigit(code);
}

export function isWordPart(code: number): boolean {
  return isTagPart(code) || code === DOLLAR;
}
