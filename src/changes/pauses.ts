/** How a source waits: between its tries, and for what is not there yet. A wait ends when the source is closed. */
import { clearTimeout, setTimeout } from '../clock.js';

/** Another try after a failure: at first soon, then less often. */
const [FIRST_RETRY_MILLIS, LAST_RETRY_MILLIS] = [100, 2_000];

export class Pauses {
  #isOver = false;
  #wake: () => void = () => undefined;

  wait(millis: number): Promise<undefined> {
    if (this.#isOver) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(undefined), millis);
      timer.unref();
      this.#wake = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
  }

  /** Nothing is waited for any longer. */
  end(): void {
    this.#isOver = true;
    this.#wake();
  }
}

/** With jitter, so that the processes of a cluster do not all come at once. @returns milliseconds until the next try */
export function backoff(failureCount: number): number {
  return Math.min(FIRST_RETRY_MILLIS * 2 ** failureCount, LAST_RETRY_MILLIS) * (0.5 + Math.random() / 2);
}
