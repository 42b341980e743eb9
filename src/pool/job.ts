/** A statement on its way through a client, in whatever form it was given: as pg reads the arguments of `query`. */

import type { QueryConfig, QueryResult } from 'pg';
import { isError } from '../errors.js';
import { type PreparedQuery, preparedQuery, preparedValues } from '../postgres/prepared-query.js';
import type { SessionScope } from '../session/session.js';

export type Answer = (error: Error | null | undefined, result?: QueryResult) => void;

/** What pg takes in place of a text or a config: a cursor, a stream, a query with events. */
export interface Submittable {
  submit(connection: unknown): unknown;
  handleError(error: Error, connection: unknown): void;
  readonly text?: unknown;
  readonly cursor?: { readonly text?: unknown };
}

export interface Job {
  readonly query: PreparedQuery;
  readonly values: unknown[] | undefined;
  /** The session of the code that asked. */
  readonly scope: SessionScope;
  readonly answer: Answer;
  /** Whether the answer is a callback of the user's, and not a promise's. */
  readonly isCallback: boolean;
}

export function isSubmittable(query: unknown): query is Submittable {
  if (typeof query !== 'object' || query === null) return false;
  return typeof (query as { submit?: unknown }).submit === 'function';
}

/** What was given, as it travels from here on; a submittable stays as it is. @throws what its own getters throw */
export function given(query: unknown): Submittable | PreparedQuery {
  return isSubmittable(query) ? query : preparedQuery(query as string | QueryConfig);
}

/** `undefined` where it has none, as when a prepared statement is run by its name alone. */
export function textOf(query: unknown): string | undefined {
  if (typeof query === 'string') return query;
  const { text, cursor } = query as Submittable;
  const found = text ?? cursor?.text;
  return typeof found === 'string' ? found : undefined;
}

/** The callback among the arguments. @throws TypeError as pg does */
export function callbackOf(query: unknown, values: unknown, callback: unknown): Answer | undefined {
  const own = typeof query === 'object' ? (query as { callback?: unknown }).callback : undefined;
  const found = typeof values === 'function' ? values : (callback ?? own);
  if (found === undefined || found === null) return undefined;
  if (typeof found !== 'function') throw new TypeError('callback is not a function');
  return found as Answer;
}

export function valuesOf(values: unknown): unknown[] | undefined {
  return typeof values === 'function' ? undefined : preparedValues(values as unknown[] | undefined);
}

/** A promise with an error whose stack leads to whoever awaits it, as pg's own. */
export function promised<T>(
  PromiseClass: typeof Promise,
  run: (answer: (error: Error | null | undefined, result?: T) => void) => void,
): Promise<T> {
  return new PromiseClass<T>((resolve, reject) => {
    run((error, result) => (error ? reject(error) : resolve(result as T)));
  }).catch((error: unknown) => {
    if (isError(error)) Error.captureStackTrace(error);
    throw error;
  });
}
