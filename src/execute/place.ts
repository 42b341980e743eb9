/**
 * Finds the connection that answers a read: on a replica that is shown to be fresh enough, else on the primary, within its budget. It waits where waiting
 * is allowed, sends no statement of the caller's, and hands every connection to exactly one caller.
 */
import { performance } from '../clock.js';
import { closedMeanwhile, LadderError } from '../errors.js';
import type { Reason } from '../events.js';
import { Floor } from '../freshness/floor.js';
import type { DataConnection } from '../nodes/data-connections.js';
import type { Fleet, Need } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { isPoolTimeout } from '../postgres/errors.js';
import { catchUp, type Route } from './catch-up.js';
import type { ExecutionContext } from './context.js';
import { fallBack, inTurn } from './fall-back.js';
import { knownRoute } from './known-route.js';
import type { Placement } from './placement.js';
import { checkout, onPrimary, throwIfGivenUp } from './primary.js';
import { waitUntilVisible } from './visibility.js';

/**
 * @param startedAt our monotonic clock when the caller asked
 * @param lostOn nodes that were lost under earlier runs of the same read
 * @param passedOver those, and others that gave no connection just now
 * @throws pg's error when the primary gives no connection; LadderError `LADDER_NO_CANDIDATE` where the read insists on a replica, `LADDER_OVERLOADED`,
 * `LADDER_NO_PRIMARY`, `LADDER_TWO_PRIMARIES`
 */
export function place(
  context: ExecutionContext,
  asked: Need,
  startedAt: number,
  lostOn: ReadonlySet<Node> | undefined,
  signal: AbortSignal | undefined,
  passedOver: ReadonlySet<Node> | undefined = lostOn,
): Promise<Placement> {
  const finding = find(context, asked, startedAt, lostOn, signal, passedOver);
  const isForPrimary = asked.target === undefined || context.fleet.isPrimary(asked.target);
  if (signal === undefined || !isForPrimary) return finding;
  return finding.catch((error: unknown) => {
    if (error === signal.reason) throwIfGivenUp(context.fleet, signal);
    throw error;
  });
}

async function find(
  context: ExecutionContext,
  asked: Need,
  startedAt: number,
  lostOn: ReadonlySet<Node> | undefined,
  signal: AbortSignal | undefined,
  passedOver: ReadonlySet<Node> | undefined,
): Promise<Placement> {
  const { fleet } = context;
  const reasonOf = (reason: Reason): Reason =>
    lostOn !== undefined ? 'retried' : asked.target !== undefined ? 'hint' : reason;
  const toPrimary = async (giveUpAt: number): Promise<Placement> => {
    await waitUntilVisible(fleet, asked, signal);
    return onPrimary(fleet, { reason: reasonOf('hot-key'), mayWrite: false, startedAt, giveUpAt, signal });
  };
  if (fleet.isPrimary(asked.target)) return toPrimary(asked.giveUpAt);
  // A hot key's reads beyond the budget, and those for which the primary gives no connection, go where they would go if it were not hot.
  if (fleet.isForPrimary(asked, startedAt)) {
    const caller = asked.asker.caller();
    try {
      if (context.limiter.tryEnter(caller)) return await inTurn(context, caller, () => toPrimary(fleet.awakeMillis));
    } catch {
      signal?.throwIfAborted();
    }
  }
  let need = asked;
  let tried = passedOver;
  let route: Route | undefined = passedOver === undefined ? knownRoute(fleet, asked, startedAt) : undefined;
  for (;;) {
    if (fleet.isClosed) throw closedMeanwhile();
    if (route === undefined) {
      need = switching(asked);
      route = await catchUp(fleet, need, tried, signal);
    }
    const { replica, reason } = route;
    if (replica === undefined) {
      if (asked.target !== undefined) throw noCandidate(asked, reason);
      await waitUntilVisible(fleet, asked, signal);
      const placement = await fallBack(context, need, { reason, told: reasonOf(reason), startedAt, tried, signal });
      if (placement !== undefined) return placement;
      // Time has passed: those that merely gave no connection may do so now.
      tried = lostOn;
    } else {
      const isStaying = reason === 'affinity';
      const connection = await connect(fleet, replica, isStaying ? asked : need, signal);
      if (connection !== undefined && (!isStaying || connection.identity.server === asked.trace?.server)) {
        const told = reasonOf(reason);
        fleet.placed(replica, told, startedAt);
        if (hasMoved(fleet, asked, connection)) fleet.moveCount++;
        return { node: replica, connection, reason: told, endTurn: undefined };
      }
      // Nothing was sent: the next node is no second run.
      connection?.client.release();
      replica.load.remove();
      tried = new Set(tried).add(replica);
    }
    route = undefined;
  }
}

/**
 * The need of a read that changes its node: all that had been committed when the session's last read ended. A copy, since what
 * the session writes from here on came after this read, which must not wait for it.
 */
function switching(need: Need): Need {
  const floor = new Floor(undefined, need.floor);
  const { trace, requirement } = need;
  if (trace?.server !== undefined && requirement.consistency !== 'eventual') floor.wrote(trace.endedAt, 0);
  return { ...need, floor };
}

/**
 * A connection to a server that is shown to be fresh enough at this moment; `undefined` when there is none to be had. Counts the read in; it is the caller's
 * to count it out, unless this throws.
 */
async function connect(
  fleet: Fleet,
  replica: Node,
  need: Need,
  signal: AbortSignal | undefined,
): Promise<DataConnection | undefined> {
  let connection: DataConnection;
  replica.load.add();
  try {
    connection = await checkout(replica, false, signal);
  } catch (error) {
    if (signal?.aborted === true) replica.load.remove();
    signal?.throwIfAborted();
    // A full pool says nothing about the server behind it.
    if (!isPoolTimeout(error)) replica.lostBy(error);
    return undefined;
  }
  const isSameServer = replica.observation?.identity.server === connection.identity.server;
  // It may be found sick while the read waits.
  if (isSameServer && !fleet.isOut(replica) && fleet.qualifies(replica, need, performance.now())) return connection;

  // Another server, or another life of it, answers here than the one that was observed; or the proof ran out in the pool's queue.
  if (!isSameServer) replica.void('its connections reach different servers, or it was restarted');
  try {
    const own = await replica.observeOn(connection);
    if (own !== undefined && !fleet.isOut(replica) && fleet.isProvenBy(own, need, performance.now())) return connection;
    connection.client.release();
  } catch {
    connection.client.release(true);
  }
  return undefined;
}

/** Whether a session comes from another replica. */
function hasMoved({ primary }: Fleet, { trace }: Need, { identity }: DataConnection): boolean {
  const before = trace?.server;
  return before !== undefined && before !== identity.server && before !== primary.observation?.identity.server;
}

function noCandidate({ target }: Need, reason: Reason): LadderError {
  const wanted = typeof target === 'object' ? `node "${target.node}"` : 'a replica';
  return new LadderError(
    'LADDER_NO_CANDIDATE',
    `the read insists on ${wanted}, and none was fresh enough in time (${reason}); ` +
      'leave out target to let the primary answer, or ask for less with consistency or maxStalenessMillis',
  );
}
