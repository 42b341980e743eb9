/**
 * When no replica is known to be fresh enough: finds out more, then waits a little, and says at last that the primary must
 * answer. Holds no pool slot meanwhile.
 */
import { clearTimeout, performance, setTimeout } from '../clock.js';
import type { Reason } from '../events.js';
import type { Fleet, Need, Refusal } from '../nodes/fleet.js';
import { Node } from '../nodes/node.js';
import { abortable, settledWithin } from './abort.js';
import { seekTimeline } from './find-timeline.js';

/** Where a read goes, and why. */
export interface Route {
  /** `undefined`: no replica; the primary, or an error where the read insists on a replica. */
  readonly replica: Node | undefined;
  readonly reason: Reason;
}

/** A gate that is still shut by then waits for log that nobody flushes, more likely than for replay. */
const NUDGE_AFTER_MILLIS = 5;
/** All are asked at once: whoever is well has answered by then, too. */
const OWN_MILLIS = 3;

/** @param except nodes that just failed the read; the others are asked anew then, since what befell one may have befallen all */
export async function catchUp(
  fleet: Fleet,
  need: Need,
  except: ReadonlySet<Node> | undefined,
  signal: AbortSignal | undefined,
): Promise<Route> {
  // A server that hangs takes its connection with it, and opening another one takes longer than any read should wait.
  const { hangMillis } = fleet.settings;
  const look = (): Node | Refusal => fleet.choose(need, performance.now(), except);
  const open = (): boolean => isSettled(look());

  let answering = fleet.likeliest(need, except);
  if (answering.length === 0 && fleet.absence() === 'cold-start') {
    // At first the replicas are as little known as the primary, which is waited for, too.
    await fleet.monitor.until(() => fleet.absence() !== 'cold-start', hangMillis, 'anything', signal);
    signal?.throwIfAborted();
    answering = fleet.likeliest(need, except);
  }
  if (answering.length === 0) return routeTo(fleet, fleet.absence(), 'gated');
  let found = look();
  if (except === undefined && isSettled(found)) return routeTo(fleet, found, 'gated');
  if (found === 'pending' || found === 'too-stale') {
    if (need.floor.outruns(fleet.history)) await seekTimeline(fleet, need.floor, signal);
    else if (fleet.leadership.canTry) await abortable(settledWithin(fleet.primary.refresh(), hangMillis), signal);
    found = look();
    if (found === 'pending' || (except === undefined && isSettled(found))) return routeTo(fleet, found, 'gated');
  }

  const own = fleet.homeOf(need) ?? fleet.firstFor(need);
  await abortable(settledWithin(refreshUntil(open, answering, own), hangMillis), signal);
  found = look();
  if (isSettled(found) || fleet.settings.waitMillis === 0) return routeTo(fleet, found, 'gated');

  const nudging = setTimeout(() => void nudge(fleet, need), NUDGE_AFTER_MILLIS);
  try {
    await fleet.monitor.until(open, fleet.settings.waitMillis, answering, signal);
    signal?.throwIfAborted();
  } finally {
    clearTimeout(nudging);
  }
  return routeTo(fleet, look(), 'waited');
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
      replica.refresh().then(over, over);
    }
  });
}

async function nudge(fleet: Fleet, need: Need): Promise<void> {
  // A bound on staleness is met by the newest sample of the primary, a floor by itself.
  const stale = fleet.choose(need, performance.now()) === 'too-stale';
  const lsn = stale ? fleet.history.highest : need.floor.resolve(fleet.history);
  const { observation, adminQueries } = fleet.primary;
  if (typeof lsn === 'string' || observation === undefined) return;
  await adminQueries.nudge(lsn, observation.identity.version).catch(() => undefined);
}

/** Whether looking or waiting longer changes nothing: found, or out of reach. */
function isSettled(found: Node | Refusal): boolean {
  return (
    found instanceof Node ||
    found === 'no-candidate' ||
    found === 'cold-start' ||
    found === 'unprovable' ||
    found === 'sticky'
  );
}

function routeTo(fleet: Fleet, found: Node | Refusal, reason: Reason): Route {
  if (found instanceof Node) return { replica: found, reason };
  return { replica: undefined, reason: fleet.reasonFor(found) };
}
