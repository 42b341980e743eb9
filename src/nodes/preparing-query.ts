/**
 * A statement that is given a name on a connection of a pool, as its own pg takes it: what is closed goes ahead of it, when its turn comes. It changes nothing
 * else of how pg sends it.
 */
import type { QueryConfig } from 'pg';
import type { StatementName, StatementNames } from './statement-names.js';

interface Connection {
  readonly stream: { readonly writable: boolean; write(data: Buffer): unknown; cork?(): void; uncork?(): void };
}

interface PgQuery {
  query_timeout?: unknown;
  callback: unknown;
  submit(connection: Connection): Error | null;
}

type PgQueryClass = new (config: QueryConfig) => PgQuery;

/** @returns the config itself where nothing has to be closed, or where the client's class names no Query */
export function preparing(
  client: object,
  config: QueryConfig,
  names: StatementNames,
  name: StatementName,
): QueryConfig {
  const { Query } = client.constructor as { Query?: PgQueryClass };
  if (Query === undefined || !names.hasAhead(name)) return config;
  const query = new Query(config);
  // One in the config is its user's, who is told by what this is given along with it.
  query.callback = undefined;
  const { query_timeout: timeout } = config as { query_timeout?: unknown };
  if (timeout !== undefined) query.query_timeout = timeout;
  const submit = query.submit.bind(query);
  query.submit = (connection) => inOnePiece(connection, names.ahead(name), submit);
  return query as unknown as QueryConfig;
}

/** Sends what goes ahead of a statement, and that, which ends with a Sync. */
export function inOnePiece(
  connection: Connection,
  ahead: Buffer,
  submit: (connection: Connection) => Error | null,
): Error | null {
  const { stream } = connection;
  stream.cork?.();
  try {
    if (stream.writable) stream.write(ahead);
    return submit(connection);
  } finally {
    stream.uncork?.();
  }
}
