/** Where a read goes by what is known now: it asks no server, and runs for every read. */
import type { Reason } from '../events.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import type { ReadTerms } from '../nodes/selection.js';

export interface KnownRoute {
  readonly node: Node;
  readonly why: Reason;
}

/** `undefined` when more must be found out. @param isBrief whether the statement is known to be over in a moment */
export function knownRoute(fleet: Fleet, terms: ReadTerms, now: number, isBrief = false): KnownRoute | undefined {
  const { selection } = fleet;
  if (selection.isForPrimary(terms, now)) return undefined;
  const home = selection.homeOf(terms);
  if (keepsToOne(terms)) {
    if (home === undefined) return undefined;
    if (terms.key === undefined) return selection.keeps(home, terms, now) ? { node: home, why: 'affinity' } : undefined;
  }
  const choice = selection.choose(terms, now, undefined, home, isBrief);
  if (choice.passedOver) fleet.refreshBehind(now);
  if (choice.node === undefined || (home !== undefined && choice.node !== home)) return undefined;
  return choice;
}

/**
 * A replica that was behind the floor when it was last asked, and may have reached it since; of several the
 * foremost, and of equals any. `undefined` when none is worth a try: it has only just said so, or has not
 * moved since it was tried before.
 */
export function justBehind({ selection, history }: Fleet, terms: ReadTerms, now: number): Node | undefined {
  if (typeof terms.floor.resolve(history) === 'string' || selection.isForPrimary(terms, now)) return undefined;
  const isOneOnly = keepsToOne(terms) || terms.key !== undefined;
  const candidates = isOneOnly
    ? [selection.homeOf(terms) ?? selection.firstFor(terms)]
    : selection.candidates(terms.target);
  let foremost: Node | undefined;
  let equals = 1;
  for (const replica of candidates) {
    if (replica?.lsn === undefined || !replica.position.mayHaveMoved(now) || !selection.isInRotation(replica)) continue;
    if (keepsToOne(terms) && replica.observation?.identity.server !== terms.trace?.server) continue;
    // Not behind, but not wanted: another one is better.
    if (selection.meets(replica, terms, now)) continue;
    if (foremost?.lsn === undefined || replica.lsn > foremost.lsn) [foremost, equals] = [replica, 1];
    else if (replica.lsn === foremost.lsn && Math.random() * ++equals < 1) foremost = replica;
  }
  return foremost;
}

/** Staying on one replica is monotonic by itself; any other must be shown to have what this session has seen. */
function keepsToOne({ trace, requirement }: ReadTerms): boolean {
  return trace?.server !== undefined && requirement.consistency !== 'eventual';
}
