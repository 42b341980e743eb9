/**
 * What stands before the comment that tracing tools append to each text. It looks at the end of the
 * text alone, and so it may be wrong where that end lies within a string: what is left then has no
 * end, and PostgreSQL's grammar does not take it. A caller checks that it does before relying on
 * it. Pure.
 */
import { isSpace, SLASH, STAR } from './lexical.js';

/** Within a line comment, a line break would end that; no text travels beyond a NUL. */
const OUT_OF_LINE = ['\n', '\r', '\0'] as const;

/**
 * The text without one comment at its very end; `undefined` where there is none, or nothing before
 * it. A comment with another one, a line break or a NUL within is left alone, and so is a line
 * comment. If the grammar takes what is left, both texts mean the same.
 */
export function withoutTrailingComment(text: string): string | undefined {
  // Users may hand in anything.
  if (typeof text !== 'string') return undefined;
  const end = text.length - 2;
  if (text.charCodeAt(end + 1) !== SLASH || text.charCodeAt(end) !== STAR) return undefined;
  const start = text.lastIndexOf('/*', end - 2);
  if (start <= 0) return undefined;
  if (text.indexOf('*/', start + 2) !== end || text.indexOf('/*', start + 1) >= 0) return undefined;
  for (const sign of OUT_OF_LINE) if (text.indexOf(sign, start) >= 0) return undefined;
  let at = 0;
  while (at < start && isSpace(text.charCodeAt(at))) at++;
  return at === start ? undefined : text.slice(0, start);
}
