/** A statement on its way through a client, in whatever form it was given: as pg reads the arguments of `query`. */

import process from 'node:process';
import type { QueryConfig, QueryResult } from 'pg';
import type { Entry } from '../execute/gate.js';
import type { Beginning } from '../isolation/watched-connection.js';
import { type Answer, isSubmittable, type Submittable } from '../postgres/arguments.js';
import { type PreparedQuery, preparedQuery, preparedValues } from '../postgres/prepared-query.js';
import type { SessionScope } from '../session/scope.js';

export interface Job {
  readonly query: PreparedQuery;
  readonly values: unknown[] | undefined;
  /** The session of the code that asked. */
  readonly scope: SessionScope;
  readonly entry: Entry;
  /** Where it was asked, of one that may begin a transaction that is watched. */
  readonly beginning: Beginning | undefined;
  readonly answer: Answer;
  /** Whether the answer is a callback of the user's, and not a promise's. */
  readonly isCallback: boolean;
}

/** What was given, as it travels from here on; a submittable stays as it is. @throws what its own getters throw */
export function given(query: unknown): Submittable | PreparedQuery {
  return isSubmittable(query) ? query : preparedQuery(query as string | QueryConfig);
}

export function valuesOf(values: unknown): unknown[] | undefined {
  return typeof values === 'function' ? undefined : preparedValues(values as unknown[] | undefined);
}

/** A callback is not called within a promise, which would swallow what it throws. */
export function succeed({ answer, isCallback }: Job, result: QueryResult): void {
  if (isCallback) process.nextTick(answer, null, result);
  else answer(null, result);
}

export function fail({ answer, isCallback }: Job, error: unknown): void {
  if (isCallback) process.nextTick(answer, error);
  else answer(error as Error);
}
