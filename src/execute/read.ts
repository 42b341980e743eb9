/**
 * A read: placed, run, and run once more elsewhere when its node is lost under it; never answered with something too old.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import type { Need } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { place } from './place.js';
import { left } from './placement.js';
import { lostAgain } from './rerun.js';
import type { Rungs } from './rungs.js';
import { giveBackAfter, run, type Statement } from './statement.js';

/** What a caller learns of a read that failed. */
export interface Trial {
  failedOnReplica: boolean;
}

/** @param startedAt our monotonic clock when the caller asked */
export async function read<Row extends QueryResultRow>(
  rungs: Rungs,
  statement: Statement,
  need: Need,
  startedAt: number,
  trial?: Trial,
): Promise<QueryResult<Row>> {
  const { fleet } = rungs;
  const { signal } = statement;
  let lostOn: ReadonlySet<Node> | undefined;
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
