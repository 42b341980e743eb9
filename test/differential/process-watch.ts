/**
 * What would have ended the process: kept for whoever watches, in place of the test runner, for
 * which it would be the end of the run.
 */

const EVENTS = ['uncaughtException', 'unhandledRejection'] as const;

export class ProcessWatch {
  readonly #told = new Set<(error: unknown) => void>();
  readonly #before = new Map<string, ((...args: unknown[]) => void)[]>();

  constructor() {
    for (const event of EVENTS) {
      this.#before.set(event, process.listeners(event as 'uncaughtException') as never);
      process.removeAllListeners(event);
      process.on(event, this.#tell);
    }
  }

  /** @returns what stops it */
  watch(told: (error: unknown) => void): () => void {
    this.#told.add(told);
    return () => this.#told.delete(told);
  }

  /** Gives the process back to whoever had it. */
  end(): void {
    for (const event of EVENTS) {
      process.removeListener(event, this.#tell);
      for (const listener of this.#before.get(event) ?? []) process.on(event, listener);
    }
  }

  readonly #tell = (error: unknown): void => {
    for (const told of this.#told) told(error);
  };
}
