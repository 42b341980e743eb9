/** What becomes of reads that caches were asked for. It counts, and decides nothing. */
import { performance } from '../clock.js';
import type { Consistency } from '../freshness/requirement.js';
import { Latency } from '../nodes/latency.js';

/** Why an answer that is kept was not given, or that none is. */
export type MissReason = 'absent' | 'behind-floor' | 'too-stale' | 'seen-newer' | 'floor-unknown';

/** The rungs that keep answers. */
export type CacheRungName = 'memory' | 'shared';

/** Answers that were given again, by what their reads asked for. */
export type HitCounts = Record<Exclude<Consistency, 'strong'>, number>;

/** A process starts with empty caches: the first minute is counted apart. */
const START_MILLIS = 60_000;
const SAMPLE_COUNT = 1_024;

export class CacheCounts {
  readonly hits: Readonly<Record<CacheRungName, HitCounts>> = {
    memory: { session: 0, eventual: 0 },
    shared: { session: 0, eventual: 0 },
  };
  readonly misses: Record<MissReason, number> = {
    absent: 0,
    'behind-floor': 0,
    'too-stale': 0,
    'seen-newer': 0,
    'floor-unknown': 0,
  };
  /** Hits on answers that changes had shown to hold beyond the position that they were read at. */
  advancedCount = 0;
  joinedCount = 0;
  keptCount = 0;
  unkeptCount = 0;
  bypassedCount = 0;
  refreshedCount = 0;
  staleIfErrorCount = 0;
  /** What servers took for answers that were not held, and would have taken for those that were. */
  missMillis = 0;
  savedMillis = 0;
  readonly missLatency = new Latency(SAMPLE_COUNT);
  readonly firstMinute = { hitCount: 0, missCount: 0 };
  readonly #startedAt = performance.now();

  hit(
    rung: CacheRungName,
    consistency: Consistency,
    { costMillis, isAdvanced }: { readonly costMillis: number; readonly isAdvanced: boolean },
    now: number,
  ): void {
    this.hits[rung][consistency === 'eventual' ? 'eventual' : 'session']++;
    if (isAdvanced) this.advancedCount++;
    this.savedMillis += costMillis;
    if (now - this.#startedAt < START_MILLIS) this.firstMinute.hitCount++;
  }

  miss(reason: MissReason, now: number): void {
    this.misses[reason]++;
    if (now - this.#startedAt < START_MILLIS) this.firstMinute.missCount++;
  }

  /** A server has answered what was not held. */
  read(costMillis: number): void {
    this.missMillis += costMillis;
    this.missLatency.add(costMillis);
  }
}
