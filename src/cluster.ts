/** createCluster and Cluster: the life of a query, from the call to the rung. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Pool, PoolClient, QueryResult, QueryResultRow } from 'pg';
import { invalidOptions, LadderError } from './errors.js';
import { type LadderEvents, Publisher } from './events.js';
import { deadlineOf, withAbort } from './execute/abort.js';
import { checkQuery, isDefinition, type Query, rejectWithin, textOf } from './execute/call.js';
import { commitPosition } from './execute/commit-position.js';
import { connection } from './execute/connection.js';
import { loadCatalog } from './execute/load-catalog.js';
import { OpenCalls } from './execute/open-calls.js';
import { query } from './execute/query.js';
import { read } from './execute/read.js';
import { isConnectionLoss, isServerError } from './execute/retry.js';
import type { Rungs } from './execute/rungs.js';
import type { Statement } from './execute/statement.js';
import { stream } from './execute/stream.js';
import { type Transaction, transaction } from './execute/transaction.js';
import { write } from './execute/write.js';
import { Floor } from './freshness/floor.js';
import { newerPosition } from './freshness/position.js';
import { requirementOf } from './freshness/requirement.js';
import { TokenCodec } from './freshness/token.js';
import { Admission } from './isolation/admission.js';
import { FallbackBudget } from './isolation/fallback-budget.js';
import { Fleet, type Need } from './nodes/fleet.js';
import { type Explanation, explain } from './observe/explain.js';
import { type ClusterStats, statsOf } from './observe/stats.js';
import {
  type ClusterBehaviour,
  type ClusterOptions,
  type ConnectionOptions,
  checkOptions,
  type PoolOptions,
  type ReadOptions,
  type SessionOptions,
  type Settings,
  type StreamOptions,
  settingsFrom,
  type TransactionOptions,
  type WriteOptions,
} from './options.js';
import type { ClusterAccess } from './pool/access.js';
import { RoutingPool } from './pool/pool.js';
import { type Session, type SessionRunner, SessionScope } from './session/session.js';
import { type Classification, Classifier } from './sql/classifier.js';

type Values = readonly unknown[];
type DefaultRow = Record<string, unknown>;

/** What an async context carries. */
interface Context {
  readonly scope: SessionScope;
  readonly transaction: Transaction | undefined;
}

