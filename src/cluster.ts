/** `createCluster` and `Cluster`: what users call. Each call goes on to its room, with the session of the calling code. */

import type { Pool, PoolClient, QueryResultRow } from 'pg';
import { ClusterCache } from './cache/cluster-cache.js';
import { Calls } from './calls.js';
import { ClusterChanges } from './changes/cluster-changes.js';
import { Closing } from './closing.js';
import { Contexts, startedWithin } from './contexts.js';
import { invalidOptions } from './errors.js';
import type { LadderEvents } from './events.js';
import type { DefaultRow, Query, Values } from './execute/call.js';
import type { Context } from './execute/call-context.js';
import { Listeners } from './listen/listeners.js';
import type { Listening } from './listen/listening.js';
import type { OpenScope } from './live/live-queries.js';
import type { Explanation } from './observe/explain.js';
import { type ClusterStats, statsOf } from './observe/stats.js';
import { NameClaim } from './open-clusters.js';
import {
  type CloseOptions,
  type ConnectionOptions,
  checkOptions,
  checkSession,
  type PoolOptions,
  type ReadOptions,
  type ReadyOptions,
  type SessionOptions,
  type StreamOptions,
  type TransactionOptions,
  type WriteOptions,
} from './options/calls.js';
import { type ClusterBehaviour, type ClusterOptions, settingsFrom } from './options/cluster.js';
import type { ListenOptions } from './options/listen.js';
import type { WatchOptions } from './options/watch.js';
import { OpenPools } from './pool/open-pools.js';
import { poolAccess } from './pool-access.js';
import { logsOnly } from './redaction.js';
import type { SessionRunner } from './session/runner.js';
import { SessionScope } from './session/scope.js';
import type { Session } from './session/session.js';
import { liveScopes, sessionRunner } from './session-runner.js';

/**
 * Opens a cluster: one primary and its streaming replicas. Returns at once and connects in the background. pg-ladder
 * asks the servers which one is the primary, now and after a failover. The first statements wait until all have
 * answered, at most `hangMillis`.
 * @param options or a URL that names all servers: `postgres://user:password@host1,host2:5433,host3/database`
 * @param behaviour the other options, beside a URL
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function createCluster(options: string | ClusterOptions, behaviour?: ClusterBehaviour): Cluster {
  return new Cluster(options, behaviour);
}

/** A primary and its replicas as one: made by {@link createCluster}. */
export class Cluster implements AsyncDisposable {
  readonly #calls: Calls;
  readonly #contexts = new Contexts();
  /** Outside any session the process is the session. */
  readonly #process: Context;
  readonly #runner: SessionRunner<SessionScope>;
  readonly #openScope: OpenScope;
  readonly #pools: OpenPools;
  readonly #listeners: Listeners;
  readonly #checkedOptions = new WeakSet<SessionOptions>();
  #closing: Closing | undefined;

  static {
    logsOnly(Cluster.prototype, 'Cluster', (cluster) => ({
      name: cluster.name,
      nodes: cluster.#calls.fleet.nodes.map(({ name }) => name),
      isClosed: cluster.#closing !== undefined,
    }));
  }

