/**
 * A write: on the primary, once. It returns as soon as pg does; its position is worked out later, when a read or a token
 * asks. A write whose connection is lost may have committed, may still commit, and is never sent again.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { LadderError } from '../errors.js';
import type { Reason } from '../events.js';
import type { Floor, UncertainWrite } from '../freshness/floor.js';
import type { Fleet } from '../nodes/fleet.js';
import { left, onPrimary, type Placement } from './placement.js';
import { codeOf, isConnectionLoss } from './retry.js';
import { giveBackAfter, run, type Statement } from './statement.js';

const SETTLE_POLL_MILLIS = 50;
const SETTLE_POLL_CAP_MILLIS = 2_000;
/** A replica's answer to a write; others come with "recovery" in the message, of whatever language. */
const READ_ONLY_STATE = '25006';

export async function write<Row extends QueryResultRow>(
  fleet: Fleet,
  statement: Statement,
  floor: Floor,
  startedAt: number,
): Promise<QueryResult<Row>> {
  const { timeline } = fleet.trail.history;
  const placement = await placeWrite(fleet, 'write', startedAt, statement.signal);
  try {
    const result = await run<Row>(placement, statement, fleet.publisher);
    placement.connection.client.release();
    return result;
  } catch (error) {
    giveBackAfter(error, placement.connection, statement.signal);
    throw writeError(fleet, placement, floor, error, statement.signal);
  } finally {
    left(placement);
    wrote(fleet, floor, timeline);
  }
}

/** @throws LadderError `LADDER_NOT_PRIMARY` when the server is known not to be the primary any more */
export function placeWrite(
  fleet: Fleet,
  reason: Reason,
  startedAt: number,
  signal: AbortSignal | undefined,
): Promise<Placement> {
  const rival = fleet.rival();
  if (rival !== undefined) return Promise.reject(notPrimary(fleet, `node "${rival}" has been promoted`));
  return onPrimary(fleet, reason, startedAt, signal);
}

/** Something that may have committed has ended: also when it failed, since procedures and DO blocks commit on their way. */
export function wrote(fleet: Fleet, floor: Floor, timeline: number): void {
  const now = performance.now();
  floor.wrote(now, timeline);
  fleet.monitor.wrote(fleet.primary, now);
}

/** What to throw for a write that failed with `error`; keeps the session on the primary while it may still commit. */
export function writeError(
  fleet: Fleet,
  { connection }: Placement,
  floor: Floor,
  error: unknown,
  signal: AbortSignal | undefined,
): unknown {
  if (codeOf(error) === READ_ONLY_STATE && fleet.primary.observation?.inRecovery === true) {
    return notPrimary(fleet, 'it is a replica', error);
  }
  const wasAborted = signal?.aborted === true;
  if (!wasAborted && !isConnectionLoss(error)) return error;
  if (!wasAborted) fleet.primary.void('a connection was lost under a write');
  const uncertain: UncertainWrite = { settledAt: undefined };
  floor.hold(uncertain);
  void settle(fleet, uncertain, connection.identity.pid);
  return new LadderError(
    'LADDER_WRITE_OUTCOME_UNKNOWN',
    `${wasAborted ? 'it was given up' : 'the connection was lost'} before the primary answered: the write may have committed or not, ` +
      'and was not sent again; find out by reading, or make it safe to repeat',
    { cause: error },
  );
}

function notPrimary(fleet: Fleet, why: string, cause?: unknown): LadderError {
  return new LadderError(
    'LADDER_NOT_PRIMARY',
    `node "${fleet.primary.name}" is configured as the primary and is none: ${why}; nothing was written. ` +
      'Point primary at the server that takes writes now',
    { cause },
  );
}

/** Waits until the backend of a write that was cut off is gone: until then it may still commit. */
async function settle(fleet: Fleet, uncertain: UncertainWrite, pid: number): Promise<void> {
  for (let pause = SETTLE_POLL_MILLIS; !fleet.isClosed; pause = Math.min(pause * 2, SETTLE_POLL_CAP_MILLIS)) {
    const isAlive = await fleet.primary.hasBackend(pid).catch(() => true);
    if (!isAlive) {
      uncertain.settledAt = performance.now();
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, pause).unref());
  }
}
