/**
 * A read on a connection that it shares with others: sent at once, and answered with no promise in between but the caller's own. What cannot be answered
 * there is told apart from what failed: it is run elsewhere.
 */

import type { QueryResult, QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import type { Reason } from '../events.js';
import type { Fleet, Need } from '../nodes/fleet.js';
import { LaneEvicted } from '../nodes/lane-connection.js';
import type { Node } from '../nodes/node.js';
import type { Observation } from '../nodes/observation.js';
import { isRecoveryConflict, isServerError, isServerFault, refusesSerializable } from '../postgres/errors.js';
import { fateOf } from '../postgres/fate.js';
import type { LaneSlot, Shareable } from './lane-slot.js';
import { isTimed, tell } from './statement.js';

/** What a caller learns of a read that failed. */
export interface Trial {
  /** Where it was placed the last time; `undefined` where it got to no server. */
  failedOn: { readonly node: Node; readonly reason: Reason } | undefined;
}

/** Runs it elsewhere, and on none of these nodes. */
export type Rerun<Row extends QueryResultRow> = (lostOn: ReadonlySet<Node> | undefined) => Promise<QueryResult<Row>>;

/** What becomes of it when the server has answered with an error. @throws that error, where it is final */
export type Failed<Row extends QueryResultRow> = (error: Error) => Promise<QueryResult<Row>>;

/** @param startedAt our monotonic clock when the caller asked */
export function readOnLane<Row extends QueryResultRow>(
  fleet: Fleet,
  slot: LaneSlot,
  { statement, profile }: Shareable,
  need: Need,
  startedAt: number,
  elsewhere: Rerun<Row>,
  failed: Failed<Row>,
): Promise<QueryResult<Row>> {
  const { node, connection, reason, isGated } = slot;
  const { publisher } = fleet;
  const isHeard = publisher.wants('query');
  const timesIt = isHeard || isTimed(node);
  const sentAt = timesIt ? performance.now() : 0;
  let seen: Observation | undefined;
  node.load.add();
  node.statementCount++;
  if (isGated) {
    node.locateOn(connection, (observation) => {
      seen = observation;
    });
  } else fleet.placed(node, reason, startedAt);
  return new Promise((resolve) => {
    const over = (error: Error | null, result: QueryResult | undefined, now: number, isLost: boolean): void => {
      if (isGated) {
        const isProven = seen !== undefined && fleet.isProvenBy(seen, need, now);
        node.judgeGate(seen, isProven);
        // Also an error may be that of a time before the floor.
        if (!isProven && !isLost) {
          resolve(elsewhere(undefined));
          return;
        }
        fleet.placed(node, reason, startedAt);
      }
      if (error === null) {
        node.succeeded();
        need.trace?.ended(connection.identity.server, now, need.key);
        resolve(result as QueryResult<Row>);
      } else resolve(recover(fleet, slot, need, error, isLost, elsewhere, failed));
    };
    connection.send(statement, profile, (error, result, now) => {
      node.load.remove();
      if (timesIt) node.statementLatency.add(now - sentAt);
      if (isHeard) tell(publisher, node, now - sentAt, result?.rowCount ?? null, error);
      if (error === null) over(null, result, now, false);
      else fateOf({ client: connection.client }, error, (isLost) => over(error, result, now, isLost));
    });
  });
}

async function recover<Row extends QueryResultRow>(
  fleet: Fleet,
  slot: LaneSlot,
  need: Need,
  error: Error,
  isLost: boolean,
  elsewhere: Rerun<Row>,
  failed: Failed<Row>,
): Promise<QueryResult<Row>> {
  const { node } = slot;
  if (error instanceof LaneEvicted) {
    fleet.abandoned(slot);
    // Also while the floor is not known: whoever held it up would do so again.
    const hasPeers = fleet
      .candidates(need.target)
      .some((peer) => peer !== node && peer.observation !== undefined && !peer.isEjected);
    return elsewhere(hasPeers ? new Set([node]) : undefined);
  }
  if (isServerFault(error)) node.response.failed(performance.now());
  const isOfReplica = node.role === 'replica' && (isRecoveryConflict(error) || refusesSerializable(error));
  if (isOfReplica || isLost) {
    fleet.abandoned(slot);
    return elsewhere(new Set([node]));
  }
  if (isServerError(error)) node.succeeded();
  return failed(error);
}
