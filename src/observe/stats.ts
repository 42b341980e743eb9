/** A snapshot of a cluster for people and dashboards. */
import { performance } from '../clock.js';
import type { LadderError } from '../errors.js';
import type { NodeState, Reason, TopologyEvent } from '../events.js';
import type { ExecutionContext } from '../execute/context.js';
import { formatLsn } from '../freshness/lsn.js';
import type { RefusedPositions } from '../freshness/refused-positions.js';
import type { FallbackStats } from '../isolation/priority-limiter.js';
import type { RetryStats } from '../isolation/retry-budget.js';
import type { TransactionStats } from '../isolation/transaction-watch.js';
import type { DiscoveryStats } from '../nodes/membership.js';
import type { Node, Role } from '../nodes/node.js';
import type { HotKey } from '../routing/hot-keys.js';

export interface NodeStats {
  readonly name: string;
  readonly role: Role;
  /** See {@link NodeEvent.state}. */
  readonly state: NodeState;
  /** What keeps statements of its role away from it, in a sentence; `undefined` when nothing does. */
  readonly problem: string | undefined;
  /** Why it is out of rotation; `undefined` unless `state` is `ejected`. */
  readonly ejectedFor: string | undefined;
  /** How often it was taken out of rotation since the start. */
  readonly ejectionCount: number;
  /** Where it was last seen, as PostgreSQL writes it (`16/B374D848`); `undefined` while unknown. */
  readonly lsn: string | undefined;
  /** A replica's proven bound on its age in milliseconds: it is at most that old. `undefined` while there is none, and on the primary. */
  readonly stalenessMillis: number | undefined;
  /** Statements under way on it, from this process. */
  readonly inFlight: number;
  /** Statements run on it since the start, also those that were run again elsewhere, and those of transactions with their BEGIN and COMMIT. Those on the client of `connection()` are not seen. A stream counts as one. */
  readonly statementCount: number;
  /** Reads that ended there. One that was run again elsewhere, as when its server was lost, counts once. */
  readonly readCount: number;
  /** `readCount` as a share of all nodes' reads since the start, 0 to 1. */
  readonly readShare: number;
  /** Reads that were sent to the next rung since it refused most connections. */
  readonly heldBackCount: number;
  /** How long its latest statements took, in milliseconds, from their sending to their answer; of a busy node every eighth is timed. `undefined` without one. */
  readonly latencyMillis: { readonly p50: number; readonly p99: number } | undefined;
  /**
   * How long it takes to answer beside what statements themselves take, in milliseconds: as in its latest slow answers, fading as faster ones come. What reads without a key are balanced by,
   * together with `inFlight`.
   */
  readonly responseMillis: number;
  /** Its shared connections, what is under way on them, and how many statements went there since the start. */
  readonly lane: { readonly connectionCount: number; readonly inFlight: number; readonly statementCount: number };
  readonly pool: { readonly totalCount: number; readonly idleCount: number; readonly waitingCount: number };
}

export interface ClusterStats {
  /** The cluster's, see {@link ClusterBehaviour.name}. */
  readonly name: string;
  /** The system identifier in decimal; `undefined` until the primary has answered. */
  readonly clusterId: string | undefined;
  /** The primary's timeline; 0 until it has answered. */
  readonly timeline: number;
  /** `window`: the servers tell no positions, or `tracking` says so: see there. */
  readonly tracking: 'lsn' | 'window';
  readonly nodes: readonly NodeStats[];
  /** Statements placed since the start, by reason. */
  readonly routes: Readonly<Record<Reason, number>>;
  /** Partition keys that have more of the reads by key than a replica can bear, the hottest first, at most 256; `hash` in hexadecimal, see https://pg-ladder.github.io/pg-ladder/reference/hashing. */
  readonly hotKeys: readonly { readonly hash: string; readonly share: number }[];
  /** Reads of sessions that another replica answered than the one before, also since their key was another. */
  readonly moveCount: number;
  /** `undefined` without `discovery`. */
  readonly discovery: Readonly<DiscoveryStats> | undefined;
  /** Positions handed in and given up, by why. */
  readonly tokens: Readonly<RefusedPositions>;
  /** Reads that no replica could serve, under the primary's budget. */
  readonly fallback: Readonly<FallbackStats>;
  /** Reads that were sent a second time, under the option `retryBudget`. */
  readonly retries: Readonly<RetryStats>;
  /** Transactions that are watched; `undefined` without `idleInTransactionMillis` and `maxTransactionMillis`. */
  readonly transactions: Readonly<TransactionStats> | undefined;
  /** The latest changes of who takes writes, at most 100, the oldest first. */
  readonly topology: readonly TopologyEvent[];
  /** How often the primary was made to flush its log for a read that waited. */
  readonly nudgeCount: number;
  /** Writes that brought the position of their end along, so that no read or token had to ask for it. */
  readonly riderCount: number;
}

