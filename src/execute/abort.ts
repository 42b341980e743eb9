/** A call's own bound, made of its `timeoutMillis` and its `signal`. */
import { Deadline } from '../deadline.js';
import { LadderError } from '../errors.js';
import type { AbortOptions } from '../options/calls.js';

/** The deadline of a call; `undefined` where it has none. Close it when the call is over. @throws the reason of a signal that has aborted already */
export function deadlineOf({ timeoutMillis, signal }: AbortOptions): Deadline | undefined {
  if (timeoutMillis === undefined && signal === undefined) return undefined;
  const deadline = new Deadline({ millis: timeoutMillis, signal, late: () => timeout(timeoutMillis as number) });
  deadline.signal.throwIfAborted();
  return deadline;
}

/** Calls `run` with the signal that stands for the options, and cleans up after it. */
export function withAbort<T>(options: AbortOptions, run: (signal: AbortSignal | undefined) => Promise<T>): Promise<T>;
export function withAbort<T>(
  options: AbortOptions,
  run: (signal: AbortSignal | undefined) => Promise<T> | T,
): Promise<T> | T;
export function withAbort<T>(
  options: AbortOptions,
  run: (signal: AbortSignal | undefined) => Promise<T> | T,
): Promise<T> | T {
  const isBounded = options.timeoutMillis !== undefined || options.signal !== undefined;
  return isBounded ? withinDeadline(options, run) : run(undefined);
}

async function withinDeadline<T>(
  options: AbortOptions,
  run: (signal: AbortSignal | undefined) => Promise<T> | T,
): Promise<T> {
  const deadline = deadlineOf(options);
  try {
    return await run(deadline?.signal);
  } finally {
    deadline?.close();
  }
}

/** The outcome of what runs, or the signal's reason: then it is cancelled. */
export function cancellable<T>(running: Promise<T>, signal: AbortSignal, cancel: () => void): Promise<T> {
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

function timeout(timeoutMillis: number): LadderError {
  return new LadderError(
    'LADDER_TIMEOUT',
    `no result within timeoutMillis (${timeoutMillis} ms); allow more time, or look at stats() for what it waited for`,
  );
}
