/** The calls that are under way: none comes in after the doors were closed, and closing waits for the last to leave. */
import { LadderError } from '../errors.js';

export class OpenCalls {
  #count = 0;
  #isClosed = false;
  #onEmpty: (() => void) | undefined;

  /** How many are under way. */
  get count(): number {
    return this.#count;
  }

  /** @throws LadderError `LADDER_CLOSED` */
  enter(): void {
    this.check();
    this.#count++;
  }

  /** @throws LadderError `LADDER_CLOSED` */
  check(): void {
    if (this.#isClosed)
      throw new LadderError('LADDER_CLOSED', 'the cluster was closed; statements must come before close()');
  }

  leave(): void {
    if (--this.#count === 0) this.#onEmpty?.();
  }

  /** Lets nobody in any more. Resolves when all have left. */
  close(): Promise<void> {
    this.#isClosed = true;
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
    });
  }
}
