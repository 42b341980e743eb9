/**
 * The rungs above the replicas: a read is answered by an answer that was kept, where that is as
 * fresh as the read asks for, and else by the rungs below, whose answer is kept then. What it cannot
 * prove it does not give.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { inBackground } from '../async-context.js';
import { performance } from '../clock.js';
import { settledWithin } from '../deadline.js';
import { wordFor } from '../errors.js';
import { becauseOf } from '../events.js';
import { textOf } from '../execute/call.js';
import type { CacheSettings } from '../options/cache.js';
import { isServerError, isServerFault } from '../postgres/errors.js';
import { printable } from '../printable.js';
import { Audit } from './audit.js';
import { CacheCounts } from './counts.js';
import type { CacheEntry } from './entry.js';
import { type CacheVerdict, notKept, verdictOf } from './explain.js';
import { Fills } from './fills.js';
import { type Forgotten, isForgotten } from './forgetting.js';
import type { Answered, CacheGround, RunBelow } from './ground.js';
import { Judge } from './judge.js';
import { Keeper } from './keeper.js';
import { valuesKey } from './key.js';
import { type CacheCall, judgingOf, keepableValues, keyOf, type Lookup, mannerOf } from './lookup.js';
import { MemoryStore } from './memory-store.js';
import { RowByRow } from './row-by-row.js';
import { SharedRung } from './shared-rung.js';
import { type CacheStats, cacheStats } from './stats.js';
import { obstacleTo, termsOf } from './terms.js';
import { type CachedText, CachedTexts } from './texts.js';

const NOT_CURRENT = 'the shared store does not answer: what other processes have said to be forgotten is not known';
/** So long is waited for what a server is asked behind reads: a shared connection has no more under way, so that is answered before any other read. */
const BOUND_MILLIS = 10;
const NO_POSITIONS = 'no positions are tracked';

export class CacheRung {
  readonly counts = new CacheCounts();
  readonly texts: CachedTexts;
  readonly #memory: MemoryStore<CacheEntry>;
  readonly #settings: CacheSettings;
  readonly #ground: CacheGround;
  readonly #judge: Judge;
  readonly #audit: Audit;
  readonly #rowByRow: RowByRow;
  readonly #shared: SharedRung | undefined;
  readonly #fills: Fills;
  /** Numbers for what decides how connections write their answers. */
  readonly #settingsNumbers = new Map<string, number>();
  #latestSettings: string | undefined;
  #latestNumber = 0;

