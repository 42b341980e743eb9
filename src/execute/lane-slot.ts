/** A place on a shared connection, for one statement that is sent at once. Finding it asks no server and waits for nothing. */
import type { Reason } from '../events.js';
import { type Fleet, freshenMillis } from '../nodes/fleet.js';
import type { LaneConnection } from '../nodes/lane-connection.js';
import type { Node } from '../nodes/node.js';
import type { ReadTerms } from '../nodes/selection.js';
import { justBehind, knownRoute } from './known-route.js';

export interface LaneSlot {
  readonly node: Node;
  readonly lane: LaneConnection;
  readonly reason: Reason;
  /** Whether the replica was behind the floor when it was last asked: its position is asked for along with the read. */
  readonly isGated: boolean;
}

/** `undefined` when more must be found out, or no shared connection takes it. */
export function laneSlotFor(fleet: Fleet, terms: ReadTerms, now: number): LaneSlot | undefined {
  const { replicas, leadership, nodes, primary, selection } = fleet;
  const { target } = terms;
  if (replicas.length === 0 && leadership.isSettled && target !== 'replica') {
    const lane = primary.probe.takeLane(now, freshenMillis(nodes));
    const reason = target === undefined ? 'no-candidate' : 'hint';
    return lane === undefined ? undefined : { node: primary, lane, reason, isGated: false };
  }
  if (selection.isPrimary(target)) return undefined;
  const route = knownRoute(fleet, terms, now, true);
  const node = route?.node ?? justBehind(fleet, terms, now);
  const lane = node?.probe.takeLane(now, freshenMillis(nodes));
  if (node === undefined || lane === undefined) return undefined;
  if (route === undefined) return { node, lane, reason: 'gated', isGated: true };
  return { node, lane, reason: target === undefined ? route.why : 'hint', isGated: false };
}
