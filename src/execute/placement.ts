/**
 * Finds the connection that answers: on a replica that is shown to be fresh enough, else on the primary. It waits where waiting
 * is allowed, sends no statement of the caller's, and hands every connection to exactly one caller.
 */
import { LadderError } from '../errors.js';
import type { Reason } from '../events.js';
import { Floor } from '../freshness/floor.js';
import type { DataConnection } from '../nodes/data-connection.js';
import type { Fleet, Need } from '../nodes/fleet.js';
import { Node } from '../nodes/node.js';
import { abortable } from './abort.js';
import { catchUp, type Route } from './catch-up.js';
import { notOvertaken } from './overtaken.js';
import { isPoolTimeout } from './retry.js';

/** A connection for one caller, who runs his statement on it, gives it back, and then says `left`. */
export interface Placement {
  readonly node: Node;
  readonly connection: DataConnection;
  readonly reason: Reason;
}

/** What befell the earlier runs of the same read. */
export interface Attempts {
  /** Nodes that gave no connection, or lost one. */
  readonly tried: Set<Node>;
  /** Whether a statement was sent and lost. */
  wasLost: boolean;
}

/**
 * @param startedAt our monotonic clock when the caller asked
 * @throws pg's error when the primary gives no connection; `LADDER_NO_CANDIDATE` where the read insists on a replica
 */
export async function place(
  fleet: Fleet,
  asked: Need,
  startedAt: number,
  attempts: Attempts | undefined,
  signal: AbortSignal | undefined,
): Promise<Placement> {
  if (fleet.isPrimary(asked.target)) return lastRung(fleet, asked, 'hint', startedAt, signal);

  let need = asked;
  let route = attempts === undefined ? fleetRoute(fleet, asked, startedAt) : undefined;
  let { tried } = attempts ?? {};
  if (route === undefined) {
    need = switching(asked);
    route = await catchUp(fleet, need, tried, signal);
  }
  while (route.replica !== undefined) {
    const { replica } = route;
    replica.inFlight++;
    const connection = await connect(fleet, replica, route.reason === 'affinity' ? asked : need, signal).catch(
      (error: unknown) => {
        replica.inFlight--;
        throw error;
      },
    );
    if (
      connection !== undefined &&
      (route.reason !== 'affinity' || connection.identity.server === asked.trace?.server)
    ) {
      const reason = attempts?.wasLost === true ? 'retried' : asked.target === undefined ? route.reason : 'hint';
      fleet.placed(replica, reason, startedAt);
      return { node: replica, connection, reason };
    }
    // Nothing was sent: the next node is no second run.
    connection?.client.release();
    replica.inFlight--;
    need = switching(asked);
    tried = new Set(tried).add(replica);
    route = await catchUp(fleet, need, tried, signal);
  }
  if (asked.target !== undefined) throw noCandidate(asked, route.reason);
  return lastRung(fleet, asked, attempts?.wasLost === true ? 'retried' : route.reason, startedAt, signal);
}

/** The primary, for a read: once it shows what the session has seen. */
async function lastRung(
  fleet: Fleet,
  { trace, requirement }: Need,
  reason: Reason,
  startedAt: number,
  signal: AbortSignal | undefined,
): Promise<Placement> {
  if (trace?.server !== undefined && requirement.consistency !== 'eventual')
    await notOvertaken(fleet, trace.server, signal);
  return onPrimary(fleet, reason, startedAt, signal);
}

/** The primary's connection. */
export function onPrimary(
  fleet: Fleet,
  reason: Reason,
  startedAt: number,
  signal: AbortSignal | undefined,
): Promise<Placement> {
  const { primary } = fleet;
  fleet.placed(primary, reason, startedAt);
  primary.inFlight++;
  return checkout(primary, signal).then(
    (connection) => ({ node: primary, connection, reason }),
    (error: unknown) => {
      primary.inFlight--;
      throw error;
    },
  );
}

/** The caller is done with the connection, whatever became of it. */
export function left({ node }: Placement): void {
  node.inFlight--;
}

/** By what is known now; `undefined` when more must be found out. */
function fleetRoute(fleet: Fleet, need: Need, now: number): Route | undefined {
  const { trace, requirement } = need;
  const isKeyed = need.partitionKey !== undefined;
  if (trace?.server === undefined || requirement.consistency === 'eventual') {
    const chosen = fleet.choose(need, now);
    return chosen instanceof Node ? { replica: chosen, reason: isKeyed ? 'partition' : 'balanced' } : undefined;
  }
  // Staying on one replica is monotonic by itself; any other must be shown to have what this session has seen.
  // A key's own replica comes first, also when that means a move.
  const candidates = isKeyed ? fleet.ranked(need).slice(0, 1) : fleet.candidates(need.target);
  const last = candidates.find((replica) => replica.observation?.identity.server === trace.server);
  return last !== undefined && fleet.qualifies(last, need, now) ? { replica: last, reason: 'affinity' } : undefined;
}

/**
 * The need of a read that changes its node: all that had been committed when the session's last read ended. A copy, since what
 * the session writes from here on came after this read, which must not wait for it.
 */
function switching(need: Need): Need {
  const floor = new Floor(undefined, need.floor);
  const { trace, requirement } = need;
  if (trace?.server !== undefined && requirement.consistency !== 'eventual') floor.wrote(trace.endedAt, 0);
  return { ...need, floor };
}

/** A connection to a server that is shown to be fresh enough at this moment; `undefined` when there is none to be had. */
async function connect(
  fleet: Fleet,
  replica: Node,
  need: Need,
  signal: AbortSignal | undefined,
): Promise<DataConnection | undefined> {
  let connection: DataConnection;
  try {
    connection = await checkout(replica, signal);
  } catch (error) {
    signal?.throwIfAborted();
    // A full pool says nothing about the server behind it.
    if (!isPoolTimeout(error)) replica.void('it gave no connection');
    return undefined;
  }
  const isSameServer = replica.observation?.identity.server === connection.identity.server;
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

/** A connection from the node's pool; one that comes after the caller has given up goes straight back. */
function checkout(node: Node, signal: AbortSignal | undefined): Promise<DataConnection> {
  const connecting = node.checkout();
  if (signal === undefined) return connecting;
  return abortable(connecting, signal).catch((error: unknown) => {
    connecting.then(
      ({ client }) => signal.aborted && client.release(),
      () => undefined,
    );
    throw error;
  });
}

function noCandidate({ target }: Need, reason: Reason): LadderError {
  const wanted = typeof target === 'object' ? `node "${target.node}"` : 'a replica';
  return new LadderError(
    'LADDER_NO_CANDIDATE',
    `the read insists on ${wanted}, and none was fresh enough in time (${reason}); ` +
      'leave out target to let the primary answer, or ask for less with consistency or maxStalenessMillis',
  );
}
