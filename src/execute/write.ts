/**
 * A write: on the primary, once. It returns as soon as pg does; its position is worked out later, when a read or a token
 * asks. A write whose connection is lost may have committed, may still commit, and is never sent again.
 */

import type { QueryResult, QueryResultRow } from 'pg';
import { inBackground } from '../async-context.js';
import { performance } from '../clock.js';
import { LadderError } from '../errors.js';
import type { Reason } from '../events.js';
import type { Floor, UncertainWrite } from '../freshness/floor.js';
import type { Position } from '../freshness/position.js';
import type { DataConnection } from '../nodes/data-connection.js';
import type { Fleet } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import { codeOf } from '../postgres/errors.js';
import { Attempt } from './attempt.js';
import { giveBack, giveBackAfter } from './give-back.js';
import { onPrimary, throwUnlessGone } from './primary.js';
import type { Statement, StatementRequest } from './request.js';
import { lostUnder } from './rerun.js';
import type { Answered } from './send.js';

const SETTLE_POLL_MILLIS = 50;
const SETTLE_POLL_CAP_MILLIS = 2_000;
/** A replica's answer to a write; others come with "recovery" in the message, of whatever language. */
const READ_ONLY_STATE = '25006';

/** What pg's types leave out of a config. */
interface Limited {
  readonly values?: readonly unknown[];
  readonly rows?: unknown;
  readonly query_timeout?: unknown;
}

/** What ran a write. */
export type Backend = Pick<DataConnection, 'identity' | 'isDirect'>;

export function write<Row extends QueryResultRow>(
  request: StatementRequest,
  reason: Reason = 'write',
): Promise<QueryResult<Row>> {
  const isPlain = request.signal === undefined && request.context.fleet.leadership.isSettled;
  return request.asker.floor.counting<QueryResult<Row>>(
    isPlain ? writeAtOnce(request, reason) : writeWhenFound(request, reason),
  );
}

/** On the primary that is known: no promise but the caller's, as long as nothing is out of the ordinary. */
function writeAtOnce<Row extends QueryResultRow>(request: StatementRequest, reason: Reason): Promise<QueryResult<Row>> {
  const { context, statement } = request;
  const { fleet } = context;
  const attempt = new Attempt(request, fleet.primary, reason);
  const { node } = attempt;
  return new Promise((resolve, reject) => {
    attempt.checkout(true, (error, connection) => {
      if (connection === undefined || !isKnown(fleet, node, connection)) {
        attempt.leave();
        connection?.client.release();
        try {
          if (connection === undefined) throwUnlessGone(fleet, node, error, request.giveUpAt);
          resolve(writeWhenFound(request, reason));
        } catch (final) {
          reject(final);
        }
        return;
      }
      const { timeline } = fleet.history.timelines;
      const now = performance.now();
      attempt.placed(now, connection);
      const rider =
        fleet.riders.areWanted(now) && mayCarry(statement) ? fleet.riders.take(node, connection) : undefined;
      const answered: Answered<QueryResult<Row>> = (failure, result, lsn) => {
        const position = rider === undefined ? undefined : fleet.riders.over(node, connection, lsn, now);
        if (failure === null) {
          const refusal = giveBack(attempt, connection, statement.query);
          over(attempt, timeline, position);
          resolve(refusal ?? result);
        } else resolve(failed<Row>(request, attempt, connection, timeline, failure));
      };
      attempt.send<Row>(connection, statement, answered, rider);
    });
  });
}

/**
 * Whether a question may ride behind it: it is one statement and no COPY (PostgreSQL takes values for nothing else), it is
 * sent whole (pages of rows are asked for one by one), and pg waits for its end (not with a time limit of its own).
 */
function mayCarry({ query, values, profile }: Statement): boolean {
  if (profile?.isUndivided !== true) return false;
  const config = typeof query === 'string' ? undefined : (query as Limited);
  if (config?.rows || config?.query_timeout) return false;
  const given = values ?? config?.values;
  return Array.isArray(given) && given.length > 0;
}

/** Whether the server behind that connection is the one that was found to be the primary, and that no other contests by now. */
function isKnown({ primary, leadership }: Fleet, node: Node, { identity }: DataConnection): boolean {
  return primary === node && !leadership.isContested && identity.server === node.observation?.identity.server;
}

