/**
 * Calls pg's `query` so that the answer comes once, and always: pg calls back twice when it cannot write a value, and throws when it stumbles over anything
 * else. It reads nothing of the statement.
 */
import { isReady } from './internals.js';

export type Answered<Result> = (error: Error | null, result: Result) => void;

/** What pg's types leave out; its native client has no such field. */
interface Client {
  query(query: unknown, values: unknown, callback: unknown): unknown;
  end(): Promise<void>;
}

/** @param query a prepared one @param answered called once, and at once when pg throws */
export function submitQuery<Result>(
  client: object,
  query: unknown,
  values: readonly unknown[] | undefined,
  answered: Answered<Result>,
): void {
  let isOver = false;
  const once: Answered<Result> = (error, result) => {
    if (isOver) return;
    isOver = true;
    answered(error, result);
  };
  try {
    submit(client, query, isSubmittable(query) ? once : values, once);
  } catch (error) {
    once(error as Error, undefined as Result);
  }
}

/**
 * As pg's `query`, of whatever kind. Of a submittable, all its versions take the callback in the place of values.
 * @throws what it throws. A connection on which it began to write by then waits for an answer that never comes, and so would whatever follows: it is ended
 */
export function submit(client: object, query: unknown, values: unknown, callback?: unknown): void {
  const asked = client as Client;
  const wasReady = isReady(asked);
  try {
    asked.query(query, values, callback);
  } catch (error) {
    if (wasReady && !isReady(asked)) asked.end().catch(() => undefined);
    throw error;
  }
}

function isSubmittable(query: unknown): boolean {
  return typeof (query as { submit?: unknown } | null | undefined)?.submit === 'function';
}
