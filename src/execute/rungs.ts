/** All that can answer a statement, and what keeps the last rung from being overrun. */
import type { Admission } from '../isolation/admission.js';
import type { FallbackBudget } from '../isolation/fallback-budget.js';
import type { Fleet } from '../nodes/fleet.js';
import type { StatementCache } from '../statements/cache.js';

export interface Rungs {
  readonly fleet: Fleet;
  /** For reads that no replica can serve. */
  readonly budget: FallbackBudget;
  /** What may share a connection. */
  readonly admission: Admission;
  /** Digests of statements of which was told that no replica can run them. */
  readonly warned: StatementCache<true>;
}
