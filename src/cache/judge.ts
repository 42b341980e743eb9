/**
 * Whether an answer from earlier is given to a read, by the one rule and by what its session has
 * seen, and how it is given. What cannot be proved is not given.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import { markRoute } from '../execute/route.js';
import { type Demand, gapOf } from '../freshness/demand.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import type { Fleet } from '../nodes/fleet.js';
import type { ReadTerms } from '../nodes/selection.js';
import type { CacheCounts, CacheRungName, MissReason } from './counts.js';
import type { CacheEntry } from './entry.js';
import type { Asked } from './flights.js';
import type { Answered } from './ground.js';
import type { Lookup } from './lookup.js';
import { noteEntry } from './noted.js';

export class Judge {
  readonly #fleet: Fleet;
  readonly #counts: CacheCounts;

  constructor(fleet: Fleet, counts: CacheCounts) {
    this.#fleet = fleet;
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
    { judging: { trace, requirement }, tables }: Lookup,
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
    return this.#hasSeenNewer(trace, entry, tables) ? 'seen-newer' : undefined;
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

  /** @param rung where it was held */
  give<Row extends QueryResultRow>(entry: CacheEntry, lookup: Lookup, rung: CacheRungName): Answered<Row> {
    const { call, asker, reading, rowMode, types, tables } = lookup;
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
    });
    reading.trace?.showed(entry, tables);
    if (asker.notes !== undefined) noteEntry(asker.notes, lookup, entry);
    this.#counts.hit(rung, reading.requirement.consistency, entry, startedAt);
    this.#fleet.counts.kept(id, origin.node, rung);
    return result as QueryResult<Row>;
  }

  #hasSeenNewer(trace: ReadTrace, entry: CacheEntry, tables: readonly string[]): boolean {
    if (trace.isOpen) return true;
    return trace.sights?.areIn(entry, tables, this.#fleet.history) === false || !trace.canShow(entry);
  }
}
