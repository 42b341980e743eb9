/** Runs one statement on one connection of its own: named where its text comes again, counted, timed, and the connection given back or thrown away. */

import type { PoolClient, QueryResult, QueryResultRow } from 'pg';
import { performance } from '../clock.js';
import type { Publisher } from '../events.js';
import type { DataConnection } from '../nodes/data-connections.js';
import type { Node } from '../nodes/node.js';
import { codeOf, isServerError, isServerFault, refusesSerializable } from '../postgres/errors.js';
import { fateOf, whenReady } from '../postgres/fate.js';
import type { PreparedQuery } from '../postgres/prepared-query.js';
import { preparing } from '../postgres/preparing-query.js';
import type { StatementName } from '../postgres/statement-names.js';
import { type Answered, submitQuery } from '../postgres/submit.js';
import { writable } from '../postgres/values.js';
import type { Profile } from '../statements/profile.js';

/** A statement as pg takes it. */
export interface Statement {
  readonly query: PreparedQuery;
  readonly values: unknown[] | undefined;
  /** Gives up on it: the server is asked to cancel it, and its connection is thrown away. */
  readonly signal: AbortSignal | undefined;
  /** What is known of its text; `undefined` for one that is neither named nor shares a connection. */
  readonly profile: Profile | undefined;
  /** What the caller does with a connection before it runs there. */
  readonly introduce?: ((client: PoolClient) => void) | undefined;
}

/** The first statements are all timed, and later every eighth: enough for percentiles, and nothing beside the statement itself. */
const TIMED_ALL = 64;
const TIMED_MASK = 7;

/** A connection of a node's. */
export interface Place {
  readonly node: Node;
  readonly connection: DataConnection;
}

/** Runs it; the connection stays the caller's. @throws pg's error, or the reason of `statement.signal` */
export function run<Row extends QueryResultRow>(
  place: Place,
  statement: Statement,
  publisher: Publisher,
): Promise<QueryResult<Row>> {
  const { node, connection } = place;
  const { signal } = statement;
  const running = new Promise<QueryResult<Row>>((resolve, reject) => {
    send<Row>(place, statement, publisher, (error, result) => (error === null ? resolve(result) : reject(error)));
  });
  if (signal === undefined) return running;
  return cancellable(running, signal, () => node.cancel(connection));
}

/**
 * A statement has failed there. Calls `then` when it is known whether its connection lives on, and in what state: pg tells of an error before the server has told of
 * that. Both come in one piece, as a rule.
 */
export function failedOn(connection: DataConnection, error: unknown, then: () => void): void {
  const { client } = connection;
  connection.isRefusing ||= refusesSerializable(error);
  fateOf(connection, error, (isLost) => {
    connection.isLost ||= isLost;
    // Of what pg itself refuses, the server may never hear.
    if (isLost || !isServerError(error)) then();
    else whenReady(client, then);
  });
}

/** One of the library's own statements. One promise, where pg makes two. */
export function ask(connection: DataConnection, text: string): Promise<QueryResult> {
  return new Promise((resolve, reject) => {
    connection.client.query(text, (error, result) => {
      if (error === null) resolve(result);
      else failedOn(connection, error, () => reject(error));
    });
  });
}

/** As `run`, without a promise and without giving up. */
export function send<Row extends QueryResultRow>(
  { node, connection }: Place,
  statement: Statement,
  publisher: Publisher,
  answer: Answered<QueryResult<Row>>,
): void {
  const { client, names } = connection;
  const { query, values, profile } = statement;
  const isHeard = publisher.wants('query');
  const timesIt = isHeard || isTimed(node);
  node.statementCount++;
  const startedAt = profile !== undefined || timesIt ? performance.now() : 0;
  const answered: Answered<QueryResult<Row>> = (error, result) => {
    if (startedAt > 0) {
      const durationMillis = performance.now() - startedAt;
      if (error === null) measure(node, profile, durationMillis, startedAt + durationMillis);
      else if (isServerFault(error)) node.response.failed(startedAt + durationMillis);
      if (timesIt) node.statementLatency.add(durationMillis);
      if (isHeard) tell(publisher, node, durationMillis, error === null ? result.rowCount : null, error);
    }
    if (error === null) answer(null, result);
    else failedOn(connection, error, () => answer(error, result));
  };
  try {
    statement.introduce?.(client);
  } catch (error) {
    // The user's own code, far from where he waits for its outcome.
    answered(error as Error, undefined as never);
    return;
  }
  const prepared = named(connection, statement, startedAt);
  if (prepared === undefined || profile === undefined || names === undefined) {
    submitQuery(client, query, values, answered);
    return;
  }
  const { name } = prepared;
  const opened = preparing(client, query, prepared.values, names, name);
  submitQuery<QueryResult<Row>>(client, opened, undefined, (error, result) => {
    const isInUse = error === null && name.isReady;
    // Where the name may be to blame nothing has happened: without it, it is no second run.
    if (isInUse || !names.settle(profile, name, error)) answered(error, result);
    else submitQuery(client, query, values, answered);
  });
}

/** How long the statement took, and what the server took beside it. */
function measure(node: Node, profile: Profile | undefined, millis: number, now: number): void {
  if (profile === undefined) return;
  if (profile.isShort) node.response.took(Math.max(0, millis - profile.expectedMillis), now);
  profile.took(millis - node.roundTripMillis);
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

/** Whether a node's next statement is one of those that are timed. */
export function isTimed({ statementCount }: Node): boolean {
  return statementCount < TIMED_ALL || (statementCount & TIMED_MASK) === 0;
}

/** Tells of a statement that has ended; for when somebody listens. */
export function tell(
  publisher: Publisher,
  { name, role }: Node,
  durationMillis: number,
  rowCount: number | null,
  error: Error | null,
): void {
  // A server, or a driver, may say anything in its place.
  const code = error === null ? undefined : (codeOf(error) ?? 'unknown');
  const errorCode = code === undefined || /^\w{1,64}$/.test(code) ? code : 'unknown';
  publisher.publish('query', { node: name, role, durationMillis, rowCount, errorCode });
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

/** Outside any transaction. */
export function isIdle({ status }: DataConnection): boolean {
  return status() === 'I';
}

/** Whether a transaction is open, which the next statement on the connection would run in. */
export function isInTransaction({ status }: DataConnection): boolean {
  const told = status();
  return told === 'T' || told === 'E';
}
