/**
 * The door that every statement passes: it gets its number here, none comes in after it was closed, and
 * closing waits for the last to leave. It decides nothing about the statement.
 */
import { performance } from '../clock.js';
import { isError, LadderError } from '../errors.js';
import type { Fleet } from '../nodes/fleet.js';
import { isOfPg } from '../postgres/errors.js';

/** A call that has come in. */
export interface Entry {
  /** Names it in events. */
  readonly id: number;
  /** Our monotonic clock. */
  readonly startedAt: number;
}

/** What the door goes by: the cluster's name, and the number of the latest call in the process. */
interface Numbered {
  readonly name: string;
  readonly calls: { last: number };
}

export class Gate {
  readonly #fleet: Fleet;
  readonly #cluster: Numbered;
  #count = 0;
  #isClosed = false;
  #onEmpty: (() => void) | undefined;

  constructor(fleet: Fleet, cluster: Numbered) {
    this.#fleet = fleet;
    this.#cluster = cluster;
  }

  /** How many calls are under way. */
  get count(): number {
    return this.#count;
  }

  /**
   * Runs a call. Not an async function, since those cost a promise more for each statement.
   * @param work what it has at once it returns as it is: that saves two promises
   * @param signal what the caller may give up by
   */
  run<T>(work: (entry: Entry) => Promise<T> | T, signal?: AbortSignal): Promise<T> {
    let entry: Entry;
    try {
      entry = this.enter();
    } catch (error) {
      return Promise.reject(error);
    }
    const failed = signal === undefined || signal === null ? this.#failRetraced : this.#failWith(signal);
    try {
      const outcome = work(entry);
      if (isPromise(outcome)) return outcome.then(this.#succeed as (result: T) => T, failed);
      this.leave();
      return Promise.resolve(outcome);
    } catch (error) {
      return Promise.reject(error).catch(failed);
    }
  }

  /** A call comes in; `leave` when it is over. @throws LadderError `LADDER_CLOSED` */
  enter(): Entry {
    this.check();
    this.#count++;
    return this.pass();
  }

  /** A statement of a client that is checked out: its pool is what closing waits for. */
  pass(): Entry {
    const startedAt = performance.now();
    this.#fleet.used(startedAt);
    return { id: ++this.#cluster.calls.last, startedAt };
  }

  leave(): void {
    if (--this.#count === 0) this.#onEmpty?.();
  }

  /** @throws LadderError `LADDER_CLOSED` */
  check(): void {
    if (!this.#isClosed) return;
    const { name } = this.#cluster;
    throw new LadderError('LADDER_CLOSED', `the cluster was closed ("${name}"); statements must come before close()`);
  }

  /** Lets no statement in any more. Resolves when all have left. */
  close(): Promise<void> {
    this.#isClosed = true;
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
    });
  }

  readonly #succeed = <T>(result: T): T => {
    this.leave();
    return result;
  };

  /** A stack of pg's callback leads to a socket: the caller wants to see his own code. */
  readonly #failRetraced = (error: unknown): never => {
    this.leave();
    if (isError(error) && isOfPg(error) && Object.isExtensible(error)) Error.captureStackTrace(error);
    throw error;
  };

  /** An abort rejects with the signal's reason, unchanged. */
  #failWith(signal: AbortSignal): (error: unknown) => never {
    return (error) => {
      if (error !== signal.reason) return this.#failRetraced(error);
      this.leave();
      throw error;
    };
  }
}

function isPromise<T>(outcome: Promise<T> | T): outcome is Promise<T> {
  return typeof (outcome as { then?: unknown } | undefined)?.then === 'function';
}
