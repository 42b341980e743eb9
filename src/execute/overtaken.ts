/**
 * A replica can show a commit an instant before the primary does: the primary sends it out, and only then lets its own readers
 * see it; with a synchronous standby, not before that one has answered. A session that moves from a replica to the primary waits
 * for what it may have seen there.
 */
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { abortable, settledWithin } from './abort.js';

const POLL_MILLIS = 1;

/**
 * Resolves when the primary shows everything that the replica of `server` shows, or after `waitMillis`, or at once when one of
 * them cannot be asked.
 */
export async function notOvertaken(fleet: Fleet, server: string, signal: AbortSignal | undefined): Promise<void> {
  const replica = fleet.replicas.find((one) => one.observation?.identity.server === server);
  if (replica === undefined) return;
  const { hangMillis, waitMillis } = fleet.settings;
  await settledWithin(shownByPrimary(fleet, replica, signal), hangMillis + waitMillis);
  signal?.throwIfAborted();
}

async function shownByPrimary(
  { primary, settings }: Fleet,
  replica: Node,
  signal: AbortSignal | undefined,
): Promise<void> {
  const asked = Promise.all([replica.questions.snapshot(), primary.questions.snapshot()]);
  const [shown, first] = await abortable(asked, signal);
  let latest = first;
  // Listed are only transactions below the newest finished one; whatever lies above that is told by the number alone.
  const ahead = new Set(
    latest.unfinished.length === 0 ? [] : await abortable(replica.questions.committedAmong(latest.unfinished), signal),
  );
  const giveUpAt = performance.now() + settings.waitMillis;
  while (latest.next < shown.next || latest.unfinished.some((xid) => ahead.has(xid))) {
    if (performance.now() > giveUpAt) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLIS));
    latest = await abortable(primary.questions.snapshot(), signal);
  }
}
