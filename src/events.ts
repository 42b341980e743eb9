/** What the library tells about itself. No payload carries SQL, values or connection strings. */
import type { EventEmitter } from 'node:events';

/** Every {@link Reason}, for instance to make a counter for each. */
export const reasons = [
  'write',
  'transaction',
  'session-state',
  'misrouted',
  'hint',
  'affinity',
  'partition',
  'next-in-order',
  'hot-key',
  'balanced',
  'gated',
  'waited',
  'retried',
  'sticky',
  'behind-floor',
  'too-stale',
  'floor-unknown',
  'cold-start',
  'no-candidate',
  'cache',
] as const;

/**
 * Why a statement went where it went.
 *
 * On a replica:
 * - `affinity`: the session read there last, and it is still fresh enough.
 * - `partition`: it is the partition key's own replica.
 * - `next-in-order`: the key's own replica is stale, out of rotation, slow or overloaded.
 * - `balanced`: it is known to be fresh enough.
 * - `gated`: the known position was too old; asked once more, the replica is fresh.
 * - `waited`: it became fresh enough within `waitMillis`.
 *
 * On the primary:
 * - `write`, `transaction`: a write, or a transaction that may write.
 * - `session-state`: the statement belongs to its connection, which a pool does not keep.
 * - `misrouted`: a replica refused it.
 * - `behind-floor`, `too-stale`: no replica was fresh enough in time.
 * - `sticky`: within the window after a write, with `tracking: 'window'`.
 * - `floor-unknown`: the session's last write has no position yet.
 * - `cold-start`: nothing is known of any replica yet.
 * - `no-candidate`: there is no replica, or none that answers.
 *
 * From a cache:
 * - `cache`: an answer that was kept is fresh enough.
 *
 * On either:
 * - `hint`: `target` asked for it.
 * - `retried`: the first server was lost under the read, or held it up.
 * - `hot-key`: the key is hot: one of several replicas, or the primary; see `hotKeys`.
 */
export type Reason = (typeof reasons)[number];

/** The places on the ladder that can answer, the dearest last. */
export type RungName = 'memory' | 'shared' | 'replica' | 'primary';

/** What every event says. */
interface OfCluster {
  /** The name of the cluster that tells it, see {@link ClusterBehaviour.name}. */
  readonly cluster: string;
}

/** An event before the publisher has added its cluster. */
export type Untold<Event extends OfCluster> = Omit<Event, 'cluster'>;

/** A statement, or a transaction, has been placed. */
export interface RouteEvent extends OfCluster {
  /**
   * Names the call within this process, whichever cluster it was of. The `query` events of its
   * statements carry the same.
   */
  readonly id: number;
  /** Where it stands on the ladder. */
  readonly rung: RungName;
  /** The node's name; for a kept answer that of the replica that it was read on. */
  readonly node: string;
  readonly role: 'primary' | 'replica';
  /** Why it went there. */
  readonly reason: Reason;
  /** Time spent on finding a fresh node, in milliseconds. */
  readonly waitedMillis: number;
}

/** A statement has ended. BEGIN, COMMIT, cursors and streams are statements, too. */
export interface QueryEvent extends OfCluster {
  /**
   * Names the call, as in the `route` event that said where it goes. All statements of one
   * `transaction()` share it.
   */
  readonly id: number;
  /** The node's name. */
  readonly node: string;
  readonly role: 'primary' | 'replica';
  /** From sending it to the result or the error, in milliseconds. */
  readonly durationMillis: number;
  /** As pg tells it; `null` where it tells none, and for an error. */
  readonly rowCount: number | null;
  /** The error's SQLSTATE or code; `undefined` when the statement succeeded. */
  readonly errorCode: string | undefined;
  /**
   * The statement without its text, as `explain()` gives it: `18:` and 16 hexadecimal digits, equal
   * for texts that differ in their constants only. Worked out when it is read. `undefined` for a
   * statement that was sent by its name alone, and until PostgreSQL's grammar is loaded, which the
   * first look at it begins.
   */
  readonly digest: string | undefined;
}

