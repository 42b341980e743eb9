/**
 * Gives a connection back after a statement: idle, or not at all. A text of several statements may leave a
 * transaction open, and the connection's next user would write into it, and lose what was written.
 */
import { LadderError } from '../errors.js';
import { type DataConnection, throwAway } from '../nodes/data-connection.js';
import { isServerError } from '../postgres/errors.js';
import { isBusy } from '../postgres/internals.js';
import { ROLLBACK } from '../postgres/own-statements.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import type { Attempt } from './attempt.js';
import { textOf } from './call.js';
import { isIdle, isInTransaction } from './connection-state.js';

/** After a statement that succeeded. @returns `undefined` when that was all; else what rejects when the transaction that it left open is rolled back */
export function giveBack(
  attempt: Attempt,
  connection: DataConnection,
  query: PreparedQuery,
): Promise<never> | undefined {
  if (isInTransaction(connection)) return refuse(attempt, connection, query);
  // What rode behind it may not have been answered.
  if (isBusy(connection.client)) throwAway(connection);
  else connection.client.release();
  return undefined;
}

/** After a statement that failed. @returns `undefined` when that was all; else what resolves when the transaction that it left open is rolled back */
export function giveBackAfter(
  error: unknown,
  attempt: Attempt,
  connection: DataConnection,
  query: PreparedQuery,
): Promise<void> | undefined {
  const { client, isLost } = connection;
  const isAnswered = isServerError(error) && !isLost;
  if (isAnswered) attempt.node.health.succeeded();
  if (isAnswered && attempt.request.signal?.aborted !== true) {
    if (isIdle(connection) && !isBusy(client)) {
      client.release();
      return undefined;
    }
    if (isInTransaction(connection)) return rollBack(attempt, connection, query);
  }
  throwAway(connection);
  return undefined;
}

async function refuse(attempt: Attempt, connection: DataConnection, query: PreparedQuery): Promise<never> {
  await rollBack(attempt, connection, query);
  throw new LadderError(
    'LADDER_TRANSACTION_LEFT_OPEN',
    'the text began a transaction and did not end it: everything since its last BEGIN was rolled back, since a connection of a pool belongs to ' +
      'nobody afterwards. End it with COMMIT in the same text, or use transaction()',
  );
}

/** Its connection has room for the next one afterwards. Where that cannot be had it is closed, which rolls back as well. */
async function rollBack(attempt: Attempt, connection: DataConnection, query: PreparedQuery): Promise<void> {
  const { context, signal } = attempt.request;
  await attempt.ask(connection, ROLLBACK).catch(() => undefined);
  if (isIdle(connection) && signal?.aborted !== true && !connection.isLost && !connection.wasCancelled)
    connection.client.release();
  else throwAway(connection);
  const { publisher } = context.fleet;
  if (!publisher.wants('warning')) return;
  const digest = await publisher.digestOf(textOf(query));
  const message = `a statement (digest ${digest}) began a transaction and did not end it: it was rolled back; use transaction()`;
  publisher.publish('warning', { code: 'transaction-left-open', message, digest }, attempt.request.callingContext);
}
