/**
 * Finds out which answers are worth keeping, by looking at a share of the reads that nobody has
 * asked caches for, and says which answers are given without being asked for. It judges by the
 * rule of caches what a kept answer would have been given to, and holds no rows for that.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { inBackground } from '../async-context.js';
import type { Changes } from '../changes/changes.js';
import { performance } from '../clock.js';
import { routeRecordOf } from '../execute/route.js';
import { plainTypes } from '../postgres/plain-types.js';
import { columnsOf, type ParserSource } from '../postgres/raw-results.js';
import type { Classifier } from '../statements/classifier.js';
import { adviceOn, type CacheAdvice, ranked, type StatementAdvice } from './advice.js';
import { PACE } from './auto-pace.js';
import { Allowance, Sampler } from './auto-sampler.js';
import { contentMark } from './content-mark.js';
import type { CacheEntry } from './entry.js';
import type { CacheGround, RunBelow } from './ground.js';
import type { Judge } from './judge.js';
import type { Keeper } from './keeper.js';
import { KeptAnswer } from './kept-answer.js';
import type { CacheCall, Lookup } from './lookup.js';
import type { Lookups } from './lookups.js';
import type { RawField } from './raw-answer.js';
import { seedsOf } from './seeds.js';
import { obstacleTo } from './terms.js';
import { type CachedText, type CachedTexts, plainOf } from './texts.js';
import type { ServerCost, WatchedKey, WatchedStatement } from './watched.js';
import { WatchedStatements } from './watched-statements.js';

export type AutoMode = 'observe' | 'on';

/** What it stands on. */
export interface AutoGround {
  readonly ground: CacheGround;
  readonly texts: CachedTexts;
  readonly judge: Judge;
  readonly keeper: Keeper;
  readonly lookups: Lookups;
}

/** Statements that have a place from the start, since servers have told of them. */
const SEEDED = 64;
const UNSCOPED = { tables: [], scope: undefined };
/** A longer text is not looked at: to hash it takes as long as many reads. */
const MOST_CHARACTERS = 20_000;
/** A larger answer is not hashed, in characters of JSON. */
const MOST_HASHED = 2 ** 18;
const NO_ROWS = new KeptAnswer('SELECT', 0, columnsOf<RawField>([], plainTypes as ParserSource), []);

export class Auto {
  readonly #mode: AutoMode;
  readonly #ground: AutoGround;
  readonly #watched = new WatchedStatements();
  readonly #sampler = new Sampler(PACE.samplesPerSecond);
  readonly #texts = new Allowance(PACE.textsPerSecond);
  readonly #digests = new Allowance(PACE.textsPerSecond / 4);
  readonly #hashing = new Allowance(PACE.hashedPerSecond);
  #weighedAt: number | undefined;
  /** What servers have counted; `undefined` until they were asked. */
  #seeds: ReadonlyMap<string, ServerCost> | undefined;
  #anewCount = 0;
  /** Reads with a new text since one was given its digest. */
  #anewWeight = 0;

  constructor(mode: AutoMode, ground: AutoGround) {
    this.#mode = mode;
    this.#ground = ground;
  }

  /** The statement of that text, where its answers are given without being asked for. */
  servingBy(text: string): WatchedStatement | undefined {
    return this.#watched.isServing ? this.#watched.servingBy(plainOf(text)) : undefined;
  }

  /** A read that asked for nothing has come. @returns whether it is to be looked at */
  isDue(): boolean {
    return this.#sampler.isDue();
  }

