/**
 * A read: sent at once where that is known to be right, else placed, run, and run once more elsewhere when its node is lost under it; never answered with
 * something too old.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import type { Need } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { abortable, settledWithin } from './abort.js';
import { place } from './place.js';
import { left } from './placement.js';
import { readOnLane } from './read-on-lane.js';
import { lostAgain } from './rerun.js';
import type { Rungs } from './rungs.js';
import { type Seat, type Shareable, seatFor } from './seat.js';
import { giveBackAfter, run, type Statement } from './statement.js';

/** What a caller learns of a read that failed. */
export interface Trial {
  failedOnReplica: boolean;
}

interface Reading {
  readonly rungs: Rungs;
  readonly statement: Statement;
  readonly need: Need;
  /** Our monotonic clock when the caller asked. */
  readonly startedAt: number;
  readonly trial: Trial | undefined;
}

/** @throws at once what a value's own conversion throws */
export function read<Row extends QueryResultRow>(
  rungs: Rungs,
  statement: Statement,
  need: Need,
  startedAt: number,
  trial?: Trial,
): Promise<QueryResult<Row>> {
  const reading = { rungs, statement, need, startedAt, trial };
  const { profile } = statement;
  const shared = profile === undefined ? undefined : rungs.admission.admit(statement, profile, startedAt);
  if (profile === undefined || shared === undefined) return readOnPool(reading, undefined);
  const shareable = { statement: shared, profile };
  const seat = seatFor(rungs.fleet, need, startedAt);
  if (seat !== undefined) return readIn<Row>(seat, shareable, reading);
  return need.floor.resolve(rungs.fleet.trail) === 'pending'
    ? readBehindWrite(shareable, reading)
    : readOnPool(reading, undefined);
}

function readIn<Row extends QueryResultRow>(
  seat: Seat,
  shareable: Shareable,
  reading: Reading,
): Promise<QueryResult<Row>> {
  const { rungs, statement, need, startedAt, trial } = reading;
  const running = readOnLane<Row>(rungs.fleet, seat, shareable, need, startedAt, trial, (lostOn) =>
    readOnPool(reading, lostOn),
  );
  // Its neighbours run on, and so does what nobody waits for any more.
  return statement.signal === undefined ? running : abortable(running, statement.signal);
}

/** The floor is not known yet: where the last write has ended is asked first, and then the read is sent with a look at the replica's position. */
async function readBehindWrite<Row extends QueryResultRow>(
  shareable: Shareable,
  reading: Reading,
): Promise<QueryResult<Row>> {
  const { rungs, statement, need } = reading;
  const { fleet } = rungs;
  if (fleet.leadership.canTry) {
    await abortable(settledWithin(fleet.primary.refresh(), fleet.settings.hangMillis), statement.signal);
  }
  const seat = seatFor(fleet, need, performance.now());
  return seat === undefined ? readOnPool(reading, undefined) : readIn<Row>(seat, shareable, reading);
}

/** @param lost nodes that were lost under an earlier run */
async function readOnPool<Row extends QueryResultRow>(
  { rungs, statement, need, startedAt, trial }: Reading,
  lost: ReadonlySet<Node> | undefined,
): Promise<QueryResult<Row>> {
  const { fleet } = rungs;
  const { signal } = statement;
  let lostOn = lost;
  signal?.throwIfAborted();
  for (;;) {
    const placement = await place(rungs, need, startedAt, lostOn, signal);
    try {
      const result = await run<Row>(placement, statement, fleet.publisher);
      placement.connection.client.release();
      placement.node.succeeded();
      need.trace?.ended(placement.connection.identity.server, performance.now());
      return result;
    } catch (error) {
      if (trial !== undefined) trial.failedOnReplica = placement.node.role === 'replica';
      giveBackAfter(error, placement, signal);
      lostOn = await lostAgain(fleet, placement, error, lostOn, signal);
      if (lostOn === undefined) throw error;
    } finally {
      left(placement);
    }
  }
}
