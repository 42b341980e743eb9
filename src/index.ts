/** pg-ladder: reads go to the cheapest PostgreSQL node that is still fresh enough for the session that asks. */
export type { CacheAdvice, StatementAdvice } from './cache/advice.js';
export type { AuditCounts } from './cache/audit.js';
export type { AdviceVerdict, CourseState } from './cache/auto-course.js';
export type { BreakerState, CallBudgetStats } from './cache/budget.js';
export type { ClusterCache } from './cache/cluster-cache.js';
export type { CacheRungName, HitCounts, MissReason } from './cache/counts.js';
export type { CacheVerdict, ExplainedEntry } from './cache/explain.js';
export type { Forgotten } from './cache/forgetting.js';
export type { CacheStats } from './cache/stats.js';
export type { ChangeRelay, RelayListening } from './change-relay.js';
export type {
  ChangeHandler,
  ChangePosition,
  ChangeSource,
  ChangeStart,
  ChangeSubscription,
  TableChange,
} from './change-source.js';
export type { ChangeStats } from './changes/change-stats.js';
export type { ClusterChanges } from './changes/cluster-changes.js';
export { Cluster, createCluster } from './cluster.js';
export { LadderError, type LadderErrorCode } from './errors.js';
export {
  type ChangesEvent,
  type LadderEventMap,
  type LadderEvents,
  type MembershipEvent,
  type NodeEvent,
  type NodeState,
  type QueryEvent,
  type Reason,
  type RouteEvent,
  type RungName,
  reasons,
  type TokenLostEvent,
  type TopologyEvent,
  type WarningEvent,
} from './events.js';
export type { DefaultRow, Query, Values } from './execute/call.js';
export { type Route, routeOf } from './execute/route.js';
export type { Freshness } from './freshness/read-notes.js';
export type { RefusedPositions } from './freshness/refused-positions.js';
export type { Consistency, FreshnessOptions, Target } from './freshness/requirement.js';
export type { Monotonic } from './freshness/sights.js';
export type { FallbackStats } from './isolation/priority-limiter.js';
export type { RetryStats } from './isolation/retry-budget.js';
export type { TransactionStats } from './isolation/transaction-watch.js';
export { currentJointSession, type JointSession, jointSession } from './joint-session.js';
export type { HeardNotification, ListenGap, ListenItem, Listening } from './listen/listening.js';
export type { LiveVerdict } from './live/verdict.js';
export type { RowChanges, Watch, WatchedState } from './live/watch.js';
export type { DiscoveryStats } from './nodes/membership.js';
export type { Role } from './nodes/node.js';
export type { ExplainedDependencies, Explanation, ReplicaVerdict } from './observe/explain.js';
export type { ClusterStats, NodeStats } from './observe/stats.js';
export type { CachedStatement, CacheOptions, CacheReadOptions, CacheRule } from './options/cache.js';
export type {
  AbortOptions,
  CloseOptions,
  ConnectionOptions,
  Isolation,
  PoolOptions,
  Priority,
  ReadOptions,
  ReadyOptions,
  SessionOptions,
  StreamOptions,
  TransactionOptions,
  WriteOptions,
} from './options/calls.js';
export type { ChangesOptions } from './options/changes.js';
export type {
  ClusterBehaviour,
  ClusterOptions,
  HotKeyOptions,
  LaneOptions,
  OnConnect,
  RetryBudgetOptions,
} from './options/cluster.js';
export type { InheritCredentials } from './options/credentials.js';
export type { Discovery, DiscoveryContext, NodeAnswer } from './options/discovery.js';
export type { ListenOptions } from './options/listen.js';
export type { LabelledNodes, NodeLabels, NodeOptions, UnlabelledNodes } from './options/servers.js';
export type { WatchOptions } from './options/watch.js';
export type { Session } from './session/session.js';
export type {
  SharedChannel,
  SharedFound,
  SharedLease,
  SharedListener,
  SharedOrder,
  SharedStore,
  SharedSubscription,
  SharedTime,
} from './shared-store.js';
export type { StatementClass } from './sql/facts.js';
export type { FixedTable, KeyColumn } from './sql/fixed-columns.js';
export type { KeyTerm, KeyValue } from './sql/key.js';
export type { Relation, RelationKind } from './sql/relations.js';
export type { Repeatability, Repeats } from './sql/unsteady.js';