  /** Runs a read as it would be run without, and looks at what comes of it. */
  watch<Row extends QueryResultRow>(
    call: CacheCall,
    text: string,
    run: (call: CacheCall) => ReturnType<RunBelow<Row>>,
  ): Promise<QueryResult<Row>> {
    const now = call.entry.startedAt;
    const weight = this.#took(now);
    const known = this.#ground.texts.known(text);
    if (known === undefined) {
      this.#meet(text, weight, now);
      return run(call);
    }
    const statement = this.#statementOf(known, plainOf(text));
    const { evidence, obstacle } = statement;
    const lookup = obstacle === undefined ? this.#lookupOf(call, known, statement) : undefined;
    if (obstacle !== undefined || lookup !== undefined) evidence.callCount += weight;
    if (lookup === undefined) return run(call);
    evidence.sampleCount++;
    const key = this.#watched.recordKey(lookup.key, statement);
    const { ghost } = key;
    const isSeen = ghost !== undefined && !key.isExcluded;
    const wouldHit = isSeen && this.#wouldGive(ghost, lookup);
    if (wouldHit) evidence.hitCount += weight;
    else if (isSeen) evidence.fillCount += weight;
    const { era } = this.#ground.ground.fleet.history.clock;
    // Its session remembers which tables it has seen, and not that it may have been any.
    const running = run({ ...call, statement: { ...call.statement, tables: lookup.families } });
    running
      .then((result) => {
        if (era === this.#ground.ground.fleet.history.clock.era) this.#answered(result, lookup, key, wouldHit);
      })
      // An error is its caller's, and what cannot be learnt from changes nothing.
      .catch(() => undefined);
    return running;
  }

  /** A read of a statement whose answers are given has come. */
  serve(statement: WatchedStatement, now: number): void {
    if (!this.#sampler.isDue()) return;
    this.#took(now);
    this.#watched.recordStatement(statement.digest);
  }

  /** Whether an answer to that key may be kept, where none is held that will do. What comes once is not. */
  mayKeep(key: string): boolean {
    return this.#watched.hasSeenKey(key) && this.#watched.keyOf(key)?.isExcluded !== true;
  }

  advice(): CacheAdvice {
    return Object.freeze({
      mode: this.#mode,
      readCount: this.#sampler.readCount,
      sampledCount: this.#sampler.sampledCount,
      anewCount: this.#anewCount,
      seededCount: this.#seeds?.size ?? 0,
      statements: ranked(this.#watched.list().map((statement) => this.#adviceOn(statement))),
    });
  }

  /** What it says of a statement; `undefined` where it has not seen it. */
  adviceOn({ digest }: CachedText): StatementAdvice | undefined {
    const statement = this.#watched.statementOf(digest);
    return statement === undefined ? undefined : this.#adviceOn(statement);
  }

  #adviceOn(statement: WatchedStatement): StatementAdvice {
    return adviceOn(statement, this.#watched.keyCountOf(statement));
  }

  #statementOf(text: CachedText, plain: string): WatchedStatement {
    const statement = this.#watched.recordStatement(text.digest);
    this.#watched.named(plain, statement);
    statement.server ??= this.#seeds?.get(text.digest);
    statement.obstacle = obstacleTo(text, UNSCOPED);
    if (statement.tables.length === 0)
      statement.tables = text.dependencies.relations.map(({ schema, name }) => `${schema}.${name}`);
    return statement;
  }

  /** What the read would ask of caches; `undefined` where it passes them by. */
  #lookupOf(call: CacheCall, text: CachedText, statement: WatchedStatement): Lookup | undefined {
    // A token counts where the read itself claims it.
    if (call.options?.atLeast !== undefined) return undefined;
    try {
      const lookup = this.#ground.lookups.of(call, text, statement);
      return typeof lookup === 'string' ? undefined : lookup;
    } catch {
      // The read itself says what is wrong with it.
      return undefined;
    }
  }

  #wouldGive(ghost: CacheEntry, lookup: Lookup): boolean {
    const { judge } = this.#ground;
    const demand = judge.demandOf(lookup.judging, lookup.call.entry.startedAt);
    return judge.missOf(ghost, demand, lookup) === undefined;
  }

