/**
 * How long transactions are open on a connection that a pool's client holds. One that is open for too long is ended with its
 * connection; its statements get the reason. Without the options for it, there is nothing here.
 */
import type { Attempt } from '../execute/attempt.js';
import type { TransactionWatch } from '../isolation/transaction-watch.js';
import type { Beginning, Expiry, WatchedConnection } from '../isolation/watched-connection.js';
import type { DataConnection } from '../nodes/data-connection.js';
import type { Node } from '../nodes/node.js';
import { textOf } from '../postgres/arguments.js';
import { isBusy } from '../postgres/internals.js';

export class TransactionTime {
  readonly #watched: WatchedConnection | undefined;
  #expiry: Expiry | undefined;

  /** @param close closes the connection; what runs there has been cancelled */
  constructor(
    watch: TransactionWatch | undefined,
    node: Node,
    connection: DataConnection,
    close: (expiry: Expiry) => void,
  ) {
    const { client } = connection;
    const end = (expiry: Expiry): void => {
      this.#expiry = expiry;
      if (isBusy(client)) node.connections.cancel(connection);
      close(expiry);
    };
    this.#watched = watch?.follow({ client, node: node.name, end }, false);
  }

  /** Whether it was ended here: what becomes of its connection says nothing of the server. */
  get isOver(): boolean {
    return this.#expiry !== undefined;
  }

  /** A statement is about to be sent. @param asked in whatever form pg gets it */
  sends(asked: unknown, { request }: Attempt, beginning?: Beginning): void {
    this.#watched?.sends(textOf(asked), request.callingContext, beginning);
  }

  /** What its user gets in the place of that error. */
  told<E extends Error | null | undefined>(error: E): E | Error {
    return error ? (this.#expiry?.() ?? error) : error;
  }

  /** The connection serves somebody else. */
  stop(): void {
    this.#watched?.stop();
  }
}
