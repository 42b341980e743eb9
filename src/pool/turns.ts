/** One after the other, as a connection would run them: what waits for something elsewhere holds up those behind it, everything else runs at once. */
export class Turns {
  readonly #waiting: (() => Promise<void> | undefined)[] = [];
  #isBusy = false;
  #onIdle: (() => void) | undefined;

  get isIdle(): boolean {
    return !this.#isBusy && this.#waiting.length === 0;
  }

  /** @param run never throws nor rejects; `undefined` when it leaves nothing to wait for */
  take(run: () => Promise<void> | undefined): void {
    if (this.#isBusy) this.#waiting.push(run);
    else this.#start(run);
  }

  /** Calls `then` when nothing is under way any more. */
  whenIdle(then: () => void): void {
    if (this.isIdle) then();
    else this.#onIdle = then;
  }

  #start(run: () => Promise<void> | undefined): void {
    const running = run();
    if (running === undefined) return;
    this.#isBusy = true;
    void running.then(() => this.#next());
  }

  #next(): void {
    this.#isBusy = false;
    while (!this.#isBusy) {
      const run = this.#waiting.shift();
      if (run === undefined) break;
      this.#start(run);
    }
    if (this.isIdle) {
      this.#onIdle?.();
      this.#onIdle = undefined;
    }
  }
}
