/**
 * Whether a server's word that it is the primary can be true, by what else is known. Pure; it finds lies that no real promotion looks like, and no others: who takes writes is
 * decided by the election, and a lie that keeps within all this is told apart from a promotion by certificates and fencing alone.
 */
import type { Lsn } from '../freshness/lsn.js';
import type { Observation } from './observation.js';
import type { Past } from './past.js';

/** What a claim is held against. */
export interface Reference {
  /** The newest timeline on which a primary was seen, or before any was, the lowest that another server claims; 0 without one. */
  readonly timeline: number;
  /** How long ago that was, in milliseconds. */
  readonly ageMillis: number;
  /** How far the log can have been written since; `undefined` before any primary was seen. */
  readonly ceiling: Lsn | undefined;
}

/** What the server has said before, in its present life. */
export type Record = Pick<Past, 'followedLsn' | 'followedTimeline'>;

/** So many promotions may go unnoticed at once: a process may be held up, and look away. */
const MOST_AT_ONCE = 8;
/** A promotion takes longer. */
const PROMOTION_MILLIS = 1_000;
/** Where nothing is known yet: a promotion a minute for two years. */
const MOST_TIMELINE = 2 ** 20;

/**
 * @param claim what a server says that takes writes, of the right cluster
 * @param isFollowed whether another server is shown to be on the timeline that it claims, or on a later one
 * @returns why it is not believed, in words that go on after its name; `undefined` when it may be
 */
export function doubtOf(claim: Observation, past: Record, known: Reference, isFollowed: boolean): string | undefined {
  const { timeline, lsn, forkLsn } = claim;
  const { followedLsn, followedTimeline } = past;
  if (timeline > MOST_TIMELINE) return 'no cluster has had so many promotions';
  if (known.timeline > 0 && !isFollowed) {
    const unnoticed = MOST_AT_ONCE + known.ageMillis / PROMOTION_MILLIS;
    if (timeline > known.timeline + unnoticed) return `there cannot have been ${timeline - known.timeline} promotions`;
  }
  // One that was left on an older timeline goes on by itself.
  if (known.ceiling !== undefined && timeline >= known.timeline && lsn > known.ceiling)
    return 'no server can have written so much log meanwhile';
  if (forkLsn !== undefined && forkLsn > lsn) return 'it stands before the place where it was promoted';
  if (followedLsn === undefined) return undefined;
  // It was a standby in this very life, so that it can have been promoted and nothing else.
  if (timeline < Math.max(2, followedTimeline)) return 'it was a replica, and a promotion begins a timeline of its own';
  if (forkLsn === undefined) return 'it was a replica, and does not tell where it was promoted';
  if (forkLsn < followedLsn) return 'it was promoted at a place that it had left behind as a replica';
  return undefined;
}
