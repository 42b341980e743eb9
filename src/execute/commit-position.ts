/** The position that a session's token carries: read from the primary after its last write has returned, shared by all who ask meanwhile. */
import { performance, setTimeout } from '../clock.js';
import { LadderError } from '../errors.js';
import type { Floor } from '../freshness/floor.js';
import type { Position } from '../freshness/position.js';
import type { Fleet } from '../nodes/fleet.js';
import { findTimeline } from './find-timeline.js';

const SETTLE_POLL_MILLIS = 20;

/**
 * Waits for the answers that are missing, within the hang bound for a write whose outcome is open.
 * @returns a position at LSN 0 for a session that has nothing to carry
 * @throws LadderError `LADDER_POSITION_UNAVAILABLE`
 */
export async function commitPosition(fleet: Fleet, floor: Floor): Promise<Position> {
  const { history, settings } = fleet;
  const giveUpAt = performance.now() + settings.hangMillis;
  for (;;) {
    if (!history.isTracking) throw unavailable("the servers tell no positions, or tracking is 'window'");
    const lsn = floor.resolve(history);
    if (typeof lsn === 'bigint' && history.clusterId !== undefined) {
      return floor.position(history) ?? { clusterId: history.clusterId, timeline: history.timelines.timeline, lsn: 0n };
    }
    if (lsn === 'unprovable') {
      if (performance.now() > giveUpAt) throw unavailable('a write was cut off and may still commit');
      await new Promise((resolve) => setTimeout(resolve, SETTLE_POLL_MILLIS));
      continue;
    }
    if (floor.outruns(history)) {
      await findTimeline(fleet, floor);
      if (floor.outruns(history)) throw unavailable('no server has shown the timeline that a token speaks of');
      continue;
    }
    const before = history.sentAt;
    await fleet.riders.refresh(fleet).catch((error: unknown) => {
      throw unavailable('the primary does not answer', error);
    });
    if (history.sentAt === before) throw unavailable('the server configured as primary is not one');
  }
}

function unavailable(why: string, cause?: unknown): LadderError {
  return new LadderError(
    'LADDER_POSITION_UNAVAILABLE',
    `the session's position is not known: ${why}; keep its reads on the primary (target: 'primary') until a token can be had`,
    { cause },
  );
}
