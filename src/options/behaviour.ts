/**
 * The options of `createCluster`, as users read them. Types and documentation only: `cluster.ts`
 * checks them.
 */
import type pg from 'pg';
import type { FreshnessOptions } from '../freshness/requirement.js';
import type { InheritCredentials } from './credentials.js';
import type { Discovery } from './discovery.js';
import type { LabelledNodes, UnlabelledNodes } from './servers.js';

/** The shared connections of one node; see {@link ClusterBehaviour.lane}. */
export interface LaneOptions {
  /** How many a node has, 1 to 64. Default 1, from four cores on 2: one keeps a core of the server busy, and each more halves what goes in one piece. */
  connections?: number | undefined;
  /** Statements under way on one connection, 1 to 10,000; what comes beyond takes the pool. Default 128. */
  maxInFlight?: number | undefined;
}

export type ClusterOptions = (LabelledNodes | UnlabelledNodes) & ClusterBehaviour;

/** The keys that are read so much that one replica is not enough for them. */
export interface HotKeyOptions {
  /**
   * The part of all reads by key from which on a key is hot, between 0 and 1. Default: what alone puts its replica above `loadFactor` times its fair share, (loadFactor − 1) / (replicas − 1), and 0.005 at least: 0.125
   * with three replicas.
   */
  share?: number | undefined;
  /** `replicas` (default): the first several of its order, the less busy one of two each time. `primary`: there, as far as `primaryReadBudget` allows, and the rest on the key's own replica. */
  target?: 'replicas' | 'primary' | undefined;
}

