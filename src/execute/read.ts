/**
 * A read: placed, run, and run once more elsewhere when its replica is lost under it; never answered with something too old.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import type { Fleet, Need } from '../nodes/fleet.js';
import { type Attempts, left, type Placement, place } from './placement.js';
import { isConnectionLoss, isRecoveryConflict } from './retry.js';
import { giveBackAfter, run, type Statement } from './statement.js';

/** @param startedAt our monotonic clock when the caller asked */
export async function read<Row extends QueryResultRow>(
  fleet: Fleet,
  statement: Statement,
  need: Need,
  startedAt: number,
): Promise<QueryResult<Row>> {
  let attempts: Attempts | undefined;
  for (;;) {
    const placement = await place(fleet, need, startedAt, attempts, statement.signal);
    try {
      const result = await run<Row>(placement, statement, fleet.publisher);
      placement.connection.client.release();
      need.trace?.ended(placement.connection.identity.server, performance.now());
      return result;
    } catch (error) {
      giveBackAfter(error, placement.connection, statement.signal);
      if (attempts !== undefined || statement.signal?.aborted === true || !isLostUnder(placement, error)) throw error;
      attempts = { tried: new Set([placement.node]), wasLost: true };
    } finally {
      left(placement);
    }
  }
}

/** Whether a replica went away under a read, so that another node may answer it: once, lest a statement that brings servers down be carried on. */
export function isLostUnder({ node }: Placement, error: unknown): boolean {
  const isLoss = isConnectionLoss(error);
  if (isLoss) node.void('a connection was lost under a read');
  return node.role === 'replica' && (isLoss || isRecoveryConflict(error));
}