/**
 * Opens a cluster: one primary and its streaming replicas. Returns at once and connects in the background. Who is the primary, now and after a failover, is
 * found out by asking the servers; the first statements wait until all have answered, at most `hangMillis`.
 * @param options or a URL that names all servers: `postgres://user:password@host1,host2:5433,host3/database`
 * @param behaviour the other options, beside a URL
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function createCluster(options: string | ClusterOptions, behaviour?: ClusterBehaviour): Cluster {
  return new Cluster(options, behaviour);
}

/** A primary and its replicas as one: made by {@link createCluster}. */
export class Cluster implements AsyncDisposable {
  readonly #settings: Settings;
  readonly #fleet: Fleet;
  readonly #rungs: Rungs;
  readonly #classifier: Classifier;
  readonly #tokens: TokenCodec;
  readonly #publisher = new Publisher();
  readonly #contexts = new AsyncLocalStorage<Context>();
  /** Outside any session the process is the session. */
  readonly #process: Context;
  readonly #runner: SessionRunner;
  readonly #noFloor = new Floor();
  readonly #open = new OpenCalls();
  readonly #access: ClusterAccess;
  readonly #pools = new Set<Pool>();
  readonly #checkedOptions = new WeakSet<SessionOptions>();
  readonly #leave = <T>(result: T): T => {
    this.#open.leave();
    return result;
  };
  readonly #fail = (error: unknown): never => {
    this.#open.leave();
    throw error;
  };
  /** What pg hands to a callback tells the way to a socket: whoever awaits the statement wants to know of his own. */
  readonly #failRetraced = (error: unknown): never => {
    if (error instanceof Error && (isServerError(error) || isConnectionLoss(error))) Error.captureStackTrace(error);
    return this.#fail(error);
  };
  #closing: Promise<void> | undefined;

  constructor(options: string | ClusterOptions, behaviour?: ClusterBehaviour) {
    this.#settings = settingsFrom(options, behaviour);
    this.#fleet = new Fleet(this.#settings, this.#publisher);
    const { readOnlyFunctions, catalogRefreshMillis, onInvalidHint } = this.#settings;
    this.#classifier = new Classifier({
      load: () => loadCatalog(this.#fleet),
      readOnlyFunctions,
      catalogRefreshMillis,
      rejectsInvalidHints:
        (onInvalidHint ?? (process.env['NODE_ENV'] === 'production' ? 'ignore' : 'throw')) === 'throw',
    });
    this.#rungs = {
      fleet: this.#fleet,
      budget: new FallbackBudget(() => primaryReadBudget(this.#fleet)),
      admission: new Admission(
        this.#classifier,
        this.#settings.nodes.some(({ lane }) => lane !== false),
      ),
    };
    this.#tokens = new TokenCodec(this.#settings.secrets, this.#settings.tokenLifetimeMillis);
    this.#runner = this.#makeRunner();
    const scope = new SessionScope(this.#runner, undefined, {}, this.#settings);
    this.#process = { scope, transaction: undefined };
    this.#access = this.#makeAccess();
    this.#fleet.monitor.start();
  }

  /** `route`, `query` and `node` events; the same are published on `diagnostics_channel` as `pg-ladder:<name>`. */
  get events(): LadderEvents {
    return this.#publisher.emitter;
  }

  /**
   * Runs a statement of which the caller vouches that it only reads, on the cheapest node that is fresh enough: a replica that
   * has everything the session wrote, else the primary. It is run a second time, elsewhere, when the first node is lost under it.
   * Within a transaction it joins that.
   * @throws pg's own errors, and LadderError `LADDER_NO_CANDIDATE` (only with `target`), `LADDER_TIMEOUT`, `LADDER_INVALID_OPTIONS`,
   * `LADDER_TRANSACTION_ENDED`, `LADDER_CLOSED`
   */
  read<Row extends QueryResultRow = DefaultRow>(query: Query, values?: Values, options?: ReadOptions) {
    return this.#read<Row>(this.#context(), query, values, options);
  }

  /**
   * Runs a statement on the primary, once; the session's later reads see it. Returns when pg does. Within a transaction it joins that.
   * @throws pg's own errors, and LadderError `LADDER_WRITE_OUTCOME_UNKNOWN` when the connection was lost meanwhile or it was given up,
   * `LADDER_NOT_PRIMARY`, `LADDER_READ_ONLY_TRANSACTION`, `LADDER_TIMEOUT`, `LADDER_TRANSACTION_ENDED`, `LADDER_CLOSED`
   */
  write<Row extends QueryResultRow = DefaultRow>(query: Query, values?: Values, options?: WriteOptions) {
    return this.#write<Row>(this.#context(), query, values, options);
  }

  /**
   * Runs a statement where it belongs, as PostgreSQL's own grammar and the server's catalogue tell: one that provably only reads as `read` does, any other
   * as `write` does. A single statement that a replica refuses all the same runs once more on the primary. A leading comment may say more, see the README on
   * hints. Within a transaction it joins that.
   * @throws as `read` and `write` do
   */
  query<Row extends QueryResultRow = DefaultRow>(text: Query, values?: Values, options?: ReadOptions) {
    return this.#query<Row>(this.#context(), text, values, options);
  }

  /**
   * Runs `fn` in a transaction, commits when it resolves and rolls back when it rejects. `read`, `write` and `transaction` called
   * within join it, the last as a savepoint and without options; one statement runs at a time. With `readOnly` it runs on a replica that is fresh enough
   * before it begins. `fn` runs once, unless `retries` says more.
   * @throws what `fn` throws, pg's own errors, and LadderError `LADDER_TRANSACTION_ABORTED` when a failed statement's error was caught
   * within, `LADDER_WRITE_OUTCOME_UNKNOWN` when the connection was lost during COMMIT, `LADDER_NOT_PRIMARY`, `LADDER_TIMEOUT`, `LADDER_CLOSED`
   */
  transaction<T>(fn: (client: PoolClient) => Promise<T> | T, options: TransactionOptions = {}): Promise<T> {
    return this.#transaction(this.#context(), fn, options);
  }

  /**
   * The rows of a read, one after the other, placed as `read` is. It is run again elsewhere only while no row has been handed out.
   * Leaving the loop early is fine. Needs the package `pg-query-stream`; never joins a transaction.
   * @throws as `read` does, when the iteration begins
   */
  stream<Row extends QueryResultRow = DefaultRow>(
    text: string,
    values?: Values,
    options: StreamOptions = {},
  ): AsyncGenerator<Row, void, void> {
    return this.#stream<Row>(this.#context(), text, values, options);
  }

  /**
   * Hands `fn` a raw client, for LISTEN, COPY, session locks and migrations. On the primary (the default) what it writes counts as the
   * session's. The connection is closed afterwards, since nobody knows what state it is in.
   * @throws what `fn` throws, pg's own errors, and LadderError as `write` and `read` do
   */
  connection<T>(fn: (client: PoolClient) => Promise<T> | T, options: ConnectionOptions = {}): Promise<T> {
    const { scope } = this.#context();
    return this.#counted(async (startedAt) => {
      checkOptions('connection', options);
      return withAbort(options, (signal) =>
        connection(
          this.#rungs,
          fn,
          this.#need(scope, { target: 'primary', ...options }, startedAt),
          scope.floor,
          startedAt,
          signal,
        ),
      );
    });
  }

  /**
   * Runs `fn` within a session of its own, through whatever it awaits: its reads see its writes, what its token stands for, and
   * (unless `inherit: 'none'`) what this process wrote before; and none sees less than one before it. Nested sessions start from
   * and fold into the outer one. A query builder that `fn` returns, which starts when it is awaited, starts within.
   * @throws LadderError `LADDER_INVALID_OPTIONS`
   */
  session<T>(fn: (session: Session) => T, options: SessionOptions = {}): T {
    if (!this.#checkedOptions.has(options)) {
      checkOptions('session', options);
      // The same for every request: it is looked at once.
      if (Object.isFrozen(options)) this.#checkedOptions.add(options);
    }
    if (options.subject !== undefined && this.#settings.secrets.length === 0) {
      throw invalidOptions(
        'session: subject: expected secrets to be set on the cluster: a token that is not signed binds nobody',
      );
    }
    const outer = this.#context();
    const scope = new SessionScope(this.#runner, outer.scope, options, outer.scope.requirement);
    return this.#contexts.run({ scope, transaction: outer.transaction }, () => begun(fn(scope)));
  }

  /** The session that the calling code runs in; `undefined` outside any. */
  currentSession(): Session | undefined {
    const scope = this.#contexts.getStore()?.scope;
    return scope === this.#process.scope ? undefined : scope;
  }

  /** Runs `fn` outside the transaction of the calling code, in the same session: for work that must not join it, or that outlives it. */
  outsideTransaction<T>(fn: () => T): T {
    return this.#contexts.run({ scope: this.#context().scope, transaction: undefined }, fn);
  }

  /** What `query` would make of a text and why, and where it would go now: without running it, and without waiting for a replica. */
  explain(text: Query, _values?: Values, options: ReadOptions = {}): Promise<Explanation> {
    const { scope } = this.#context();
    return this.#counted(async (startedAt) => {
      checkQuery(text);
      checkOptions('read', options);
      await this.#classifier.ready();
      const found = await this.#classifier.classify(textOf(text));
      return explain(this.#fleet, found, this.#need(scope, { ...found.hint, ...options }, startedAt), startedAt);
    });
  }

  /**
   * A `pg.Pool` for whatever takes one: ORMs, query builders, job queues. Reads run on replicas that are fresh enough for the calling code's session, everything
   * else, transactions and their reads included, on the primary; it never joins a `transaction()`. It opens connections of its own to the primary, with the
   * primary's options, and ends them with `end()`, or with the cluster.
   * @throws LadderError `LADDER_INVALID_OPTIONS`, `LADDER_CLOSED`
   */
  pool(options: PoolOptions = {}): Pool {
    checkOptions('pool', options);
    this.#open.check();
    for (const pool of this.#pools) if (pool.ended) this.#pools.delete(pool);
    const pool = new RoutingPool(this.#access, options.intent ?? 'auto');
    this.#pools.add(pool);
    return pool;
  }

  /** What is known now: every node's state and position, where statements went and why. A snapshot that never changes. */
  stats(): ClusterStats {
    return statsOf(this.#fleet, this.#rungs.budget);
  }

  /**
   * Resolves when one node takes writes and every other follows it. An application need not wait for it.
   * @param timeoutMillis above 0, default 10,000
   * @throws LadderError what is wrong with the first node that is not ready then: `LADDER_NODE_UNREACHABLE`, `LADDER_WRONG_ROLE`,
   * `LADDER_NOT_PRIMARY`, `LADDER_FOREIGN_NODE`, `LADDER_TWO_PRIMARIES`
   */
  ready({ timeoutMillis = 10_000 }: { timeoutMillis?: number } = {}): Promise<void> {
    return this.#counted(() => this.#fleet.ready(timeoutMillis));
  }

  /**
   * Lets what is under way end, then ends the pools that the library made and its own connections. Pools that were handed in stay
   * open. Later calls are refused with `LADDER_CLOSED`; closing again waits for the same end.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const pools = [...this.#pools].filter(({ ending }) => !ending);
    await Promise.all([this.#open.close(), ...pools.map((pool) => pool.end())]);
    await this.#fleet.close();
  }

  #context(): Context {
    return this.#contexts.getStore() ?? this.#process;
  }

  /** The context of a session that is passed explicitly: it joins the transaction of the calling code if that is its own. */
  #contextOf(scope: SessionScope): Context {
    const current = this.#contexts.getStore();
    return current?.scope === scope ? current : { scope, transaction: undefined };
  }

  #makeRunner(): SessionRunner {
    return {
      read: (scope, query, values, options) => this.#read(this.#contextOf(scope), query, values, options),
      write: (scope, query, values, options) => this.#write(this.#contextOf(scope), query, values, options),
      query: (scope, text, values, options) => this.#query(this.#contextOf(scope), text, values, options),
      transaction: (scope, fn, options) => this.#transaction(this.#contextOf(scope), fn, options),
      token: async (scope) => {
        const own = await commitPosition(this.#fleet, scope.tokenFloor());
        // What its bearer did meanwhile, in another session of this process, has a token already that this one must not take the place of.
        const position = own.lsn === 0n ? own : newerPosition(this.#fleet.trail.position, own);
        return this.#tokens.encode(position, Date.now(), scope.subject);
      },
      claim: (floor, token, subject) => this.#claim(floor, token, subject),
      carrier: {
        isSigned: this.#settings.secrets.length > 0,
        hasTokens: this.#settings.tracking === 'lsn',
        tokenLifetimeMillis: this.#settings.tokenLifetimeMillis,
        primaryOnlyToken: (subject) => this.#tokens.encodePrimaryOnly(Date.now(), subject),
        within: (scope, fn) => {
          const context = this.#contexts.getStore();
          if (context?.scope === scope) return fn();
          return this.#contexts.run({ scope, transaction: undefined }, fn);
        },
        warn: (warning) => {
          if (this.#publisher.wants('warning')) this.#publisher.publish('warning', warning());
        },
      },
      tracesReads: this.#settings.tracking === 'lsn',
    };
  }

  #makeAccess(): ClusterAccess {
    return {
      rungs: this.#rungs,
      classifier: this.#classifier,
      used: () => this.#fleet.monitor.used(performance.now()),
      scope: () => this.#context().scope,
      bind: (callback) => {
        const context = this.#contexts.getStore();
        return context === undefined
          ? (...args) => this.#contexts.exit(callback, ...args)
          : (...args) => this.#contexts.run(context, callback, ...args);
      },
      outsideSessions: (fn) => this.#contexts.exit(fn),
      need: (scope, hint, startedAt) =>
        hint === undefined ? this.#plainNeed(scope, startedAt) : this.#need(scope, hint, startedAt),
      statement: (query, values, introduce) =>
        introduce === undefined
          ? this.#statement(query, values, undefined)
          : { query, values, signal: undefined, profile: undefined, introduce },
    };
  }

  #read<Row extends QueryResultRow>(
    { scope, transaction: joined }: Context,
    query: Query,
    values: Values | undefined,
    options: ReadOptions | undefined,
  ): Promise<QueryResult<Row>> {
    return this.#counted((startedAt) => {
      checkQuery(query);
      if (options === undefined && joined === undefined) {
        const need = this.#plainNeed(scope, startedAt);
        return read<Row>(this.#rungs, this.#statement(query, values, undefined), need, startedAt);
      }
      if (options !== undefined) checkOptions('read', options);
      return withAbort(options ?? {}, (signal) => {
        if (joined === undefined) {
          const need = this.#need(scope, options ?? {}, startedAt);
          return read<Row>(this.#rungs, this.#statement(query, values, signal), need, startedAt);
        }
        rejectWithin('read', options, settledIn(joined));
        return joined.run<Row>(joinedStatement(query, values, signal));
      });
    }, this.#failRetraced);
  }

  #write<Row extends QueryResultRow>(
    { scope, transaction: joined }: Context,
    query: Query,
    values: Values | undefined,
    options: WriteOptions | undefined,
  ): Promise<QueryResult<Row>> {
    return this.#counted((startedAt) => {
      checkQuery(query);
      if (joined?.isReadOnly === true) {
        throw new LadderError('LADDER_READ_ONLY_TRANSACTION', 'write was called within a transaction that is readOnly');
      }
      const giveUpAt = startedAt + (options?.timeoutMillis ?? this.#settings.primaryWaitMillis);
      const run = (signal: AbortSignal | undefined): Promise<QueryResult<Row>> =>
        joined === undefined
          ? this.#noting(
              query,
              write<Row>(this.#fleet, this.#statement(query, values, signal), scope.floor, startedAt, giveUpAt),
            )
          : joined.run<Row>(joinedStatement(query, values, signal));
      if (options === undefined) return run(undefined);
      checkOptions('write', options);
      return withAbort(options, run);
    }, this.#failRetraced);
  }

  /** What changes the catalogue changes what `query` goes by. */
  #noting<T>(query: Query, running: Promise<T>): Promise<T> {
    if (!this.#classifier.isInUse || !isDefinition(query)) return running;
    return running.finally(() => this.#classifier.changed());
  }

  #query<Row extends QueryResultRow>(
    { scope, transaction: joined }: Context,
    query: Query,
    values: Values | undefined,
    options: ReadOptions | undefined,
  ): Promise<QueryResult<Row>> {
    return this.#counted((startedAt) => {
      checkQuery(query);
      if (options !== undefined) checkOptions('read', options);
      const text = textOf(query);
      const found = joined === undefined ? this.#classifier.known(text, startedAt) : undefined;
      if (found !== undefined && options === undefined) {
        return this.#run<Row>(scope, found, text, this.#statement(query, values, undefined), undefined, startedAt);
      }
      return withAbort(options ?? {}, async (signal) => {
        if (joined !== undefined) {
          rejectWithin('query', options, settledIn(joined));
          return joined.run<Row>(joinedStatement(query, values, signal));
        }
        const classified = found ?? (await this.#classifier.classify(text));
        return this.#run<Row>(scope, classified, text, this.#statement(query, values, signal), options, startedAt);
      });
    }, this.#failRetraced);
  }

  #run<Row extends QueryResultRow>(
    scope: SessionScope,
    found: Classification,
    text: string,
    statement: Statement,
    options: ReadOptions | undefined,
    startedAt: number,
  ): Promise<QueryResult<Row>> {
    if (found.class === 'session' && this.#publisher.wants('warning') && this.#classifier.isFirst(text)) {
      const message = `${found.because}: it ran on a pool, whose connections belong to nobody; use transaction() or connection(), or onConnect for what holds for all`;
      this.#publisher.publish('warning', { code: 'session-state', message });
    }
    const isPlain = options === undefined && found.hint === undefined;
    const need = isPlain
      ? this.#plainNeed(scope, startedAt)
      : this.#need(scope, { ...found.hint, ...options }, startedAt);
    return query<Row>(this.#rungs, this.#classifier, { text, statement, found, need, floor: scope.floor, startedAt });
  }

  #transaction<T>(
    { scope, transaction: joined }: Context,
    fn: (client: PoolClient) => Promise<T> | T,
    options: TransactionOptions = {},
  ): Promise<T> {
    const enter = <R>(current: Transaction, run: () => R): R =>
      this.#contexts.run({ scope, transaction: current }, run);
    return this.#counted((startedAt) => {
      checkOptions('transaction', options);
      if (joined !== undefined) {
        rejectWithin('transaction', options, Object.keys(options));
        return joined.nest((inner) => enter(inner, async () => fn(joined.placement.connection.client)));
      }
      const { consistency, maxStalenessMillis, timeoutMillis } = options;
      const need = this.#need(scope, { consistency, maxStalenessMillis, timeoutMillis }, startedAt);
      const target = { ...need, floor: options.readOnly === true ? need.floor : scope.floor };
      return withAbort(options, (signal) => transaction(this.#rungs, { fn, options, need: target, enter, signal }));
    });
  }

  async *#stream<Row>(
    { scope }: Context,
    text: string,
    values: Values | undefined,
    options: StreamOptions,
  ): AsyncGenerator<Row, void, void> {
    checkOptions('stream', options);
    checkQuery(text);
    const startedAt = this.#enter();
    try {
      const deadline = deadlineOf(options);
      try {
        const { batchRows = 100 } = options;
        const { signal } = deadline;
        const need = this.#need(scope, options, startedAt);
        yield* stream<Row>(this.#rungs, { text, values: values as unknown[] | undefined, batchRows, need, signal });
      } finally {
        deadline.close();
      }
    } finally {
      this.#open.leave();
    }
  }

  #statement(query: Query, values: Values | undefined, signal: AbortSignal | undefined): Statement {
    const profile = this.#rungs.admission.sighted(textOf(query));
    return { query, values: values as unknown[] | undefined, signal, profile };
  }

  /** The need of a read without options. */
  #plainNeed(scope: SessionScope, startedAt: number): Need {
    const { floor, requirement, partitionKey, trace, priority } = scope;
    if (requirement.consistency !== 'session') return this.#need(scope, {}, startedAt);
    const giveUpAt = startedAt + this.#settings.primaryWaitMillis;
    return { floor, requirement, target: undefined, partitionKey, trace, priority, giveUpAt };
  }

  #need(scope: SessionScope, options: ReadOptions, startedAt: number): Need {
    const { atLeast, target } = options;
    this.#checkTarget(target);
    const requirement = requirementOf(options, scope.requirement);
    let floor = requirement.consistency === 'eventual' ? this.#noFloor : scope.floor;
    if (atLeast !== undefined || requirement.consistency === 'strong') floor = new Floor(undefined, floor);
    if (atLeast !== undefined) this.#claim(floor, atLeast, scope.subject);
    // All that had been committed when the read began: only an answer of the primary to a later question covers it.
    if (requirement.consistency === 'strong') floor.wrote(startedAt, 0);
    return {
      floor,
      requirement,
      target,
      partitionKey: options.partitionKey ?? scope.partitionKey,
      trace: scope.trace,
      priority: options.priority ?? scope.priority,
      giveUpAt: startedAt + (options.timeoutMillis ?? this.#settings.primaryWaitMillis),
    };
  }

  /** Lays a stranger's token on a floor; one that is refused is counted and otherwise absent. */
  #claim(floor: Floor, token: string, subject: string | undefined): 'pinned' | 'claimed' | 'refused' {
    const position = this.#tokens.decode(token, Date.now(), subject);
    if (position === 'primary-only') {
      floor.pin();
      return 'pinned';
    }
    if (typeof position === 'string') {
      this.#fleet.trail.refuse(position);
      return 'refused';
    }
    floor.claim(position, performance.now());
    return 'claimed';
  }

  /** Not an async function, since those cost a promise more for each statement. */
  #counted<T>(work: (startedAt: number) => Promise<T>, fail = this.#fail): Promise<T> {
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

  #enter(): number {
    this.#open.enter();
    const now = performance.now();
    this.#fleet.monitor.used(now);
    return now;
  }

  #checkTarget(target: ReadOptions['target']): void {
    if (typeof target !== 'object') return;
    const names = this.#fleet.nodes.map((node) => node.name);
    if (names.includes(target.node)) return;
    throw invalidOptions(`read: target.node: expected one of ${names.join(', ')}, got "${target.node}"`);
  }
}

/** What query builders return starts when it is awaited, which the caller does outside the session. */
function begun<T>(result: T): T {
  if (result instanceof Promise || typeof (result as { then?: unknown } | undefined)?.then !== 'function')
    return result;
  const lazy = result as unknown as PromiseLike<unknown>;
  return new Promise((resolve, reject) => void lazy.then(resolve, reject)) as T;
}

/** A transaction's statement has a connection already, and prepares nothing there: what fails in a transaction cannot be tried again. */
function joinedStatement(query: Query, values: Values | undefined, signal: AbortSignal | undefined): Statement {
  return { query, values: values as unknown[] | undefined, signal, profile: undefined };
}

/** What a joined read cannot ask for: a replica's snapshot was settled when the transaction began, the primary's satisfies every wish. */
function settledIn({ isReadOnly }: Transaction): string[] {
  return isReadOnly ? ['target', 'atLeast', 'consistency', 'maxStalenessMillis'] : ['target', 'atLeast'];
}

/** Half of what the primary's pool holds, so that writes find connections, and no less than 8. */
function primaryReadBudget({ settings, primary }: Fleet): number {
  return settings.primaryReadBudget ?? Math.max(8, Math.floor((primary.pool.options?.max ?? 10) / 2));
}
