/**
 * Up to where reads can have seen, at most: what a server is asked right behind them says it, or
 * says nothing. It asks nobody, and judges no answer.
 */
import type { Position } from './position.js';

export class UpperBound {
  #isPending = true;
  #position: Position | undefined;
  #settled: Promise<void> | undefined;
  #resolve: (() => void) | undefined;

  /** Nothing beyond was seen; `undefined` while that is not known, and where it never will be. */
  get position(): Position | undefined {
    return this.#position;
  }

  /** Whether the answer is under way. */
  get isPending(): boolean {
    return this.#isPending;
  }

  /** Resolves once the answer is there, or none will come. */
  get settled(): Promise<void> {
    if (!this.#isPending) return Promise.resolve();
    this.#settled ??= new Promise((resolve) => {
      this.#resolve = resolve;
    });
    return this.#settled;
  }

  /** @param position `undefined` where the answer proves none */
  settle(position: Position | undefined): void {
    if (!this.#isPending) return;
    this.#isPending = false;
    this.#position = position;
    this.#resolve?.();
    this.#resolve = undefined;
    this.#settled = undefined;
  }
}
