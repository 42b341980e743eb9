/** A snapshot of the caches for people and dashboards. */
import type { CacheAdvice } from './advice.js';
import type { AuditCounts } from './audit.js';
import type { CallBudgetStats } from './budget.js';
import type { CacheCounts, HitCounts, MissReason } from './counts.js';
import type { MemoryStore } from './memory-store.js';

/** How the caches do, since the start. A snapshot that never changes. */
export interface CacheStats {
  /** Why nothing can be kept at present, in a sentence; `undefined` when answers are. */
  readonly problem: string | undefined;
  /** The rung within the process. */
  readonly memory: {
    readonly entryCount: number;
    /** What they hold, with their keys and the store's own bookkeeping. */
    readonly byteCount: number;
    readonly maxBytes: number;
    /** Entries that had to go for others. */
    readonly evictedCount: number;
    /** Answers that were not kept, since those that they would have pushed out save more. */
    readonly passedOverCount: number;
  };
  /** Calls to the rung that processes share; `undefined` without one. `state`: `open` while it is not asked. */
  readonly shared: Readonly<CallBudgetStats> | undefined;
  /** Answers that were given again, by rung and by the consistency that their reads asked for. */
  readonly hits: { readonly memory: Readonly<HitCounts>; readonly shared: Readonly<HitCounts> };
  /**
   * How many of these the change stream had shown to hold beyond the position that they were read
   * at, see the option `changes`.
   */
  readonly advancedCount: number;
  /**
   * Reads that no kept answer served: there was none (`absent`), it did not show what the session
   * wrote (`behind-floor`) or has seen (`seen-newer`), it was too old (`too-stale`), or it is not
   * known yet what it must show (`floor-unknown`).
   */
  readonly misses: Readonly<Record<MissReason, number>>;
  /** Reads that took the answer of one that was under way. */
  readonly joinedCount: number;
  /** Answers that were kept. */
  readonly keptCount: number;
  /** Answers that were not kept, since the primary gave them, or their positions are not known. */
  readonly unkeptCount: number;
  /** Reads that asked for caches, and whose answers are never kept: `explain()` says why. */
  readonly bypassedCount: number;
  /** Answers that were read anew in the background. */
  readonly refreshedCount: number;
  /** Answers that were given since no server could, see `staleIfErrorMillis`. */
  readonly staleIfErrorCount: number;
  /** What servers took for reads that were not held, in milliseconds; percentiles of the latest 1,024. */
  readonly missMillis: { readonly sum: number; readonly p50: number | undefined; readonly p99: number | undefined };
  /** What servers would have taken for the answers that were given again, in milliseconds. */
  readonly savedMillis: number;
  /** Of the first minute: nothing is held when a process starts. */
  readonly firstMinute: { readonly hitCount: number; readonly missCount: number };
  /** Answers that were compared with a replica, see the option `audit`. */
  readonly audit: Readonly<AuditCounts>;
  /** What caching other reads would save, or saves; `undefined` without the option `auto`. */
  readonly advice: CacheAdvice | undefined;
}

/** What there is to be told of. */
interface Told {
  readonly memory: Pick<MemoryStore<never>, 'entryCount' | 'byteCount' | 'evictedCount' | 'passedOverCount'>;
  readonly maxBytes: number;
  readonly shared: CallBudgetStats | undefined;
  readonly audit: AuditCounts;
  readonly advice: CacheAdvice | undefined;
  readonly problem: string | undefined;
}

export function cacheStats(
  counts: CacheCounts,
  { memory, maxBytes, shared, audit, advice, problem }: Told,
): CacheStats {
  const { missLatency, missMillis: sum, hits } = counts;
  const { entryCount, byteCount, evictedCount, passedOverCount } = memory;
  return Object.freeze({
    problem,
    memory: Object.freeze({ entryCount, byteCount, maxBytes, evictedCount, passedOverCount }),
    shared: shared === undefined ? undefined : Object.freeze(shared),
    hits: Object.freeze({ memory: Object.freeze({ ...hits.memory }), shared: Object.freeze({ ...hits.shared }) }),
    advancedCount: counts.advancedCount,
    misses: Object.freeze({ ...counts.misses }),
    joinedCount: counts.joinedCount,
    keptCount: counts.keptCount,
    unkeptCount: counts.unkeptCount,
    bypassedCount: counts.bypassedCount,
    refreshedCount: counts.refreshedCount,
    staleIfErrorCount: counts.staleIfErrorCount,
    missMillis: Object.freeze({ sum, p50: missLatency.percentile(0.5), p99: missLatency.percentile(0.99) }),
    savedMillis: counts.savedMillis,
    firstMinute: Object.freeze({ ...counts.firstMinute }),
    audit: Object.freeze(audit),
    advice,
  });
}
