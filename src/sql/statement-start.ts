/**
 * How the statements of a text begin, for texts that are not parsed. Takes time in proportion to
 * the text's length.
 */
import { isWordStart, skipBlank } from './lexical.js';
import { MAX_TEXT_LENGTH } from './readable.js';

/** In characters: far more than any first word and the brackets before it. */
const OPENING_LENGTH = 64;
/** A kind of statements, by how one of them begins: at the start of what is looked at, or behind a semicolon in it. */
interface FirstWord {
  readonly here: RegExp;
  readonly later: RegExp;
}

const DEFINITION = firstWord(/(?:create|alter|drop|grant|revoke|import|reassign|do)\b/);
/**
 * ROLLBACK TO goes back to a savepoint, and PREPARE without TRANSACTION names a statement: where a
 * comment, or too much white space, hides the next word, it counts as an end.
 */
const END = firstWord(
  /(?:commit|end|abort|rollback(?!\s+(?:work\s+|transaction\s+)?to\b)|prepare(?=\s+transaction\b|\s*(?:\/\*|--|$)))\b/,
);

const BEGINNING = firstWord(/(?:begin|start)\b/);

function firstWord({ source }: RegExp): FirstWord {
  return { here: new RegExp(`^${source}`, 'i'), later: new RegExp(`;\\s*${source}`, 'i') };
}

/** The first characters of a text behind its white space and comments. */
export function openingOf(text: string): string {
  return openingAt(text, skipBlank(text, 0));
}

/** Whether one of the statements seems to change what the catalogue says, or may do so within. */
export function definesSomething(whole: string): boolean {
  return hasStatement(whole, DEFINITION);
}

/** Whether one of the statements seems to end the transaction that it runs in. */
export function endsTransaction(whole: string): boolean {
  return hasStatement(whole, END);
}

/** Whether one of the statements seems to begin a transaction. */
export function beginsTransaction(whole: string): boolean {
  return hasStatement(whole, BEGINNING);
}

function hasStatement(whole: string, { here, later }: FirstWord): boolean {
  const text = whole.slice(0, MAX_TEXT_LENGTH);
  let from = 0;
  for (;;) {
    const at = skipBlank(text, from);
    if (isWordStart(text.charCodeAt(at)) && here.test(openingAt(text, at))) return true;
    // A comment without an end was none, but part of a string.
    if (at >= text.length) return later.test(text.slice(from));
    const end = text.indexOf(';', at);
    if (end < 0) return false;
    from = end + 1;
  }
}

function openingAt(text: string, at: number): string {
  return text.slice(at, at + OPENING_LENGTH);
}