/** What is known of a node's health, in a word; see {@link NodeEvent.state}. */
export type NodeState = 'unknown' | 'live' | 'lagging' | 'ejected' | 'probation';

/** What is known of a node has changed. */
export interface NodeEvent extends OfCluster {
  /** The node's name. */
  readonly node: string;
  readonly role: 'primary' | 'replica';
  /**
   * - `unknown`: it does not answer, or is not shown to follow the primary. No read goes there.
   * - `live`: it answers.
   * - `lagging`: it answers, and is staler than `maxLagMillis`.
   * - `ejected`: it failed, hung or was far slower than the others. It is out of rotation for 1 to
   *   4 s.
   * - `probation`: it is back, or its server was restarted. Its share of the reads grows for 5 s.
   */
  readonly state: NodeState;
  readonly previous: NodeState;
  /** What brought it about, in a few words. */
  readonly cause: string;
}

/** Who takes writes has changed. */
export interface TopologyEvent extends OfCluster {
  /**
   * - `found`: the first primary.
   * - `promotion`: another node has become the primary.
   * - `returned`: the primary answers again.
   * - `vacant`: no node that answers takes writes.
   * - `contested`: two nodes take writes, and neither gets any.
   */
  readonly change: 'found' | 'promotion' | 'returned' | 'vacant' | 'contested';
  /** The primary's name; `undefined` while there is none. */
  readonly primary: string | undefined;
  /** The primary before, if there was another one, or there is none now. */
  readonly previous: string | undefined;
  /** The primary's timeline; the last known one while there is no primary. */
  readonly timeline: number;
  /** Epoch milliseconds. */
  readonly at: number;
}

/** A node has been found by discovery, or has gone. */
export interface MembershipEvent extends OfCluster {
  /** The node's name. */
  readonly node: string;
  /**
   * `joined`: reads may go there. `left`: no new statement goes there; its pool closes when those
   * under way have ended.
   */
  readonly change: 'joined' | 'left';
}

/** After a failover, a session's position is not in the history of the present primary. */
export interface TokenLostEvent extends OfCluster {
  /**
   * `true`: the position lies above the point where the present primary left its timeline. `false`:
   * the primary was lost before it told where the write had ended, so it may have survived.
   */
  readonly isCertain: boolean;
  /** How many there were since the start, this one included; see `stats().tokens`. */
  readonly count: number;
}

/** Tables have changed, see the option `changes`. */
export interface ChangesEvent extends OfCluster {
  /** As `schema.name`. */
  readonly tables: readonly string[];
  /** All changes up to that position have been told, on that timeline, as PostgreSQL writes it. */
  readonly timeline: number;
  readonly lsn: string;
}

