/** Runs one statement on one connection: counted, timed for whoever listens, and the connection given back or thrown away. */
import type { QueryConfig, QueryResult, QueryResultRow } from 'pg';
import type { Publisher } from '../events.js';
import type { DataConnection } from '../nodes/data-connections.js';
import type { Node } from '../nodes/node.js';
import { codeOf, isServerError } from './retry.js';

/** A statement as pg takes it. */
export interface Statement {
  readonly query: string | QueryConfig;
  readonly values: unknown[] | undefined;
  /** Gives up on it: the server is asked to cancel it, and its connection is thrown away. */
  readonly signal: AbortSignal | undefined;
}

/** The first statements are all timed, and later every eighth: enough for percentiles, and nothing beside the statement itself. */
const TIMED_ALL = 64;
const TIMED_MASK = 7;

interface Place {
  readonly node: Node;
  readonly connection: DataConnection;
}

/** Gives a connection back after a statement that failed: for further use only when nothing can be left on it. */
export function giveBackAfter(error: unknown, { node, connection }: Place, signal: AbortSignal | undefined): void {
  const { client } = connection;
  const isAnswered = isServerError(error);
  if (isAnswered) node.succeeded();
  // A text of several statements can fail inside a transaction that it began.
  client.release(signal?.aborted === true || !(isAnswered && isIdle(client)));
}

/** Runs it; the connection stays the caller's. @throws pg's error, or the reason of `statement.signal` */
export function run<Row extends QueryResultRow>(
  { node, connection }: Place,
  { query, values, signal }: Statement,
  publisher: Publisher,
): Promise<QueryResult<Row>> {
  const { client, identity } = connection;
  const isHeard = publisher.wants('query');
  const isTimed = isHeard || node.statementCount < TIMED_ALL || (node.statementCount & TIMED_MASK) === 0;
  node.statementCount++;
  const startedAt = isTimed ? performance.now() : 0;
  const running = client.query<Row>(query, values);
  const settled =
    signal === undefined ? running : cancellable(running, signal, () => node.questions.cancel(identity.pid));
  if (!isTimed) return settled;
  return timed(settled, node, startedAt, isHeard ? publisher : undefined);
}

async function timed<Row extends QueryResultRow>(
  running: Promise<QueryResult<Row>>,
  node: Node,
  startedAt: number,
  publisher: Publisher | undefined,
): Promise<QueryResult<Row>> {
  const tell = (rowCount: number | null, errorCode: string | undefined): void => {
    const durationMillis = performance.now() - startedAt;
    node.statementLatency.add(durationMillis);
    publisher?.publish('query', { node: node.name, role: node.role, durationMillis, rowCount, errorCode });
  };
  try {
    const result = await running;
    tell(result.rowCount, undefined);
    return result;
  } catch (error) {
    tell(null, codeOf(error) ?? 'unknown');
    throw error;
  }
}

function cancellable<T>(running: Promise<T>, signal: AbortSignal, cancel: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      cancel();
      reject(signal.reason);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    running.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Outside any transaction, as far as pg tells (8.23 and later). */
function isIdle(client: object): boolean {
  return (
    'getTransactionStatus' in client &&
    typeof client.getTransactionStatus === 'function' &&
    client.getTransactionStatus() === 'I'
  );
}
