/** A connection for a series of statements: its first one may be tried on several nodes, since nothing is lost with it yet. */
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { leave, type Placement } from './placement.js';
import { lostAgain } from './rerun.js';

/**
 * @param find a connection on none of these nodes, which were lost under earlier tries
 * @param begin the first statement @throws what it throws for good
 */
export async function openSeries(
  fleet: Fleet,
  find: (lostOn: ReadonlySet<Node> | undefined) => Promise<Placement>,
  begin: (placement: Placement) => Promise<unknown>,
  signal: AbortSignal | undefined,
): Promise<Placement> {
  let lostOn: ReadonlySet<Node> | undefined;
  for (;;) {
    const placement = await find(lostOn);
    try {
      await begin(placement);
      return placement;
    } catch (error) {
      placement.connection.client.release(true);
      leave(placement);
      lostOn = await lostAgain(fleet, placement, error, lostOn, signal);
      if (lostOn === undefined) throw error;
      fleet.abandoned(placement);
    }
  }
}
