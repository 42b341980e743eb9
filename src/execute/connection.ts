/** A raw connection for one caller: for what no single statement can do. It is closed afterwards, whatever state it was left in. */

import type { PoolClient } from 'pg';
import { abortable } from '../deadline.js';
import { throwAway } from '../nodes/data-connection.js';
import { isServerError } from '../postgres/errors.js';
import { isBusy, isQueryable } from '../postgres/internals.js';
import { withholdRelease } from '../postgres/withhold.js';
import { failedOn } from './connection-state.js';
import { place } from './place.js';
import { onPrimary } from './primary.js';
import type { Request } from './request.js';
import { waitUntilVisible } from './visibility.js';
import { holdUntilSettled, writeError, wrote } from './write.js';

/** What is written on the primary moves the session's floor. What runs on the raw client is not seen. */
export async function connection<T>(request: Request, fn: (client: PoolClient) => Promise<T> | T): Promise<T> {
  const { context, signal, target, trace, asker } = request;
  const { fleet } = context;
  const isWriter = fleet.selection.isPrimary(target);
  if (isWriter && trace?.isCarried === true) await waitUntilVisible(request);
  const placement = isWriter ? await onPrimary(request, { reason: 'hint', mayWrite: true }) : await place(request);
  const { attempt, connection } = placement;
  const { timeline } = fleet.history.timelines;
  const { client, identity } = connection;
  const handBack = withholdRelease(client);
  try {
    return await abortable((async () => fn(client))(), signal);
  } catch (error) {
    const wasAborted = signal?.aborted === true;
    if (wasAborted) attempt.node.connections.cancel(connection);
    // What `fn` throws may be anybody's error, whatever its code.
    else await new Promise<void>((resolve) => failedOn(connection, error, resolve));
    const isOfServer = wasAborted || !isQueryable(client) || isServerError(error);
    throw isWriter && isOfServer ? writeError(attempt, connection, error) : error;
  } finally {
    // What `fn` has left running may still commit.
    if (isWriter && isBusy(client)) holdUntilSettled(fleet, attempt.node, connection, asker.floor);
    handBack();
    throwAway(connection);
    attempt.leave(isWriter ? undefined : identity.server);
    if (isWriter) wrote(attempt, timeline);
  }
}