/** What holds for the whole cluster. */
export interface ClusterBehaviour extends FreshnessOptions {
  /**
   * How long a read waits for a replica to catch up before the primary answers it, in milliseconds, 0 and above. Default 50:
   * replay usually lags by a few milliseconds, and a reader does not notice 50.
   */
  waitMillis?: number | undefined;
  /**
   * How old a replica may be for reads that set no `maxStalenessMillis`, in milliseconds, above 0. Default 10,000. While the
   * primary cannot be reached it is not applied: nothing can be proved then, and a replica is the only rung left.
   */
  maxLagMillis?: number | undefined;
  /**
   * How many reads that no replica can serve may run on the primary at the same time, from this process, at least 1; the others queue. So a lag
   * spike, or the loss of all replicas, is no stampede. Default: half of the primary pool's `max`, at least 8. Reads with `target: 'primary'`, those before
   * the first replica has answered, and clusters without replicas are not limited.
   */
  primaryReadBudget?: number | undefined;
  /**
   * How many reads may wait for a turn under `primaryReadBudget` at the same time, from this process, at least 1; those of lower priority are not counted.
   * One that would be too many fails with `LADDER_OVERLOADED` at once. Default 10,000. One caller (a `subject`, a token, or a session) takes half of the turns
   * and of the queue at most.
   */
  maxWaiting?: number | undefined;
  /**
   * How long a statement that sets no `timeoutMillis` waits for the primary, in milliseconds, 0 and above: a read for its turn under `primaryReadBudget`, and
   * every statement for a new primary when the one before is gone. Default 10,000.
   */
  primaryWaitMillis?: number | undefined;
  /**
   * What to do when two servers take writes. `highestTimeline` (default): the one on the later timeline is the primary; on the same timeline
   * writes are refused with `LADDER_TWO_PRIMARIES` until one of them is gone. `refuse`: they are refused in either case.
   * A server whose claim cannot be true counts in neither: see the `suspicious-primary` warning.
   */
  onTwoPrimaries?: 'highestTimeline' | 'refuse' | undefined;
  /**
   * What to do with reads where `default_transaction_isolation` is `serializable`, which replicas refuse. `primary` (default): all of them run on the primary, and
   * `stats()` says why. `repeatableRead`: they run on replicas, REPEATABLE READ, with a `serializable-default` warning. Not through a pooler.
   */
  onSerializableDefault?: 'primary' | 'repeatableRead' | undefined;
  /**
   * VOLATILE functions that only read, for `query`: `schema.name`, or `schema.name(types)` for one overload. What is wrong here costs a round trip: a replica
   * refuses it, and the primary runs it. Default: none.
   */
  readOnlyFunctions?: readonly string[] | undefined;
  /** How old the catalogue may be that `query` goes by, in milliseconds, at least 1,000. Default 60,000. DDL that passes through `query` and `write` renews it at once. */
  catalogRefreshMillis?: number | undefined;
  /** What `query` does with a comment hint that makes no sense. Default: `throw` unless NODE_ENV is `production`. */
  onInvalidHint?: 'throw' | 'ignore' | undefined;
  /**
   * Short reads share few connections with many statements under way on each, next to the pools. Only what is proven to read and to leave no state behind,
   * and has been fast before, goes there. Default: on, but for nodes behind a pooler, and for pools with set-up of their own that were handed in (a `connect`
   * listener, `onConnect`, `verify`). `true`: for these, too. `false`: for none. Needs pg 8.23.
   */
  lane?: boolean | LaneOptions | undefined;
  /**
   * Whether texts that come again are prepared once on each connection, which saves the server parsing and planning them. Default: on, but for
   * connections through a pooler, which may hand each statement to another server connection. `true`: on these, too (PgBouncer from 1.21 on can do it).
   */
  namedStatements?: boolean | undefined;
  /** Where this process runs: reads without a `partitionKey` go to replicas of the same `zone` first, until these have as many under way as their pools hold, or answer far more slowly than others. Default: no zone. */
  zone?: string | undefined;
  /**
   * How much work under way a key's own replica may have beside the others', as a multiple of its fair share, 1 to 100; above it, the next one in the key's order takes the read.
   * Default 1.25. What is over in a moment is no load: up to 8 short statements count as none.
   */
  loadFactor?: number | undefined;
  /** What happens with keys that have more of the traffic than a replica's share. Default: they are spread; `false`: nothing. */
  hotKeys?: HotKeyOptions | false | undefined;
  /** Finds further servers, and tells of those that are gone; see `pg-ladder/discovery`. Default: none, the servers stay the same. */
  discovery?: Discovery | undefined;
  /**
   * Whether a server that `discovery` found may be sent a login that was not said of it: the first server's `user`, `password` and client key, or PGPASSWORD.
   *
   * - `tls` (default): over TLS that checks the server's certificate, and to this machine itself (127.0.0.0/8, ::1, `localhost`, Unix sockets). Encryption alone does not count
   *   (`rejectUnauthorized: false`, `sslmode=no-verify`): whoever stands between reads the password.
   * - `always`: over any connection. Whoever can name servers, or answers in their place, then learns the login.
   * - `never`: found servers are joined with a login of their own alone: a `user` and `password` that the discovery gives, a connection string or a pool.
   *
   * A server that may not inherit is not joined, which a `discovery` warning tells once.
   */
  inheritCredentials?: InheritCredentials | undefined;
  /** How often `discovery` is asked, in milliseconds, at least 10. Default 5,000. While no server takes writes it is asked every second. */
  discoveryMillis?: number | undefined;
  /** After how many milliseconds without an answer a node's position counts as unknown, above 0. Default 500. */
  hangMillis?: number | undefined;
  /** How often each node is asked for its position while the cluster is used, in milliseconds, above 0. Default 250. */
  probeMillis?: number | undefined;
  /** How often each node is asked while the cluster is idle, in milliseconds, above 0. Default 1,000. */
  idleProbeMillis?: number | undefined;
  /**
   * `lsn` (default): positions in the write-ahead log. `window`: none are asked for; after a write, its session reads from the
   * primary for `stickinessMillis`. For servers that tell no LSNs. It promises nothing about replicas that lag longer than the
   * window, and a session has no token. Servers that tell none although they are asked, such as Aurora, get the window too, with a `no-positions` warning.
   */
  tracking?: 'lsn' | 'window' | undefined;
  /** The window of `tracking: 'window'`, in milliseconds, above 0. Default 5,000. */
  stickinessMillis?: number | undefined;
  /**
   * The key ring of tokens, each at least 16 characters: the first signs (HMAC-SHA-256), all are accepted, so that a new one can be put
   * in front while old tokens live. Default: none, and tokens are not signed.
   */
  secrets?: readonly string[] | undefined;
  /** How long a token is believed, in milliseconds, at least 10,000. Default 60,000. A replica staler than that serves no session's reads. */
  tokenLifetimeMillis?: number | undefined;
  /**
   * `timer` (default): positions are kept up to date in the background. `onDemand`: only statements make the library ask, for
   * processes that are frozen between requests.
   */
  monitor?: 'timer' | 'onDemand' | undefined;
  /**
   * Runs once on every connection that serves statements, before its first one: `SET ROLE`, search_path, tenant settings. When it throws,
   * the connection is not used. The library's own connection, which never carries a statement of yours, does not get it.
   */
  onConnect?: OnConnect | undefined;
  /**
   * Promise that no writer uses `synchronous_commit = off`: positions are then taken from the flush LSN, which replicas reach
   * without the primary being nudged. Wrong when the promise is broken: such a write may be missed. Default `false`.
   */
  assumeSynchronousCommit?: boolean | undefined;
}

/** @param node the node's name and its role at that time */
export type OnConnect = (
  client: pg.PoolClient,
  node: { name: string; role: 'primary' | 'replica' },
) => void | Promise<void>;