  constructor(options: string | ClusterOptions, behaviour?: ClusterBehaviour) {
    const settings = settingsFrom(options, behaviour);
    const contexts = this.#contexts;
    const claim = new NameClaim(settings.identity);
    this.#calls = new Calls(settings, (context, fn) => contexts.within(context, fn), claim);
    this.#runner = sessionRunner(this.#calls, this.#contexts);
    const { consistency, maxStalenessMillis } = settings;
    const scope = new SessionScope(this.#runner, undefined, {}, { consistency, maxStalenessMillis });
    this.#process = { scope, transaction: undefined };
    this.#openScope = liveScopes(this.#runner, scope);
    this.#pools = new OpenPools(poolAccess(this.#calls, () => this.#context().scope));
    this.#listeners = new Listeners(this.#calls.fleet);
    this.cache = new ClusterCache(this.#calls.cache);
    this.changes = new ClusterChanges(this.#calls.changes, this.#calls.publisher);
    this.#calls.fleet.start();
  }

  /** Its name in events, `stats()`, logs and errors: the option `name`, or its database's. */
  get name(): string {
    return this.#calls.claim.name;
  }

  /** Its caches: how they do, and how to make them forget. See the option `cache`. */
  readonly cache: ClusterCache;

  /** Which tables change, as far as that is heard. See the option `changes`. */
  readonly changes: ClusterChanges;

  /** `route`, `query` and `node` events; the same are published on `diagnostics_channel` as `pg-ladder:<event>`. */
  get events(): LadderEvents {
    return this.#calls.publisher.emitter;
  }

  /**
   * Runs a statement that the caller knows to only read, on the cheapest node that is fresh enough: a replica that has
   * everything the session wrote, else the primary. When its node is lost, it runs once more on another one. Within a
   * transaction it joins that.
   * @throws pg's own errors, and LadderError `LADDER_NO_CANDIDATE` (only with `target`), `LADDER_TIMEOUT`, `LADDER_INVALID_OPTIONS`,
   * `LADDER_TRANSACTION_ENDED`, `LADDER_CLOSED`
   */
  read<Row extends QueryResultRow = DefaultRow>(query: Query, values?: Values, options?: ReadOptions) {
    return this.#calls.read<Row>(this.#context(), query, values, options);
  }

  /**
   * Runs a statement on the primary, once; the session's later reads see it. Returns when pg does. Within a transaction
   * it joins that.
   * @throws pg's own errors, and LadderError `LADDER_WRITE_OUTCOME_UNKNOWN` when its connection was lost or the call was
   * aborted, `LADDER_NOT_PRIMARY`, `LADDER_READ_ONLY_TRANSACTION`, `LADDER_TIMEOUT`, `LADDER_TRANSACTION_ENDED`, `LADDER_CLOSED`
   */
  write<Row extends QueryResultRow = DefaultRow>(query: Query, values?: Values, options?: WriteOptions) {
    return this.#calls.write<Row>(this.#context(), query, values, options);
  }

  /**
   * Runs a statement where it belongs, by PostgreSQL's own grammar and the server's catalogue: one that provably only
   * reads like `read`, any other like `write`. A single statement that a replica still refuses runs once more on the
   * primary. A leading comment may say more, see https://pg-ladder.github.io/pg-ladder/reference/hints. Within a transaction it joins that.
   * @throws as `read` and `write` do
   */
  query<Row extends QueryResultRow = DefaultRow>(text: Query, values?: Values, options?: ReadOptions) {
    return this.#calls.query<Row>(this.#context(), text, values, options);
  }

  /**
   * Runs `fn` in a transaction, commits when it resolves and rolls back when it rejects. `read`, `write` and
   * `transaction` called within join it, the last as a savepoint and without options; one statement runs at a time.
   * With `readOnly` it runs on a replica that is fresh enough when it begins. `fn` runs once, unless `retries` says more.
   * @throws what `fn` throws, pg's own errors, and LadderError `LADDER_TRANSACTION_ABORTED` when a failed statement's
   * error was caught within, `LADDER_WRITE_OUTCOME_UNKNOWN` when the connection was lost during COMMIT (before COMMIT,
   * nothing was committed, and the error says so), `LADDER_NOT_PRIMARY`, `LADDER_TIMEOUT`, `LADDER_CLOSED`
   */
  transaction<T>(fn: (client: PoolClient) => Promise<T> | T, options: TransactionOptions = {}): Promise<T> {
    return this.#calls.transaction(this.#context(), fn, options);
  }

  /**
   * The rows of a read, one after the other, placed like `read`. It runs again elsewhere only while no row has been
   * handed out. Leaving the loop early is fine. It needs the package `pg-query-stream`, and is refused within a
   * transaction.
   * @throws as `read` does, when the iteration begins; LadderError `LADDER_INVALID_OPTIONS` within a transaction
   */
  stream<Row extends QueryResultRow = DefaultRow>(
    text: string,
    values?: Values,
    options: StreamOptions = {},
  ): AsyncGenerator<Row, void, void> {
    return this.#calls.stream<Row>(this.#context(), text, values, options);
  }

  /**
   * The result of a read now, and a new one whenever it has changed: every state, not every change. Equal queries run
   * once for all. It runs when its tables change, with the option `changes`; else every `maxStalenessMillis`.
   * @throws LadderError `LADDER_INVALID_OPTIONS`, also from `next()`, where it cannot be watched; `LADDER_CLOSED`. `next()`
   * rejects as `read` does where the first run fails
   */
  watch<Row extends QueryResultRow = DefaultRow>(query: Query, values?: Values, options: WatchOptions<Row> = {}) {
    return this.#calls.live.watch<Row>(this.#context(), query, values, options, this.#openScope);
  }

  /**
   * Hands `fn` a raw client, for LISTEN, COPY, session locks and migrations. On the primary (the default) its writes
   * count as the session's. The connection is closed afterwards, since its state is unknown.
   * @throws what `fn` throws, pg's own errors, and LadderError as `write` and `read` do
   */
  connection<T>(fn: (client: PoolClient) => Promise<T> | T, options: ConnectionOptions = {}): Promise<T> {
    return this.#calls.connection(this.#context(), fn, options);
  }

  /**
   * Runs `fn`, and everything that it awaits, within a session of its own. Reads there see the session's writes, what
   * its token stands for, and (unless `inherit: 'none'`) what this process wrote before. No read sees less than one
   * before it. A nested session starts from the outer one and folds into it. A query builder that `fn` returns starts
   * within, too.
   * @throws LadderError `LADDER_INVALID_OPTIONS`
   */
  session<T>(fn: (session: Session) => T, options: SessionOptions = {}): T {
    if (typeof fn !== 'function') throw invalidOptions('session: expected a function first, and options behind it');
    if (!this.#checkedOptions.has(options)) {
      checkSession(options, this.#calls.settings.secrets.length > 0);
      // The same for every request: it is looked at once.
      if (Object.isFrozen(options)) this.#checkedOptions.add(options);
    }
    this.#calls.checkCache('session', options.cache);
    const outer = this.#context();
    const scope = new SessionScope(this.#runner, outer.scope, options, outer.scope.requirement);
    return this.#contexts.within({ scope, transaction: outer.transaction }, () => startedWithin(fn(scope)));
  }

  /** The session that the calling code runs in; `undefined` outside any. */
  currentSession(): Session | undefined {
    const scope = this.#contexts.current?.scope;
    return scope === this.#process.scope ? undefined : scope;
  }

  /** Runs `fn` in the same session, outside the transaction of the calling code: for work that must not join it, or outlives it. */
  outsideTransaction<T>(fn: () => T): T {
    return this.#contexts.within({ scope: this.#context().scope, transaction: undefined }, fn);
  }

  /** How `query` would classify a text and why, and where it would go now. It runs nothing and waits for no replica. */
  explain(text: Query, values?: Values, options: ReadOptions = {}): Promise<Explanation> {
    return this.#calls.explain(this.#context(), text, values, options);
  }

  /**
   * A `pg.Pool` for ORMs, query builders and job queues. Reads run on replicas that are fresh enough for the calling
   * code's session. Everything else, transactions and their reads included, runs on the primary; it never joins a
   * `transaction()`. It opens its own connections to the primary, with the primary's options, and ends them with
   * `end()`, or with the cluster.
   * @throws LadderError `LADDER_INVALID_OPTIONS`, `LADDER_CLOSED`
   */
  pool(options: PoolOptions = {}): Pool {
    checkOptions('pool', options);
    this.#calls.gate.check();
    return this.#pools.open(options);
  }

  /**
   * Hears NOTIFY on a channel, whichever server is the primary: an async iterable of notifications, and of gaps where
   * some may be missing. It begins at once, on one connection for all; its signal, or leaving the loop, ends it.
   * @param channel taken exactly, at most 63 bytes: `NOTIFY Orders` goes to `orders`
   * @throws LadderError `LADDER_INVALID_OPTIONS`, `LADDER_CLOSED`; in the loop `LADDER_CANNOT_LISTEN`
   */
  listen(channel: string, options: ListenOptions = {}): Listening {
    this.#calls.gate.check();
    return this.#listeners.listen(channel, options);
  }

  /** What is known now: every node's state and position, where statements went and why. A snapshot that never changes. */
  stats(): ClusterStats {
    return statsOf(this.#calls.context);
  }

  /**
   * Resolves when one node takes writes and every other follows it. Nodes that `discovery` has found have been asked by
   * then, and may be down. An application need not wait for it.
   * @throws LadderError what is wrong with the first node that is not ready then: `LADDER_NODE_UNREACHABLE`, `LADDER_WRONG_ROLE`,
   * `LADDER_NOT_PRIMARY`, `LADDER_FOREIGN_NODE`, `LADDER_TWO_PRIMARIES`; `LADDER_DISCOVERY_FAILED` when the discovery has given no first answer
   */
  ready(options: ReadyOptions = {}): Promise<void> {
    return this.#calls.gate.run(() => {
      checkOptions('ready', options);
      return this.#calls.ready(options.timeoutMillis ?? 10_000);
    });
  }

  /**
   * Lets what is under way end, then ends the pools that the library made and its own connections. Pools that were
   * handed in stay open. Later calls are refused with `LADDER_CLOSED`; closing again waits for the same end, and may set
   * a deadline for it.
   *
   * With `timeoutMillis` it resolves at most about three times `hangMillis` after that. Calls that wait by then reject
   * with `LADDER_CLOSED`. Running statements are cancelled on their server, and reject with pg's error (57014).
   * Transactions, streams and clients that go on after that lose their connections.
   * @throws LadderError `LADDER_INVALID_OPTIONS`
   */
  close(options: CloseOptions = {}): Promise<void> {
    try {
      checkOptions('close', options);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#closing ??= this.#close();
    this.#closing.within(options.timeoutMillis);
    return this.#closing.over;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #close(): Closing {
    const pools = this.#pools.all;
    const { cache, changes, claim, context, fleet, gate, live, publisher } = this.#calls;
    claim.release();
    live.close();
    const ended = Promise.all([gate.close(), this.#listeners.close(), this.#pools.end()]);
    return new Closing(ended, { fleet, cache, changes, watch: context.watch, gate, publisher, pools });
  }

  #context(): Context {
    return this.#contexts.current ?? this.#process;
  }
}
