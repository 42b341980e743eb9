/**
 * Makes entries of what replicas have answered, and keeps them in memory. Only answers of replicas are
 * kept: what the primary's log says and what the primary shows are not the same.
 */
import type { RouteRecord } from '../execute/route.js';
import type { CacheCounts } from './counts.js';
import { CacheEntry } from './entry.js';
import type { CacheGround } from './ground.js';
import type { KeptAnswer } from './kept-answer.js';
import type { Lookup } from './lookup.js';
import type { MemoryStore } from './memory-store.js';
import { particularsOf } from './particulars.js';

export class Keeper {
  readonly #ground: CacheGround;
  readonly #memory: MemoryStore<CacheEntry>;
  readonly #counts: CacheCounts;

  constructor(ground: CacheGround, memory: MemoryStore<CacheEntry>, counts: CacheCounts) {
    this.#ground = ground;
    this.#memory = memory;
    this.#counts = counts;
  }

  /**
   * An entry of what was read.
   * @param askedAt our monotonic clock before it was asked for @param endedAt and when it had been answered
   * @returns `undefined` for what says nothing of a position, or is no text
   */
  entryOf(
    answer: KeptAnswer,
    record: RouteRecord,
    askedAt: number,
    endedAt: number,
    { text, terms, call, settings, values }: Lookup,
  ): CacheEntry | undefined {
    const { history, answerSources } = this.#ground.fleet;
    const { role, lsn, source, timeline, node, waitedMillis, upperBound } = record;
    const { clusterId } = history;
    if (role !== 'replica' || lsn === undefined || source?.settings === undefined || clusterId === undefined)
      return undefined;
    // They may have changed since the key was made.
    if (source.settings !== settings || settings !== answerSources.current?.settings || !answer.isText)
      return undefined;
    const isPresent = timeline === history.timelines.timeline;
    const freshAsOf = isPresent ? history.clock.freshAsOf(lsn) : Number.NEGATIVE_INFINITY;
    const origin = {
      node,
      server: source.server,
      clusterId,
      timeline,
      validFrom: lsn,
      seenUpTo: undefined,
      upperBound,
      freshAsOf,
      askedAt,
      endedAt,
    };
    const costMillis = Math.max(0, endedAt - call.entry.startedAt - waitedMillis);
    const { tags, tables: named } = terms;
    const particulars = particularsOf(text, { tags, named, costMillis }, values, this.#ground.changes);
    return new CacheEntry(answer, origin, particulars, history);
  }

  /** What somebody has asked for always is; what only `auto` has chosen must not change all the time. */
  isWorthKeeping(entry: CacheEntry, { key, statement }: Lookup): boolean {
    if (statement === undefined || statement.filled(key, this.#memory.peek(key), entry)) return true;
    this.#memory.delete(key);
    return false;
  }

  /** What was read earlier and comes later takes the place of nothing. */
  keep(key: string, entry: CacheEntry): void {
    const held = this.#memory.peek(key);
    if (held?.lsn !== undefined && isNewer(held, entry)) return;
    if (this.#memory.set(key, entry) === 'kept') this.#counts.keptCount++;
  }
}

function isNewer({ origin: a }: CacheEntry, { origin: b }: CacheEntry): boolean {
  return a.timeline !== b.timeline ? a.timeline > b.timeline : a.validFrom > b.validFrom;
}
