/**
 * A statement that is given a name on a connection of a pool, as its own pg takes it: what is closed goes ahead of it, when its turn comes. It changes nothing
 * else of how pg sends it.
 */
import type { QueryConfig } from 'pg';
import { type PreparedQuery, preparedWith } from './prepared-query.js';
import type { StatementName, StatementNames } from './statement-names.js';

interface Connection {
  readonly stream: { readonly writable: boolean; write(data: Buffer): unknown; cork?(): void; uncork?(): void };
}

interface PgQuery {
  name: string;
  query_timeout?: unknown;
  callback: unknown;
  submit(connection: Connection): Error | null;
}

type PgQueryClass = new (query: PreparedQuery, values?: unknown[]) => PgQuery;

/**
 * Always in the same form: instrumentation of pg changes the texts of configs, and one name stands for one text.
 * @param values in the place of those in the query
 * @returns a config where the client's class names no Query
 */
export function preparing(
  client: object,
  given: PreparedQuery,
  values: unknown[],
  names: StatementNames,
  name: StatementName,
): QueryConfig {
  const { Query } = client.constructor as { Query?: PgQueryClass };
  const config = typeof given === 'string' ? undefined : preparedWith(given, { name: name.text, values });
  if (Query === undefined) return config ?? { text: given as string, name: name.text, values };
  // A text, since pg copies an object property by property.
  const query = config === undefined ? new Query(given, values) : new Query(config);
  query.name = name.text;
  // One in the config is its user's, who is told by what this is given along with it.
  query.callback = undefined;
  const { query_timeout: timeout } = (config ?? {}) as { query_timeout?: unknown };
  if (timeout !== undefined) query.query_timeout = timeout;
  if (!names.hasAhead(name)) return query as unknown as QueryConfig;
  const submit = query.submit.bind(query);
  const value = (connection: Connection): Error | null => inOnePiece(connection, names.ahead(name), submit);
  // Not among its own keys: a copy of those is no such statement, and has to be taken for a config.
  Object.defineProperty(query, 'submit', { value });
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
