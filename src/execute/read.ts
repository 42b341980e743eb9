/**
 * A read: sent at once where that is known to be right, else placed, run, and run once more elsewhere when its node is lost under it; never answered with
 * something too old.
 */

import type { QueryResult, QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import type { DataConnection } from '../nodes/data-connections.js';
import type { Fleet, Need } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { isPoolTimeout } from '../postgres/errors.js';
import { abortable, settledWithin } from './abort.js';
import type { ExecutionContext } from './context.js';
import { giveBack, giveBackAfter } from './give-back.js';
import { type KnownRoute, knownRoute } from './known-route.js';
import { type LaneSlot, laneSlotFor, type Shareable } from './lane-slot.js';
import { place } from './place.js';
import { leave, type Placement } from './placement.js';
import { readOnLane, type Trial } from './read-on-lane.js';
import { readOnPrimary, readUnlessFinal } from './read-on-primary.js';
import { lostAgain } from './rerun.js';
import { run, type Statement, send } from './statement.js';

interface Reading {
  readonly context: ExecutionContext;
  readonly statement: Statement;
  readonly need: Need;
  /** Our monotonic clock when the caller asked. */
  readonly startedAt: number;
  readonly trial: Trial | undefined;
}

/** @throws at once what a value's own conversion throws */
export function read<Row extends QueryResultRow>(
  context: ExecutionContext,
  statement: Statement,
  need: Need,
  startedAt: number,
  trial?: Trial,
): Promise<QueryResult<Row>> {
  const reading = { context, statement, need, startedAt, trial };
  const { fleet, eligibility } = context;
  const { profile } = statement;
  fleet.recordUse(need, startedAt);
  if (trial === undefined && need.target === undefined && profile?.isForPrimary(startedAt) === true)
    return readOnPrimary(context, statement, need, startedAt);
  const shared = profile === undefined ? undefined : eligibility.laneStatement(statement, profile, startedAt);
  if (profile !== undefined && shared !== undefined) {
    const shareable = { statement: shared, profile };
    const slot = laneSlotFor(fleet, need, startedAt);
    fleet.askThoseBehind(startedAt);
    if (slot !== undefined) return readIn<Row>(slot, shareable, reading);
    const { floor } = need;
    if (floor.resolve(fleet.history) === 'pending' && !floor.outruns(fleet.history))
      return readBehindWrite(shareable, reading);
  }
  const isPlain = statement.signal === undefined && !fleet.isPrimary(need.target);
  const route = isPlain ? knownRoute(fleet, need, startedAt) : undefined;
  fleet.askThoseBehind(startedAt);
  return route === undefined ? readOnPool(reading, undefined) : readAtOnce(route, reading);
}

function readIn<Row extends QueryResultRow>(
  slot: LaneSlot,
  shareable: Shareable,
  reading: Reading,
): Promise<QueryResult<Row>> {
  const { context, statement, need, startedAt, trial } = reading;
  const running = readOnLane<Row>(
    context.fleet,
    slot,
    shareable,
    need,
    startedAt,
    (lostOn) => readOnPool(reading, lostOn),
    (error) => {
      if (trial === undefined) return readUnlessFinal(reading, slot, error);
      trial.failedOn = slot;
      throw error;
    },
  );
  // Its neighbours run on, and so does what nobody waits for any more.
  return statement.signal === undefined ? running : abortable(running, statement.signal);
}

/** The floor is not known yet: where the last write has ended is asked first, and then the read is sent with a look at the replica's position. */
async function readBehindWrite<Row extends QueryResultRow>(
  shareable: Shareable,
  reading: Reading,
): Promise<QueryResult<Row>> {
  const { context, statement, need } = reading;
  const { fleet } = context;
  if (fleet.leadership.canTry) {
    await abortable(settledWithin(fleet.primary.refresh(), fleet.settings.hangMillis), statement.signal);
  }
  const slot = laneSlotFor(fleet, need, performance.now());
  return slot === undefined ? readOnPool(reading, undefined) : readIn<Row>(slot, shareable, reading);
}

/** On a connection of its own to the replica that is known to be right: no promise but the caller's, as long as nothing is out of the ordinary. */
function readAtOnce<Row extends QueryResultRow>(route: KnownRoute, reading: Reading): Promise<QueryResult<Row>> {
  const { context, statement, need, startedAt } = reading;
  const { fleet } = context;
  const { replica: node } = route;
  const reason = need.target === undefined ? route.reason : 'hint';
  node.load.add();
  return new Promise((resolve) => {
    node.checkout(false, (error, connection) => {
      if (connection === undefined || !isStillRight(fleet, route, connection, need)) {
        node.load.remove();
        connection?.client.release();
        // A full pool says nothing about the server behind it.
        if (connection === undefined && !isPoolTimeout(error)) node.lostBy(error);
        resolve(readOnPool(reading, undefined, connection === undefined ? new Set([node]) : undefined));
        return;
      }
      const placement = { node, connection, reason, endTurn: undefined };
      fleet.placed(node, reason, startedAt);
      send<Row>(placement, statement, fleet.publisher, (failure, result) => {
        if (failure === null) resolve(over(placement, reading) ?? result);
        else resolve(failed(reading, placement, failure, undefined));
      });
    });
  });
}

/** Whether the server behind that connection is the one that was chosen, and still is fresh enough and well. */
function isStillRight(fleet: Fleet, { replica, reason }: KnownRoute, connection: DataConnection, need: Need): boolean {
  const { server } = connection.identity;
  if (server !== replica.observation?.identity.server) return false;
  if (reason === 'affinity' && server !== need.trace?.server) return false;
  return !fleet.isOut(replica) && fleet.qualifies(replica, need, performance.now());
}

/**
 * @param lostOn nodes that were lost under earlier runs
 * @param passedOver those, and others that gave no connection just now
 */
async function readOnPool<Row extends QueryResultRow>(
  reading: Reading,
  lostOn: ReadonlySet<Node> | undefined,
  passedOver = lostOn,
): Promise<QueryResult<Row>> {
  const { context, statement, need, startedAt } = reading;
  const { signal } = statement;
  signal?.throwIfAborted();
  const placement = await place(context, need, startedAt, lostOn, signal, passedOver);
  let result: QueryResult<Row>;
  try {
    result = await run<Row>(placement, statement, context.fleet.publisher);
  } catch (error) {
    return failed(reading, placement, error, lostOn);
  }
  return over(placement, reading) ?? result;
}

/** @returns what rejects where it left a transaction open */
function over(placement: Placement, { context, statement, need }: Reading): Promise<never> | undefined {
  const { node, connection } = placement;
  const { trace, key } = need;
  const refusal = giveBack(placement, statement, context.fleet.publisher);
  node.succeeded();
  trace?.ended(connection.identity.server, performance.now(), key);
  leave(placement);
  return refusal;
}

async function failed<Row extends QueryResultRow>(
  reading: Reading,
  placement: Placement,
  error: unknown,
  lostOn: ReadonlySet<Node> | undefined,
): Promise<QueryResult<Row>> {
  const { context, statement, trial } = reading;
  const { signal } = statement;
  if (trial !== undefined) trial.failedOn = placement;
  const rollingBack = giveBackAfter(error, placement, statement, context.fleet.publisher);
  leave(placement);
  if (rollingBack !== undefined) await rollingBack;
  const lost = await lostAgain(context.fleet, placement, error, lostOn, signal);
  if (lost !== undefined) {
    context.fleet.abandoned(placement);
    return readOnPool(reading, lost);
  }
  if (trial !== undefined) throw error;
  return readUnlessFinal(reading, placement, error);
}
