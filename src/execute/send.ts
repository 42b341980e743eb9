/**
 * Sends a statement on a connection of a pool: under a name where it has one there, and with a question for the position
 * behind it where one is wanted. What follows from the answer is the caller's.
 */
import type { QueryResult } from 'pg';
import type { CallingContext } from '../async-context.js';
import type { DataConnection } from '../nodes/data-connection.js';
import type { PositionRider } from '../postgres/position-rider.js';
import { preparing } from '../postgres/preparing-query.js';
import type { StatementName } from '../postgres/statement-names.js';
import { submitQuery } from '../postgres/submit.js';
import { writable } from '../postgres/values.js';
import type { Statement } from './request.js';

/** @param position what the rider has brought; `undefined` without one, and where it has brought none */
export type Answered<Result> = (error: Error | null, result: Result, position?: string) => void;

/**
 * @param now our monotonic clock
 * @param answered called once; at once when pg, or the statement's own `introduce`, throws
 */
export function sendOn<Result extends QueryResult>(
  connection: DataConnection,
  statement: Statement,
  now: number,
  callingContext: CallingContext,
  rider: PositionRider | undefined,
  answered: Answered<Result>,
): void {
  const { client, names } = connection;
  const { query, values, profile } = statement;
  try {
    if (statement.introduce?.(client) === true) connection.sourceWatch?.doubt();
  } catch (error) {
    // The user's own code, far from where he waits for its outcome.
    answered(error as Error, undefined as never);
    return;
  }
  const answer: Answered<Result> =
    rider === undefined
      ? answered
      : (error, result) => {
          // Its end, if it comes before the rider's answer, is this statement's matter.
          if (error !== null) connection.isFailing = true;
          rider.follow((position) => {
            if (error !== null) connection.isFailing = false;
            answered(error, result, position);
          });
        };
  const send = (): void => {
    const prepared = named(connection, statement, now);
    if (prepared === undefined || profile === undefined || names === undefined) {
      submitQuery(client, query, values, answer);
      return;
    }
    const { name } = prepared;
    const opened = preparing(client, query, prepared.values, names, name);
    submitQuery<Result>(client, opened, undefined, (error, result) => {
      const isInUse = error === null && name.isReady;
      if (isInUse || !names.settle(profile, name, error)) {
        answer(error, result);
        return;
      }
      // Where the name may be to blame nothing has happened: without it, it is no second run.
      const again = (): void =>
        callingContext.runInAsyncScope(submitQuery<Result>, undefined, client, query, values, answered);
      if (rider === undefined) again();
      else rider.follow(again);
    });
  };
  if (rider === undefined) send();
  else rider.behind(send);
}

/** Under a name its values must not fail while they are written. Without values it may be several statements, of which no name can stand. */
function named(
  { names }: DataConnection,
  { query, values, profile }: Statement,
  now: number,
): { readonly name: StatementName; readonly values: unknown[] } | undefined {
  if (profile?.isUndivided !== true || names === undefined) return undefined;
  const given = values ?? (typeof query === 'string' ? undefined : query.values);
  if (!Array.isArray(given) || given.length === 0) return undefined;
  if (typeof query !== 'string' && query.name !== undefined) return undefined;
  let plain: unknown[] | undefined;
  try {
    plain = writable(given);
  } catch {
    // pg reports it, as of any other statement.
  }
  // Nothing else is under way there.
  names.over();
  if (plain === undefined) return undefined;
  const name = names.use(profile, now);
  return name === undefined ? undefined : { name, values: plain };
}
