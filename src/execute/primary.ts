/**
 * A connection to the primary, once there is one, for a statement that has not been sent yet. It waits for a promotion to be noticed, and never takes
 * a server for the primary that does not say so on the very connection it hands out.
 */

import type { Client } from 'pg';
import { inNoContext } from '../async-context.js';
import { performance } from '../clock.js';
import { abortable } from '../deadline.js';
import { closedMeanwhile } from '../errors.js';
import type { Reason } from '../events.js';
import type { DataConnection } from '../nodes/data-connection.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { codeOf, isGone } from '../postgres/errors.js';
import { Attempt } from './attempt.js';
import type { Placement } from './open-series.js';
import type { Request } from './request.js';

/** What a statement that goes to the primary says of itself. */
export interface PrimaryUse {
  readonly reason: Reason;
  readonly mayWrite: boolean;
  /** When it stops waiting for a server that takes writes, by {@link Fleet.awakeMillis}; the request's own time where it is not given. */
  readonly giveUpAt?: number;
}

/** After a try of a server that was never heard of: until then only its answer makes the next one worth while. */
const RETRY_MILLIS = 50;

/**
 * @throws LadderError `LADDER_NO_PRIMARY` and `LADDER_TWO_PRIMARIES` when none is found in time; pg's error when the primary gives no connection for another
 * reason than being gone
 */
export async function onPrimary(request: Request, use: PrimaryUse): Promise<Placement> {
  const { reason, mayWrite, giveUpAt = request.giveUpAt } = use;
  const { context, signal } = request;
  const { fleet } = context;
  for (;;) {
    if (fleet.isClosed) throw closedMeanwhile(fleet.publisher.cluster);
    if (!fleet.leadership.isSettled) await primaryFound(fleet, giveUpAt, signal);
    const attempt = new Attempt(request, fleet.primary, reason);
    const { node } = attempt;
    try {
      const connection = await checkout(node, mayWrite, signal);
      const isProven = await isProvenPrimary(fleet, node, connection);
      if (isProven && signal?.aborted !== true) {
        attempt.placed(performance.now(), connection);
        return { attempt, connection };
      }
      connection.client.release(!isProven);
      throwIfGivenUp(fleet, signal);
    } catch (error) {
      attempt.leave();
      throwIfGivenUp(fleet, signal);
      throwUnlessGone(fleet, node, error, giveUpAt);
      if (!node.health.hasAnswered) await heardOf(fleet, giveUpAt, signal);
      continue;
    }
    attempt.leave();
    const { vacancy } = fleet.leadership;
    if (vacancy !== undefined && fleet.awakeMillis >= giveUpAt) throw vacancy;
  }
}

/** There is no connection to it: another server may take its place, unless time is over, or the error says something else. */
export function throwUnlessGone(fleet: Fleet, node: Node, error: unknown, giveUpAt: number): void {
  if (!isGone(error)) throw error;
  node.health.gaveNoConnection(error);
  // Before giving up, another one that was found meanwhile is tried.
  if (fleet.leadership.isSettled && fleet.primary !== node) return;
  if (fleet.awakeMillis >= giveUpAt) throw fleet.leadership.vacancy ?? error;
}

/** Resolves when a primary is known, or when only a try can tell what is wrong with it. */
export async function primaryFound(fleet: Fleet, giveUpAt: number, signal: AbortSignal | undefined): Promise<void> {
  const isFound = (): boolean => mayTry(fleet);
  if (await fleet.monitor.until(isFound, giveUpAt - fleet.awakeMillis, 'primary', signal)) return;
  throwIfGivenUp(fleet, signal);
  if (fleet.isClosed) throw closedMeanwhile(fleet.publisher.cluster);
  const { vacancy } = fleet.leadership;
  if (vacancy !== undefined) throw vacancy;
}

/** Whether a statement may try the primary: not one that was never heard of and cannot be reached, or has not said anything yet. */
export function mayTry({ leadership, primary }: Fleet): boolean {
  if (leadership.isSettled || primary.health.hasAnswered) return leadership.canTry;
  const { lastError } = primary.health;
  return leadership.canTry && lastError !== undefined && !isGone(lastError);
}

/** Resolves when a primary is known, or after a moment. */
export async function heardOf(fleet: Fleet, giveUpAt: number, signal: AbortSignal | undefined): Promise<void> {
  const millis = Math.min(RETRY_MILLIS, giveUpAt - fleet.awakeMillis);
  await fleet.monitor.until(() => fleet.leadership.isSettled, millis, 'primary', signal);
  throwIfGivenUp(fleet, signal);
}

