/**
 * What a text is called where it is prepared, such as `pgladder_select_users_4fz…`: by its kind and its
 * first relation, for who reads `pg_prepared_statements`, and by its hash, so that no two texts share a
 * name. It goes by the words of the text alone. Strings, numbers and comments are passed over: no value
 * gets into a name.
 */
import { createHash } from 'node:crypto';

/** What PostgreSQL keeps of a name: NAMEDATALEN - 1. */
const MAX_LENGTH = 63;
/** 128 bits in base 36. */
const HASH_LENGTH = 25;
/** In characters: the first relation of most texts is well before that. */
const MAX_READ = 4_000;

const TOKEN =
  /--.*|\/\*(?:[^*/]|\*(?!\/)|\/(?!\*))*\*\/|'(?:[^']|'')*'|"(?:[^"]|"")+"|\$\d+|[a-z_\u0080-\uffff][\w$\u0080-\uffff]*|\d[\w.]*|[^\s'"$]/gi;
const KINDS = new Set(['select', 'insert', 'update', 'delete', 'merge', 'values', 'table']);
/** What a relation follows. */
const BEFORE = new Set(['from', 'into', 'update', 'table']);
/** Words before these that make something else of them: IS DISTINCT FROM, FOR UPDATE, DO UPDATE. */
const UNLESS_BEHIND = new Set(['distinct', 'for', 'key', 'do']);
/** What may stand between. */
const BETWEEN = new Set(['only', 'lateral', 'rows', '(']);

/** @returns the same in every process, at most 63 ASCII characters */
export function statementName(text: string): string {
  const digest = BigInt(`0x${createHash('sha256').update(text).digest('hex').slice(0, 32)}`);
  const hash = digest.toString(36).padStart(HASH_LENGTH, '0');
  const words = ['pgladder', ...wordsOf(text)].join('_').toLowerCase();
  return `${words.replace(/[^a-z0-9]+/g, '_').slice(0, MAX_LENGTH - HASH_LENGTH - 1)}_${hash}`;
}

/** Its kind, of WITH that of the statement behind it. Its first relation, be it in a subquery. Neither where the words cannot be told. */
function wordsOf(text: string): string[] {
  const tokens = tokensOf(text.slice(0, MAX_READ));
  let kind: string | undefined;
  let innerKind: string | undefined;
  let relation: string | undefined;
  /** For each open bracket, whether a statement stands in it: in others FROM belongs to a function, such as EXTRACT. */
  const isStatement = [true];
  tokens.forEach((token, i) => {
    const word = token.toLowerCase();
    if (word === '(') isStatement.push(false);
    else if (word === ')' && isStatement.length > 1) isStatement.pop();
    if (UNLESS_BEHIND.has((tokens[i - 1] ?? '').toLowerCase())) return;
    if (KINDS.has(word)) {
      isStatement[isStatement.length - 1] = true;
      if (isStatement.length === 1) kind ??= word;
      innerKind ??= word;
    }
    if (BEFORE.has(word) && isStatement.at(-1) === true) relation ??= relationAt(tokens, i + 1);
  });
  return [kind ?? innerKind, relation].filter((word) => word !== undefined);
}

/** Without comments; up to what cannot be told, such as a string in dollars or one without an end. */
function tokensOf(text: string): string[] {
  // With standard_conforming_strings off, a backslash may hide where a string ends.
  if (text.includes('\\')) return [];
  const tokens: string[] = [];
  let end = 0;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (text.slice(end, index).trim() !== '') break;
    end = index + token.length;
    if (token === '/' && text.startsWith('/*', index)) break;
    if (!/^(?:--|\/\*)/.test(token)) tokens.push(token);
  }
  return tokens;
}

/** Without its schema; `undefined` where none follows, as where a subquery does. */
function relationAt(tokens: readonly string[], from: number): string | undefined {
  let at = from;
  while (BETWEEN.has((tokens[at] ?? '').toLowerCase())) at++;
  while (tokens[at + 1] === '.') at += 2;
  const token = tokens[at];
  if (token === undefined || !/^["a-z_\u0080-\uffff]/i.test(token) || KINDS.has(token.toLowerCase())) return undefined;
  return token.replace(/^"|"$/g, '');
}
