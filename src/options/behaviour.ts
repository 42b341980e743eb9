/**
 * The options of `createCluster`, as users read them. Types and documentation only: `cluster.ts`
 * checks them.
 */
import type pg from 'pg';
import type { FreshnessOptions } from '../freshness/requirement.js';
import type { CacheOptions } from './cache.js';
import type { ChangesOptions } from './changes.js';
import type { InheritCredentials } from './credentials.js';
import type { Discovery } from './discovery.js';
import type { LabelledNodes, UnlabelledNodes } from './servers.js';

/** The shared connections of one node; see {@link ClusterBehaviour.lane}. */
export interface LaneOptions {
  /**
   * How many a node has, 1 to 64. Default 1, from four cores on 2. One keeps a core of the server
   * busy; each further one halves how many statements travel in one packet.
   */
  connections?: number | undefined;
  /**
   * Statements under way on one connection, 1 to 10,000. Default 128. Statements beyond that use
   * the pool.
   */
  maxInFlight?: number | undefined;
}

/** How often reads may be sent a second time; see {@link ClusterBehaviour.retryBudget}. */
export interface RetryBudgetOptions {
  /** As a part of the statements of the last ten seconds, 0 to 1. Default 0.2. */
  share?: number | undefined;
  /** Beside that, for each second, 0 and above. Default 10. */
  perSecond?: number | undefined;
}

export type ClusterOptions = (LabelledNodes | UnlabelledNodes) & ClusterBehaviour;

/** Keys that are read too often for one replica. */
export interface HotKeyOptions {
  /**
   * A key is hot from this part of all reads by key on, above 0 and below 1. Default: the part that
   * alone lifts its replica above `loadFactor` times the fair share, but at least 0.005. That is
   * (loadFactor − 1) / (replicas − 1): 0.125 with three replicas.
   */
  share?: number | undefined;
  /**
   * Where reads of a hot key go. `replicas` (default): to the first several replicas of its order,
   * each time to the less busy one of two. `primary`: there, as far as `primaryReadBudget` allows;
   * the rest stay on the key's own replica.
   */
  target?: 'replicas' | 'primary' | undefined;
}

