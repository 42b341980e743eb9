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
import type { CacheSettings } from '../options/cache.js';
import { isServerError, isServerFault } from '../postgres/errors.js';
import { printable } from '../printable.js';
import { Audit } from './audit.js';
import { Auto } from './auto.js';
import { CacheCounts } from './counts.js';
import type { CacheEntry } from './entry.js';
import { type CacheVerdict, notKept, type OwnVerdict, verdictOf } from './explain.js';
import { Fills } from './fills.js';
import { type Forgotten, isForgotten } from './forgetting.js';
import type { Answered, CacheGround, RunBelow } from './ground.js';
import { Judge } from './judge.js';
import { Keeper } from './keeper.js';
import type { CacheCall, Lookup } from './lookup.js';
import { Lookups, NO_POSITIONS } from './lookups.js';
import { MemoryStore } from './memory-store.js';
import { RowByRow } from './row-by-row.js';
import { SharedRung } from './shared-rung.js';
import { type CacheStats, cacheStats } from './stats.js';
import { type CachedText, CachedTexts } from './texts.js';
import type { WatchedStatement } from './watched.js';

const NOT_CURRENT = 'the shared store does not answer: what other processes have said to be forgotten is not known';

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
  readonly #auto: Auto | undefined;
  readonly #lookups: Lookups;

  constructor(settings: CacheSettings, ground: CacheGround) {
    this.#settings = settings;
    this.#ground = ground;
    const { classifier, publisher } = ground;
    this.#memory = new MemoryStore({ maxBytes: settings.memoryBytes });
    this.texts = new CachedTexts(classifier, settings.rules, (error) => {
      const message = `a rule of the cache failed in its own match(): ${wordFor(error)}`;
      if (publisher.wants('warning')) publisher.publish('warning', becauseOf(error, { code: 'cache-rule', message }));
    });
    this.#judge = new Judge(ground.fleet, this.counts);
    this.#audit = new Audit(settings.audit, ground);
    this.#rowByRow = new RowByRow(publisher);
    const { shared, refreshCount } = settings;
    const keeper = new Keeper(ground, this.#memory, this.counts);
    this.#shared =
      shared === undefined
        ? undefined
        : new SharedRung(shared, settings, ground, (forgotten) => this.#forgetHere(forgotten));
    this.#lookups = new Lookups(settings, ground, this.texts);
    const stages = { ground, texts: this.texts, judge: this.#judge, keeper, lookups: this.#lookups };
    this.#auto = settings.auto === false ? undefined : new Auto(settings.auto, stages);
    this.#fills = new Fills(ground, this.#judge, keeper, this.#shared, this.counts, refreshCount);
  }

  /** @param run the rungs below */
  read<Row extends QueryResultRow>(call: CacheCall, run: RunBelow<Row>): Answered<Row> {
    const { options, scope, statement } = call;
    const isAsked = (options?.cache ?? scope.cache) !== undefined;
    if (!isAsked && this.#settings.rules.length === 0) return this.#readUnasked(call, run);
    const text: unknown = textOf(statement.query);
    if (typeof text !== 'string') return this.#below(call, run);
    const known = this.texts.known(text);
    if (known !== undefined)
      return isAsked || known.rule !== undefined ? this.#readKnown(call, known, run) : this.#readUnasked(call, run);
    // What it depends on is found out once a text: only who asks for caches waits for that.
    const learning = this.#ground.classifier.isReady
      ? this.texts.learn(text)
      : inBackground(() => void this.texts.learn(text));
    return isAsked && learning !== undefined
      ? learning.then((learnt) => this.#readKnown(call, learnt, run, performance.now()))
      : this.#below(call, run);
  }

  /** Neither the call, nor its session, nor a rule says anything of caches. */
  #readUnasked<Row extends QueryResultRow>(call: CacheCall, run: RunBelow<Row>): Answered<Row> {
    const auto = this.#auto;
    if (auto === undefined) return this.#below(call, run);
    const text: unknown = textOf(call.statement.query);
    if (typeof text !== 'string') return this.#below(call, run);
    const statement = auto.servingBy(text);
    const known = statement === undefined ? undefined : this.texts.known(text);
    if (statement !== undefined && known !== undefined) {
      auto.serve(statement, call.entry.startedAt);
      return this.#readKnown(call, known, run, undefined, statement);
    }
    return auto.isDue() ? auto.watch(call, text, (own) => this.#below(own, run)) : this.#below(call, run);
  }

  /** @param statement where `auto` has chosen it, and nobody has asked */
  #readKnown<Row extends QueryResultRow>(
    call: CacheCall,
    text: CachedText,
    run: RunBelow<Row>,
    now = call.entry.startedAt,
    statement?: WatchedStatement,
  ): Answered<Row> {
    const lookup = this.#lookups.of(call, text, statement);
    if (typeof lookup === 'string') {
      if (statement === undefined) this.counts.bypassedCount++;
      return this.#below(call, run);
    }
    const { judging, key } = lookup;
    if (statement === undefined) this.#rowByRow.record(call.scope, text, key, call.entry.startedAt);
    const demand = this.#judge.demandOf(judging, now);
    const isCurrent = this.#shared === undefined || this.#shared.isCurrent(call.entry.startedAt);
    const held = isCurrent ? this.#memory.get(key) : undefined;
    const miss = this.#judge.missOf(held, demand, lookup);
    if (miss === undefined && held !== undefined) {
      statement?.given();
      this.#refreshAhead(held, lookup);
      this.#audit.given(held, lookup);
      return this.#judge.give<Row>(held, lookup, 'memory');
    }
    statement?.missed();
    if (statement !== undefined && this.#auto?.mayKeep(key) === false) return this.#below(call, run);
    this.counts.miss(miss ?? 'absent', call.entry.startedAt);
    const reading = this.#fills.read(lookup, run);
    return lookup.terms.staleIfErrorMillis > 0
      ? reading.catch((error) => this.#giveStale<Row>(lookup, error))
      : reading;
  }

  /** What is asked for again shortly before it is too old is read anew meanwhile. */
  #refreshAhead(entry: CacheEntry, lookup: Lookup): void {
    const { statement, judging } = lookup;
    const { maxStalenessMillis = Number.POSITIVE_INFINITY } = judging.requirement;
    const ageMillis = entry.refreshShare * maxStalenessMillis;
    // What changes often is read anew earlier.
    const latest = lookup.call.entry.startedAt - (statement?.refreshAge(ageMillis, maxStalenessMillis) ?? ageMillis);
    if (entry.freshAsOf >= latest || statement?.mayRefresh() === false) return;
    // Where nothing was written since, there is nothing new to be read.
    entry.redate();
    if (entry.freshAsOf < latest && this.#fills.refresh(lookup, entry)) statement?.refreshed();
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
    return { ...this.#verdictOn(call, text), advice: this.#auto?.adviceOn(text) };
  }

  #verdictOn(call: CacheCall, text: CachedText): OwnVerdict {
    const isAsked = (call.options?.cache ?? call.scope.cache ?? text.rule) !== undefined;
    const watched = isAsked ? undefined : this.#auto?.servingBy(textOf(call.statement.query));
    const lookup = this.#lookups.of(call, text, watched);
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
      advice: this.#auto?.advice(),
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

  #below<Row extends QueryResultRow>(
    { scope, options, entry, signal, statement }: CacheCall,
    run: RunBelow<Row>,
  ): Promise<QueryResult<Row>> {
    return run(this.#ground.requests.readStatement(scope, options, entry, signal, statement));
  }
}
