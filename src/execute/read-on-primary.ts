/**
 * Runs a read on the primary that replicas refuse, such as one of an UNLOGGED table. The text has
 * not been classified, so it runs READ ONLY, and as a single statement: one of several could end
 * the transaction that keeps it from writing. It decides nothing about freshness, and never writes.
 */

import type { QueryConfig, QueryResult, QueryResultRow } from 'pg';
import { CallingContext } from '../async-context.js';
import { performance } from '../clock.js';
import { abortable } from '../deadline.js';
import { saying } from '../errors.js';
import { type DataConnection, throwAway } from '../nodes/data-connection.js';
import type { Node } from '../nodes/node.js';
import { codeOf, isOnlyForPrimary, isServerError, isWriteRefusal } from '../postgres/errors.js';
import { BEGIN_READ_ONLY, COMMIT, ROLLBACK } from '../postgres/own-statements.js';
import { preparedWith } from '../postgres/prepared-query.js';
import type { Profile } from '../statements/profile.js';
import type { Attempt } from './attempt.js';
import { textOf } from './call.js';
import { isIdle } from './connection-state.js';
import type { ExecutionContext } from './context.js';
import { fallBack } from './fall-back.js';
import { openSeries, type Placement } from './open-series.js';
import type { Request, Statement, StatementRequest } from './request.js';
import { lostAgain } from './rerun.js';
import { waitUntilVisible } from './visibility.js';

/** What the server says of several statements where one is wanted. */
const SYNTAX_ERROR = '42601';

/** Runs a read on the primary where the replica's error says that no replica can. @throws the error otherwise; one of a write says what to use */
export async function readUnlessFinal<Row extends QueryResultRow>(
  request: StatementRequest,
  attempt: Attempt,
  error: unknown,
): Promise<QueryResult<Row>> {
  const { context, statement, target, signal } = request;
  const { node } = attempt;
  if (node.role !== 'replica' || target !== undefined || !isOnlyForPrimary(error)) throw adviceOn(error, node);
  if (signal?.aborted === true) throw error;
  attempt.abandoned();
  request.rerunCount++;
  let result: QueryResult<Row>;
  try {
    result = await readOnPrimary<Row>(request);
  } catch (final) {
    // The replica took it for one text, and found nothing wrong with that.
    throw codeOf(final) === SYNTAX_ERROR ? error : final;
  }
  remember(context, textOf(statement.query), statement.profile);
  return result;
}

/** On the primary, READ ONLY. It runs once more when the primary is lost under it. */
export async function readOnPrimary<Row extends QueryResultRow>(request: StatementRequest): Promise<QueryResult<Row>> {
  const { statement, signal } = request;
  // The extended protocol takes one statement only. No name: what fails in a transaction cannot be tried again.
  const query = preparedWith(statement.query, { queryMode: 'extended' } as Partial<QueryConfig>);
  const alone: Statement = { ...statement, query, profile: undefined };
  request.lostOn = undefined;
  for (;;) {
    const { attempt, connection } = await begunOnPrimary(request);
    let readOn: string | undefined;
    try {
      const result = await attempt.run<Row>(connection, alone, signal);
      await attempt.ask(connection, COMMIT);
      connection.client.release();
      readOn = connection.identity.server;
      return result;
    } catch (error) {
      await rollBack(attempt, connection, error);
      if (!(await lostAgain(attempt, connection, error))) throw withAdvice(error);
      attempt.abandoned();
    } finally {
      attempt.leave(readOn);
    }
  }
}

/** A connection to the primary on which a READ ONLY transaction has begun. */
export async function begunOnPrimary(request: Request): Promise<Placement> {
  await waitUntilVisible(request);
  // The primary's budget counts it like any other read that no replica can serve.
  const except = new Set(request.context.fleet.replicas);
  const find = async (): Promise<Placement> => {
    for (;;) {
      const placement = await fallBack(request, { why: 'misrouted', reason: 'misrouted', except, terms: request });
      if (placement !== undefined) return placement;
    }
  };
  return openSeries(request, find, ({ attempt, connection }) =>
    abortable(attempt.ask(connection, BEGIN_READ_ONLY), request.signal),
  );
}

/** Keeps it from the replicas for a while, and warns once for all texts that differ in their constants only. */
export function remember({ fleet, warned }: ExecutionContext, text: string, profile: Profile | undefined): void {
  profile?.refused(performance.now());
  const { publisher } = fleet;
  if (!publisher.wants('warning')) return;
  const calling = new CallingContext();
  const tell = async (): Promise<void> => {
    const digest = await publisher.digestOf(text);
    if (warned.get(digest) !== undefined) return;
    warned.set(digest, true);
    const message =
      `no replica can run a read (digest ${digest}), as of an UNLOGGED table: it runs on the primary, READ ONLY; ` +
      "use query, or target: 'primary'";
    publisher.publish('warning', { code: 'misrouted', message, digest }, calling);
  };
  tell().catch(() => undefined);
}

async function rollBack(attempt: Attempt, connection: DataConnection, error: unknown): Promise<void> {
  const isAnswered = isServerError(error) && !connection.isLost && attempt.request.signal?.aborted !== true;
  if (isAnswered) await attempt.ask(connection, ROLLBACK).catch(() => undefined);
  if (isAnswered && isIdle(connection) && !connection.isLost && !connection.wasCancelled) connection.client.release();
  else throwAway(connection);
}

/** What to throw for a read that failed on that node. */
export function adviceOn(error: unknown, { role }: Pick<Node, 'role'>): unknown {
  return role === 'replica' ? withAdvice(error) : error;
}

/** pg's own error; where it says that the statement writes, its message also says what to use. */
function withAdvice(error: unknown): unknown {
  return isWriteRefusal(error)
    ? saying(error, ' (read runs its statements READ ONLY, on replicas: use write or query)')
    : error;
}
