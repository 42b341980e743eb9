/**
 * A transaction on one connection: read-write on the primary, read-only on a replica that is fresh enough before it begins. Statements
 * of the same async context join it, one at a time; transactions within are savepoints; nothing joins after its end.
 */

import type { PoolClient, QueryResult, QueryResultRow } from 'pg';
import { performance, setTimeout } from '../clock.js';
import { LadderError, saying } from '../errors.js';
import { throwAway } from '../nodes/data-connections.js';
import type { Fleet, Need } from '../nodes/fleet.js';
import type { Node } from '../nodes/node.js';
import type { TransactionOptions } from '../options/calls.js';
import {
  codeOf,
  endedIdleTransaction,
  isConnectionLoss,
  isOnlyForPrimary,
  isServerError,
  refusesSerializable,
} from '../postgres/errors.js';
import { isBusy } from '../postgres/internals.js';
import { withholdRelease } from '../postgres/withhold.js';
import { logsOnly } from '../redaction.js';
import { abortable, settledWithin } from './abort.js';
import type { ExecutionContext } from './context.js';
import { openSeries } from './open-series.js';
import { place } from './place.js';
import { leave, type Placement } from './placement.js';
import { onPrimary } from './primary.js';
import { ask, isInTransaction, run, type Statement } from './statement.js';
import { waitUntilVisible } from './visibility.js';
import { writeError, wrote } from './write.js';

/** SQLSTATEs after which the very same transaction may succeed. */
const TRANSIENT_STATES = new Set(['40001', '40P01']);
/** What every statement gets in a transaction in which one has failed. */
const ABORTED_STATE = '25P02';
const BACKOFF_MILLIS = 10;
const BACKOFF_CAP_MILLIS = 500;

/** What an open transaction's async context carries. */
export class Transaction {
  readonly isReadOnly: boolean;
  /** Out of reach: on Node 20 and 22 every promise made within has its async context in plain sight. */
  readonly #placement: Placement;
  readonly #fleet: Fleet;
  #tail: Promise<unknown> | undefined;
  #hasEnded = false;
  /** The last error of a joined statement: the likely reason of a transaction that cannot commit. */
  #failure: unknown;

  static {
    logsOnly(Transaction.prototype, 'Transaction', ({ isReadOnly }) => ({ isReadOnly }));
  }

  constructor(fleet: Fleet, placement: Placement, isReadOnly: boolean) {
    this.#fleet = fleet;
    this.#placement = placement;
    this.isReadOnly = isReadOnly;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  get failure(): unknown {
    return this.#failure;
  }

  /** Runs a statement in its turn; one that is given up before is not sent. @throws LadderError `LADDER_TRANSACTION_ENDED`, and pg's errors */
  run<Row extends QueryResultRow>(statement: Statement): Promise<QueryResult<Row>> {
    const { signal } = statement;
    const running = this.#inTurn(async () => {
      signal?.throwIfAborted();
      try {
        return await run<Row>(this.#placement, statement, this.#fleet.publisher);
      } catch (error) {
        this.#failure = error;
        throw error;
      }
    });
    return abortable(running, signal);
  }

