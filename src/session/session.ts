/** A session as users see it: a scope within which reads see what was written and read before. */
import type { PoolClient, QueryConfig, QueryResult, QueryResultRow } from 'pg';
import type { Freshness } from '../freshness/read-notes.js';
import type { ReadOptions, TransactionOptions, WriteOptions } from '../options/calls.js';

/** The header by which services tell each other what must be seen. */
export const TOKEN_HEADER = 'pg-ladder-token';

/** A scope within which reads see the writes and reads that came before them. */
export interface Session {
  /** Like `cluster.read`, for code that passes the session explicitly or has lost its async context. */
  read<Row extends QueryResultRow = Record<string, unknown>>(
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>>;
  /** Like `cluster.write`. */
  write<Row extends QueryResultRow = Record<string, unknown>>(
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: WriteOptions,
  ): Promise<QueryResult<Row>>;
  /** Like `cluster.query`. */
  query<Row extends QueryResultRow = Record<string, unknown>>(
    query: string | QueryConfig,
    values?: readonly unknown[],
    options?: ReadOptions,
  ): Promise<QueryResult<Row>>;
  /** Like `cluster.transaction`. */
  transaction<T>(fn: (client: PoolClient) => Promise<T> | T, options?: TransactionOptions): Promise<T>;
  /**
   * The session's position as a string that is safe in headers, cookies and URLs: 52 characters, 95 with `secrets`.
   * Reads that start from it see the session's writes and, with `monotonicAcrossRequests`, what it has read. It lives
   * for `tokenLifetimeMillis`. An unsigned token lets a client make only its own reads slower or staler.
   * @throws LadderError `LADDER_POSITION_UNAVAILABLE` when the primary does not tell its position, or does not show
   * what was read yet, and with `tracking: 'window'`
   */
  token(): Promise<string>;
  /**
   * The session's token as headers of a request to another service: `pg-ladder-token`, which `pg-ladder/http` reads there.
   * @throws as `token` does
   */
  headers(): Promise<Record<string, string>>;
  /** Raises the session to a token's position. A refused token changes nothing, and is counted in `stats().tokens`. */
  observe(token: string): void;
  /**
   * How fresh all is that the session has read by now, for what hands it on. Reads that are under
   * way count when they have been sent. Needs the option `freshness` of the session, or `cache` of
   * the cluster.
   * @throws LadderError `LADDER_INVALID_OPTIONS` where neither is set
   */
  freshness(): Freshness;
}
