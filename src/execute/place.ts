/**
 * Finds the connection that answers a read: on a replica that is shown to be fresh enough, else on the primary, within its budget. It waits where waiting
 * is allowed, sends no statement of the caller's, and hands every connection to exactly one caller.
 */
import { performance } from '../clock.js';
import { closedMeanwhile, LadderError } from '../errors.js';
import type { Reason } from '../events.js';
import { Floor } from '../freshness/floor.js';
import type { Lsn } from '../freshness/lsn.js';
import type { Target } from '../freshness/requirement.js';
import type { DataConnection } from '../nodes/data-connection.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import type { ReadTerms } from '../nodes/selection.js';
import { isPoolTimeout } from '../postgres/errors.js';
import { Attempt } from './attempt.js';
import { catchUp, type Route } from './catch-up.js';
import { fallBack, inTurn } from './fall-back.js';
import { knownRoute } from './known-route.js';
import type { Placement } from './open-series.js';
import { checkout, onPrimary, throwIfGivenUp } from './primary.js';
import type { Request } from './request.js';
import { waitUntilVisible } from './visibility.js';

/**
 * @param passedOver servers that were lost under earlier attempts, and others that gave no connection just now
 * @throws pg's error when the primary gives no connection; LadderError `LADDER_NO_CANDIDATE` where the read insists on a replica, `LADDER_OVERLOADED`,
 * `LADDER_NO_PRIMARY`, `LADDER_TWO_PRIMARIES`
 */
export async function place(request: Request, passedOver = request.lostOn): Promise<Placement> {
  const { context, signal, target } = request;
  try {
    return await find(request, passedOver);
  } catch (error) {
    const isForPrimary = target === undefined || context.fleet.selection.isPrimary(target);
    if (signal !== undefined && isForPrimary && error === signal.reason) throwIfGivenUp(context.fleet, signal);
    throw error;
  }
}

async function find(request: Request, passedOver: ReadonlySet<Node> | undefined): Promise<Placement> {
  const { context, signal, target } = request;
  const { fleet, limiter } = context;
  const { selection } = fleet;
  const reasonOf = (why: Reason): Reason =>
    request.lostOn !== undefined ? 'retried' : target !== undefined ? 'hint' : why;
  const toPrimary = async (giveUpAt?: number): Promise<Placement> => {
    await waitUntilVisible(request);
    const use = { reason: reasonOf('hot-key'), mayWrite: false };
    return onPrimary(request, giveUpAt === undefined ? use : { ...use, giveUpAt });
  };
  if (selection.isPrimary(target)) return toPrimary();
  const now = performance.now();
  // A hot key's reads beyond the budget, and those for which the primary gives no connection, go where they would go if it were not hot.
  if (selection.isForPrimary(request, now)) {
    const caller = request.asker.caller();
    try {
      if (limiter.tryEnter(caller)) return await inTurn(context, caller, () => toPrimary(fleet.awakeMillis));
    } catch {
      signal?.throwIfAborted();
    }
  }
  let moving: ReadTerms = request;
  let except = passedOver;
  let route: Route | undefined = passedOver === undefined ? knownRoute(fleet, request, now) : undefined;
  for (;;) {
    if (fleet.isClosed) throw closedMeanwhile(fleet.publisher.cluster);
    if (route === undefined) {
      moving = onTheMove(request);
      route = await catchUp(request, moving, except);
    }
    const { node, why } = route;
    if (node === undefined) {
      if (target !== undefined) throw noCandidate(fleet.publisher.cluster, target, why);
      await waitUntilVisible(request);
      const placement = await fallBack(request, { why, reason: reasonOf(why), except, terms: moving });
      if (placement !== undefined) return placement;
      // Time has passed: those that merely gave no connection may do so now.
      except = request.lostOn;
    } else {
      const isStaying = why === 'affinity';
      const attempt = new Attempt(request, node, reasonOf(why));
      const proven = await connect(attempt, isStaying ? request : moving);
      const connection = proven?.connection;
      if (connection !== undefined && (!isStaying || connection.identity.server === request.trace?.server)) {
        attempt.placed(performance.now(), connection, proven?.lsn);
        if (hasMoved(fleet, request, connection)) fleet.counts.moveCount++;
        return { attempt, connection };
      }
      // Nothing was sent: the next node is no second run.
      connection?.client.release();
      attempt.leave();
      except = new Set(except).add(node);
    }
    route = undefined;
  }
}

/**
 * What a read that changes its node asks for: all that had been committed when the session's last read ended.
 * A floor of its own, since what the session writes from here on came after this read.
 */
function onTheMove({ floor: own, requirement, target, key, trace }: Request): ReadTerms {
  const floor = new Floor(undefined, own);
  if (trace?.server !== undefined && requirement.consistency !== 'eventual') floor.wrote(trace.endedAt, 0);
  return { floor, requirement, target, key, trace };
}

/** A connection, and how far its server was when that was shown. */
interface Proven {
  readonly connection: DataConnection;
  readonly lsn: Lsn | undefined;
}

/**
 * A connection to a server that is shown to be fresh enough at this moment; `undefined` when there is none to
 * be had. The attempt has left when this throws, and not otherwise.
 */
async function connect(attempt: Attempt, terms: ReadTerms): Promise<Proven | undefined> {
  const { node, request } = attempt;
  const { signal, context } = request;
  const { selection } = context.fleet;
  if (isHeldBack(node, request, performance.now())) return undefined;
  let connection: DataConnection;
  try {
    connection = await checkout(node, false, signal);
  } catch (error) {
    if (signal?.aborted === true) attempt.leave();
    signal?.throwIfAborted();
    // A full pool says nothing about the server behind it.
    if (!isPoolTimeout(error)) node.health.gaveNoConnection(error);
    return undefined;
  }
  node.health.refusals.gave(performance.now());
  const isSameServer = node.observation?.identity.server === connection.identity.server;
  // It may be found sick while the read waits.
  if (isSameServer && !selection.isOut(node) && selection.meets(node, terms, performance.now()))
    return { connection, lsn: node.lsn };

  // Another server, or another life of it, answers here than the one that was observed; or the proof ran out in the pool's queue.
  if (!isSameServer) node.health.forget('its connections reach different servers, or it was restarted');
  try {
    const own = await node.probe.observeOn(connection);
    const isProven = own !== undefined && selection.isProvenBy(own, terms, performance.now());
    if (isProven && !selection.isOut(node)) return { connection, lsn: own.lsn };
    connection.client.release();
  } catch {
    connection.client.release(true);
  }
  return undefined;
}

/** Whether a replica that refuses connections is not to be asked for one more: the next rung can answer. A read that insists on it asks. */
export function isHeldBack({ health, role }: Node, { target }: Request, now: number): boolean {
  return role === 'replica' && target === undefined && health.refusals.holdsBack(now, Math.random);
}

/** Whether a session comes from another replica. */
function hasMoved({ primary }: Fleet, { trace }: Request, { identity }: DataConnection): boolean {
  const before = trace?.server;
  return before !== undefined && before !== identity.server && before !== primary.observation?.identity.server;
}

function noCandidate(cluster: string, target: Target, why: Reason): LadderError {
  const wanted = typeof target === 'object' ? `node "${target.node}"` : 'a replica';
  return new LadderError(
    'LADDER_NO_CANDIDATE',
    `the read insists on ${wanted} of cluster "${cluster}", and none was fresh enough in time (${why}); ` +
      'leave out target to let the primary answer, or ask for less with consistency or maxStalenessMillis',
  );
}
