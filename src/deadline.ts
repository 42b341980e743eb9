/**
 * How long something is waited for: until a time, until somebody gives up, or both. One object bounds a whole
 * call. It stops the wait and not the work: the sender of a statement cancels it on the server.
 */
import { clearTimeout, setImmediate, setTimeout } from './clock.js';
import { AbortController, allowMany } from './signals.js';

/** What ends a wait. */
export interface Bound {
  /** Milliseconds from now; `undefined` for no end. */
  readonly millis: number | undefined;
  /** The caller's signal, of any make: its abort ends the wait. */
  readonly signal?: AbortSignal | undefined;
  /** What to reject with when the time is over. */
  readonly late: () => unknown;
  /** Whether it lets the process end meanwhile. Default `false`. */
  readonly isIdle?: boolean;
  /** Whether no answer can come that is worth a look at the socket first. Default `false`. */
  readonly isSharp?: boolean;
}

export class Deadline {
  /** Aborts when the wait is over, with the reason. */
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #given: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor({ millis, signal, late, isIdle = false, isSharp = false }: Bound) {
    this.signal = this.#controller.signal;
    this.#given = signal;
    allowMany(this.signal);
    if (signal !== undefined) {
      allowMany(signal);
      if (signal.aborted) this.#giveUp();
      else signal.addEventListener('abort', this.#giveUp, { once: true });
    }
    if (millis === undefined || this.signal.aborted) return;
    // The answer may already lie in the socket while our own event loop was held up: it is read first.
    const end = (): void => this.end(late());
    const timer = setTimeout(isSharp ? end : () => setImmediate(end), Math.max(0, millis));
    if (isIdle) timer.unref();
    this.#timer = timer;
  }

  readonly #giveUp = (): void => this.end(this.#given?.reason);

  /** Ends the wait now. */
  end(reason?: unknown): void {
    this.close();
    this.#controller.abort(reason);
  }

  /** Settles as `promise` does, or rejects when the wait is over. */
  race<T>(promise: Promise<T>): Promise<T> {
    return abortable(promise, this.signal);
  }

  /** What was waited for is there. */
  close(): void {
    clearTimeout(this.#timer);
    this.#given?.removeEventListener('abort', this.#giveUp);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Settles as `promise` does, or rejects with the signal's reason as soon as it aborts. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Settles as `promise` does, or rejects with `late()` after `millis`. */
export async function within<T>(promise: Promise<T>, millis: number, late: () => unknown, isIdle = false): Promise<T> {
  const deadline = new Deadline({ millis, late, isIdle });
  try {
    return await deadline.race(promise);
  } finally {
    deadline.close();
  }
}

/** Resolves when `promise` settles, or after `millis`: for questions whose answer is worth no longer wait. */
export function settledWithin(promise: Promise<unknown>, millis: number, isIdle = false): Promise<void> {
  return within(promise, millis, () => undefined, isIdle).then(
    () => undefined,
    () => undefined,
  );
}
