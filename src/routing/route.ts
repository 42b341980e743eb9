/**
 * Which replica answers a read: the least busy one that is shown to be fresh enough, or why there is none. Pure, and
 * allocation-free: it runs for every read.
 */
import type { Reason } from '../events.js';
import type { Lsn } from '../freshness/lsn.js';

/** What the router must know of a replica. */
export interface Candidate {
  /** Its share of the work beside the others', above 0. */
  readonly weight: number;
  /** The part of its weight that it may carry, above 0 and up to 1. */
  readonly share: number;
  /** Out of rotation: it answers only when no other replica is to be had. */
  readonly isEjected: boolean;
  /** Its pool stands still: it answers only when no other replica qualifies. */
  readonly isStalled: boolean;
  /** Statements under way on it, from this process. */
  readonly inFlight: number;
  /** How far it has replayed the primary's history; `undefined` while that is not proven. */
  readonly lsn: Lsn | undefined;
  /** The moment of our clock up to which it is shown to hold every commit; −∞ when nothing is. */
  readonly freshAsOf: number;
}

/** Why no replica qualifies. */
export type Shortfall = Extract<Reason, 'behind-floor' | 'too-stale' | 'no-candidate'>;

/**
 * @param floor the LSN that the replica must have reached
 * @param freshSince the moment up to which it must hold every commit
 * @param turn any number that grows with the calls: equally busy replicas take turns by it
 * @param except replicas that must not be chosen
 */
export function chooseReplica<C extends Candidate>(
  candidates: readonly C[],
  floor: Lsn,
  freshSince: number,
  turn: number,
  except?: ReadonlySet<C>,
): C | Shortfall {
  let chosen: C | undefined;
  let load = Number.POSITIVE_INFINITY;
  let ejected: C | undefined;
  let stalled: C | undefined;
  let shortfall: Shortfall | undefined;
  const count = candidates.length;
  for (let i = 0; i < count; i++) {
    const candidate = candidates[(i + turn) % count] as C;
    const { lsn } = candidate;
    if (lsn === undefined || except?.has(candidate)) continue;
    const isFresh = lsn >= floor && candidate.freshAsOf >= freshSince;
    if (candidate.isEjected) {
      if (isFresh) ejected = candidate;
    } else if (!isFresh) {
      if (lsn >= floor) shortfall = 'too-stale';
      else shortfall ??= 'behind-floor';
    } else if (candidate.isStalled) {
      stalled = candidate;
    } else {
      const itsLoad = (candidate.inFlight + 1) / (candidate.weight * candidate.share);
      if (itsLoad < load) {
        chosen = candidate;
        load = itsLoad;
      }
    }
  }
  // One that is ejected is better than none, and no better than one that has only to catch up.
  return chosen ?? stalled ?? shortfall ?? ejected ?? 'no-candidate';
}
