/**
 * Whether an answer from earlier is given to a read, by the one rule and by what its session has
 * seen, and how it is given. What cannot be proved is not given.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import { markRoute } from '../execute/route.js';
import { type Demand, gapOf } from '../freshness/demand.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import type { UpperBound } from '../freshness/upper-bound.js';
import type { Fleet } from '../nodes/fleet.js';
import type { ReceiverLooks } from '../nodes/receiver-looks.js';
import type { ReadTerms } from '../nodes/selection.js';
import type { CacheCounts, CacheRungName, MissReason } from './counts.js';
import type { CacheEntry } from './entry.js';
import type { Asked } from './flights.js';
import type { Answered, CacheGround } from './ground.js';
import type { Lookup } from './lookup.js';
import { noteEntry } from './noted.js';

export class Judge {
  readonly #fleet: Fleet;
  readonly #receiverLooks: ReceiverLooks | undefined;
  readonly #counts: CacheCounts;

  constructor({ fleet, receiverLooks }: CacheGround, counts: CacheCounts) {
    this.#fleet = fleet;
    this.#receiverLooks = receiverLooks;
    this.#counts = counts;
  }

  /** What a read demands at that moment; a word while its floor is not known. */
  demandOf(terms: ReadTerms, now: number): Demand | string {
    return this.#fleet.selection.demandOf(terms, now);
  }

  /** Whether the entry answers the read at this moment. */
  meets(entry: CacheEntry, lookup: Lookup): boolean {
    return this.missOf(entry, this.demandOf(lookup.judging, performance.now()), lookup) === undefined;
  }

  /** Why the entry does not answer the read; `undefined` where it does. */
  missOf(
    entry: CacheEntry | undefined,
    demand: Demand | string,
    { judging: { trace, requirement }, families }: Lookup,
  ): MissReason | undefined {
    if (entry === undefined) return 'absent';
    if (typeof demand === 'string') return 'floor-unknown';
    entry.advance();
    let gap = gapOf(entry, demand);
    if (gap === 'too-stale') {
      entry.redate();
      gap = gapOf(entry, demand);
    }
    if (gap !== undefined) return gap;
    if (trace === undefined || requirement.consistency === 'eventual') return undefined;
    return this.#hasSeenNewer(trace, entry, families) ? 'seen-newer' : undefined;
  }

  /** Whether what the first caller of a flight was answered will do, where nothing else tells how fresh that is. */
  asksNoMore(reading: ReadTerms, { demand: first, at }: Asked): boolean {
    const own = this.demandOf(reading, at);
    if (typeof first === 'string' || typeof own === 'string') return false;
    const { trace, requirement } = reading;
    const hasSeen = trace !== undefined && (trace.server !== undefined || trace.hasUnshown);
    if (hasSeen && requirement.consistency !== 'eventual') return false;
    return own.floor <= first.floor && own.freshSince <= first.freshSince;
  }

  /**
   * What is asked of a server, and not answered yet, and may show that the entry will do.
   * @param miss why it does not so far
   */
  pendingFor(miss: MissReason | undefined, { judging, families }: Lookup): UpperBound | undefined {
    return miss === 'seen-newer' ? judging.trace?.sights?.pending(families) : undefined;
  }

  /** @param rung where it was held */
  give<Row extends QueryResultRow>(entry: CacheEntry, lookup: Lookup, rung: CacheRungName): Answered<Row> {
    const { call, asker, reading, rowMode, types, families } = lookup;
    const { answer, origin } = entry;
    const { id, startedAt } = call.entry;
    let result: QueryResult;
    try {
      result = answer.give(rowMode, types);
    } catch (error) {
      return Promise.reject(error);
    }
    markRoute(result, {
      rung,
      node: origin.node,
      role: 'replica',
      reason: 'cache',
      waitedMillis: 0,
      rerunCount: 0,
      timeline: origin.timeline,
      lsn: entry.lsn ?? origin.validFrom,
      ageMillis: Math.max(0, startedAt - entry.freshAsOf),
      source: undefined,
      upperBound: undefined,
    });
    reading.trace?.showed(entry, families);
    if (asker.notes !== undefined) noteEntry(asker.notes, lookup, entry);
    this.#counts.hit(rung, reading.requirement.consistency, entry, startedAt);
    this.#fleet.counts.kept(id, origin.node, rung);
    return result as QueryResult<Row>;
  }

  #hasSeenNewer(trace: ReadTrace, entry: CacheEntry, families: readonly string[]): boolean {
    const { isOpen, sights } = trace;
    if (isOpen) return true;
    // What changes keep current is likely all that a read of a moment ago has seen: a look behind such reads shows it.
    if (entry.isAdvanced && sights !== undefined && sights.readCount > 0) this.#receiverLooks?.want();
    return sights?.areIn(entry, families, this.#fleet.history) === false || !trace.canShow(entry);
  }
}