async function writeWhenFound<Row extends QueryResultRow>(
  request: StatementRequest,
  reason: Reason,
): Promise<QueryResult<Row>> {
  const { context, statement, signal } = request;
  const { attempt, connection } = await onPrimary(request, { reason, mayWrite: true });
  const { timeline } = context.fleet.history.timelines;
  let result: QueryResult<Row>;
  try {
    result = await attempt.run<Row>(connection, statement, signal);
  } catch (error) {
    return failed(request, attempt, connection, timeline, error);
  }
  const refusal = giveBack(attempt, connection, statement.query);
  over(attempt, timeline);
  return refusal ?? result;
}

/** Sends it once more only where nothing can have happened. */
async function failed<Row extends QueryResultRow>(
  request: StatementRequest,
  attempt: Attempt,
  connection: DataConnection,
  timeline: number,
  error: unknown,
): Promise<QueryResult<Row>> {
  try {
    await giveBackAfter(error, attempt, connection, request.statement.query);
    if (!(await wasRefused(attempt, error))) throw writeError(attempt, connection, error);
  } finally {
    over(attempt, timeline);
  }
  request.rerunCount++;
  return writeWhenFound(request, attempt.reason);
}

function over(attempt: Attempt, timeline: number, position?: Position): void {
  attempt.leave();
  wrote(attempt, timeline, position);
}

/**
 * Something that may have committed has ended: also when it failed, since procedures and DO blocks commit on their way.
 * @param position what covers it, where that is known by now
 */
export function wrote(
  { node, request }: Attempt,
  timeline: number,
  position?: Position,
  floor = request.asker.floor,
): void {
  if (position !== undefined) {
    floor.wroteUpTo(position);
    return;
  }
  const now = performance.now();
  floor.wrote(now, timeline);
  request.context.fleet.monitor.wrote(node, now);
}

/** Whether a server that has become a replica refused it: nothing can have happened there, and the primary is another one. */
async function wasRefused({ node, request }: Attempt, error: unknown): Promise<boolean> {
  if (codeOf(error) !== READ_ONLY_STATE || request.signal?.aborted === true) return false;
  await node.probe.refresh().catch(() => undefined);
  return node.observation?.inRecovery === true;
}

/** What to throw for a write that failed with `error`; keeps the session on the primary while it may still commit. */
export function writeError({ node, request }: Attempt, connection: DataConnection, error: unknown): unknown {
  if (codeOf(error) === READ_ONLY_STATE && node.observation?.inRecovery === true) {
    return new LadderError('LADDER_NOT_PRIMARY', `node "${node.name}" is a replica: nothing was written`, {
      cause: error,
    });
  }
  const wasAborted = request.signal?.aborted === true;
  if (!wasAborted && !connection.isLost) return error;
  if (!wasAborted && !connection.wasGivenUp) lostUnder(node, error, 'write');
  holdUntilSettled(request.context.fleet, node, connection, request.asker.floor);
  return new LadderError(
    'LADDER_WRITE_OUTCOME_UNKNOWN',
    `${wasAborted ? 'it was given up' : 'the connection was lost'} before the primary answered: the write may have committed or not, ` +
      'and was not sent again; find out by reading, or make it safe to repeat',
    { cause: error },
  );
}

/** What was cut off may still commit: the session stays on the primary until it is known to be over. @returns what may be settled by those who know sooner */
export function holdUntilSettled(fleet: Fleet, node: Node, connection: Backend, floor: Floor): UncertainWrite {
  const uncertain: UncertainWrite = { settledAt: undefined };
  floor.hold(uncertain);
  // It may go on for long after the call.
  void inBackground(() => settle(fleet, node, connection, uncertain));
  return uncertain;
}

/** Waits until whatever a write that was cut off has begun is over, or has no say any more: until then it may still commit. */
async function settle(fleet: Fleet, node: Node, backend: Backend, uncertain: UncertainWrite): Promise<void> {
  const { identity, isDirect } = backend;
  let asked = node;
  let isOver = asked.adminQueries.whetherOver(identity, isDirect);
  let pause = SETTLE_POLL_MILLIS;
  while (!fleet.isClosed && uncertain.settledAt === undefined) {
    const { primary, leadership } = fleet;
    const isElsewhere = primary !== asked && primary.observation?.identity.server === identity.server;
    if (leadership.isSettled && isElsewhere) {
      // It is the same life of the same server, at another address.
      asked = primary;
      isOver = asked.adminQueries.whetherOver(identity, isDirect);
    }
    // What a deposed primary commits is in no history.
    const isDeposed = leadership.isSettled && primary !== asked;
    if (isDeposed || (await isOver().catch(() => false))) uncertain.settledAt ??= performance.now();
    else await fleet.monitor.rest(pause);
    pause = Math.min(pause * 2, SETTLE_POLL_CAP_MILLIS);
  }
}
