/**
 * How much may be looked at before others run. A statement can lead to thousands of definitions:
 * the work is cut into turns of some 20 ms, and what was found out in one turn is kept for the
 * next.
 */

/** Definitions read in one turn, in characters: some 20 ms of the dearest. */
const TURN_LENGTH = 16_000;
/** Objects looked at in one turn; each takes well below a microsecond. */
const TURN_STEPS = 50_000;

/** So much is behind a statement that others should run first. Ask again, it goes on from there. */
export class Interruption extends Error {}

export class Turn {
  #length = 0;
  #steps = 0;
  #wasInterrupted = false;

  /** Whether a turn was ever cut off: then there is so much that it is kept. */
  get wasInterrupted(): boolean {
    return this.#wasInterrupted;
  }

  begin(): void {
    this.#length = 0;
    this.#steps = 0;
  }

  /** An object is looked at. @throws Interruption */
  step(): void {
    if (++this.#steps > TURN_STEPS) this.interrupt();
  }

  /**
   * A definition of that many characters is read.
   * @throws Interruption, never for the first one of a turn
   */
  reads(length: number): void {
    if (this.#length > 0 && this.#length + length > TURN_LENGTH) this.interrupt();
    this.#length += length;
  }

  /** @throws Interruption */
  interrupt(): never {
    this.#wasInterrupted = true;
    throw new Interruption();
  }
}
