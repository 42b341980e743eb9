/** The arguments of pg's `query`, in whatever form they were given. */
import type { QueryResult } from 'pg';
import { isError } from '../errors.js';

export type Answer = (error: Error | null | undefined, result?: QueryResult) => void;

/** What pg takes in place of a text or a config: a cursor, a stream, a query with events. */
export interface Submittable {
  submit(connection: unknown): unknown;
  handleError(error: Error, connection: unknown): void;
  readonly text?: unknown;
  readonly cursor?: { readonly text?: unknown };
}

export function isSubmittable(query: unknown): query is Submittable {
  if (typeof query !== 'object' || query === null) return false;
  return typeof (query as { submit?: unknown }).submit === 'function';
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
  const own = typeof query === 'object' ? (query as { callback?: unknown } | null)?.callback : undefined;
  const found = typeof values === 'function' ? values : (callback ?? own);
  if (found === undefined || found === null) return undefined;
  if (typeof found !== 'function') throw new TypeError('callback is not a function');
  return found as Answer;
}

/** A promise with an error whose stack leads to the caller who awaits it, as pg's own. */
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
