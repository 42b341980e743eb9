/**
 * A transaction on one connection: read-write on the primary, read-only on a replica that is fresh enough before
 * it begins. It is run once more where that was asked for and nothing of it can have been committed.
 */

import type { PoolClient } from 'pg';
import { performance, setTimeout } from '../clock.js';
import { abortable, settledWithin } from '../deadline.js';
import { saying } from '../errors.js';
import type { Position } from '../freshness/position.js';
import { type DataConnection, throwAway } from '../nodes/data-connection.js';
import type { TransactionOptions } from '../options/calls.js';
import {
  codeOf,
  endedIdleTransaction,
  isConnectionLoss,
  isOnlyForPrimary,
  isServerError,
  refusesSerializable,
  verdictOf,
} from '../postgres/errors.js';
import { isBusy, isQueryable } from '../postgres/internals.js';
import { begin, COMMIT, ROLLBACK } from '../postgres/own-statements.js';
import { failedOn, isInTransaction } from './connection-state.js';
import { openSeries, type Placement } from './open-series.js';
import { aborted, Transaction } from './open-transaction.js';
import { place } from './place.js';
import { onPrimary } from './primary.js';
import type { Request } from './request.js';
import { transactionClient } from './transaction-client.js';
import { waitUntilVisible } from './visibility.js';
import { writeError, wrote } from './write.js';

/** SQLSTATEs after which the very same transaction may succeed. */
const TRANSIENT_STATES = new Set(['40001', '40P01']);
const BACKOFF_MILLIS = 10;
const BACKOFF_CAP_MILLIS = 500;

/** Runs `fn` in an async context that carries the transaction. */
export type Enter = <T>(transaction: Transaction, fn: () => T) => T;

/** What runs in a transaction, and how. */
export interface Work<T> {
  readonly fn: (client: PoolClient) => Promise<T> | T;
  readonly options: TransactionOptions;
  readonly enter: Enter;
}

/** One run of it. */
interface Run {
  /** Where it runs: a read-only one that a replica has refused on the primary. */
  readonly isForPrimary: boolean;
  wasOnReplica: boolean;
  /** Whether its connection was lost before COMMIT was sent: it is rolled back, for certain. */
  isRolledBack: boolean;
}

export function transaction<T>(request: Request, work: Work<T>): Promise<T> {
  const { retries = 0 } = work.options;
  // Few promises, here and below: many of them cost as much as a statement.
  return retries === 0 ? once(request, work, firstRun(false)) : repeatedly(request, work, retries);
}

function firstRun(isForPrimary: boolean): Run {
  return { isForPrimary, wasOnReplica: false, isRolledBack: false };
}

async function repeatedly<T>(request: Request, work: Work<T>, retries: number): Promise<T> {
  const { signal, target } = request;
  let isForPrimary = false;
  for (let count = 0; ; count++) {
    const run = firstRun(isForPrimary);
    try {
      return await once(request, work, run);
    } catch (error) {
      const wasSerializable = run.wasOnReplica && refusesSerializable(error);
      const isTransient = TRANSIENT_STATES.has(codeOf(error) ?? '') || wasSerializable;
      const isRefused = run.wasOnReplica && target === undefined && isOnlyForPrimary(error);
      const mayPass = isTransient || run.isRolledBack || isRefused;
      if (!mayPass || count >= retries || signal?.aborted === true) throw error;
      isForPrimary ||= isRefused;
      request.rerunCount++;
      const longest = Math.min(BACKOFF_MILLIS * 2 ** count, BACKOFF_CAP_MILLIS);
      await abortable(new Promise((resolve) => setTimeout(resolve, Math.random() * longest)), signal);
    }
  }
}

async function once<T>(request: Request, work: Work<T>, run: Run): Promise<T> {
  const { fn, options, enter } = work;
  const { context, signal } = request;
  const isReadOnly = options.readOnly === true;
  const { attempt, connection } = await begun(request, options, run);
  const { timeline } = context.fleet.history.timelines;
  run.wasOnReplica = attempt.node.role === 'replica';
  const current = new Transaction(attempt, connection, isReadOnly);
  const handedOut = transactionClient(attempt, connection, current);
  current.handOut(handedOut.client);
  let isOver = false;
  let position: Position | undefined;
  const body = async (): Promise<T> => {
    try {
      return await enter(current, () => fn(handedOut.client));
    } finally {
      const joined = current.end();
      if (joined !== undefined) await joined;
    }
  };
  /** What has ended the connection says that nothing was committed, unless a statement of `fn` did that. */
  const certainly = (error: unknown): unknown => {
    run.isRolledBack = true;
    return saying(connection.idleLoss ?? error, '; the transaction was rolled back: its COMMIT had not been sent');
  };
  try {
    let result: T;
    try {
      result = await abortable(body(), signal);
    } catch (error) {
      // Given up, `fn` may still be at work: its connection must not serve anybody else.
      if (signal?.aborted === true) attempt.node.connections.cancel(connection);
      else if (await isLostUnder(connection, error)) {
        if (!current.mayHaveEnded) throw certainly(error);
        throw isReadOnly ? error : writeError(attempt, connection, error);
      } else isOver = await rolledBack({ attempt, connection }, error);
      throw error;
    }
    // pg would say no more than that it cannot be sent.
    if (mayBeLost(connection, current) && (await isLost(connection, current)) && !current.mayHaveEnded)
      throw certainly(current.lastError);
    try {
      position = await commit({ attempt, connection }, current, isReadOnly);
      isOver = true;
    } catch (error) {
      // The caller's reason to give up is no answer of the server's.
      isOver = signal?.aborted !== true && ((isServerError(error) && !connection.isLost) || isAborted(error));
      if (signal?.aborted !== true && endedIdleTransaction(error) && !current.mayHaveEnded) throw certainly(error);
      throw isReadOnly || isOver ? error : writeError(attempt, connection, error);
    }
    return result;
  } finally {
    void current.end();
    // What `fn` has left running, or has begun by itself, belongs to it alone.
    const isFree =
      isOver &&
      !handedOut.isUnwanted &&
      !connection.wasCancelled &&
      !isBusy(connection.client) &&
      !isInTransaction(connection);
    if (isFree) connection.client.release();
    else throwAway(connection);
    attempt.leave(isReadOnly ? connection.identity.server : undefined);
    if (!isReadOnly) wrote(attempt, timeline, position);
  }
}

