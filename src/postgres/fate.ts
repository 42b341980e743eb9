/**
 * What becomes of a connection under a statement that failed. It lives on when the server is ready for the next statement, and it is lost when it ends
 * instead. An error's words decide nothing where that can be seen: a function may raise any SQLSTATE, and a severity is in the server's language.
 */

import { clearTimeout, setImmediate, setTimeout } from '../clock.js';
import { isConnectionLoss, verdictOf } from './errors.js';
import { isBroken, isBusy, isQueryable, wireOf } from './internals.js';

/** Both come at once after an error. A server that says neither for so long is as good as gone. */
const PATIENCE_MILLIS = 1_000;

/** A connection on which a statement has failed. */
export interface Suspect {
  readonly client: object;
  /** Whether its end, if it comes now, is that statement's matter. */
  isFailing?: boolean;
}

/**
 * Finds out whether the connection was lost under the statement that failed with `error`. It waits only for errors that come on connections of both kinds.
 * @param then called once, and at once where nothing needs to be waited for
 */
export function fateOf(suspect: Suspect, error: unknown, then: (isLost: boolean) => void): void {
  const { client } = suspect;
  const verdict = verdictOf(error);
  if (verdict === 'answered') then(false);
  else if (verdict === 'lost') then(true);
  // Not the server's: a value of the caller's can throw anything. Where pg stumbled over it, nothing of it ran, and its connection is ended by us.
  else if (verdict === 'foreign') then(isConnectionLoss(error) ? !isQueryable(client) : isBroken(client));
  else if (!isWatchable(client)) then(isConnectionLoss(error));
  else {
    suspect.isFailing = true;
    whenReady(client, (isReady) => {
      suspect.isFailing = false;
      then(!isReady);
    });
  }
}

/** Calls `then` when the server is ready for the next statement, or when it is known that it will not be. */
export function whenReady(client: object, then: (isReady: boolean) => void): void {
  const wire = wireOf(client);
  const isQueried = isQueryable(client);
  if (!isQueried || !isBusy(client) || wire === undefined) {
    then(isQueried);
    return;
  }
  let isTold = false;
  const told = (isReady: boolean): void => {
    if (isTold) return;
    isTold = true;
    clearTimeout(timer);
    wire.removeListener?.('readyForQuery', ready);
    wire.removeListener?.('end', ended);
    wire.removeListener?.('error', ended);
    then(isReady);
  };
  const ready = (): void => told(true);
  const ended = (): void => told(false);
  // The answer may already lie in the socket while our own event loop was held up: let it be read first.
  const timer = setTimeout(() => setImmediate(ended), PATIENCE_MILLIS);
  wire.on?.('readyForQuery', ready);
  wire.on?.('end', ended);
  wire.on?.('error', ended);
}

function isWatchable(client: object): boolean {
  return typeof wireOf(client)?.on === 'function';
}
