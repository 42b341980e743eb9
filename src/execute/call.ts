/** What a call hands over, looked at before anything is done with it. */
import type { PoolClient, QueryConfig } from 'pg';
import { invalidOptions } from '../errors.js';
import { type PreparedQuery, preparedQuery } from '../postgres/prepared-query.js';
import { definesSomething } from '../sql/statement-start.js';

/** The values of a statement's parameters, `$1` first, as pg takes them. */
export type Values = readonly unknown[];

/**
 * A row whose type is not given: each column is `unknown`. Name the columns for more:
 * `cluster.read<{ name: string }>('select name from users')`.
 */
export type DefaultRow = Record<string, unknown>;

/** What a pool does with a connection before its statement runs there. @returns whether its user may have set it up */
export type Introduce = (client: PoolClient) => boolean;

/** A statement as `read`, `write` and `query` take it: its text, or pg's query object. */
export type Query = string | QueryConfig;

export function textOf(query: PreparedQuery): string {
  return typeof query === 'string' ? query : query.text;
}

/** Whether a text may change the catalogue, by the first words of its statements. */
export function isDefinition(query: PreparedQuery): boolean {
  const text: unknown = textOf(query);
  // What is no text is refused by pg, in its own words.
  return typeof text === 'string' && definesSomething(text);
}

/** What the caller gave, as it travels from here on. @throws LadderError `LADDER_INVALID_OPTIONS`, and what its own getters throw */
export function checkedQuery(query: Query): PreparedQuery {
  if (typeof query === 'string') return query;
  if (typeof query === 'object' && query !== null && 'text' in query && !('submit' in query))
    return preparedQuery(query);
  throw invalidOptions(
    'expected a text or a query config with a text; for cursors and COPY use connection(), for rows one by one stream()',
  );
}

/** What is settled when a transaction begins cannot be asked for within. @throws LadderError `LADDER_INVALID_OPTIONS` */
export function rejectWithin(call: string, options: object | undefined, names: readonly string[]): void {
  const asked = Object.entries(options ?? {}).find(([name, value]) => value !== undefined && names.includes(name))?.[0];
  if (asked === undefined) return;
  throw invalidOptions(`${call}: ${asked}: expected no such option within a transaction; use outsideTransaction()`);
}
