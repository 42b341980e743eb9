/** A place on a shared connection to a replica, for one statement that is sent at once. Finding it asks nobody and waits for nothing. */
import type { Reason } from '../events.js';
import type { Fleet, Need } from '../nodes/fleet.js';
import type { LaneConnection, LaneStatement } from '../nodes/lane-connection.js';
import type { Node } from '../nodes/node.js';
import type { Profile } from '../statements/profile.js';
import { justBehind, knownRoute } from './known-route.js';

/** A statement that may share a connection. */
export interface Shareable {
  readonly statement: LaneStatement;
  readonly profile: Profile;
}

export interface LaneSlot {
  readonly node: Node;
  readonly connection: LaneConnection;
  readonly reason: Reason;
  /** Whether the replica was behind the floor when it was last asked, so that its position must be asked for along with the read. */
  readonly isGated: boolean;
}

/** `undefined` when more must be found out, or no shared connection takes it. */
export function laneSlotFor(fleet: Fleet, need: Need, now: number): LaneSlot | undefined {
  const { replicas, leadership, freshenMillis } = fleet;
  if (replicas.length === 0 && leadership.isSettled && need.target !== 'replica') {
    const connection = fleet.primary.takeLane(now, freshenMillis);
    return connection === undefined
      ? undefined
      : {
          node: fleet.primary,
          connection,
          reason: need.target === undefined ? 'no-candidate' : 'hint',
          isGated: false,
        };
  }
  if (fleet.isPrimary(need.target)) return undefined;
  const route = knownRoute(fleet, need, now, true);
  const node = route?.replica ?? justBehind(fleet, need, now);
  const connection = node?.takeLane(now, freshenMillis);
  if (node === undefined || connection === undefined) return undefined;
  if (route === undefined) return { node, connection, reason: 'gated', isGated: true };
  const reason = need.target === undefined ? route.reason : 'hint';
  return { node, connection, reason, isGated: false };
}
