/**
 * The rungs above the replicas: a read is answered by an answer that was kept, where that is as
 * fresh as the read asks for, and else by the rungs below, whose answer is kept then. What it cannot
 * prove it does not give.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { inBackground } from '../async-context.js';
import { performance } from '../clock.js';
import { wordFor } from '../errors.js';
import { becauseOf } from '../events.js';
import { textOf } from '../execute/call.js';
import type { StatementRequest } from '../execute/request.js';
import type { Requests } from '../execute/requests.js';
import { markRoute } from '../execute/route.js';
import { type Demand, gapOf } from '../freshness/demand.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import type { Fleet } from '../nodes/fleet.js';
import type { CacheSettings } from '../options/cache.js';
import type { Publisher } from '../publisher.js';
import type { Classifier } from '../statements/classifier.js';
import { CacheCounts, type CacheRungName, type MissReason } from './counts.js';
import type { CacheEntry } from './entry.js';
import { Fills } from './fills.js';
import { type CacheCall, keepableValues, keyOf, type Lookup, mannerOf } from './lookup.js';
import { MemoryStore } from './memory-store.js';
import { noteEntry } from './noted.js';
import { obstacleTo, termsOf } from './terms.js';
import { type CachedText, CachedTexts } from './texts.js';

/** Runs a read on the rungs below. */
export type RunBelow<Row extends QueryResultRow> = (request: StatementRequest) => Promise<QueryResult<Row>>;

/** What it stands on. */
export interface CacheGround {
  readonly fleet: Fleet;
  readonly classifier: Classifier;
  readonly requests: Requests;
  readonly publisher: Publisher;
}

export class CacheRung {
  readonly counts = new CacheCounts();
  readonly memory: MemoryStore<CacheEntry>;
  readonly texts: CachedTexts;
  readonly #settings: CacheSettings;
  readonly #ground: CacheGround;
  readonly #fills: Fills;
  /** Numbers for what decides how connections write their answers. */
  readonly #settingsNumbers = new Map<string, number>();

  constructor(settings: CacheSettings, ground: CacheGround) {
    this.#settings = settings;
    this.#ground = ground;
    const { classifier, publisher } = ground;
    this.memory = new MemoryStore({ maxBytes: settings.memoryBytes });
    this.texts = new CachedTexts(classifier, settings.rules, (error) => {
      const message = `a rule of the cache failed in its own match(): ${wordFor(error)}`;
      if (publisher.wants('warning')) publisher.publish('warning', becauseOf(error, { code: 'cache-rule', message }));
    });
    this.#fills = new Fills(ground, this.memory, this.counts);
  }

