/** A raw connection for one caller: for what no single statement can do. It is closed afterwards, whatever state it was left in. */
import type { PoolClient } from 'pg';
import type { Floor } from '../freshness/floor.js';
import type { Fleet, Need } from '../nodes/fleet.js';
import { abortable } from './abort.js';
import { left, place } from './placement.js';
import { placeWrite, writeError, wrote } from './write.js';

/** @param floor the session's, which what is written on the primary moves */
export async function connection<T>(
  fleet: Fleet,
  fn: (client: PoolClient) => Promise<T> | T,
  need: Need,
  floor: Floor,
  startedAt: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const isWriter = fleet.isPrimary(need.target);
  const { timeline } = fleet.trail.history;
  const placement = isWriter
    ? await placeWrite(fleet, 'hint', startedAt, signal)
    : await place(fleet, need, startedAt, undefined, signal);
  const { client, identity } = placement.connection;
  try {
    return await abortable((async () => fn(client))(), signal);
  } catch (error) {
    if (signal?.aborted === true) placement.node.cancel(identity.pid);
    throw isWriter ? writeError(fleet, placement, floor, error, signal) : error;
  } finally {
    client.release(true);
    left(placement);
    if (isWriter) wrote(fleet, floor, timeline);
    else need.trace?.ended(identity.server, performance.now());
  }
}
