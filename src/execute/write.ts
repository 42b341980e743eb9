/**
 * A write: on the primary, once. It returns as soon as pg does; its position is worked out later, when a read or a token
 * asks. A write whose connection is lost may have committed, may still commit, and is never sent again.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { LadderError } from '../errors.js';
import type { Floor, UncertainWrite } from '../freshness/floor.js';
import type { Fleet } from '../nodes/fleet.js';
import type { DataConnection } from '../nodes/node.js';
import { isConnectionLoss } from './retry.js';
import { run, type Statement } from './statement.js';

const SETTLE_POLL_MILLIS = 50;
const SETTLE_POLL_CAP_MILLIS = 2_000;

export async function write<Row extends QueryResultRow>(
  fleet: Fleet,
  statement: Statement,
  floor: Floor,
  startedAt: number,
): Promise<QueryResult<Row>> {
  const { primary, trail } = fleet;
  fleet.placed(primary, 'write', startedAt);
  primary.inFlight++;
  const { timeline } = trail.history;
  let connection: DataConnection | undefined;
  try {
    connection = await primary.checkout();
    return await run<Row>(primary, connection, statement, fleet.publisher);
  } catch (error) {
    if (connection === undefined || !isConnectionLoss(error)) throw error;
    primary.void('a connection was lost under a write');
    const uncertain: UncertainWrite = { settledAt: undefined };
    floor.hold(uncertain);
    void settle(fleet, uncertain, connection.identity.pid);
    throw new LadderError(
      'LADDER_WRITE_OUTCOME_UNKNOWN',
      'the connection was lost before the primary answered: the write may have committed or not, and was not sent again; ' +
        'find out by reading, or make it safe to repeat',
      { cause: error },
    );
  } finally {
    primary.inFlight--;
    // A failed statement can have committed too: procedures and DO blocks do so inside.
    if (connection !== undefined) {
      floor.wrote(performance.now(), timeline);
      fleet.monitor.wrote(primary);
    }
  }
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
