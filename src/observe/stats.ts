/** A snapshot of a cluster for people and dashboards. */
import type { Reason } from '../events.js';
import { formatLsn } from '../freshness/lsn.js';
import type { RefusedPositions } from '../freshness/primary-trail.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node, NodeState, Role } from '../nodes/node.js';

export interface NodeStats {
  readonly name: string;
  readonly role: Role;
  /** `unknown`: it does not answer, or is not shown to follow the primary. `lagging`: staler than `maxLagMillis`. */
  readonly state: NodeState;
  /** What keeps statements of its role away from it, in a sentence; `undefined` when nothing does. */
  readonly problem: string | undefined;
  /** Where it was last seen, as PostgreSQL writes it (`16/B374D848`); `undefined` while unknown. */
  readonly lsn: string | undefined;
  /** A replica's proven bound on its age in milliseconds: it is at most that old. `undefined` while there is none, and on the primary. */
  readonly stalenessMillis: number | undefined;
  /** Statements under way on it, from this process. */
  readonly inFlight: number;
  /** Statements run on it since the start. */
  readonly statementCount: number;
  readonly pool: { readonly totalCount: number; readonly idleCount: number; readonly waitingCount: number };
}

export interface ClusterStats {
  /** The system identifier in decimal; `undefined` until the primary has answered. */
  readonly clusterId: string | undefined;
  /** The primary's timeline; 0 until it has answered. */
  readonly timeline: number;
  readonly nodes: readonly NodeStats[];
  /** Statements placed since the start, by reason. */
  readonly routes: Readonly<Record<Reason, number>>;
  /** Positions handed in and given up, by why. */
  readonly tokens: Readonly<RefusedPositions>;
  /** How often the primary was made to flush its log for a read that waited. */
  readonly nudgeCount: number;
}

export function statsOf({ trail, nodes, primary, routeCounts }: Fleet): ClusterStats {
  const now = performance.now();
  return Object.freeze({
    clusterId: trail.clusterId,
    timeline: trail.history.timeline,
    nodes: Object.freeze(nodes.map((node) => nodeStats(node, now))),
    routes: Object.freeze({ ...routeCounts }),
    tokens: Object.freeze({ ...trail.refused }),
    nudgeCount: primary.nudgeCount,
  });
}

function nodeStats(node: Node, now: number): NodeStats {
  const { name, role, state, observation, inFlight, statementCount, pool } = node;
  const isDated = role === 'replica' && node.freshAsOf !== Number.NEGATIVE_INFINITY;
  return Object.freeze({
    name,
    role,
    state,
    problem: node.problem?.message,
    lsn: observation === undefined ? undefined : formatLsn(observation.lsn),
    stalenessMillis: isDated ? now - node.freshAsOf : undefined,
    inFlight,
    statementCount,
    pool: Object.freeze({ totalCount: pool.totalCount, idleCount: pool.idleCount, waitingCount: pool.waitingCount }),
  });
}
