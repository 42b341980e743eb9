/** The state of a connection around a statement: in a transaction or not, lost or not. It sends nothing. */
import type { DataConnection } from '../nodes/data-connection.js';
import { isServerError, refusesSerializable } from '../postgres/errors.js';
import { fateOf, whenReady } from '../postgres/fate.js';

/**
 * A statement has failed there. Calls `then` when it is known whether its connection lives on, and in
 * which state: pg tells of an error before the server has told of that. Both come in one piece, as a rule.
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

/** Outside any transaction. */
export function isIdle({ status }: DataConnection): boolean {
  return status() === 'I';
}

/** Whether a transaction is open, which the next statement on the connection would run in. */
export function isInTransaction({ status }: DataConnection): boolean {
  const told = status();
  return told === 'T' || told === 'E';
}