  /** Runs `fn` within a savepoint, in its turn: statements of this transaction wait until it has ended. */
  nest<T>(fn: (inner: Transaction, client: PoolClient) => Promise<T>): Promise<T> {
    return this.#inTurn(async () => {
      const { client } = this.#placement.connection;
      // Savepoints of one name lie on top of each other, the newest in reach: no need to number them.
      await client.query('savepoint ladder');
      const inner = new Transaction(this.#fleet, this.#placement, this.isReadOnly);
      try {
        const result = await fn(inner, client);
        await inner.end();
        await client.query('release savepoint ladder').catch((error: unknown) => {
          throw codeOf(error) === ABORTED_STATE ? aborted(inner.failure ?? error) : error;
        });
        return result;
      } catch (error) {
        await inner.end();
        await client.query('rollback to savepoint ladder; release savepoint ladder').catch(() => undefined);
        throw error;
      }
    });
  }

  /** Lets nothing join any more. @returns what resolves when all that has joined is over; `undefined` when nothing has */
  end(): Promise<unknown> | undefined {
    this.#hasEnded = true;
    return this.#tail;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#hasEnded) return Promise.reject(ended());
    const result = this.#tail === undefined ? work() : this.#tail.then(work);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}

/** For what was started in a transaction and comes after its end. */
export function ended(): LadderError {
  return new LadderError(
    'LADDER_TRANSACTION_ENDED',
    'the transaction that this code was started in has ended; await everything within it, or start detached work in outsideTransaction()',
  );
}

/** Runs `fn` in an async context that carries the transaction. */
export type Enter = <T>(transaction: Transaction, fn: () => T) => T;

/** What a caller asks for. */
export interface TransactionRequest<T> {
  readonly fn: (client: PoolClient) => Promise<T> | T;
  readonly options: TransactionOptions;
  readonly need: Need;
  readonly enter: Enter;
  readonly signal: AbortSignal | undefined;
}

/** One run of it. */
interface Attempt {
  /** Where it runs: a read-only one that a replica has refused on the primary. */
  readonly isForPrimary: boolean;
  wasOnReplica: boolean;
  /** Whether its connection was lost before COMMIT was sent: it is rolled back, for certain. */
  isRolledBack: boolean;
}

export function transaction<T>(context: ExecutionContext, request: TransactionRequest<T>): Promise<T> {
  const { retries = 0 } = request.options;
  // Few promises, here and below: many of them cost as much as a statement.
  return retries === 0 ? once(context, request, firstAttempt(false)) : repeatedly(context, request, retries);
}

function firstAttempt(isForPrimary: boolean): Attempt {
  return { isForPrimary, wasOnReplica: false, isRolledBack: false };
}

async function repeatedly<T>(context: ExecutionContext, request: TransactionRequest<T>, retries: number): Promise<T> {
  const { signal } = request;
  let isForPrimary = false;
  for (let count = 0; ; count++) {
    const attempt = firstAttempt(isForPrimary);
    try {
      return await once(context, request, attempt);
    } catch (error) {
      const wasSerializable = attempt.wasOnReplica && refusesSerializable(error);
      const isTransient = TRANSIENT_STATES.has(codeOf(error) ?? '') || wasSerializable;
      const isRefused = attempt.wasOnReplica && request.need.target === undefined && isOnlyForPrimary(error);
      const mayPass = isTransient || attempt.isRolledBack || isRefused;
      if (!mayPass || count >= retries || signal?.aborted === true) throw error;
      isForPrimary ||= isRefused;
      const longest = Math.min(BACKOFF_MILLIS * 2 ** count, BACKOFF_CAP_MILLIS);
      await abortable(new Promise((resolve) => setTimeout(resolve, Math.random() * longest)), signal);
    }
  }
}

async function once<T>(context: ExecutionContext, request: TransactionRequest<T>, attempt: Attempt): Promise<T> {
  const { fn, options, need, enter, signal } = request;
  const { fleet } = context;
  const isReadOnly = options.readOnly === true;
  const placement = await begin(context, request, attempt);
  attempt.wasOnReplica = placement.node.role === 'replica';
  const { timeline } = fleet.history.timelines;
  const { client, identity } = placement.connection;
  const current = new Transaction(fleet, placement, isReadOnly);
  let isOver = false;
  const handBack = withholdRelease(client);
  const body = async (): Promise<T> => {
    try {
      return await enter(current, () => fn(client));
    } finally {
      const joined = current.end();
      if (joined !== undefined) await joined;
    }
  };
  try {
    let result: T;
    try {
      result = await abortable(body(), signal);
    } catch (error) {
      // Given up, `fn` may still be at work: its connection must not serve anybody else.
      if (signal?.aborted === true) placement.node.cancel(placement.connection);
      else if (endedIdleTransaction(error) || (isConnectionLoss(error) && lostOpen(placement)))
        throw certainly(attempt, placement, error);
      else isOver = await rolledBack(fleet, placement, error);
      throw error;
    }
    // pg would say no more than that it cannot be sent.
    if (lostOpen(placement)) throw certainly(attempt, placement, undefined);
    try {
      await commit(placement, current, signal);
      isOver = true;
    } catch (error) {
      // The reason of whoever gave up is no answer of the server's.
      isOver = signal?.aborted !== true && ((isServerError(error) && !placement.connection.isLost) || isAborted(error));
      if (signal?.aborted !== true && endedIdleTransaction(error)) throw certainly(attempt, placement, error);
      throw isReadOnly || isOver ? error : writeError(fleet, placement, need.floor, error, signal);
    }
    return result;
  } finally {
    void current.end();
    const isUnwanted = handBack();
    // What `fn` has left running, or has begun by itself, is nobody else's.
    const isFree =
      isOver &&
      !isUnwanted &&
      !placement.connection.wasCancelled &&
      !isBusy(client) &&
      !isInTransaction(placement.connection);
    if (isFree) client.release();
    else throwAway(placement.connection);
    leave(placement);
    if (isReadOnly) need.trace?.ended(identity.server, performance.now(), need.key);
    else wrote(fleet, placement, need.floor, timeline);
  }
}

/** Whether its connection was lost while the transaction was open and nothing was under way: COMMIT can no more be sent. */
function lostOpen({ connection }: Placement): boolean {
  return connection.idleLoss !== undefined && isInTransaction(connection);
}

/** @returns what has ended the session, which says that nothing was committed */
function certainly(attempt: Attempt, { connection }: Placement, error: unknown): unknown {
  attempt.isRolledBack = true;
  return saying(connection.idleLoss ?? error, '; the transaction was rolled back: its COMMIT had not been sent');
}

/** A connection on which the transaction has begun. */
async function begin<T>(
  context: ExecutionContext,
  { options, need, signal }: TransactionRequest<T>,
  { isForPrimary }: Attempt,
): Promise<Placement> {
  const { isolation, readOnly } = options;
  const textOn = ({ connection }: Placement): string => {
    // Its user may have undone what it was set to.
    const level = isolation ?? (connection.isRelaxed ? 'repeatable read' : undefined);
    return `begin${level === undefined ? '' : ` isolation level ${level}`}${readOnly === true ? ' read only' : ''}`;
  };
  if (readOnly === true) context.fleet.recordUse(need, performance.now());
  const find = (lostOn: ReadonlySet<Node> | undefined): Promise<Placement> =>
    placeTransaction(context, options, need, lostOn, isForPrimary, signal);
  const begun = (placement: Placement) => abortable(ask(placement.connection, textOn(placement)), signal);
  return openSeries(context.fleet, find, begun, signal);
}

async function placeTransaction(
  context: ExecutionContext,
  { readOnly, isolation }: TransactionOptions,
  need: Need,
  lostOn: ReadonlySet<Node> | undefined,
  isForPrimary: boolean,
  signal: AbortSignal | undefined,
): Promise<Placement> {
  const startedAt = performance.now();
  // A standby refuses serializable: only the primary knows which transactions it must not contradict.
  if (readOnly === true && isolation !== 'serializable' && !isForPrimary)
    return place(context, need, startedAt, lostOn, signal);
  const mayWrite = readOnly !== true;
  if (need.trace?.isCarried === true || isForPrimary) await waitUntilVisible(context.fleet, need, signal);
  const reason = isForPrimary ? 'misrouted' : 'transaction';
  return onPrimary(context.fleet, { reason, mayWrite, startedAt, giveUpAt: need.giveUpAt, signal });
}

async function commit({ connection }: Placement, current: Transaction, signal: AbortSignal | undefined): Promise<void> {
  const { command } = await abortable(ask(connection, 'commit'), signal);
  // PostgreSQL answers COMMIT of a failed transaction with ROLLBACK, and no error.
  if (command === 'ROLLBACK') throw aborted(current.failure);
}

/** @returns whether the connection is outside any transaction now */
async function rolledBack({ settings }: Fleet, placement: Placement, cause: unknown): Promise<boolean> {
  let isOver: boolean | undefined;
  placement.connection.isRefusing ||= refusesSerializable(cause);
  const running = ask(placement.connection, 'rollback').then(
    () => {
      isOver = true;
    },
    () => {
      isOver = false;
    },
  );
  // A statement that pg could not write keeps its connection waiting for an answer that never comes.
  await (isServerError(cause) ? running : settledWithin(running, settings.hangMillis));
  if (isOver === undefined) placement.node.cancel(placement.connection);
  return isOver === true;
}

function aborted(cause: unknown): LadderError {
  return new LadderError(
    'LADDER_TRANSACTION_ABORTED',
    'a statement of the transaction failed, and its error was caught within: everything was rolled back. Let the error out, or ' +
      'put the statement into a nested transaction',
    { cause },
  );
}

function isAborted(error: unknown): boolean {
  return codeOf(error) === 'LADDER_TRANSACTION_ABORTED';
}