  constructor(settings: CacheSettings, ground: CacheGround) {
    this.#settings = settings;
    this.#ground = ground;
    const { classifier, publisher } = ground;
    this.#memory = new MemoryStore({ maxBytes: settings.memoryBytes });
    this.texts = new CachedTexts(classifier, settings.rules, (error) => {
      const message = `a rule of the cache failed in its own match(): ${wordFor(error)}`;
      if (publisher.wants('warning')) publisher.publish('warning', becauseOf(error, { code: 'cache-rule', message }));
    });
    this.#judge = new Judge(ground, this.counts);
    this.#audit = new Audit(settings.audit, ground);
    this.#rowByRow = new RowByRow(publisher);
    const { shared, refreshCount } = settings;
    const keeper = new Keeper(ground, this.#memory, this.counts);
    this.#shared =
      shared === undefined
        ? undefined
        : new SharedRung(shared, settings, ground, (forgotten) => this.#forgetHere(forgotten));
    this.#fills = new Fills(ground, this.#judge, keeper, this.#shared, this.counts, refreshCount);
  }

  /** @param run the rungs below */
  read<Row extends QueryResultRow>(call: CacheCall, run: RunBelow<Row>): Answered<Row> {
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
      ? learning.then((learnt) => this.#readKnown(call, learnt, run, performance.now()))
      : this.#below(call, run);
  }

  #readKnown<Row extends QueryResultRow>(
    call: CacheCall,
    text: CachedText,
    run: RunBelow<Row>,
    now = call.entry.startedAt,
  ): Answered<Row> {
    const lookup = this.lookupOf(call, text);
    if (typeof lookup === 'string') {
      this.counts.bypassedCount++;
      return this.#below(call, run);
    }
    this.#rowByRow.record(call.scope, text, lookup.key, call.entry.startedAt);
    const sights = lookup.judging.trace?.sights;
    if (sights !== undefined) sights.isAsked = true;
    return this.#readJudged(lookup, run, now, false);
  }

  /** @param isAgain whether it has waited for what is asked of a server */
  #readJudged<Row extends QueryResultRow>(
    lookup: Lookup,
    run: RunBelow<Row>,
    now: number,
    isAgain: boolean,
  ): Answered<Row> {
    const { call, judging, key } = lookup;
    const demand = this.#judge.demandOf(judging, now);
    const isCurrent = this.#shared === undefined || this.#shared.isCurrent(call.entry.startedAt);
    const held = isCurrent ? this.#memory.get(key) : undefined;
    const miss = this.#judge.missOf(held, demand, lookup);
    const pending = isAgain ? undefined : this.#judge.pendingFor(miss, lookup);
    if (pending !== undefined)
      return settledWithin(pending.settled, BOUND_MILLIS).then(() => {
        call.signal?.throwIfAborted();
        return this.#readJudged(lookup, run, performance.now(), true);
      });
    if (miss === undefined && held !== undefined) {
      this.#refreshAhead(held, lookup);
      this.#audit.given(held, lookup);
      return this.#judge.give<Row>(held, lookup, 'memory');
    }
    this.counts.miss(miss ?? 'absent', call.entry.startedAt);
    const reading = this.#fills.read(lookup, run);
    return lookup.terms.staleIfErrorMillis > 0
      ? reading.catch((error) => this.#giveStale<Row>(lookup, error))
      : reading;
  }

  /** What is asked for again shortly before it is too old is read anew meanwhile. */
  #refreshAhead(entry: CacheEntry, lookup: Lookup): void {
    const { maxStalenessMillis = Number.POSITIVE_INFINITY } = lookup.judging.requirement;
    const latest = lookup.call.entry.startedAt - entry.refreshShare * maxStalenessMillis;
    if (entry.freshAsOf >= latest) return;
    // Where nothing was written since, there is nothing new to be read.
    entry.redate();
    if (entry.freshAsOf < latest) this.#fills.refresh(lookup, entry);
  }

  /** No server could answer. Only age is forgiven: the answer shows all that its session wrote and saw. @throws that error */
  #giveStale<Row extends QueryResultRow>(lookup: Lookup, error: unknown): Answered<Row> {
    const { call, judging, terms, key } = lookup;
    const isGivenUp = call.signal?.aborted === true && (error as { code?: unknown }).code !== 'LADDER_TIMEOUT';
    const isOutage = !isServerError(error) || isServerFault(error);
    const held = this.#memory.peek(key);
    if (isGivenUp || !isOutage || held === undefined) throw error;
    const requirement = { ...judging.requirement, maxStalenessMillis: terms.staleIfErrorMillis };
    const demand = this.#judge.demandOf({ ...judging, requirement }, performance.now());
    if (this.#judge.missOf(held, demand, lookup) !== undefined) throw error;
    this.counts.staleIfErrorCount++;
    return this.#judge.give<Row>(held, lookup, 'memory');
  }

  /** See {@link ClusterCache.forget}. */
  async forget(forgotten: Forgotten): Promise<void> {
    this.#forgetHere(forgotten);
    await this.#shared?.forget(forgotten);
  }

  #forgetHere(forgotten: Forgotten | 'all'): void {
    // What is under way may have been read before.
    this.#fills.disown();
    if (forgotten === 'all') {
      this.#memory.clear();
      return;
    }
    const { catalog } = this.#ground.classifier;
    const familyOf = (name: string): string => catalog.familyOf(name);
    for (const [key, { particulars }] of this.#memory.entries())
      if (isForgotten(particulars, forgotten, familyOf)) this.#memory.delete(key);
  }

  /** Ends what it has opened. */
  close(): Promise<void> | undefined {
    this.#memory.clear();
    return this.#shared?.close();
  }

  /** What it has to say of a read; see `explain()` of the cluster. */
  async explain(call: CacheCall): Promise<CacheVerdict> {
    const text = await this.texts.learn(textOf(call.statement.query));
    const lookup = this.lookupOf(call, text);
    if (typeof lookup === 'string') return notKept(printable(lookup));
    const now = performance.now();
    const demand = this.#judge.demandOf(lookup.judging, now);
    if (this.#shared?.isCurrent(now) === false) return notKept(NOT_CURRENT);
    const held = this.#memory.peek(lookup.key);
    return verdictOf(held, this.#judge.missOf(held, demand, lookup), demand, now);
  }

  stats(): CacheStats {
    return cacheStats(this.counts, {
      memory: this.#memory,
      maxBytes: this.#settings.memoryBytes,
      shared: this.#shared?.budget.stats,
      audit: this.#audit.counts,
      problem: this.#problem,
    });
  }

  get #problem(): string | undefined {
    const { history, answerSources, replicas } = this.#ground.fleet;
    if (!history.isTracking) return NO_POSITIONS;
    if (replicas.every(({ lsn }) => lsn === undefined))
      return 'no replica answers, and only answers of replicas are kept';
    if (this.#shared?.isCurrent(performance.now()) === false) return NOT_CURRENT;
    return answerSources.problem;
  }

  /** @returns why the read passes caches by, in words, where it does */
  lookupOf(call: CacheCall, text: CachedText): Lookup | string {
    const { scope, options, statement, entry } = call;
    const { fleet, requests } = this.#ground;
    const terms = termsOf(options?.cache, scope.cache, text.rule, this.#settings);
    if (terms === undefined) return 'nothing asks for it';
    if (options?.target !== undefined) return 'target asks for a server';
    if (!fleet.history.isTracking) return NO_POSITIONS;
    const obstacle = obstacleTo(text, terms);
    if (obstacle !== undefined) return obstacle;
    const source = fleet.answerSources.current;
    if (source === undefined) return fleet.answerSources.problem ?? 'no replica has been connected to yet';
    const values = keepableValues(statement);
    if (values === undefined) return 'its query object or its values say more than can be kept';
    const written = valuesKey(values);
    if (written === undefined) return 'its values are too long, or depend on the time';
    const key = keyOf(this.#numberOf(source.settings), text, terms.scope, written);
    const reading = requests.terms(scope, options, entry);
    const { requirement } = reading;
    if (requirement.consistency === 'strong') return 'strong reads ask a server';
    const { rowMode, types } = mannerOf(statement.query);
    const { tables, families } = terms.tables.length === 0 ? text : this.#withNamed(text, terms.tables);
    const judging = judgingOf(reading, terms.maxStalenessMillis);
    return {
      call,
      asker: scope,
      text,
      terms,
      reading,
      judging,
      settings: source.settings,
      key,
      values,
      written,
      rowMode,
      types,
      tables,
      families,
    };
  }

  #withNamed(text: CachedText, named: readonly string[]): Pick<Lookup, 'tables' | 'families'> {
    const names = named.map(bareName);
    const tables = [...text.tables, ...names];
    return { tables, families: [...text.families, ...this.texts.familiesOf(names)] };
  }

  #below<Row extends QueryResultRow>(
    { scope, options, entry, signal, statement }: CacheCall,
    run: RunBelow<Row>,
  ): Promise<QueryResult<Row>> {
    return run(this.#ground.requests.readStatement(scope, options, entry, signal, statement));
  }

  #numberOf(settings: string): number {
    // The very text, as a rule: to look it up takes a look at all of it.
    if (settings === this.#latestSettings) return this.#latestNumber;
    const number = this.#settingsNumbers.get(settings) ?? this.#settingsNumbers.size;
    this.#settingsNumbers.set(settings, number);
    this.#latestSettings = settings;
    this.#latestNumber = number;
    return number;
  }
}

function bareName(table: string): string {
  return table.slice(table.lastIndexOf('.') + 1);
}
