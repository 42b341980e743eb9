/** pg-ladder: reads go to the cheapest PostgreSQL node that is still fresh enough for the session that asks. */
export { Cluster, createCluster } from './cluster.js';
export { LadderError, type LadderErrorCode } from './errors.js';
export type {
  LadderEventMap,
  LadderEvents,
  NodeEvent,
  NodeState,
  QueryEvent,
  Reason,
  RouteEvent,
  TokenLostEvent,
  TopologyEvent,
  WarningEvent,
} from './events.js';
export type { RefusedPositions } from './freshness/primary-trail.js';
export type { Consistency, FreshnessOptions, Target } from './freshness/requirement.js';
export type { FallbackStats } from './isolation/fallback-budget.js';
export type { Role } from './nodes/node.js';
export type { Explanation, ReplicaVerdict } from './observe/explain.js';
export type { ClusterStats, NodeStats } from './observe/stats.js';
export type {
  AbortOptions,
  ClusterBehaviour,
  ClusterOptions,
  ConnectionOptions,
  Isolation,
  LabelledNodes,
  LaneOptions,
  NodeLabels,
  NodeOptions,
  OnConnect,
  PoolOptions,
  Priority,
  ReadOptions,
  SessionOptions,
  StreamOptions,
  TransactionOptions,
  UnlabelledNodes,
  WriteOptions,
} from './options.js';
export type { Session } from './session/session.js';
