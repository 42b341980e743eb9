/**
 * Who listens, as those see it who wait for them. Somebody is taken for gone when he has not come
 * for a while, by the watcher's own clock: no clock of a server, which may be set, decides that. It
 * knows nothing of Redis.
 */

/** One who listens: what was last heard of him, which changes each time that he comes. */
export interface Present {
  readonly name: string;
  readonly entry: string;
  /** The number of the last message that he has heard, −1 for none. */
  readonly heard: number;
}

export class PresenceWatch {
  readonly #goneMillis: number;
  readonly #known = new Map<string, { entry: string; since: number }>();

  /** @param goneMillis longer than anybody takes himself for current without having come */
  constructor(goneMillis: number) {
    this.#goneMillis = goneMillis;
  }

  /**
   * Notes who is there.
   * @param now our monotonic clock when that was answered, or later
   */
  see(present: readonly Present[], now: number): void {
    const names = new Set(present.map(({ name }) => name));
    for (const name of this.#known.keys()) if (!names.has(name)) this.#known.delete(name);
    for (const { name, entry } of present) {
      if (this.#known.get(name)?.entry !== entry) this.#known.set(name, { entry, since: now });
    }
  }

  /** Those who have not come for so long that they know themselves that they are not current. */
  gone(present: readonly Present[], now: number): Present[] {
    return present.filter(({ name, entry }) => {
      const known = this.#known.get(name);
      return known?.entry === entry && now - known.since >= this.#goneMillis;
    });
  }
}
