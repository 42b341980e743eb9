/**
 * When no replica is known to be fresh enough: finds out more, then waits a little, and says at last that the primary must
 * answer. Holds no pool slot meanwhile.
 */

import { clearTimeout, performance, setTimeout } from '../clock.js';
import { abortable, settledWithin } from '../deadline.js';
import type { Reason } from '../events.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { type ReadTerms, type ReplicaChoice, reasonFor } from '../nodes/selection.js';
import { findTimeline } from './find-timeline.js';
import { refreshPrimary } from './refresh-primary.js';
import type { Request } from './request.js';

/** Where a read goes, and why. */
export interface Route {
  /** `undefined`: no replica; the primary, or an error where the read insists on a replica. */
  readonly node: Node | undefined;
  readonly why: Reason;
}

/** A gate that is still shut by then waits for log that is not flushed, more likely than for replay. */
const NUDGE_AFTER_MILLIS = 5;
/** All are asked at once: those that are well have answered by then, too. */
const OWN_MILLIS = 3;

/**
 * @param terms what the read asks of the replica that it goes to
 * @param except nodes that just failed the read; the others are asked anew then, since what befell one may have befallen all
 */
export async function catchUp(
  { context, signal }: Request,
  terms: ReadTerms,
  except: ReadonlySet<Node> | undefined,
): Promise<Route> {
  const { floor } = terms;
  const { fleet } = context;
  const { selection, history, monitor } = fleet;
  // A server that hangs takes its connection with it, and opening another one takes longer than any read should wait.
  const { hangMillis, waitMillis } = fleet.settings;
  const look = (): ReplicaChoice => selection.choose(terms, performance.now(), except);
  const open = (): boolean => isSettled(look());

  let answering = selection.likeliest(terms, except);
  if (answering.length === 0 && selection.absence() === 'cold-start') {
    // At first the replicas are as little known as the primary, which is waited for, too.
    await monitor.until(() => selection.absence() !== 'cold-start', hangMillis, 'anything', signal);
    signal?.throwIfAborted();
    answering = selection.likeliest(terms, except);
  }
  if (answering.length === 0) return { node: undefined, why: selection.absence() };
  let found = look();
  if (except === undefined && isSettled(found)) return routeTo(found, 'gated');
  if (found.why === 'pending' || found.why === 'too-stale') {
    if (floor.outruns(history)) await findTimeline(fleet, floor, signal);
    else if (fleet.leadership.canTry) await abortable(settledWithin(refreshPrimary(fleet), hangMillis), signal);
    found = look();
    if (found.why === 'pending' || (except === undefined && isSettled(found))) return routeTo(found, 'gated');
  }

  const own = selection.homeOf(terms) ?? selection.firstFor(terms);
  await abortable(settledWithin(refreshUntil(open, answering, own), hangMillis), signal);
  found = look();
  if (isSettled(found) || waitMillis === 0) return routeTo(found, 'gated');

  const nudging = setTimeout(() => void nudge(fleet, terms), NUDGE_AFTER_MILLIS);
  try {
    await monitor.until(open, waitMillis, answering, signal);
    signal?.throwIfAborted();
  } finally {
    clearTimeout(nudging);
  }
  return routeTo(look(), 'waited');
}

/**
 * Asks where the replicas stand, until one is fresh enough: a frozen one must not hold up a read that another can answer.
 * @param own the session's or the key's, whose answer is waited for a moment longer than that of any other
 */
function refreshUntil(open: () => boolean, replicas: readonly Node[], own: Node | undefined): Promise<void> {
  return new Promise((resolve) => {
    let left = replicas.length;
    let isOwnAwaited = own !== undefined && replicas.includes(own);
    let impatient: NodeJS.Timeout | undefined;
    const answered = (replica: Node): void => {
      left--;
      if (replica === own) isOwnAwaited = false;
      if (left > 0 && !open()) return;
      if (left > 0 && isOwnAwaited) {
        impatient ??= setTimeout(resolve, OWN_MILLIS);
        return;
      }
      clearTimeout(impatient);
      resolve();
    };
    for (const replica of replicas) {
      const over = (): void => answered(replica);
      replica.probe.refresh().then(over, over);
    }
  });
}

async function nudge(fleet: Fleet, terms: ReadTerms): Promise<void> {
  // A bound on staleness is met by the newest sample of the primary, a floor by itself.
  const isStale = fleet.selection.choose(terms, performance.now()).why === 'too-stale';
  const lsn = isStale ? fleet.history.highest : terms.floor.resolve(fleet.history);
  const { observation, adminQueries } = fleet.primary;
  if (typeof lsn === 'string' || observation === undefined) return;
  await adminQueries.nudge(lsn, observation.identity.version).catch(() => undefined);
}

/** Whether looking or waiting longer changes nothing: found, or out of reach. */
function isSettled({ node, why }: ReplicaChoice): boolean {
  if (node !== undefined) return true;
  return why === 'no-candidate' || why === 'cold-start' || why === 'unprovable' || why === 'sticky';
}

function routeTo({ node, why }: ReplicaChoice, found: Reason): Route {
  return node === undefined ? { node, why: reasonFor(why) } : { node, why: found };
}
