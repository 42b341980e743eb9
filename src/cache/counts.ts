/** What becomes of reads that caches were asked for. It counts, and decides nothing. */
import type { Consistency } from '../freshness/requirement.js';

/** Why an answer that is kept was not given, or was not kept. */
export type MissReason = 'absent' | 'behind-floor' | 'too-stale' | 'seen-newer' | 'floor-unknown';

/** The rungs that keep answers. */
export type CacheRungName = 'memory' | 'shared';

export class CacheCounts {
  readonly hits: Record<CacheRungName, Record<Consistency, number>> = {
    memory: { session: 0, eventual: 0, strong: 0 },
    shared: { session: 0, eventual: 0, strong: 0 },
  };
  readonly misses: Record<MissReason, number> = {
    absent: 0,
    'behind-floor': 0,
    'too-stale': 0,
    'seen-newer': 0,
    'floor-unknown': 0,
  };
  /** Reads that took the answer of one that was under way. */
  joinedCount = 0;
  keptCount = 0;
  /** Answers that were not kept, since no replica gave them, or they were too large. */
  unkeptCount = 0;
  /** Reads whose statements are never kept. */
  bypassedCount = 0;
  refreshedCount = 0;
  staleIfErrorCount = 0;
  /** What reads took whose answers were kept, in milliseconds. */
  missMillis = 0;
}
