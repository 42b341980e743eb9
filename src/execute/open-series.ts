/** A connection for a series of statements: its first one may be tried on several nodes, since nothing is lost with it yet. */
import type { DataConnection } from '../nodes/data-connection.js';
import type { Attempt } from './attempt.js';
import type { Request } from './request.js';
import { lostAgain } from './rerun.js';

/** An attempt, and the connection on which it runs. */
export interface Placement {
  readonly attempt: Attempt;
  readonly connection: DataConnection;
}

/**
 * @param find a connection on none of the servers that were lost under earlier attempts
 * @param begin the first statement
 * @throws what it throws for good
 */
export async function openSeries(
  request: Request,
  find: () => Promise<Placement>,
  begin: (placement: Placement) => Promise<unknown>,
): Promise<Placement> {
  const { lostOn } = request;
  request.lostOn = undefined;
  for (;;) {
    const placement = await find();
    const { attempt, connection } = placement;
    connection.sourceWatch?.doubt();
    try {
      await begin(placement);
      request.lostOn = lostOn;
      return placement;
    } catch (error) {
      connection.client.release(true);
      attempt.leave();
      if (!(await lostAgain(attempt, connection, error))) throw error;
      attempt.abandoned();
    }
  }
}