/** Options that hold for the whole cluster. */
export interface ClusterBehaviour extends FreshnessOptions {
  /**
   * How the cluster is called in events, `stats()`, logs and errors: 1 to 64 letters (a to z),
   * digits, `_`, `-` and `.`. No two open clusters of a process have the same one, upper and lower
   * case apart. Default: the database's name, as pg finds it for the first server. What a name may
   * not hold becomes `_`. It is `cluster` where the database has no name that can be shown. Several
   * clusters of one database may have its name by default.
   */
  name?: string | undefined;
  /**
   * Keeps answers of reads, in the process and, with `shared`, in a store of several processes: each
   * is given again only where it is fresh enough for the session that asks. Default `false`. `true`:
   * in the process, by the defaults of {@link CacheOptions}. What is kept is said by `cache` of a
   * read or a session, or by `rules`.
   */
  cache?: boolean | CacheOptions | undefined;
  /**
   * Hears which tables change, so that kept answers stay current while nothing that they depend on
   * has changed. `notify` stands for `{ source: 'notify' }`. Default: off. It needs a set-up of the
   * database, see `pg-ladder changes install`.
   */
  changes?: ChangesOptions | 'notify' | undefined;
  /**
   * How long a read waits for a replica to catch up before it goes to the primary, in milliseconds,
   * 0 and above. Default 50: replay usually lags by a few milliseconds, and readers do not notice
   * 50.
   */
  waitMillis?: number | undefined;
  /**
   * How old a replica may be for reads without `maxStalenessMillis`, in milliseconds, above 0.
   * Default 10,000. It is not applied while the primary cannot be reached: then no age can be
   * proved, and only replicas are left to answer.
   */
  maxLagMillis?: number | undefined;
  /**
   * How many reads that no replica can serve may run on the primary at once, from this process, at
   * least 1. Further ones queue, so that a lag spike or the loss of all replicas does not overrun
   * the primary. Default: half of the primary pool's `max`, at least 8. Not limited: reads with
   * `target: 'primary'`, reads before the first replica has answered, and clusters without
   * replicas.
   */
  primaryReadBudget?: number | undefined;
  /**
   * How many reads may queue under `primaryReadBudget`, from this process, at least 1. Default
   * 10,000. Reads of lower priority do not count. One read too many fails with `LADDER_OVERLOADED`
   * at once. One caller (a `subject`, a token or a session) gets at most half of the turns and of
   * the queue.
   */
  maxWaiting?: number | undefined;
  /**
   * How long a statement without `timeoutMillis` waits for the primary, in milliseconds, 0 and
   * above. Default 10,000. A read waits for its turn under `primaryReadBudget`; any statement waits
   * for a new primary when the old one is gone.
   */
  primaryWaitMillis?: number | undefined;
  /**
   * How often reads may be sent a second time, after a loss or a refusal by a replica, from this
   * process. When that is used up, a read fails with its first error, and a `retry-budget-empty`
   * warning tells. What one server has under way may always be sent again when that server is lost.
   * Default: a fifth of the statements of ten seconds, and 10 a second.
   */
  retryBudget?: RetryBudgetOptions | undefined;
  /**
   * How long a transaction may stay open without a statement before it is told, in milliseconds, at
   * least 10. It holds locks and connections meanwhile, and keeps vacuum from its work. Default:
   * off. It sees `transaction()` and clients of `cluster.pool()`, not `connection()`. An
   * `idle-in-transaction` warning tells.
   */
  idleInTransactionMillis?: number | undefined;
  /**
   * How long a transaction may stay open in all before it is told, in milliseconds, at least 10.
   * Default: off. A `long-transaction` warning tells. It sees what `idleInTransactionMillis` sees.
   */
  maxTransactionMillis?: number | undefined;
  /**
   * What happens to a transaction beyond `idleInTransactionMillis` or `maxTransactionMillis`. `warn`
   * (default): it is told once, and goes on. `end`: its connection is closed, so the server rolls it
   * back. Its next statement, and `transaction()` at once, get `LADDER_TRANSACTION_TOO_LONG`. A
   * COMMIT that is under way is left alone.
   */
  onTransactionLimit?: 'warn' | 'end' | undefined;
  /**
   * What to do when two servers accept writes. `highestTimeline` (default): the one on the later
   * timeline is the primary. On the same timeline, writes fail with `LADDER_TWO_PRIMARIES` until
   * one server is gone. `refuse`: they fail in both cases. A server whose claim cannot be true does
   * not count: see the `suspicious-primary` warning.
   */
  onTwoPrimaries?: 'highestTimeline' | 'refuse' | undefined;
  /**
   * What to do with reads where `default_transaction_isolation` is `serializable`, which replicas
   * refuse. `primary` (default): they run on the primary, and `stats()` says why. `repeatableRead`:
   * they run on replicas as REPEATABLE READ, with a `serializable-default` warning; not through a
   * pooler.
   */
  onSerializableDefault?: 'primary' | 'repeatableRead' | undefined;
  /**
   * VOLATILE functions that only read, for `query`: `schema.name`, or `schema.name(types)` for one
   * overload. Default: none. A wrong entry costs a round trip: the replica refuses the function,
   * and the primary runs it.
   */
  readOnlyFunctions?: readonly string[] | undefined;
  /**
   * How old the catalogue may be that `query` goes by, in milliseconds, at least 1,000. Default
   * 60,000. DDL that passes through `query` or `write` renews it at once.
   */
  catalogRefreshMillis?: number | undefined;
  /**
   * What `query` does with a comment hint that makes no sense. Default: `throw`, unless NODE_ENV is
   * `production`.
   */
  onInvalidHint?: 'throw' | 'ignore' | undefined;
  /**
   * Whether short reads share few connections, with many statements under way on each, next to the
   * pools. Only statements go there that are proven to read, leave no state behind, and were fast
   * before. Default: on, but not behind a pooler, and not for pools of yours with set-up of their
   * own (a `connect` listener, `onConnect`, `verify`). `true`: for these, too. `false`: nowhere.
   * Needs pg 8.23.
   */
  lane?: boolean | LaneOptions | undefined;
  /**
   * Whether texts that come again are prepared once on each connection, which saves the server
   * parsing and planning. Default: on, but not through a pooler, which may hand each statement to
   * another server connection. `true`: there, too (PgBouncer can do it from 1.21 on).
   */
  namedStatements?: boolean | undefined;
  /**
   * Where this process runs. Reads without a `partitionKey` go to replicas of the same `zone`
   * first, until these have as many statements under way as their pools hold, or answer far more
   * slowly than others. Default: no zone.
   */
  zone?: string | undefined;
  /**
   * How much work a key's own replica may have under way, as a multiple of its fair share, 1 to
   * 100. Default 1.25. Above it, the next replica in the key's order takes the read. Up to 8 short
   * statements count as none.
   */
  loadFactor?: number | undefined;
  /**
   * What to do with keys that have more of the traffic than one replica's share. Default: spread
   * them. `false`: nothing.
   */
  hotKeys?: HotKeyOptions | false | undefined;
  /**
   * Finds further servers and tells which are gone; see `pg-ladder/discovery`. Default: none, the
   * servers stay the same.
   */
  discovery?: Discovery | undefined;
  /**
   * Whether a server that `discovery` found gets a login that was not meant for it: the first
   * server's `user`, `password` and client key, or PGPASSWORD.
   *
   * - `tls` (default): over TLS that checks the server's certificate, and on this machine itself
   *   (127.0.0.0/8, ::1, `localhost`, Unix sockets). Encryption alone is not enough
   *   (`rejectUnauthorized: false`, `sslmode=no-verify`): a server in between reads the password.
   * - `always`: over any connection. Anybody who can name servers, or answer in their place, then
   *   learns the login.
   * - `never`: a found server needs a login of its own: a `user` and `password` from the
   *   discovery, a connection string or a pool.
   *
   * A server that may not inherit is not joined; a `discovery` warning tells this once.
   */
  inheritCredentials?: InheritCredentials | undefined;
  /**
   * How often `discovery` is asked, in milliseconds, at least 10. Default 5,000; every second while
   * no server accepts writes.
   */
  discoveryMillis?: number | undefined;
  /**
   * After how many milliseconds without an answer a node's position counts as unknown, above 0.
   * Default 500.
   */
  hangMillis?: number | undefined;
  /**
   * How often each node is asked for its position while the cluster is used, in milliseconds, above
   * 0. Default 250.
   */
  probeMillis?: number | undefined;
  /**
   * How often each node is asked while the cluster is idle, in milliseconds, above 0. Default
   * 1,000.
   */
  idleProbeMillis?: number | undefined;
  /**
   * How freshness is tracked. `lsn` (default): by positions in the write-ahead log. `window`: no
   * positions; after a write, its session reads from the primary for `stickinessMillis`. That is
   * for servers without LSNs. It promises nothing about replicas that lag longer than the window,
   * and sessions have no token. Servers that tell no LSN although they are asked, such as Aurora,
   * get the window, too, with a `no-positions` warning.
   */
  tracking?: 'lsn' | 'window' | undefined;
  /** The window of `tracking: 'window'`, in milliseconds, above 0. Default 5,000. */
  stickinessMillis?: number | undefined;
  /**
   * The keys of tokens, each at least 16 characters. The first one signs (HMAC-SHA-256), all are
   * accepted: put a new key in front, and remove the old one when its tokens have expired. Default:
   * none, and tokens are not signed.
   */
  secrets?: readonly string[] | undefined;
  /**
   * How long a token is valid, in milliseconds, at least 10,000. Default 60,000. A replica that is
   * staler than that serves no session's reads.
   */
  tokenLifetimeMillis?: number | undefined;
  /**
   * Which version of tokens is written; both are read. Version 3 can tell which cluster's primary a
   * client shall read from, where a position was late; version 2 (default, and all that 0.1.0 reads)
   * sends it to the primaries of all. Set it to 3 once every process runs a release that reads 3.
   */
  tokenVersion?: 2 | 3 | undefined;
  /**
   * `timer` (default): positions are kept up to date in the background. `onDemand`: only statements
   * make pg-ladder ask, for processes that are frozen between requests.
   */
  monitor?: 'timer' | 'onDemand' | undefined;
  /**
   * Runs once on each connection that serves statements, before its first one: `SET ROLE`,
   * search_path, tenant settings. If it throws, the connection is not used. It does not run on
   * pg-ladder's own connection, which never carries a statement of yours.
   */
  onConnect?: OnConnect | undefined;
  /**
   * Your promise that no writer uses `synchronous_commit = off`. Positions are then taken from the
   * flush LSN, which replicas reach without nudging the primary. Default `false`. If the promise is
   * broken, a read may miss such a write.
   */
  assumeSynchronousCommit?: boolean | undefined;
}

/** @param node the node's name, and its role at that time */
export type OnConnect = (
  client: pg.PoolClient,
  node: { name: string; role: 'primary' | 'replica' },
) => void | Promise<void>;
