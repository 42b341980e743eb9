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
  let shortfall: Shortfall = 'no-candidate';
  const count = candidates.length;
  for (let i = 0; i < count; i++) {
    const candidate = candidates[(i + turn) % count] as C;
    const { lsn } = candidate;
    if (lsn === undefined || except?.has(candidate)) continue;
    if (lsn < floor) {
      if (shortfall === 'no-candidate') shortfall = 'behind-floor';
    } else if (candidate.freshAsOf < freshSince) {
      shortfall = 'too-stale';
    } else {
      const itsLoad = (candidate.inFlight + 1) / candidate.weight;
      if (itsLoad < load) {
        chosen = candidate;
        load = itsLoad;
      }
    }
  }
  return chosen ?? shortfall;
}