export function statsOf({ fleet, limiter, retries, watch }: ExecutionContext): ClusterStats {
  const { history, nodes, counts, leadership, selection } = fleet;
  const now = performance.now();
  const readCount = nodes.reduce((sum, node) => sum + node.load.readCount, 0);
  return Object.freeze({
    name: fleet.publisher.cluster,
    clusterId: history.clusterId,
    timeline: history.timelines.timeline,
    tracking: history.isTracking ? 'lsn' : 'window',
    nodes: Object.freeze(nodes.map((node) => nodeStats(node, fleet.problemOf(node), readCount, now))),
    routes: Object.freeze({ ...counts.byReason }),
    hotKeys: Object.freeze(selection.hotKeys.list(selection.hotShare, now).map(hexadecimal)),
    moveCount: counts.moveCount,
    discovery: Object.freeze(fleet.membership.stats),
    tokens: Object.freeze(history.refused.snapshot()),
    fallback: Object.freeze(limiter.stats),
    retries: Object.freeze(retries.stats),
    transactions: watch === undefined ? undefined : Object.freeze(watch.stats),
    topology: Object.freeze([...leadership.changes]),
    riderCount: fleet.riders.answeredCount,
    nudgeCount: nodes.reduce((sum, node) => sum + node.adminQueries.nudgeCount, 0),
  });
}

function nodeStats(node: Node, problem: LadderError | undefined, allReads: number, now: number): NodeStats {
  const { name, role, observation, pool, load } = node;
  const { statementLatency, readCount } = load;
  const { lane } = node.connections;
  const health = node.health.current;
  const isDated = role === 'replica' && node.freshAsOf !== Number.NEGATIVE_INFINITY;
  const [p50, p99] = [statementLatency.percentile(0.5), statementLatency.percentile(0.99)];
  return Object.freeze({
    name,
    role,
    state: health.state,
    problem: problem?.message,
    ejectedFor: health.state === 'ejected' ? health.cause : undefined,
    ejectionCount: node.health.ejectionCount,
    lsn: observation === undefined ? undefined : formatLsn(observation.lsn),
    stalenessMillis: isDated ? now - node.freshAsOf : undefined,
    inFlight: load.count,
    statementCount: load.statementCount,
    readCount,
    heldBackCount: node.health.refusals.heldBackCount,
    readShare: allReads === 0 ? 0 : readCount / allReads,
    responseMillis: load.response.millis,
    latencyMillis: p50 === undefined || p99 === undefined ? undefined : Object.freeze({ p50, p99 }),
    lane: Object.freeze({
      connectionCount: lane.connectionCount,
      inFlight: lane.inFlight,
      statementCount: lane.statementCount,
    }),
    pool: Object.freeze({ totalCount: pool.totalCount, idleCount: pool.idleCount, waitingCount: pool.waitingCount }),
  });
}

function hexadecimal({ hash, share }: HotKey): { readonly hash: string; readonly share: number } {
  return Object.freeze({ hash: (hash >>> 0).toString(16).padStart(8, '0'), share });
}
