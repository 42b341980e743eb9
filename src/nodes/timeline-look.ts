/**
 * When all servers are asked at once for a timeline that only a token speaks of. Without `secrets` anybody can write such a token: a look that has found
 * nothing is not repeated while one can live, and the monitor's own questions decide about further ones. Pure.
 */

export class TimelineLook {
  readonly #lifetimeMillis: number;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #timeline = 0;

  /** @param lifetimeMillis how long a token lives */
  constructor(lifetimeMillis: number) {
    this.#lifetimeMillis = lifetimeMillis;
  }

  /**
   * Whether to look now; it counts as done then.
   * @param timeline the latest that is known: another one than at the last look shows that there was something to be found
   * @param now our monotonic clock
   */
  take(timeline: number, now: number): boolean {
    if (timeline === this.#timeline && now - this.#lookedAt < this.#lifetimeMillis) return false;
    this.#timeline = timeline;
    this.#lookedAt = now;
    return true;
  }
}