  #answered(result: QueryResult, lookup: Lookup, key: WatchedKey, wouldHit: boolean): void {
    const record = routeRecordOf(result);
    if (record === undefined) return;
    const endedAt = performance.now();
    const { startedAt } = lookup.call.entry;
    const { statement, ghost, contentHash } = key;
    const { evidence } = statement;
    evidence.cost(Math.max(0, endedAt - startedAt - record.waitedMillis));
    const hash = this.#hashOf(result, statement, endedAt);
    if (ghost !== undefined && hash !== undefined && contentHash !== undefined) {
      const isSame = hash === contentHash;
      evidence.changes.add(isSame, startedAt - ghost.askedAt);
      // Of one that changes all the time it is seen, too, when it does not any more.
      if (wouldHit || key.isExcluded) key.compared(isSame);
    }
    if (wouldHit) return;
    key.ghost = this.#ground.keeper.entryOf(NO_ROWS, record, startedAt, endedAt, lookup);
    key.contentHash = hash;
  }

  #hashOf({ rows }: QueryResult, { evidence }: WatchedStatement, now: number): string | undefined {
    if (!this.#hashing.isLeft(now)) return undefined;
    const { hash, bytes } = contentMark(rows, MOST_HASHED);
    this.#hashing.take(Math.min(bytes, MOST_HASHED));
    evidence.size(bytes);
    return hash;
  }

  /** A read is looked at. @returns how many it stands for */
  #took(now: number): number {
    const weight = this.#sampler.take(now);
    if (this.#weighedAt === undefined) this.#seed();
    this.#weighedAt ??= now;
    const millis = now - this.#weighedAt;
    if (millis >= PACE.periodMillis) {
      this.#weighedAt = now;
      for (const statement of this.#watched.list()) this.#hearOf(statement, millis);
      this.#watched.weigh(millis, this.#mode === 'on');
    }
    return weight;
  }

  /** Once: what the servers say of the time before. */
  #seed(): void {
    const { fleet } = this.#ground.ground;
    void inBackground(() => seedsOf(fleet, this.#classifier)).then((seeds) => {
      this.#seeds = seeds;
      // The dearest ones first: what comes is seen in the places of the others.
      for (const [digest, server] of [...seeds].slice(0, SEEDED)) this.#watched.recordStatement(digest).server = server;
    });
  }

  #hearOf(statement: WatchedStatement, millis: number): void {
    const heard = changesHeardOf(statement.tables, this.#ground.ground.changes);
    const { changesHeard } = statement;
    statement.changesHeard = heard;
    statement.writesPerSecond =
      heard === undefined || changesHeard === undefined || heard < changesHeard
        ? undefined
        : ((heard - changesHeard) / millis) * 1_000;
  }

  /** A text of which nothing is known: only what comes again is worth a look at what it depends on. */
  #meet(text: string, weight: number, now: number): void {
    if (text.length > MOST_CHARACTERS) return;
    if (this.#watched.hasSeenText(plainOf(text))) {
      if (!this.#texts.isLeft(now)) return;
      this.#texts.take(1);
      inBackground(() => void this.#ground.texts.learn(text));
      return;
    }
    this.#anewCount += weight;
    this.#anewWeight += weight;
    if (!this.#digests.isLeft(now)) return;
    this.#digests.take(1);
    const anewWeight = this.#anewWeight;
    this.#anewWeight = 0;
    // Each stands for those that were not asked about.
    void inBackground(() => this.#classifier.digestOf(text)).then((digest) => {
      this.#watched.recordStatement(digest).evidence.anewCount += anewWeight;
    });
  }

  get #classifier(): Classifier {
    return this.#ground.ground.classifier;
  }
}

/** Of all of them together; `undefined` where not all are heard of. */
function changesHeardOf(tables: readonly string[], changes: Changes | undefined): number | undefined {
  if (changes === undefined || tables.length === 0) return undefined;
  let sum = 0;
  for (const table of tables) {
    const count = changes.changeCountOf(table);
    if (count === undefined) return undefined;
    sum += count;
  }
  return sum;
}
