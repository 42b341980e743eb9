/** One after the other, as a connection would run them: what waits for something elsewhere holds up those behind it, everything else runs at once. */

import { CallingContext } from '../async-context.js';

/** Never throws. @param done called once, when what it began is over @returns whether there is anything to wait for */
export type Turn = (done: () => void) => boolean;

export class Turns {
  readonly #waiting: Turn[] = [];
  #isBusy = false;
  #onIdle: (() => void) | undefined;
  readonly #done = (): void => {
    this.#isBusy = false;
    while (!this.#isBusy) {
      const turn = this.#waiting.shift();
      if (turn === undefined) break;
      this.#start(turn);
    }
    if (this.#onIdle === undefined || !this.isIdle) return;
    this.#onIdle();
    this.#onIdle = undefined;
  };

  get isIdle(): boolean {
    return !this.#isBusy && this.#waiting.length === 0;
  }

  take(turn: Turn): void {
    if (!this.#isBusy) {
      this.#start(turn);
      return;
    }
    // The turn before it may end in another call's context.
    const calling = new CallingContext();
    this.#waiting.push((done) => calling.runInAsyncScope(turn, undefined, done));
  }

  /** Calls `then` when nothing is under way any more. */
  whenIdle(then: () => void): void {
    if (this.isIdle) then();
    else this.#onIdle = then;
  }

  #start(turn: Turn): void {
    this.#isBusy = turn(this.#done);
  }
}