  /** @param run the rungs below */
  read<Row extends QueryResultRow>(call: CacheCall, run: RunBelow<Row>): Promise<QueryResult<Row>> {
    const { options, scope, statement } = call;
    const isAsked = (options?.cache ?? scope.cache) !== undefined;
    if (!isAsked && this.#settings.rules.length === 0) return this.#below(call, run);
    const text: unknown = textOf(statement.query);
    if (typeof text !== 'string') return this.#below(call, run);
    const known = this.texts.known(text);
    if (known !== undefined) return this.#readKnown(call, known, run);
    // What it depends on is found out once a text: only who asks for caches waits for that.
    const learning = this.#ground.classifier.isReady
      ? this.texts.learn(text)
      : inBackground(() => void this.texts.learn(text));
    return isAsked && learning !== undefined
      ? learning.then((learnt) => this.#readKnown(call, learnt, run))
      : this.#below(call, run);
  }

  #readKnown<Row extends QueryResultRow>(
    call: CacheCall,
    text: CachedText,
    run: RunBelow<Row>,
  ): Promise<QueryResult<Row>> {
    const lookup = this.lookupOf(call, text);
    if (typeof lookup === 'string') {
      this.counts.bypassedCount++;
      return this.#below(call, run);
    }
    const { judging, key } = lookup;
    const demand = this.#ground.fleet.selection.demandOf(judging, call.entry.startedAt);
    const held = this.memory.get(key);
    const miss = this.#missOf(held, demand, lookup);
    if (miss === undefined && held !== undefined) return this.#give(held, lookup, 'memory');
    if (miss !== undefined) this.counts.misses[miss]++;
    return this.#fills.read(lookup, run, (entry) => this.#meets(entry, lookup));
  }

  /** @returns why the read passes caches by, in words, where it does */
  lookupOf(call: CacheCall, text: CachedText): Lookup | string {
    const { scope, options, statement, entry } = call;
    const { fleet, requests } = this.#ground;
    const terms = termsOf(options?.cache, scope.cache, text.rule, this.#settings);
    if (terms === undefined) return 'nothing asks for it';
    if (options?.target !== undefined) return 'target asks for a server';
    if (!fleet.history.isTracking) return 'no positions are tracked';
    const obstacle = obstacleTo(text, terms);
    if (obstacle !== undefined) return obstacle;
    const source = fleet.answerSources.current;
    if (source === undefined) return fleet.answerSources.problem ?? 'no replica has been connected to yet';
    const values = keepableValues(statement);
    if (values === undefined) return 'its query object or its values say more than can be kept';
    const key = keyOf(this.#numberOf(source.settings), text, terms.scope, values);
    if (key === undefined) return 'its values are too long, or depend on the time';
    const reading = requests.terms(scope, options, entry);
    const { requirement } = reading;
    if (requirement.consistency === 'strong') return 'strong reads ask a server';
    const maxStalenessMillis = Math.min(
      terms.maxStalenessMillis,
      requirement.maxStalenessMillis ?? Number.POSITIVE_INFINITY,
    );
    return {
      call,
      text,
      terms,
      reading,
      judging: { ...reading, requirement: { consistency: requirement.consistency, maxStalenessMillis } },
      key,
      values,
      ...mannerOf(statement.query),
      tables: terms.tables.length === 0 ? text.tables : [...text.tables, ...terms.tables.map(bareName)],
    };
  }

  #meets(entry: CacheEntry, lookup: Lookup): boolean {
    const demand = this.#ground.fleet.selection.demandOf(lookup.judging, performance.now());
    return this.#missOf(entry, demand, lookup) === undefined;
  }

  /** Why the entry does not answer the read. */
  #missOf(
    entry: CacheEntry | undefined,
    demand: Demand | string,
    { judging: { trace, requirement }, tables }: Lookup,
  ): MissReason | undefined {
    if (entry === undefined) return 'absent';
    if (typeof demand === 'string') return 'floor-unknown';
    let gap = gapOf(entry, demand);
    if (gap === 'too-stale') {
      entry.redate();
      gap = gapOf(entry, demand);
    }
    if (gap !== undefined) return gap;
    if (trace === undefined || requirement.consistency === 'eventual') return undefined;
    return this.#hasSeenNewer(trace, entry, tables) ? 'seen-newer' : undefined;
  }

  #hasSeenNewer(trace: ReadTrace, entry: CacheEntry, tables: readonly string[]): boolean {
    return trace.sights?.areIn(entry, tables, this.#ground.fleet.history) === false || !trace.canShow(entry);
  }

  #give<Row extends QueryResultRow>(entry: CacheEntry, lookup: Lookup, rung: CacheRungName): Promise<QueryResult<Row>> {
    const { call, reading, rowMode, types, tables } = lookup;
    const { answer, origin } = entry;
    const { fleet } = this.#ground;
    let result: QueryResult;
    try {
      result = answer.give(rowMode, types);
    } catch (error) {
      return Promise.reject(error);
    }
    const { startedAt } = call.entry;
    markRoute(result, {
      rung,
      node: origin.node,
      role: 'replica',
      reason: 'cache',
      waitedMillis: 0,
      rerunCount: 0,
      timeline: origin.timeline,
      lsn: origin.validFrom,
      ageMillis: startedAt - entry.freshAsOf,
      source: undefined,
    });
    reading.trace?.showed(entry, tables);
    if (call.scope.notes !== undefined) noteEntry(call.scope.notes, lookup, entry);
    this.counts.hits[rung][reading.requirement.consistency]++;
    fleet.counts.kept(call.entry.id, origin.node, rung);
    return Promise.resolve(result as QueryResult<Row>);
  }

  #below<Row extends QueryResultRow>(
    { scope, options, entry, signal, statement }: CacheCall,
    run: RunBelow<Row>,
  ): Promise<QueryResult<Row>> {
    return run(this.#ground.requests.readStatement(scope, options, entry, signal, statement));
  }

  #numberOf(settings: string): number {
    const known = this.#settingsNumbers.get(settings);
    if (known !== undefined) return known;
    this.#settingsNumbers.set(settings, this.#settingsNumbers.size);
    return this.#settingsNumbers.size - 1;
  }
}

function bareName(table: string): string {
  return table.slice(table.lastIndexOf('.') + 1);
}