/** Something that works and is likely not meant. */
export interface WarningEvent extends OfCluster {
  /**
   * Of statements:
   * - `session-state`: a statement whose effect belongs to its connection ran on a pool, or keeps a
   *   client of `cluster.pool()` on the primary.
   * - `transaction-left-open`: a text began a transaction and did not end it. It was rolled back.
   * - `misrouted`: no replica can run a text that was given to `read` or `stream`, such as one that
   *   reads an UNLOGGED table. It runs on the primary.
   * - `released-in-transaction`: a client of `cluster.pool()` was released before COMMIT or
   *   ROLLBACK, or `query` of a pool has left a transaction open.
   * - `idle-in-transaction`: a transaction was open without a statement for `idleInTransactionMillis`.
   * - `long-transaction`: a transaction was open for longer than `maxTransactionMillis`.
   * - `retry-budget-empty`: reads fail with their first error: too many were sent twice, see `retryBudget`. Told once.
   * - `grammar`: PostgreSQL's grammar cannot be loaded here. `query`, `explain` and
   *   `cluster.pool()` take everything for a write until a later try succeeds. Told once.
   *
   * `session-state` and `misrouted` are told once for all texts that differ in constants only.
   *
   * Of tokens:
   * - `write-after-headers`: a request wrote after its answer's head had left, and there is no
   *   TokenStore.
   * - `write-after-end`: a request wrote after its whole answer had left, with a TokenStore. The
   *   user's next request may miss that write.
   * - `position-late`: the primary did not tell a position in time. The token says: read from the
   *   primary.
   * - `token-store`: a TokenStore failed, and reads go to the primary; or it had not kept a token
   *   when the answer ended.
   * - `subject`: a token was not used or not given: the `subject` function named nobody, or failed.
   * - `not-public`: `cacheControl` was given `public: true`, and the response stays private. Told
   *   once for each cause.
   *
   * Of servers:
   * - `discovery`: it gave no usable list, and nothing changes; or a server that it found may not
   *   inherit a login, and is not joined (`inheritCredentials`).
   * - `serializable-default`: reads run REPEATABLE READ on replicas; see `onSerializableDefault`.
   * - `no-positions`: the servers tell no positions. Windows after writes take their place.
   * - `suspicious-primary`: a server says that it is the primary, and cannot be. It gets nothing.
   *   Or a primary that was known by its own word alone is gone, and the one before is used again.
   *   Told once for each claim.
   * - `closed-under-way`: `close({ timeoutMillis })` reached its deadline, and cut off the rest.
   * - `watch`: a live query could not be run. It is tried again. Told once for all failures in a row.
   * - `changes`: changes are not heard, or not those of all tables that were named. Told once for
   *   each cause; it is tried again by itself.
   * - `listen`: `cluster.listen` has no connection. Told once for each cause; it is tried again.
   */
  readonly code:
    | 'session-state'
    | 'transaction-left-open'
    | 'misrouted'
    | 'released-in-transaction'
    | 'idle-in-transaction'
    | 'long-transaction'
    | 'retry-budget-empty'
    | 'write-after-headers'
    | 'write-after-end'
    | 'position-late'
    | 'token-store'
    | 'subject'
    | 'discovery'
    | 'no-positions'
    | 'serializable-default'
    | 'suspicious-primary'
    | 'closed-under-way'
    | 'grammar'
    | 'changes'
    | 'listen'
    | 'cache-rule'
    | 'cache-audit'
    | 'n-plus-one'
    | 'not-public'
    | 'watch';
  /** What was found, and what to use instead; never SQL. */
  readonly message: string;
  /**
   * Of `session-state`, `transaction-left-open`, `misrouted` and `watch`: names the statement; of `idle-in-transaction`
   * and `long-transaction`, the transaction's latest. It is equal for texts that differ in constants only.
   */
  readonly digest?: string;
  /** Of `idle-in-transaction` and `long-transaction`: the name of the node that it holds a connection to. */
  readonly node?: string;
  /** Of `idle-in-transaction` and `long-transaction`: for how long it has been idle, or open, in milliseconds. */
  readonly millis?: number;
  /**
   * Of `idle-in-transaction` and `long-transaction`: the stack of the code that began it. Only where
   * NODE_ENV is not `production`, or with `NODE_DEBUG=pg-ladder`.
   */
  readonly stack?: string;
  /**
   * Of `discovery`, `token-store`, `grammar`, `subject` and `watch`: what was thrown. It is not enumerable, since
   * somebody else's error may say anything, secrets included.
   */
  readonly cause?: unknown;
}

/** The warning with what somebody else threw as its `cause`: hidden from what prints the event. */
export function becauseOf(cause: unknown, warning: Untold<WarningEvent>): Untold<WarningEvent> {
  return Object.defineProperty(warning, 'cause', { value: cause });
}

/** What each event carries. Its `diagnostics_channel` is `pg-ladder:<name>`. */
export interface LadderEventMap {
  route: [RouteEvent];
  query: [QueryEvent];
  node: [NodeEvent];
  topology: [TopologyEvent];
  membership: [MembershipEvent];
  tokenLost: [TokenLostEvent];
  changes: [ChangesEvent];
  warning: [WarningEvent];
}

/** What `cluster.events` is: the usual EventEmitter, typed. */
export type LadderEvents = EventEmitter<LadderEventMap>;
