/**
 * Where a session last read, so that it never sees less than it has seen. Staying on one server is enough by itself: replay
 * does not go back. A change of server needs everything that had been committed when the last read ended.
 */
import type { Floor } from './floor.js';

export class ReadTrace {
  readonly #floor: Floor;
  readonly #outer: ReadTrace | undefined;
  #server: string | undefined;
  #key: number | undefined;
  #endedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param floor the session's own, which keeps what was seen on servers that it has left
   * @param outer that of the session around it: this one goes on from there, and what it reads counts there, too
   */
  constructor(floor: Floor, outer?: ReadTrace) {
    this.#floor = floor;
    this.#outer = outer;
    if (outer === undefined) return;
    this.#server = outer.server;
    this.#key = outer.key;
    this.#endedAt = outer.endedAt;
  }

  /** The server of the last read; `undefined` before the first. */
  get server(): string | undefined {
    return this.#server;
  }

  /** The partition key, as its hash, that brought the last read there. */
  get key(): number | undefined {
    return this.#key;
  }

  /** When the last read on it ended, by our monotonic clock. */
  get endedAt(): number {
    return this.#endedAt;
  }

  /** A read has ended there. */
  ended(server: string, at: number, key?: number): void {
    // Reads that ran side by side may end on different servers, and the next one must have what either has seen.
    if (this.#server !== undefined && this.#server !== server) this.#floor.saw(this.#endedAt);
    this.#server = server;
    this.#key = key;
    this.#endedAt = at;
    this.#outer?.ended(server, at, key);
  }
}
