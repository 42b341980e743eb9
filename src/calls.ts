/**
 * The life of a call: counted in, checked, held to the session that it belongs to or joined to the transaction around it, and handed to whatever runs it. Whose
 * call it is, is told to it: of async contexts it knows nothing.
 */

import type { PoolClient, QueryResult, QueryResultRow } from 'pg';
import { performance, wallMillis } from './clock.js';
import { invalidOptions, isError, LadderError, wordFor } from './errors.js';
import { becauseOf, Publisher } from './events.js';
import { deadlineOf, withAbort } from './execute/abort.js';
import { checkedQuery, isDefinition, type Query, rejectWithin, textOf } from './execute/call.js';
import { commitPosition } from './execute/commit-position.js';
import { connection } from './execute/connection.js';
import type { ExecutionContext } from './execute/context.js';
import { LaneEligibility } from './execute/lane-eligibility.js';
import { loadCatalog } from './execute/load-catalog.js';
import { OpenCalls } from './execute/open-calls.js';
import { query } from './execute/query.js';
import { read } from './execute/read.js';
import type { Statement } from './execute/statement.js';
import { stream } from './execute/stream.js';
import { ended, type Transaction, transaction } from './execute/transaction.js';
import { confirmVisible } from './execute/visibility.js';
import { write } from './execute/write.js';
import { FirstSights } from './freshness/first-sights.js';
import { type Claim, Floor } from './freshness/floor.js';
import { newerPosition } from './freshness/position.js';
import { requirementOf } from './freshness/requirement.js';
import { PriorityLimiter } from './isolation/priority-limiter.js';
import { Fleet, type Need } from './nodes/fleet.js';
import { type Explanation, explain } from './observe/explain.js';
import {
  type AbortOptions,
  type ConnectionOptions,
  checkOptions,
  type ReadOptions,
  type StreamOptions,
  type TransactionOptions,
  type WriteOptions,
} from './options/calls.js';
import { withoutUndefined } from './options/check.js';
import type { Settings } from './options/cluster.js';
import { isOfPg } from './postgres/errors.js';
import { type PreparedQuery, preparedValues } from './postgres/prepared-query.js';
import { keyOf } from './routing/partition.js';
import { type Moment, momentOf } from './session/arrivals.js';
import type { SessionScope } from './session/session.js';
import { type Subject, subjectOf } from './session/subject.js';
import { type Classification, Classifier } from './statements/classifier.js';
import { TextCache } from './statements/text-cache.js';
import { TokenCodec, type TokenFault } from './token/codec.js';

type Values = readonly unknown[];

/**
 * Whose call it is: what an async context carries. On Node 20 and 22 that is a plain property of every promise, timer and socket that is made in it: whoever logs one
 * of them logs this, and so nothing here gives away more than it must.
 */
export interface Context {
  readonly scope: SessionScope;
  readonly transaction: Transaction | undefined;
}

/** Runs something in an async context of its own. */
export type Within = <T>(context: Context, fn: () => T) => T;