/** Whether the connection may have been lost, although `fn` has caught what it was told of that. */
function mayBeLost({ client }: DataConnection, { lastError }: Transaction): boolean {
  return !isQueryable(client) || (lastError !== undefined && verdictOf(lastError) === 'open');
}

async function isLost(connection: DataConnection, { lastError }: Transaction): Promise<boolean> {
  return !isQueryable(connection.client) || isLostUnder(connection, lastError);
}

/** Whether an error that came out of `fn` is the loss of the transaction's connection. */
async function isLostUnder(connection: DataConnection, error: unknown): Promise<boolean> {
  if (!isServerError(error) && !isConnectionLoss(error)) return false;
  await new Promise<void>((resolve) => failedOn(connection, error, resolve));
  return connection.isLost || !isQueryable(connection.client);
}

/** A connection on which the transaction has begun. */
async function begun(request: Request, options: TransactionOptions, { isForPrimary }: Run): Promise<Placement> {
  const { isolation, readOnly } = options;
  const textOn = ({ isRelaxed }: DataConnection): string => {
    // Its user may have undone what it was set to.
    const level = isolation ?? (isRelaxed ? 'repeatable read' : undefined);
    return begin(level === undefined ? '' : `isolation level ${level}`, readOnly === true ? 'read only' : '');
  };
  if (readOnly === true) request.context.fleet.selection.recordUse(request, performance.now());
  return openSeries(
    request,
    () => placeTransaction(request, options, isForPrimary),
    ({ attempt, connection }) => abortable(attempt.ask(connection, textOn(connection)), request.signal),
  );
}

async function placeTransaction(
  request: Request,
  { readOnly, isolation }: TransactionOptions,
  isForPrimary: boolean,
): Promise<Placement> {
  // A standby refuses serializable: only the primary knows which transactions it must not contradict.
  if (readOnly === true && isolation !== 'serializable' && !isForPrimary) return place(request);
  const mayWrite = readOnly !== true;
  if (request.trace?.isCarried === true || isForPrimary) await waitUntilVisible(request);
  return onPrimary(request, { reason: isForPrimary ? 'misrouted' : 'transaction', mayWrite });
}

/** @returns a position that covers it, where that came along */
async function commit(
  { attempt, connection }: Placement,
  current: Transaction,
  isReadOnly: boolean,
): Promise<Position | undefined> {
  const { node, request } = attempt;
  const { riders } = request.context.fleet;
  const sentAt = performance.now();
  const rider = !isReadOnly && riders.areWanted(sentAt) ? riders.take(node, connection) : undefined;
  let position: Position | undefined;
  const located = (lsn: string | undefined): void => {
    if (rider !== undefined) position = riders.over(node, connection, lsn, sentAt);
  };
  const { command } = await abortable(attempt.ask(connection, COMMIT, rider, located), request.signal);
  // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, and no error.
  if (command === 'ROLLBACK') throw aborted(current.failure);
  return position;
}

/** @returns whether the connection is outside any transaction now */
async function rolledBack({ attempt, connection }: Placement, cause: unknown): Promise<boolean> {
  const { settings } = attempt.request.context.fleet;
  let isOver: boolean | undefined;
  connection.isRefusing ||= refusesSerializable(cause);
  const running = attempt.ask(connection, ROLLBACK).then(
    () => {
      isOver = true;
    },
    () => {
      isOver = false;
    },
  );
  // A statement that pg could not write keeps its connection waiting for an answer that never comes.
  await (isServerError(cause) ? running : settledWithin(running, settings.hangMillis));
  if (isOver === undefined) attempt.node.connections.cancel(connection);
  return isOver === true;
}

function isAborted(error: unknown): boolean {
  return codeOf(error) === 'LADDER_TRANSACTION_ABORTED';
}
