/**
 * A read on a connection that it shares with others: sent at once, and answered with no promise in between
 * but the caller's own. What cannot be answered there is told apart from what failed: it is run elsewhere.
 */
import type { QueryResult, QueryResultRow } from 'pg';
import type { UpperBound } from '../freshness/upper-bound.js';
import type { LaneConnection, LaneStatement } from '../nodes/lane-connection.js';
import { LaneEvicted } from '../nodes/lane-connection.js';
import type { Node } from '../nodes/node.js';
import type { Observation } from '../nodes/observation.js';
import { isRecoveryConflict, isServerError, isServerFault, refusesSerializable } from '../postgres/errors.js';
import type { Profile } from '../statements/profile.js';
import { Attempt } from './attempt.js';
import type { LaneSlot } from './lane-slot.js';
import type { StatementRequest } from './request.js';
import { mayRunAgain } from './rerun.js';

/** A statement that may share a connection. */
export interface Shareable {
  readonly statement: LaneStatement;
  readonly profile: Profile;
}

/** What becomes of a read that a server has answered with an error. @throws that error, where it is final */
export type Refused<Row extends QueryResultRow> = (
  request: StatementRequest,
  attempt: Attempt,
  error: unknown,
) => Promise<QueryResult<Row>>;

/** Runs it elsewhere: on none of these, by default of those that the request has lost. */
type Elsewhere<Row extends QueryResultRow> = (
  request: StatementRequest,
  refused: Refused<Row>,
  passedOver?: ReadonlySet<Node>,
) => Promise<QueryResult<Row>>;

/** @param refused what follows when the server has answered with an error */
export function readOnLane<Row extends QueryResultRow>(
  request: StatementRequest,
  { node, lane, reason, isGated }: LaneSlot,
  { statement, profile }: Shareable,
  elsewhere: Elsewhere<Row>,
  refused: Refused<Row>,
): Promise<QueryResult<Row>> {
  const { selection } = request.context.fleet;
  const attempt = new Attempt(request, node, reason);
  let seen: Observation | undefined;
  if (isGated) {
    node.probe.gateOn(lane, (observation) => {
      seen = observation;
    });
  } else attempt.placed(request.startedAt, lane);
  return new Promise((resolve) => {
    attempt.sendShared<Row>(lane, statement, profile, (error, result, now, isLost) => {
      const isProven = !isGated || (seen !== undefined && selection.isProvenBy(seen, request, now));
      if (isGated) node.position.recordGate(seen, isProven);
      // Also an error may be that of a time before the floor.
      if (!isProven && !isLost) {
        attempt.leave();
        resolve(request.callingContext.runInAsyncScope(() => elsewhere(request, refused)));
        return;
      }
      // By now the node may be known to be further than the read has seen it.
      if (isGated) attempt.placed(now, lane, seen?.lsn);
      if (error === null) {
        attempt.mark(result as QueryResult<Row>);
        node.health.succeeded();
        attempt.leave(lane.identity.server, now);
        resolve(result as QueryResult<Row>);
      } else {
        attempt.leave();
        resolve(recover(request, attempt, error, isLost, now, elsewhere, refused));
      }
    });
    attempt.upperBound = upperBoundOf(request, node, lane);
  });
}

/** What the server is asked behind a read that was sent: who asks for no kept answers is compared with none. */
function upperBoundOf(
  { context, tables, trace }: StatementRequest,
  node: Node,
  lane: LaneConnection,
): UpperBound | undefined {
  const { receiverLooks } = context;
  const isCompared = tables !== undefined || trace?.sights?.isAsked === true;
  return isCompared && node.role === 'replica' ? receiverLooks?.behind(node, lane) : undefined;
}

async function recover<Row extends QueryResultRow>(
  request: StatementRequest,
  attempt: Attempt,
  error: Error,
  isLost: boolean,
  now: number,
  elsewhere: Elsewhere<Row>,
  refused: Refused<Row>,
): Promise<QueryResult<Row>> {
  const { node } = attempt;
  if (error instanceof LaneEvicted) {
    attempt.abandoned();
    // What holds up one statement may hold up all of a server's, but there is no error that it could fail with.
    request.context.retries.spend();
    // Also while the floor is not known: what held it up would do so again.
    const hasPeers = request.context.fleet.selection
      .candidates(request.target)
      .some((peer) => peer !== node && peer.observation !== undefined && !peer.isEjected);
    if (!hasPeers) return elsewhere(request, refused);
    // Nothing was lost: if the next server is, that is the first loss.
    request.lostOn = new Set();
    return elsewhere(request, refused, new Set([node]));
  }
  if (isServerFault(error)) node.load.response.failed(now);
  const isOfReplica = node.role === 'replica' && (isRecoveryConflict(error) || refusesSerializable(error));
  if ((isOfReplica || isLost) && mayRunAgain(request, error, isLost)) {
    attempt.abandoned();
    request.lostOn = new Set([node]);
    return elsewhere(request, refused);
  }
  if (isServerError(error)) node.health.succeeded();
  return refused(request, attempt, error);
}
