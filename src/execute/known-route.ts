/** Where a read goes by what is known now: it asks nobody, and runs for every read. */
import type { Reason } from '../events.js';
import type { Fleet, Need } from '../nodes/fleet.js';
import { Node } from '../nodes/node.js';

export interface KnownRoute {
  readonly replica: Node;
  readonly reason: Reason;
}

/** `undefined` when more must be found out. */
export function knownRoute(fleet: Fleet, need: Need, now: number): KnownRoute | undefined {
  const isKeyed = need.partitionKey !== undefined;
  if (!keepsToOne(need)) {
    const chosen = fleet.choose(need, now);
    return chosen instanceof Node ? { replica: chosen, reason: isKeyed ? 'partition' : 'balanced' } : undefined;
  }
  const home = homeOf(fleet, need);
  const isHome = home !== undefined && fleet.isInRotation(home) && fleet.qualifies(home, need, now);
  return isHome ? { replica: home, reason: 'affinity' } : undefined;
}

/**
 * A replica that was behind the floor when it was last asked, and may have reached it since; of several the foremost. `undefined` when none is worth a try:
 * it has only just said so, or has not moved since it was tried before.
 */
export function justBehind(fleet: Fleet, need: Need, now: number): Node | undefined {
  if (typeof need.floor.resolve(fleet.trail) === 'string') return undefined;
  const isOneOnly = keepsToOne(need) || need.partitionKey !== undefined;
  const candidates = isOneOnly ? [homeOf(fleet, need) ?? fleet.ranked(need)[0]] : fleet.candidates(need.target);
  let foremost: Node | undefined;
  for (const replica of candidates) {
    if (replica?.lsn === undefined || !replica.mayHaveMoved(now) || !fleet.isInRotation(replica)) continue;
    if (keepsToOne(need) && replica.observation?.identity.server !== need.trace?.server) continue;
    if (foremost?.lsn === undefined || replica.lsn > foremost.lsn) foremost = replica;
  }
  return foremost;
}

/** Staying on one replica is monotonic by itself; any other must be shown to have what this session has seen. */
function keepsToOne({ trace, requirement }: Need): boolean {
  return trace?.server !== undefined && requirement.consistency !== 'eventual';
}

/** Where the session last read. A key's own replica comes first, also when that means a move. */
function homeOf(fleet: Fleet, need: Need): Node | undefined {
  const candidates = need.partitionKey === undefined ? fleet.candidates(need.target) : fleet.ranked(need).slice(0, 1);
  return candidates.find((replica) => replica.observation?.identity.server === need.trace?.server);
}
