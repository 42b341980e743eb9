/**
 * A read: sent at once where that is known to be right, else placed, run, and run once more elsewhere when its
 * server is lost under it; never answered with something too old.
 */

import type { QueryResult, QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import { abortable, settledWithin } from '../deadline.js';
import type { DataConnection } from '../nodes/data-connection.js';
import type { Node } from '../nodes/node.js';
import { isPoolTimeout } from '../postgres/errors.js';
import { Attempt } from './attempt.js';
import { giveBack, giveBackAfter } from './give-back.js';
import { type KnownRoute, knownRoute } from './known-route.js';
import { type LaneSlot, laneSlotFor } from './lane-slot.js';
import type { Placement } from './open-series.js';
import { isHeldBack, place } from './place.js';
import { type Refused, readOnLane, type Shareable } from './read-on-lane.js';
import { readOnPrimary, readUnlessFinal } from './read-on-primary.js';
import { refreshPrimary } from './refresh-primary.js';
import type { StatementRequest } from './request.js';
import { lostAgain } from './rerun.js';

/** @throws at once what a value's own conversion throws */
export function read<Row extends QueryResultRow>(request: StatementRequest): Promise<QueryResult<Row>> {
  const { statement, target, startedAt } = request;
  if (target === undefined && statement.profile?.isForPrimary(startedAt) === true) {
    request.context.fleet.selection.recordUse(request, startedAt);
    return readOnPrimary<Row>(request);
  }
  return readFresh<Row>(request, readUnlessFinal);
}

/** On whichever server is fresh enough. @param refused decides about errors */
export function readFresh<Row extends QueryResultRow>(
  request: StatementRequest,
  refused: Refused<Row>,
): Promise<QueryResult<Row>> {
  const { context, statement, floor, startedAt, signal, target } = request;
  const { fleet, eligibility } = context;
  const { profile } = statement;
  fleet.selection.recordUse(request, startedAt);
  const shared = profile === undefined ? undefined : eligibility.laneStatement(statement, profile, startedAt);
  if (profile !== undefined && shared !== undefined) {
    const shareable = { statement: shared, profile };
    const slot = laneSlotFor(fleet, request, startedAt);
    if (slot !== undefined) return readIn(slot, shareable, request, refused);
    if (floor.resolve(fleet.history) === 'pending' && !floor.outruns(fleet.history))
      return readBehindWrite(shareable, request, refused);
  }
  const isPlain = signal === undefined && !fleet.selection.isPrimary(target);
  const route = isPlain ? knownRoute(fleet, request, startedAt) : undefined;
  return route === undefined ? readOnPool(request, refused) : readAtOnce(route, request, refused);
}

function readIn<Row extends QueryResultRow>(
  slot: LaneSlot,
  shareable: Shareable,
  request: StatementRequest,
  refused: Refused<Row>,
): Promise<QueryResult<Row>> {
  const running = readOnLane<Row>(request, slot, shareable, readOnPool, refused);
  // Its neighbours run on, and so does what is no longer waited for.
  return request.signal === undefined ? running : abortable(running, request.signal);
}

/** The floor is not known yet: where the last write has ended is asked first, and then the read is sent with a look at the replica's position. */
async function readBehindWrite<Row extends QueryResultRow>(
  shareable: Shareable,
  request: StatementRequest,
  refused: Refused<Row>,
): Promise<QueryResult<Row>> {
  const { fleet } = request.context;
  if (fleet.leadership.canTry) {
    await abortable(settledWithin(refreshPrimary(fleet), fleet.settings.hangMillis), request.signal);
  }
  const slot = laneSlotFor(fleet, request, performance.now());
  return slot === undefined ? readOnPool(request, refused) : readIn(slot, shareable, request, refused);
}

/** On a connection of its own to the replica that is known to be right: no promise but the caller's, as long as nothing is out of the ordinary. */
function readAtOnce<Row extends QueryResultRow>(
  route: KnownRoute,
  request: StatementRequest,
  refused: Refused<Row>,
): Promise<QueryResult<Row>> {
  const { node, why } = route;
  if (isHeldBack(node, request, request.startedAt)) return readOnPool(request, refused, new Set([node]));
  const attempt = new Attempt(request, node, request.target === undefined ? why : 'hint');
  return new Promise((resolve) => {
    attempt.checkout(false, (error, connection) => {
      const now = performance.now();
      if (connection === undefined || !isStillRight(route, connection, request, now)) {
        attempt.leave();
        connection?.client.release();
        // A full pool says nothing about the server behind it.
        if (connection === undefined && !isPoolTimeout(error)) node.health.gaveNoConnection(error);
        resolve(readOnPool(request, refused, connection === undefined ? new Set([node]) : undefined));
        return;
      }
      node.health.refusals.gave(now);
      attempt.placed(now, connection);
      attempt.send<Row>(connection, request.statement, (failure, result) => {
        if (failure === null) resolve(over(attempt, connection, request) ?? result);
        else resolve(failed(attempt, connection, request, failure, refused));
      });
    });
  });
}

/** Whether the server behind that connection is the one that was chosen, and still is fresh enough and well. */
function isStillRight(
  { node, why }: KnownRoute,
  { identity }: DataConnection,
  request: StatementRequest,
  now: number,
): boolean {
  const { server } = identity;
  const { selection } = request.context.fleet;
  if (server !== node.observation?.identity.server) return false;
  if (why === 'affinity' && server !== request.trace?.server) return false;
  return !selection.isOut(node) && selection.meets(node, request, now);
}

/** @param passedOver servers that were lost under earlier attempts, and others that gave no connection just now */
async function readOnPool<Row extends QueryResultRow>(
  request: StatementRequest,
  refused: Refused<Row>,
  passedOver?: ReadonlySet<Node>,
): Promise<QueryResult<Row>> {
  const { signal, statement } = request;
  signal?.throwIfAborted();
  const { attempt, connection }: Placement = await place(request, passedOver);
  let result: QueryResult<Row>;
  try {
    result = await attempt.run<Row>(connection, statement, signal);
  } catch (error) {
    return failed(attempt, connection, request, error, refused);
  }
  return over(attempt, connection, request) ?? result;
}

/** @returns what rejects where it left a transaction open */
function over(
  attempt: Attempt,
  connection: DataConnection,
  { statement }: StatementRequest,
): Promise<never> | undefined {
  const refusal = giveBack(attempt, connection, statement.query);
  attempt.node.health.succeeded();
  attempt.leave(connection.identity.server);
  return refusal;
}

async function failed<Row extends QueryResultRow>(
  attempt: Attempt,
  connection: DataConnection,
  request: StatementRequest,
  error: unknown,
  refused: Refused<Row>,
): Promise<QueryResult<Row>> {
  const rollingBack = giveBackAfter(error, attempt, connection, request.statement.query);
  attempt.leave();
  if (rollingBack !== undefined) await rollingBack;
  if (await lostAgain(attempt, connection, error)) {
    attempt.abandoned();
    return readOnPool(request, refused);
  }
  return refused(request, attempt, error);
}
