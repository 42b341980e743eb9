/**
 * Where a session last read, so that it never sees less than it has seen. Staying on one server is enough by itself: replay
 * does not go back. A change of server needs everything that had been committed when the last read ended; the primary, which
 * a replica can be ahead of in what it shows, is compared with those on which the session has read. It asks nobody.
 */
import type { Floor } from './floor.js';

const NO_SERVERS: ReadonlySet<string> = new Set();

export class ReadTrace {
  readonly #floor: Floor;
  readonly #outer: ReadTrace | undefined;
  #server: string | undefined;
  #key: number | undefined;
  #endedAt = Number.NEGATIVE_INFINITY;
  /** Servers of earlier reads that the primary was not compared with. */
  #earlier: ReadonlySet<string> = NO_SERVERS;
  /** Up to which reads it was. */
  #comparedAt = Number.NEGATIVE_INFINITY;
  readonly #isCarried: boolean;
  #hasUnshown = false;

  /**
   * @param floor the session's own, which keeps what was seen on servers that it has left
   * @param outer that of the session around it: this one goes on from there, and what it reads counts there, too
   * @param isCarried whether the session's tokens carry its reads
   */
  constructor(floor: Floor, outer?: ReadTrace, isCarried = false) {
    this.#floor = floor;
    this.#outer = outer;
    this.#isCarried = isCarried;
    if (outer === undefined) return;
    this.#server = outer.server;
    this.#key = outer.key;
    this.#endedAt = outer.endedAt;
    this.#earlier = outer.#earlier;
    this.#comparedAt = outer.#comparedAt;
    this.#hasUnshown = outer.#hasUnshown;
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

  /** Whether the session's tokens carry its reads: what came with tokens may be such reads then. */
  get isCarried(): boolean {
    return this.#isCarried;
  }

  /** Whether tokens speak of reads that the primary may not show yet. */
  get hasUnshown(): boolean {
    return this.#isCarried && this.#hasUnshown;
  }

  /** The servers that may show more than the primary of what the session has seen. */
  get readOn(): readonly string[] {
    const server = this.#server;
    return server === undefined || this.#endedAt <= this.#comparedAt ? [...this.#earlier] : [...this.#earlier, server];
  }

  /** A token was taken in. */
  tookToken(): void {
    this.#hasUnshown = true;
  }

  /**
   * The primary was compared with those servers.
   * @param endedAt when the last read had ended before
   */
  compared(endedAt: number): void {
    if (this.#endedAt !== endedAt) return;
    this.#comparedAt = endedAt;
    this.#earlier = NO_SERVERS;
  }

  /** The primary shows what tokens speak of. */
  shown(): void {
    this.#hasUnshown = false;
  }

  /** A read has ended there. */
  ended(server: string, at: number, key?: number): void {
    // Reads that ran side by side may end on different servers, and the next one must have what either has seen.
    if (this.#server !== undefined && this.#server !== server) {
      this.#floor.saw(this.#endedAt);
      if (this.#endedAt > this.#comparedAt) this.#earlier = new Set(this.#earlier).add(this.#server);
    }
    this.#server = server;
    this.#key = key;
    this.#endedAt = at;
    this.#outer?.ended(server, at, key);
  }
}
