/**
 * Gives a connection back after a statement: idle, or not at all. A text of several statements may leave a transaction open, and whoever had the connection next
 * would write into it, and lose what he wrote.
 */
import { LadderError } from '../errors.js';
import type { Publisher } from '../events.js';
import { throwAway } from '../nodes/data-connections.js';
import { isServerError } from '../postgres/errors.js';
import { textOf } from './call.js';
import { ask, isIdle, isInTransaction, type Place, type Statement } from './statement.js';

/** What ran. */
type Ran = Pick<Statement, 'query' | 'signal'>;

/** After a statement that succeeded. @returns `undefined` when that was all; else what rejects when the transaction that it left open is rolled back */
export function giveBack(place: Place, statement: Ran, publisher: Publisher): Promise<never> | undefined {
  const { connection } = place;
  if (isInTransaction(connection)) return refuse(place, statement, publisher);
  connection.client.release();
  return undefined;
}

/** After a statement that failed. @returns `undefined` when that was all; else what resolves when the transaction that it left open is rolled back */
export function giveBackAfter(
  error: unknown,
  place: Place,
  statement: Ran,
  publisher: Publisher,
): Promise<void> | undefined {
  const { node, connection } = place;
  const { client, isLost } = connection;
  const isAnswered = isServerError(error) && !isLost;
  if (isAnswered) node.succeeded();
  if (isAnswered && statement.signal?.aborted !== true) {
    if (isIdle(connection)) {
      client.release();
      return undefined;
    }
    if (isInTransaction(connection)) return rollBack(place, statement, publisher);
  }
  throwAway(connection);
  return undefined;
}

async function refuse(place: Place, statement: Ran, publisher: Publisher): Promise<never> {
  await rollBack(place, statement, publisher);
  throw new LadderError(
    'LADDER_TRANSACTION_LEFT_OPEN',
    'the text began a transaction and did not end it: everything since its last BEGIN was rolled back, since a connection of a pool belongs to ' +
      'nobody afterwards. End it with COMMIT in the same text, or use transaction()',
  );
}

/** Its connection has room for the next one afterwards. Where that cannot be had it is closed, which rolls back as well. */
async function rollBack({ connection }: Place, { query, signal }: Ran, publisher: Publisher): Promise<void> {
  const { client } = connection;
  await ask(connection, 'rollback').catch(() => undefined);
  if (isIdle(connection) && signal?.aborted !== true && !connection.isLost && !connection.wasCancelled)
    client.release();
  else throwAway(connection);
  if (publisher.wants('warning')) await tell(textOf(query), publisher);
}

async function tell(text: string, publisher: Publisher): Promise<void> {
  const digest = await publisher.digestOf(text);
  const message = `a statement (digest ${digest}) began a transaction and did not end it: it was rolled back; use transaction()`;
  publisher.publish('warning', { code: 'transaction-left-open', message, digest });
}
