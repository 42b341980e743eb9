/** What all calls share: the servers, what shares connections, and what keeps the primary from being overrun. */
import type { PriorityLimiter } from '../isolation/priority-limiter.js';
import type { Fleet } from '../nodes/fleet.js';
import type { TextCache } from '../statements/text-cache.js';
import type { LaneEligibility } from './lane-eligibility.js';

export interface ExecutionContext {
  readonly fleet: Fleet;
  /** For reads that no replica can serve. */
  readonly limiter: PriorityLimiter;
  /** What may share a connection. */
  readonly eligibility: LaneEligibility;
  /** Digests of statements of which was told that no replica can run them. */
  readonly warned: TextCache<true>;
}
