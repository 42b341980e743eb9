/**
 * Whether a connection is in a transaction, as its server said with its last ReadyForQuery. pg tells it from 8.23 on; before, it is heard on pg's connection. An
 * error is told before the ReadyForQuery that follows it: until that has come, this is what was true before the statement.
 */
import type { EventEmitter } from 'node:events';

/** Idle, in a transaction, in one that has failed; `undefined` for pg's native client, and until the server has said something. */
export type TransactionStatus = 'I' | 'T' | 'E' | undefined;

export type ReadStatus = () => TransactionStatus;

interface Telling {
  getTransactionStatus?(): TransactionStatus | null;
  readonly connection?: Partial<Pick<EventEmitter, 'prependListener'>>;
}

/** For a client that is connected. It listens as long as the client lives. */
export function statusReader(client: object): ReadStatus {
  const telling = client as Telling;
  if (typeof telling.getTransactionStatus === 'function') return () => telling.getTransactionStatus?.() ?? undefined;
  let status: TransactionStatus;
  // Before pg hears of it, and calls back the caller.
  telling.connection?.prependListener?.('readyForQuery', (message: { status?: TransactionStatus }) => {
    status = message.status;
  });
  return () => status;
}
