/**
 * A read: on a replica that is fresh enough, else on the primary. A replica that is lost under it costs one more run
 * elsewhere, never an answer that is too old.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import { LadderError } from '../errors.js';
import type { Reason } from '../events.js';
import { Floor } from '../freshness/floor.js';
import type { Fleet, Need } from '../nodes/fleet.js';
import { type DataConnection, Node } from '../nodes/node.js';
import { catchUp, type Route } from './catch-up.js';
import { isConnectionLoss, isPoolTimeout, isRecoveryConflict } from './retry.js';
import { run, type Statement } from './statement.js';

/** @param startedAt our monotonic clock when the caller asked */
export async function read<Row extends QueryResultRow>(
  fleet: Fleet,
  statement: Statement,
  asked: Need,
  startedAt: number,
): Promise<QueryResult<Row>> {
  let need = asked;
  if (fleet.isPrimary(need.target)) return readPrimary(fleet, statement, 'hint', startedAt);

  const chosen = fleet.choose(need, startedAt);
  let route: Route;
  if (chosen instanceof Node) {
    route = { replica: chosen, reason: 'balanced' };
  } else {
    // What the session writes from here on came after this read, which must not wait for it.
    need = { ...asked, floor: new Floor(undefined, asked.floor) };
    route = await catchUp(fleet, need);
  }
  let tried: Set<Node> | undefined;
  let wasLost = false;

  while (route.replica !== undefined) {
    const { replica } = route;
    replica.inFlight++;
    try {
      const connection = await connect(fleet, replica, need);
      if (connection !== undefined) {
        fleet.placed(replica, wasLost ? 'retried' : reasonFor(need, route.reason), startedAt);
        return await run<Row>(replica, connection, statement, fleet.publisher);
      }
    } catch (error) {
      const isLoss = isConnectionLoss(error);
      if (isLoss) replica.void('a connection was lost under a read');
      // Once: a statement that brings servers down must not be carried from one to the next.
      if (wasLost || !(isLoss || isRecoveryConflict(error))) throw error;
      wasLost = true;
    } finally {
      replica.inFlight--;
    }
    tried ??= new Set();
    tried.add(replica);
    route = await catchUp(fleet, need, tried);
  }
  if (need.target !== undefined) throw noCandidate(need, route.reason);
  return readPrimary(fleet, statement, wasLost ? 'retried' : route.reason, startedAt);
}

async function readPrimary<Row extends QueryResultRow>(
  fleet: Fleet,
  statement: Statement,
  reason: Reason,
  startedAt: number,
): Promise<QueryResult<Row>> {
  const { primary } = fleet;
  fleet.placed(primary, reason, startedAt);
  primary.inFlight++;
  try {
    return await run<Row>(primary, await primary.checkout(), statement, fleet.publisher);
  } finally {
    primary.inFlight--;
  }
}

/** A connection to a server that is shown to be fresh enough at this moment; `undefined` when there is none to be had. */
async function connect(fleet: Fleet, replica: Node, need: Need): Promise<DataConnection | undefined> {
  let connection: DataConnection;
  try {
    connection = await replica.checkout();
  } catch (error) {
    // A full pool says nothing about the server behind it.
    if (!isPoolTimeout(error)) replica.void('it gave no connection');
    return undefined;
  }
  const { identity } = connection;
  const seen = replica.observation?.identity;
  const isSameServer = seen?.startedAt === identity.startedAt && seen.clusterId === identity.clusterId;
  if (isSameServer && fleet.qualifies(replica, need, performance.now())) return connection;

  // Another server, or another life of it, answers here than the one that was observed; or the proof ran out in the pool's queue.
  if (!isSameServer) replica.void('its connections reach different servers, or it was restarted');
  try {
    const own = await replica.observeOn(connection);
    if (own !== undefined && fleet.isProvenBy(own, need, performance.now())) return connection;
    connection.client.release();
  } catch {
    connection.client.release(true);
  }
  return undefined;
}

function reasonFor({ target }: Need, reason: Reason): Reason {
  return target === undefined ? reason : 'hint';
}

function noCandidate({ target }: Need, reason: Reason): LadderError {
  const wanted = typeof target === 'object' ? `node "${target.node}"` : 'a replica';
  return new LadderError(
    'LADDER_NO_CANDIDATE',
    `the read insists on ${wanted}, and none was fresh enough in time (${reason}); ` +
      'leave out target to let the primary answer, or ask for less with consistency or maxStalenessMillis',
  );
}
