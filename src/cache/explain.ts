/** Whether a kept answer would do for a read, in words. It reads nothing, and counts as no use. */

import type { Demand } from '../freshness/demand.js';
import { formatLsn } from '../freshness/lsn.js';
import type { StatementAdvice } from './advice.js';
import type { CacheRungName, MissReason } from './counts.js';
import type { CacheEntry } from './entry.js';

/** What the caches have to say of a read. */
export interface CacheVerdict {
  /** The rung that would answer; `undefined` where none would. */
  readonly rung: CacheRungName | undefined;
  /** Why, in a sentence. */
  readonly because: string;
  /** Whether the answer is kept once a replica has given it. */
  readonly isKept: boolean;
  /** The answer that is held; `undefined` where none is. */
  readonly entry: ExplainedEntry | undefined;
  /** What was learnt of its statement; `undefined` without the option `auto`, and where that has not seen it. */
  readonly advice: StatementAdvice | undefined;
}

export interface ExplainedEntry {
  /** The replica that it was read on. */
  readonly node: string;
  /** What that was known to have replayed before. */
  readonly position: { readonly timeline: number; readonly lsn: string };
  /** Where changes have shown it to hold up to, on that timeline; `undefined` without the option `changes`. */
  readonly heldThrough: string | undefined;
  /** How old its data is at most, in milliseconds. */
  readonly ageMillis: number;
  /** What it holds. */
  readonly byteCount: number;
}

const WORDS: Readonly<Record<MissReason, string>> = {
  absent: 'no answer is held yet',
  'behind-floor': 'it does not show all that the session wrote or was handed',
  'too-stale': 'it is too old for this read',
  'seen-newer': 'the session may have seen newer data',
  'floor-unknown': 'it is not known yet what it must show',
};

/** What the caches say of a read by themselves. */
export type OwnVerdict = Omit<CacheVerdict, 'advice'>;

export const notKept = (because: string): OwnVerdict => ({
  rung: undefined,
  because,
  isKept: false,
  entry: undefined,
});

export function verdictOf(
  held: CacheEntry | undefined,
  miss: MissReason | undefined,
  demand: Demand | string,
  now: number,
): OwnVerdict {
  if (held === undefined) return { rung: undefined, because: WORDS.absent, isKept: true, entry: undefined };
  const { node, timeline, validFrom } = held.origin;
  const ageMillis = Math.max(0, now - held.freshAsOf);
  const heldThrough = held.isAdvanced && held.lsn !== undefined ? formatLsn(held.lsn) : undefined;
  const position = { timeline, lsn: formatLsn(validFrom) };
  const entry = { node, position, heldThrough, ageMillis, byteCount: held.bytes };
  const unchanged = heldThrough === undefined ? '' : `, unchanged through ${heldThrough}`;
  const floor = typeof demand === 'string' ? 'your floor is not known' : `your floor ${formatLsn(demand.floor)}`;
  const proof = `filled from ${node} at ${formatLsn(validFrom)}${unchanged}, ${Math.round(ageMillis)} ms old, ${floor}`;
  if (miss === undefined) return { rung: 'memory', because: proof, isKept: true, entry };
  return { rung: undefined, because: `${WORDS[miss]}: ${proof}`, isKept: true, entry };
}
