/**
 * A transaction that is open: what joins it, one statement at a time, and what its statements say of its
 * end. Transactions within are savepoints; nothing joins after the end. When to commit is decided elsewhere.
 */

import type { PoolClient, QueryResult, QueryResultRow } from 'pg';
import { abortable } from '../deadline.js';
import { invalidOptions, LadderError } from '../errors.js';
import type { DataConnection } from '../nodes/data-connection.js';
import { codeOf } from '../postgres/errors.js';
import { RELEASE_SAVEPOINT, SAVEPOINT, UNDO_SAVEPOINT } from '../postgres/own-statements.js';
import { logsOnly } from '../redaction.js';
import { endsTransaction } from '../sql/statement-start.js';
import type { Attempt } from './attempt.js';
import { textOf } from './call.js';
import type { Statement } from './request.js';

/** What every statement gets in a transaction in which one has failed. */
const ABORTED_STATE = '25P02';

/** What an open transaction's async context carries. */
export class Transaction {
  readonly isReadOnly: boolean;
  /** Out of reach: on Node 20 and 22 every promise made within has its async context in plain sight. */
  readonly #attempt: Attempt;
  readonly #connection: DataConnection;
  /** The one that this one is a savepoint of. */
  readonly #outer: Transaction | undefined;
  #client: PoolClient | undefined;
  #tail: Promise<unknown> | undefined;
  #hasEnded = false;
  #mayHaveEnded = false;
  /** The last error of a joined statement: the likely reason of a transaction that cannot commit. */
  #failure: unknown;
  /** The last error of any statement. */
  #lastError: unknown;

  static {
    logsOnly(Transaction.prototype, 'Transaction', ({ isReadOnly }) => ({ isReadOnly }));
  }

  constructor(attempt: Attempt, connection: DataConnection, isReadOnly: boolean, outer?: Transaction) {
    this.#attempt = attempt;
    this.#connection = connection;
    this.isReadOnly = isReadOnly;
    this.#outer = outer;
    this.#client = outer === undefined ? undefined : outer.#client;
  }

  /** Its user works with that client, and so do those of its savepoints. */
  handOut(client: PoolClient): void {
    this.#client = client;
  }

  /** Whether nothing joins any more. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Whether one of its own statements may have ended it on the server, by COMMIT for one: what it has written may be committed then. */
  get mayHaveEnded(): boolean {
    return this.#mayHaveEnded;
  }

  get failure(): unknown {
    return this.#failure;
  }

  get lastError(): unknown {
    return this.#lastError;
  }

  /** A statement is about to be sent. @param text `undefined` where it is unknown */
  sends(text: unknown): void {
    this.#mayHaveEnded ||= typeof text !== 'string' || endsTransaction(text);
    this.#outer?.sends(text);
  }

  /** A statement has failed. */
  failed(error: unknown): void {
    this.#lastError = error;
    this.#outer?.failed(error);
  }

  /** Runs a statement in its turn; one that is given up before is not sent. @throws LadderError `LADDER_TRANSACTION_ENDED`, and pg's errors */
  run<Row extends QueryResultRow>(statement: Statement, signal: AbortSignal | undefined): Promise<QueryResult<Row>> {
    const running = this.#inTurn(async () => {
      signal?.throwIfAborted();
      this.sends(textOf(statement.query));
      try {
        return await this.#attempt.run<Row>(this.#connection, statement, signal);
      } catch (error) {
        this.#failure = error;
        this.failed(error);
        throw error;
      }
    });
    return abortable(running, signal);
  }

  /** Runs `fn` within a savepoint, in its turn: statements of this transaction wait until it has ended. */
  nest<T>(fn: (inner: Transaction, client: PoolClient) => Promise<T>): Promise<T> {
    const ask = (text: string): Promise<QueryResult> => this.#attempt.ask(this.#connection, text);
    return this.#inTurn(async () => {
      await ask(SAVEPOINT);
      const inner = new Transaction(this.#attempt, this.#connection, this.isReadOnly, this);
      try {
        const result = await fn(inner, this.#client as PoolClient);
        await inner.end();
        await ask(RELEASE_SAVEPOINT).catch((error: unknown) => {
          throw codeOf(error) === ABORTED_STATE ? aborted(inner.failure ?? error) : error;
        });
        return result;
      } catch (error) {
        await inner.end();
        await ask(UNDO_SAVEPOINT).catch(() => undefined);
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

/** For a transaction that cannot commit. */
export function aborted(cause: unknown): LadderError {
  return new LadderError(
    'LADDER_TRANSACTION_ABORTED',
    'a statement of the transaction failed, and its error was caught within: everything was rolled back. Let the error out, or ' +
      'put the statement into a nested transaction',
    { cause },
  );
}

/** What is settled when a transaction begins cannot be asked for within: a replica's snapshot was chosen then, the primary's satisfies every wish. */
const SETTLED = {
  readOnly: ['target', 'atLeast', 'consistency', 'maxStalenessMillis', 'cache'],
  readWrite: ['target', 'atLeast', 'cache'],
};

/** It would hold up what its own loop awaits of the transaction. */
export function unjoinable(): LadderError {
  return invalidOptions(
    'stream: expected no transaction around it, since one statement runs at a time there; read, or use a cursor on the client of the transaction, ' +
      'or outsideTransaction() for what others have committed',
  );
}

/** What a call within it may not ask for. */
export function settledIn({ isReadOnly }: Transaction): string[] {
  return isReadOnly ? SETTLED.readOnly : SETTLED.readWrite;
}
