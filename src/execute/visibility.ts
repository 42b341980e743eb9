/**
 * A replica can show a commit an instant before the primary does: the primary sends it out, and only then lets its own readers
 * see it; with a synchronous standby, not before that one has answered. A session that moves from a replica to the primary waits
 * for what it may have seen there, and so does one that comes with a token of such a session. No wait here has no end.
 */

import { performance, setTimeout } from '../clock.js';
import { abortable, settledWithin } from '../deadline.js';
import { LadderError } from '../errors.js';
import type { ReadTrace } from '../freshness/read-trace.js';
import type { Requirement } from '../freshness/requirement.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import type { Request } from './request.js';

const POLL_MILLIS = 1;

/** `unknown`: no server could be asked. */
type Comparison = 'shown' | 'behind' | 'unknown';

const SESSION: Requirement = { consistency: 'session', maxStalenessMillis: undefined };

/**
 * Before something reads on the primary: resolves when that shows everything that the session has seen, here or by its tokens, or after `waitMillis`, or at once
 * when no server can be asked.
 */
export async function waitUntilVisible(request: Request): Promise<void> {
  const { trace, requirement, context, signal } = request;
  if (trace === undefined || requirement.consistency === 'eventual') return;
  const { hasUnshown, sightCount, readOn } = trace;
  // Also what another process has read, and this session was shown, has a server.
  if (readOn.length === 0 && !hasUnshown) return;
  const { fleet } = context;
  const replicas = hasUnshown ? await witnesses(request) : replicasOf(fleet, trace);
  const found = await compare(fleet, replicas, fleet.settings.waitMillis, signal);
  if (found !== 'behind') trace.compared(sightCount);
  if (found === 'shown') trace.shown();
}

/**
 * Resolves when the primary shows everything that the session has read here; at once when no server can be asked.
 * @throws LadderError `LADDER_POSITION_UNAVAILABLE` when it does not within `hangMillis`
 */
export async function confirmVisible(fleet: Fleet, trace: ReadTrace): Promise<void> {
  const found = await compare(fleet, replicasOf(fleet, trace), fleet.settings.hangMillis, undefined);
  if (found !== 'behind') return;
  throw new LadderError(
    'LADDER_POSITION_UNAVAILABLE',
    'the primary does not show yet what the session has read on a replica, as while it waits for a synchronous standby: no token can stand for it; ask again later',
  );
}

/** Those on which the session has read. */
function replicasOf(fleet: Fleet, trace: ReadTrace): readonly Node[] {
  const { readOn } = trace;
  return fleet.replicas.filter(
    ({ observation }) => observation !== undefined && readOn.includes(observation.identity.server),
  );
}

/** Those that together show whatever the session may have seen: where its position is known, one that has reached that, and those on which it has read. */
async function witnesses(request: Request): Promise<readonly Node[]> {
  const { floor, target, key, trace, signal, context } = request;
  const { fleet } = context;
  const { replicas, settings, history, selection, monitor } = fleet;
  if (replicas.length === 0) return [];
  if (selection.absence() === 'cold-start') {
    await monitor.until(() => selection.absence() !== 'cold-start', settings.hangMillis, 'anything', signal);
    signal?.throwIfAborted();
  }
  if (floor.resolve(history) === 'pending') {
    await abortable(settledWithin(fleet.primary.probe.refresh(), settings.hangMillis), signal);
  }
  const now = performance.now();
  const terms = { floor, requirement: SESSION, target, key, trace };
  const reached = replicas.find((replica) => !replica.isEjected && selection.meets(replica, terms, now));
  if (reached === undefined)
    return replicas.filter(({ isEjected, observation }) => !isEjected && observation !== undefined);
  const own = trace === undefined ? [] : replicasOf(fleet, trace);
  return own.includes(reached) ? own : [reached, ...own];
}

/** Whether the primary shows everything that these show. @param waitMillis how long to wait for it */
async function compare(
  fleet: Fleet,
  replicas: readonly Node[],
  waitMillis: number,
  signal: AbortSignal | undefined,
): Promise<Comparison> {
  if (replicas.length === 0) return 'unknown';
  let found: Comparison = 'unknown';
  const comparing = comparison(fleet.primary, replicas, waitMillis, signal).then((comparison) => {
    found = comparison;
  });
  await settledWithin(comparing, fleet.settings.hangMillis + waitMillis);
  signal?.throwIfAborted();
  return found;
}

async function comparison(
  primary: Node,
  replicas: readonly Node[],
  waitMillis: number,
  signal: AbortSignal | undefined,
): Promise<Comparison> {
  const asked = Promise.all([primary.adminQueries.snapshot(), ...replicas.map((replica) => shownBy(replica))]);
  const [first, ...answers] = await abortable(asked, signal);
  const shown = answers.filter((answer) => answer !== undefined);
  if (shown.length === 0) return 'unknown';
  let latest = first;
  // Listed are only transactions below the newest finished one; whatever lies above that is told by the number alone.
  const { unfinished } = latest;
  const committed = unfinished.length === 0 ? [] : shown.map(({ replica }) => committedOn(replica, unfinished));
  const ahead = new Set((await abortable(Promise.all(committed), signal)).flat());
  let next = 0n;
  for (const one of shown) if (one.next > next) next = one.next;
  const giveUpAt = performance.now() + waitMillis;
  while (latest.next < next || latest.unfinished.some((xid) => ahead.has(xid))) {
    if (performance.now() > giveUpAt) return 'behind';
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLIS));
    latest = await abortable(primary.adminQueries.snapshot(), signal);
  }
  return 'shown';
}

/** One that does not answer must not keep the others' word from being heard. */
async function shownBy(replica: Node): Promise<{ readonly replica: Node; readonly next: bigint } | undefined> {
  return replica.adminQueries.snapshot().then(
    ({ next }) => ({ replica, next }),
    () => undefined,
  );
}

function committedOn(replica: Node, xids: readonly string[]): Promise<readonly string[]> {
  return replica.adminQueries.committedAmong(xids).catch(() => []);
}