export class Calls {
  readonly settings: Settings;
  readonly publisher = new Publisher();
  readonly fleet: Fleet;
  readonly classifier: Classifier;
  readonly context: ExecutionContext;
  /** Those that are under way. */
  readonly open = new OpenCalls();
  readonly #tokens: TokenCodec;
  readonly #within: Within;
  readonly #noFloor = new Floor();
  readonly #firstSights = new FirstSights();
  readonly #leave = <T>(result: T): T => {
    this.open.leave();
    return result;
  };
  #hasToldOfGrammar = false;
  readonly #fail = (error: unknown): never => {
    this.open.leave();
    throw error;
  };
  /** What pg hands to a callback tells the way to a socket: whoever awaits the statement wants to know of his own. */
  readonly #failRetraced = (error: unknown): never => {
    this.open.leave();
    if (isError(error) && isOfPg(error) && Object.isExtensible(error)) Error.captureStackTrace(error);
    throw error;
  };

  constructor(settings: Settings, within: Within) {
    this.settings = settings;
    this.#within = within;
    this.fleet = new Fleet(settings, this.publisher);
    const { readOnlyFunctions, catalogRefreshMillis, onInvalidHint } = settings;
    this.classifier = new Classifier({
      load: (known) => loadCatalog(this.fleet, undefined, known),
      grammarMissing: (cause) => this.#tellOfGrammar(cause),
      readOnlyFunctions,
      catalogRefreshMillis,
      rejectsInvalidHints:
        (onInvalidHint ?? (process.env['NODE_ENV'] === 'production' ? 'ignore' : 'throw')) === 'throw',
    });
    this.publisher.digestOf = (text) => this.classifier.digestOf(text);
    this.context = {
      fleet: this.fleet,
      limiter: new PriorityLimiter(() => primaryReadBudget(this.fleet), settings.maxWaiting),
      eligibility: new LaneEligibility(
        this.classifier,
        settings.nodes.some(({ lane }) => lane !== false) ||
          (settings.discovery !== undefined && settings.foundLane !== false),
      ),
      warned: new TextCache(),
    };
    this.#tokens = new TokenCodec(settings.secrets, settings.tokenLifetimeMillis);
  }

  read<Row extends QueryResultRow>(
    { scope, transaction: joined }: Context,
    asked: Query,
    given: Values | undefined,
    options: ReadOptions | undefined,
  ): Promise<QueryResult<Row>> {
    return this.counted((startedAt) => {
      const query = checkedQuery(asked);
      const values = preparedValues(given);
      if (options === undefined && joined === undefined) {
        const need = this.plainNeed(scope, startedAt);
        return read<Row>(this.context, this.statement(query, values, undefined), need, startedAt);
      }
      if (options !== undefined) checkOptions('read', options);
      return withAbort(options ?? {}, (signal) => {
        if (joined === undefined) {
          const need = this.need(scope, options ?? {}, startedAt);
          return read<Row>(this.context, this.statement(query, values, signal), need, startedAt);
        }
        rejectWithin('read', options, settledIn(joined));
        return joined.run<Row>(joinedStatement(query, values, signal));
      });
    }, this.#failureOf(options));
  }

  write<Row extends QueryResultRow>(
    { scope, transaction: joined }: Context,
    asked: Query,
    given: Values | undefined,
    options: WriteOptions | undefined,
  ): Promise<QueryResult<Row>> {
    return this.counted((startedAt) => {
      const query = checkedQuery(asked);
      const values = preparedValues(given);
      if (joined?.isReadOnly === true) {
        throw new LadderError('LADDER_READ_ONLY_TRANSACTION', 'write was called within a transaction that is readOnly');
      }
      const giveUpAt = this.#awake(startedAt) + (options?.timeoutMillis ?? this.settings.primaryWaitMillis);
      const run = (signal: AbortSignal | undefined): Promise<QueryResult<Row>> =>
        joined === undefined
          ? this.#noting(
              query,
              write<Row>(this.fleet, this.statement(query, values, signal), scope.floor, startedAt, giveUpAt),
            )
          : joined.run<Row>(joinedStatement(query, values, signal));
      if (options === undefined) return run(undefined);
      checkOptions('write', options);
      return withAbort(options, run);
    }, this.#failureOf(options));
  }

  /** What changes the catalogue changes what `query` goes by. */
  #noting<T>(query: PreparedQuery, running: Promise<T>): Promise<T> {
    if (!isDefinition(query)) return running;
    return running.finally(() => this.classifier.changed(textOf(query)));
  }

  query<Row extends QueryResultRow>(
    { scope, transaction: joined }: Context,
    asked: Query,
    given: Values | undefined,
    options: ReadOptions | undefined,
  ): Promise<QueryResult<Row>> {
    return this.counted((startedAt) => {
      const query = checkedQuery(asked);
      const values = preparedValues(given);
      if (options !== undefined) checkOptions('query', options);
      const text = textOf(query);
      const found = joined === undefined ? this.classifier.known(text, startedAt) : undefined;
      if (found !== undefined && options === undefined) {
        return this.#run<Row>(scope, found, text, this.statement(query, values, undefined), undefined, startedAt);
      }
      return withAbort(options ?? {}, async (signal) => {
        if (joined !== undefined) {
          rejectWithin('query', options, settledIn(joined));
          return joined.run<Row>(joinedStatement(query, values, signal));
        }
        const classified = found ?? (await this.classifier.classify(text));
        return this.#run<Row>(scope, classified, text, this.statement(query, values, signal), options, startedAt);
      });
    }, this.#failureOf(options));
  }

  /** Once, and only when somebody listens. */
  #tellOfGrammar(cause: unknown): void {
    if (this.#hasToldOfGrammar || !this.publisher.wants('warning')) return;
    this.#hasToldOfGrammar = true;
    const message = `PostgreSQL's grammar cannot be loaded (${wordFor(cause)}): query, explain and cluster.pool() take every statement for a write and send it to the primary, until a later try succeeds. Deploy all files that your bundler has written, or keep pg-ladder out of the bundle: see "Bundlers, test runners, frameworks" in pg-ladder's README`;
    this.publisher.publish('warning', becauseOf(cause, { code: 'grammar', message }));
  }

  #run<Row extends QueryResultRow>(
    scope: SessionScope,
    found: Classification,
    text: string,
    statement: Statement,
    options: ReadOptions | undefined,
    startedAt: number,
  ): Promise<QueryResult<Row>> {
    if (found.class === 'session' && this.publisher.wants('warning') && this.classifier.isFirst(text)) {
      const digest = this.classifier.digest(text);
      const message = `${found.because}: it ran on a pool, whose connections belong to nobody; use transaction() or connection(), or onConnect for what holds for all`;
      this.publisher.publish('warning', { code: 'session-state', message, digest });
    }
    const isPlain = options === undefined && found.hint === undefined;
    const need = isPlain
      ? this.plainNeed(scope, startedAt)
      : this.need(scope, { ...found.hint, ...withoutUndefined(options ?? {}) }, startedAt);
    return query<Row>(this.context, this.classifier, { text, statement, found, need, floor: scope.floor, startedAt });
  }

  transaction<T>(
    { scope, transaction: joined }: Context,
    fn: (client: PoolClient) => Promise<T> | T,
    options: TransactionOptions = {},
  ): Promise<T> {
    const enter = <R>(current: Transaction, run: () => R): R => this.#within({ scope, transaction: current }, run);
    return this.counted((startedAt) => {
      checkOptions('transaction', options);
      if (joined !== undefined) {
        rejectWithin('transaction', options, Object.keys(options));
        return joined.nest((inner, client) => enter(inner, async () => fn(client)));
      }
      const need = this.need(scope, options, startedAt);
      const target = { ...need, floor: options.readOnly === true ? need.floor : scope.floor };
      const running = withAbort(options, (signal) =>
        transaction(this.context, { fn, options, need: target, enter, signal }),
      );
      return options.readOnly === true ? running : scope.floor.counting(running);
    });
  }

  async *stream<Row>(
    { scope, transaction: joined }: Context,
    text: string,
    values: Values | undefined,
    options: StreamOptions,
  ): AsyncGenerator<Row, void, void> {
    if (joined !== undefined) throw joined.hasEnded ? ended() : unjoinable();
    checkOptions('stream', options);
    checkedQuery(text);
    const startedAt = this.#enter();
    try {
      const deadline = deadlineOf(options);
      try {
        const { batchRows = 100 } = options;
        const { signal } = deadline;
        const need = this.need(scope, options, startedAt);
        yield* stream<Row>(this.context, { text, values: values as unknown[] | undefined, batchRows, need, signal });
      } finally {
        deadline.close();
      }
    } finally {
      this.open.leave();
    }
  }

  connection<T>(
    { scope }: Context,
    fn: (client: PoolClient) => Promise<T> | T,
    options: ConnectionOptions,
  ): Promise<T> {
    return this.counted(async (startedAt) => {
      checkOptions('connection', options);
      const need = this.need(scope, { ...options, target: options.target ?? 'primary' }, startedAt);
      return withAbort(options, (signal) => connection(this.context, fn, need, scope.floor, startedAt, signal));
    });
  }

  explain({ scope }: Context, query: Query, options: ReadOptions): Promise<Explanation> {
    return this.counted(async (startedAt) => {
      const text = textOf(checkedQuery(query));
      checkOptions('read', options);
      await this.classifier.ready();
      const found = await this.classifier.classify(text);
      const need = this.need(scope, { ...found.hint, ...withoutUndefined(options) }, startedAt);
      const dependencies = await this.classifier.dependencies(text);
      const known = { found, dependencies, digest: this.classifier.digest(text) };
      return explain(this.fleet, known, need, startedAt);
    });
  }

  statement(query: PreparedQuery, values: Values | undefined, signal: AbortSignal | undefined): Statement {
    const profile = this.context.eligibility.recordUse(textOf(query));
    return { query, values: values as unknown[] | undefined, signal, profile };
  }

  /** The need of a read without options. */
  plainNeed(scope: SessionScope, startedAt: number): Need {
    const { requirement, key, trace, priority } = scope;
    if (requirement.consistency !== 'session') return this.need(scope, {}, startedAt);
    const floor = scope.readFloor();
    const giveUpAt = this.#awake(startedAt) + this.settings.primaryWaitMillis;
    return { floor, requirement, target: undefined, key, trace, priority, asker: scope, giveUpAt };
  }

  need(scope: SessionScope, options: ReadOptions, startedAt: number): Need {
    const { atLeast, target, partitionKey } = options;
    this.#checkTarget(target);
    const requirement = requirementOf(options, scope.requirement);
    let floor = requirement.consistency === 'eventual' ? this.#noFloor : scope.readFloor();
    if (atLeast !== undefined || requirement.consistency === 'strong') floor = new Floor(undefined, floor);
    if (atLeast !== undefined && this.claim(floor, atLeast, scope.tokenSubject()) !== 'refused')
      scope.trace?.tookToken();
    // All that had been committed when the read began: only an answer of the primary to a later question covers it.
    if (requirement.consistency === 'strong') floor.wrote(startedAt, 0);
    const key = keyOf(partitionKey) ?? scope.key;
    return {
      floor,
      requirement,
      target,
      key,
      trace: scope.trace,
      priority: options.priority ?? scope.priority,
      asker: scope,
      giveUpAt: this.#awake(startedAt) + (options.timeoutMillis ?? this.settings.primaryWaitMillis),
    };
  }

  /** Lays a stranger's token on a floor; one that is refused is counted and otherwise absent. */
  claim(floor: Floor, token: unknown, subject: Subject): 'pinned' | 'claimed' | 'refused' {
    const found = this.judge(token, subjectOf(subject), typeof subject === 'function', momentOf());
    if (found === 'primary-only') {
      floor.pin();
      return 'pinned';
    }
    if (typeof found === 'string') {
      this.fleet.history.refuse(found);
      return 'refused';
    }
    floor.claim(found.position, found.arrivedAt, found.until);
    return 'claimed';
  }

  /** See {@link TokenReader.judge}. What was made for nobody holds for everybody so that users see what they wrote before they logged in. */
  judge(
    token: unknown,
    subject: string | undefined,
    isAsked: boolean,
    { epochMillis, monotonicMillis }: Moment,
  ): Claim | 'primary-only' | TokenFault {
    let position = this.#tokens.decode(token, epochMillis, subject);
    if (position === 'forged' && subject !== undefined && isAsked) position = this.#tokens.decode(token, epochMillis);
    if (typeof position === 'string') return position;
    const isKnown = position.timeline <= this.fleet.history.timelines.timeline;
    const arrivedAt = isKnown ? monotonicMillis : this.#firstSights.of(token as string, monotonicMillis);
    return { position, arrivedAt, until: arrivedAt + this.settings.tokenLifetimeMillis, isRefused: false };
  }

  isToken(text: unknown): text is string {
    return this.#tokens.isToken(text);
  }

  /** Not an async function, since those cost a promise more for each statement. */
  counted<T>(work: (startedAt: number) => Promise<T>, fail = this.#fail): Promise<T> {
    let startedAt: number;
    try {
      startedAt = this.#enter();
    } catch (error) {
      return Promise.reject(error);
    }
    try {
      return work(startedAt).then(this.#leave as (result: T) => T, fail);
    } catch (error) {
      return Promise.reject(error).catch(fail);
    }
  }

  /** Whoever gave up has his own reason back as it is. */
  #failureOf(options: AbortOptions | undefined): (error: unknown) => never {
    const signal = options?.signal;
    // What is no signal is refused, and is no reason for anything.
    if (signal === undefined || signal === null) return this.#failRetraced;
    return (error) => (error === signal.reason ? this.#fail(error) : this.#failRetraced(error));
  }

  #enter(): number {
    this.open.enter();
    const now = performance.now();
    this.fleet.used(now);
    return now;
  }

  #awake(startedAt: number): number {
    return this.fleet.heartbeat.awake(startedAt);
  }

  #checkTarget(target: ReadOptions['target']): void {
    if (typeof target !== 'object') return;
    const names = this.fleet.nodes.map((node) => node.name);
    // Where servers come and go a name may be gone, and is no mistake then.
    if (names.includes(target.node) || this.settings.discovery !== undefined) return;
    // What is no name may be an address, with its password.
    const got = /^[^\s/@]{1,64}$/.test(target.node) ? `"${target.node}"` : 'text that is no name';
    throw invalidOptions(`read: target.node: expected one of ${names.join(', ')}, got ${got}`);
  }

  /** The token of a session. @throws LadderError `LADDER_POSITION_UNAVAILABLE` */
  async token(scope: SessionScope): Promise<string> {
    const floor = scope.tokenFloor();
    const { trace } = scope;
    // A position says nothing of what the primary shows: where the next session reads there, it must show what this one has seen.
    const showing = trace?.isCarried === true ? confirmVisible(this.fleet, trace) : undefined;
    const [own] = await Promise.all([commitPosition(this.fleet, floor), showing]);
    // What its bearer did meanwhile, in another session of this process, has a token already that this one must not take the place of.
    const position = own.lsn === 0n ? own : newerPosition(this.fleet.history.position, own);
    return this.#tokens.encode(position, wallMillis(), subjectOf(scope.tokenSubject()));
  }

  primaryOnlyToken(subject: Subject): string {
    return this.#tokens.encodePrimaryOnly(wallMillis(), subjectOf(subject));
  }
}

/** A transaction's statement has a connection already, and prepares nothing there: what fails in a transaction cannot be tried again. */
function joinedStatement(query: PreparedQuery, values: Values | undefined, signal: AbortSignal | undefined): Statement {
  return { query, values: values as unknown[] | undefined, signal, profile: undefined };
}

/** It would hold up what its own loop awaits of the transaction. */
function unjoinable(): LadderError {
  return invalidOptions(
    'stream: expected no transaction around it, since one statement runs at a time there; read, or use a cursor on the client of the transaction, ' +
      'or outsideTransaction() for what others have committed',
  );
}

/** What a joined read cannot ask for: a replica's snapshot was settled when the transaction began, the primary's satisfies every wish. */
function settledIn({ isReadOnly }: Transaction): string[] {
  return isReadOnly ? ['target', 'atLeast', 'consistency', 'maxStalenessMillis'] : ['target', 'atLeast'];
}

/** Half of what the primary's pool holds, so that writes find connections, and no less than 8. */
function primaryReadBudget({ settings, primary }: Fleet): number {
  return settings.primaryReadBudget ?? Math.max(8, Math.floor((primary.pool.options?.max ?? 10) / 2));
}
