/**
 * A transaction whose time is watched: one that is open for too long is ended while its function may still be at work. The function
 * can do nothing more in it, and its caller hears of that at once.
 */
import type { LadderError } from '../errors.js';
import type { Beginning } from '../isolation/watched-connection.js';
import { throwAway } from '../nodes/data-connection.js';
import { isBusy } from '../postgres/internals.js';
import type { Placement } from './open-series.js';
import type { Transaction } from './open-transaction.js';

export interface TimedTransaction {
  /** Settles as `running` does, or rejects when the transaction is ended. */
  within<T>(running: Promise<T>): Promise<T>;
  /** It may take as long as it likes from now on, as COMMIT may. */
  stop(): void;
}

/** @returns `undefined` while nobody asks for it */
export function timed(
  { attempt, connection }: Placement,
  transaction: Transaction,
  beginning: Beginning | undefined,
): TimedTransaction | undefined {
  const { watch } = attempt.request.context;
  if (watch === undefined) return undefined;
  const { client } = connection;
  const { name, connections } = attempt.node;
  let end = (_: LadderError): void => undefined;
  const holding = {
    client,
    node: name,
    end: (expiry: () => LadderError): void => {
      transaction.expire(expiry);
      if (isBusy(client)) connections.cancel(connection);
      throwAway(connection);
      end(expiry());
    },
  };
  const watched = watch.follow(holding, true);
  if (watched === undefined) return undefined;
  watched.begins(attempt.request.callingContext, beginning);
  transaction.watchedBy(watched);
  return {
    within: (running) =>
      new Promise((resolve, reject) => {
        end = reject;
        running.then(resolve, reject);
      }),
    stop: () => watched.stop(),
  };
}
