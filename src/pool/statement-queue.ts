/**
 * A client's statements in the order in which they were asked for. As with pg, those that wait for a connection fail
 * with it when it cannot be opened. It runs nothing by itself and knows no server.
 */
import { Turns } from './turns.js';

/** Why a connection could not be opened, and the last statement that had been asked for by then. */
interface Refusal {
  readonly error: unknown;
  readonly upTo: number;
}

export class StatementQueue {
  readonly #turns = new Turns();
  #askedCount = 0;
  #refusal: Refusal | undefined;

  get isIdle(): boolean {
    return this.#turns.isIdle;
  }

  /** Calls `then` when nothing is under way any more. */
  whenIdle(then: () => void): void {
    this.#turns.whenIdle(then);
  }

  /**
   * Runs a statement when its turn comes.
   * @param run gives `undefined` where those behind it need not wait
   * @param onFailure called when `run` throws or rejects, or when the statement was refused
   */
  run(run: () => Promise<void> | undefined, onFailure: (error: unknown) => void): void {
    const number = ++this.#askedCount;
    this.#turns.take((done) => {
      try {
        if (this.#refusal !== undefined && number <= this.#refusal.upTo) throw this.#refusal.error;
        const running = run();
        if (running === undefined) return false;
        running.then(done, (error: unknown) => {
          done();
          onFailure(error);
        });
        return true;
      } catch (error) {
        onFailure(error);
        return false;
      }
    });
  }

  /** No connection could be opened: all that have been asked for by now fail with that error. */
  refuse(error: unknown): void {
    this.#refusal = { error, upTo: this.#askedCount };
  }
}
