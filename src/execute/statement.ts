/** Runs one statement on one connection of one node: counted, timed for whoever listens, and the connection given back or thrown away. */
import type { QueryConfig, QueryResult, QueryResultRow } from 'pg';
import type { Publisher } from '../events.js';
import type { DataConnection, Node } from '../nodes/node.js';
import { codeOf, isServerError } from './retry.js';

/** A statement as pg takes it. */
export interface Statement {
  readonly query: string | QueryConfig;
  readonly values: unknown[] | undefined;
}

export async function run<Row extends QueryResultRow>(
  node: Node,
  connection: DataConnection,
  { query, values }: Statement,
  publisher: Publisher,
): Promise<QueryResult<Row>> {
  const { client } = connection;
  const startedAt = publisher.wants('query') ? performance.now() : 0;
  node.statementCount++;
  try {
    const result = await client.query<Row>(query, values);
    client.release();
    if (startedAt !== 0) publish(publisher, node, startedAt, result.rowCount, undefined);
    return result;
  } catch (error) {
    // A text of several statements can fail inside a transaction that it began.
    client.release(!(isServerError(error) && isIdle(client)));
    if (startedAt !== 0) publish(publisher, node, startedAt, null, codeOf(error) ?? 'unknown');
    throw error;
  }
}

/** Outside any transaction, as far as pg tells (8.23 and later). */
function isIdle(client: object): boolean {
  return (
    'getTransactionStatus' in client &&
    typeof client.getTransactionStatus === 'function' &&
    client.getTransactionStatus() === 'I'
  );
}

function publish(
  publisher: Publisher,
  node: Node,
  startedAt: number,
  rowCount: number | null,
  errorCode: string | undefined,
): void {
  const durationMillis = performance.now() - startedAt;
  publisher.publish('query', { node: node.name, role: node.role, durationMillis, rowCount, errorCode });
}
