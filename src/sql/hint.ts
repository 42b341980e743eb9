/** What a leading comment asks for: for SQL that one cannot pass options with. Pure. */
import { invalidOptions } from '../errors.js';
import type { Consistency } from '../freshness/requirement.js';

export interface Hint {
  readonly target?: 'primary' | 'replica';
  readonly consistency?: Consistency;
  readonly maxStalenessMillis?: number;
  readonly partitionKey?: string;
}

const DURATION = /^(\d{1,12}(?:\.\d{1,12})?)(ms|s|min)$/;
/** In characters. A partition key may take a quarter of it. */
const MAX_LENGTH = 4_096;
const MILLIS: Record<string, number> = { ms: 1, s: 1_000, min: 60_000 };
const CONSISTENCIES = new Set(['eventual', 'session', 'strong']);

/**
 * The hint of a text; `undefined` where it begins with none: any other comment is just a comment.
 * @throws LadderError `LADDER_INVALID_OPTIONS` when it says something that is none
 */
export function hintOf(text: string): Hint | undefined {
  const from = text.trimStart();
  const end = from.startsWith('/*') ? from.indexOf('*/', 2) : -1;
  if (end < 0) return undefined;
  const content = from.slice(2, end).trim();
  const word = content.toLowerCase();
  if (word === 'primary' || word === 'replica') return { target: word };
  if (!/^ladder\s*:/i.test(content)) return undefined;
  if (content.length > MAX_LENGTH) throw invalid('expected at most 4,096 characters');
  const hint: { -readonly [K in keyof Hint]: Hint[K] } = {};
  for (const part of content.slice(content.indexOf(':') + 1).split(',')) set(hint, part.trim());
  return hint;
}

function set(hint: { -readonly [K in keyof Hint]: Hint[K] }, part: string): void {
  const at = part.indexOf('=');
  const [name, value] =
    at < 0 ? [part.toLowerCase(), ''] : [part.slice(0, at).trim().toLowerCase(), part.slice(at + 1).trim()];
  if (name === 'primary' || name === 'replica') {
    if (at >= 0) throw invalid(`${name} takes no value`);
    hint.target = name;
  } else if (name === 'max_staleness') {
    const [, count, unit] = DURATION.exec(value) ?? [];
    if (count === undefined || unit === undefined)
      throw invalid('max_staleness: expected a duration such as 500ms, 5s or 1min');
    hint.maxStalenessMillis = Number(count) * (MILLIS[unit] as number);
  } else if (name === 'partition') {
    if (value.length > 1_024) throw invalid('partition: expected at most 1,024 characters');
    hint.partitionKey = value;
  } else if (name === 'consistency') {
    if (!CONSISTENCIES.has(value)) throw invalid('consistency: expected eventual, session or strong');
    hint.consistency = value as Consistency;
  } else {
    throw invalid('expected primary, replica, max_staleness, partition or consistency');
  }
}

/** Without the text: a comment may hold anything. */
function invalid(what: string): Error {
  return invalidOptions(`query: hint: ${what}; see onInvalidHint`);
}