/** @throws the signal's reason; where time was over before a primary was found, that there is none */
export function throwIfGivenUp({ leadership }: Fleet, signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  const { vacancy } = leadership;
  throw codeOf(signal.reason) === 'LADDER_TIMEOUT' && vacancy !== undefined ? vacancy : signal.reason;
}

/** Whether statements may go to the server behind that very connection, which took its time to come: to no other than the primary, and to none that another one contests. */
export async function isProvenPrimary(fleet: Fleet, node: Node, connection: DataConnection): Promise<boolean> {
  const isWanted = (): boolean => fleet.primary === node && !fleet.leadership.isContested;
  if (!isWanted()) return false;
  if (connection.identity.server === node.observation?.identity.server) return true;
  if (await isPrimary(fleet, node, connection)) return isWanted();
  node.health.forget('its connections reach different servers, or it was restarted');
  return false;
}

/** Whether that server itself says so, whatever was heard of the node before; not if it does not say. */
async function isPrimary(fleet: Fleet, node: Node, connection: DataConnection): Promise<boolean> {
  const own = await node.probe.observeOn(connection).catch(() => undefined);
  if (own === undefined || own.inRecovery) return false;
  const { clusterId, timelines } = fleet.history;
  // A later timeline is a claim of its own, and is looked at like any other.
  return clusterId === undefined || (own.identity.clusterId === clusterId && own.timeline === timelines.timeline);
}

/** A connection from the node's pool; one that comes after the caller has given up goes straight back. */
export function checkout(node: Node, mayWrite: boolean, signal: AbortSignal | undefined): Promise<DataConnection> {
  const connecting = new Promise<DataConnection>((resolve, reject) => {
    node.connections.checkout(mayWrite, (error, connection) =>
      connection === undefined ? reject(error) : resolve(connection),
    );
  });
  if (signal === undefined) return connecting;
  return abortable(connecting, signal).catch((error: unknown) => {
    connecting.then(
      ({ client }) => signal.aborted && client.release(),
      () => undefined,
    );
    throw error;
  });
}

/** A connection of somebody's own, and whose it is. */
export interface Opened {
  readonly node: Node;
  readonly connection: DataConnection;
}

/** A timer may be early by as much. */
const TIMER_MILLIS = 5;

/**
 * Opens a connection of somebody's own to the primary. It waits for a new primary where others could take the
 * place of one that is gone, as a write does.
 * @param clientFor pg's client for that server, not connected yet
 * @throws pg's error, and LadderError `LADDER_NO_PRIMARY`, `LADDER_TWO_PRIMARIES`
 */
export async function openPrimary(fleet: Fleet, clientFor: (node: Node) => Client): Promise<Opened> {
  const { connectionTimeoutMillis = 0 } = fleet.primary.pool.options;
  const isAlone = fleet.nodes.length === 1;
  const patience = isAlone ? 0 : connectionTimeoutMillis || fleet.settings.primaryWaitMillis;
  // pg-pool's own timer comes first, and says in its words what it was.
  const giveUpAt = fleet.awakeMillis + patience + TIMER_MILLIS;
  for (;;) {
    if (!isAlone && !fleet.leadership.isSettled) await primaryFound(fleet, giveUpAt, undefined);
    const node = fleet.primary;
    const client = clientFor(node);
    let connection: DataConnection;
    try {
      // What comes on it unasked, such as a notification, runs in no context.
      connection = await inNoContext(() => node.connections.adopt(client));
    } catch (error) {
      endQuietly(client);
      // Without replicas it behaves as pg's pool: the first failed connection is an error at once.
      if (isAlone && !node.health.hasAnswered) throw error;
      throwUnlessGone(fleet, node, error, giveUpAt - 2 * TIMER_MILLIS);
      if (!node.health.hasAnswered) await heardOf(fleet, giveUpAt, undefined);
      continue;
    }
    if (isAlone || (await isProvenPrimary(fleet, node, connection))) return { node, connection };
    endQuietly(client);
    const { vacancy } = fleet.leadership;
    if (vacancy !== undefined && fleet.awakeMillis >= giveUpAt) throw vacancy;
  }
}

function endQuietly(client: Client): void {
  // A connection that was never opened says so.
  try {
    void client.end().catch(() => undefined);
  } catch {
    // Not every class of clients has it.
  }
}
