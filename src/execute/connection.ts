/** A raw connection for one caller: for what no single statement can do. It is closed afterwards, whatever state it was left in. */

import type { PoolClient } from 'pg';
import { performance } from '../clock.js';
import type { Floor } from '../freshness/floor.js';
import { throwAway } from '../nodes/data-connections.js';
import type { Need } from '../nodes/fleet.js';
import { isServerError } from '../postgres/errors.js';
import { isBusy, isQueryable } from '../postgres/internals.js';
import { withholdRelease } from '../postgres/withhold.js';
import { abortable } from './abort.js';
import type { ExecutionContext } from './context.js';
import { place } from './place.js';
import { leave } from './placement.js';
import { onPrimary } from './primary.js';
import { failedOn } from './statement.js';
import { waitUntilVisible } from './visibility.js';
import { holdUntilSettled, writeError, wrote } from './write.js';

/** @param floor the session's, which what is written on the primary moves */
export async function connection<T>(
  context: ExecutionContext,
  fn: (client: PoolClient) => Promise<T> | T,
  need: Need,
  floor: Floor,
  startedAt: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const { fleet } = context;
  const { giveUpAt } = need;
  const isWriter = fleet.isPrimary(need.target);
  if (isWriter && need.trace?.isCarried === true) await waitUntilVisible(fleet, need, signal);
  const placement = isWriter
    ? await onPrimary(fleet, { reason: 'hint', mayWrite: true, startedAt, giveUpAt, signal })
    : await place(context, need, startedAt, undefined, signal);
  const { timeline } = fleet.history.timelines;
  const { client, identity } = placement.connection;
  const handBack = withholdRelease(client);
  try {
    return await abortable((async () => fn(client))(), signal);
  } catch (error) {
    const wasAborted = signal?.aborted === true;
    if (wasAborted) placement.node.cancel(placement.connection);
    // What `fn` throws may be anybody's error, whatever its code.
    else await new Promise<void>((resolve) => failedOn(placement.connection, error, resolve));
    const isOfServer = wasAborted || !isQueryable(client) || isServerError(error);
    throw isWriter && isOfServer ? writeError(fleet, placement, floor, error, signal) : error;
  } finally {
    // What `fn` has left running may still commit.
    if (isWriter && isBusy(client)) holdUntilSettled(fleet, placement.node, placement.connection, floor);
    handBack();
    throwAway(placement.connection);
    leave(placement);
    if (isWriter) wrote(fleet, placement, floor, timeline);
    else need.trace?.ended(identity.server, performance.now(), need.key);
  }
}
