/** Where a read goes by what is known now: it asks nobody, and runs for every read. */
import type { Reason } from '../events.js';
import type { Fleet, Need } from '../nodes/fleet.js';
import { Node } from '../nodes/node.js';

export interface KnownRoute {
  readonly replica: Node;
  readonly reason: Reason;
}

/** `undefined` when more must be found out. @param isBrief whether the statement is known to be over in a moment */
export function knownRoute(fleet: Fleet, need: Need, now: number, isBrief = false): KnownRoute | undefined {
  if (fleet.isForPrimary(need, now)) return undefined;
  const home = fleet.homeOf(need);
  if (keepsToOne(need)) {
    if (home === undefined) return undefined;
    if (need.key === undefined) return fleet.keeps(home, need, now) ? { replica: home, reason: 'affinity' } : undefined;
  }
  const chosen = fleet.choose(need, now, undefined, home, isBrief);
  if (!(chosen instanceof Node) || (home !== undefined && chosen !== home)) return undefined;
  return { replica: chosen, reason: fleet.way };
}

/**
 * A replica that was behind the floor when it was last asked, and may have reached it since; of several the foremost, and of equals any. `undefined` when none is worth a try:
 * it has only just said so, or has not moved since it was tried before.
 */
export function justBehind(fleet: Fleet, need: Need, now: number): Node | undefined {
  if (typeof need.floor.resolve(fleet.history) === 'string' || fleet.isForPrimary(need, now)) return undefined;
  const isOneOnly = keepsToOne(need) || need.key !== undefined;
  const candidates = isOneOnly ? [fleet.homeOf(need) ?? fleet.firstFor(need)] : fleet.candidates(need.target);
  let foremost: Node | undefined;
  let equals = 1;
  for (const replica of candidates) {
    if (replica?.lsn === undefined || !replica.mayHaveMoved(now) || !fleet.isInRotation(replica)) continue;
    if (keepsToOne(need) && replica.observation?.identity.server !== need.trace?.server) continue;
    // Not behind, but not wanted: another one is better.
    if (fleet.qualifies(replica, need, now)) continue;
    if (foremost?.lsn === undefined || replica.lsn > foremost.lsn) [foremost, equals] = [replica, 1];
    else if (replica.lsn === foremost.lsn && Math.random() * ++equals < 1) foremost = replica;
  }
  return foremost;
}

/** Staying on one replica is monotonic by itself; any other must be shown to have what this session has seen. */
function keepsToOne({ trace, requirement }: Need): boolean {
  return trace?.server !== undefined && requirement.consistency !== 'eventual';
}
