/**
 * Giving up: one signal for a statement's whole way, made from its `timeoutMillis` and its `signal`. Whoever waits for it stops
 * waiting; what runs on a server is cancelled there.
 */

import { clearTimeout, setImmediate, setTimeout } from '../clock.js';
import { LadderError } from '../errors.js';
import type { AbortOptions } from '../options/calls.js';
import { AbortController, allowMany } from '../signals.js';

/** One signal for both options, `undefined` for neither; `close` it when the statement has ended. */
export interface Deadline {
  readonly signal: AbortSignal | undefined;
  close(): void;
}

const NO_DEADLINE: Deadline = { signal: undefined, close: () => undefined };

/** @throws the reason of a signal that has aborted already */
export function deadlineOf({ timeoutMillis, signal }: AbortOptions): Deadline {
  if (timeoutMillis === undefined && signal === undefined) return NO_DEADLINE;
  const controller = new AbortController();
  // The user's may be of any make: from here on there is only Node's.
  const onAbort = (): void => controller.abort(signal?.reason);
  if (signal?.aborted === true) onAbort();
  controller.signal.throwIfAborted();
  if (signal !== undefined) allowMany(signal);
  allowMany(controller.signal);
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer =
    timeoutMillis === undefined
      ? undefined
      : // The answer may already lie in the socket while our own event loop was held up: let it be read first.
        setTimeout(() => setImmediate(() => controller.abort(timeout(timeoutMillis))), timeoutMillis);
  return {
    signal: controller.signal,
    close: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    },
  };
}

/** Calls `run` with the signal that stands for the options, and cleans up after it. */
export function withAbort<T>(options: AbortOptions, run: (signal: AbortSignal | undefined) => Promise<T>): Promise<T> {
  const isBounded = options.timeoutMillis !== undefined || options.signal !== undefined;
  return isBounded ? withinDeadline(options, run) : run(undefined);
}

async function withinDeadline<T>(
  options: AbortOptions,
  run: (signal: AbortSignal | undefined) => Promise<T>,
): Promise<T> {
  const deadline = deadlineOf(options);
  try {
    return await run(deadline.signal);
  } finally {
    deadline.close();
  }
}

/** Settles as `promise` does, or rejects as soon as `signal` aborts. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Resolves when `promise` settles, or after `millis`: for questions whose answer is worth no longer wait. */
export function settledWithin(promise: Promise<unknown>, millis: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, millis);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    promise.then(done, done);
  });
}

function timeout(timeoutMillis: number): LadderError {
  return new LadderError(
    'LADDER_TIMEOUT',
    `no result within timeoutMillis (${timeoutMillis} ms); allow more time, or look at stats() for what it waited for`,
  );
}
