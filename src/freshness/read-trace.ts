/**
 * Where a session last read, so that it never sees less than it has seen. Staying on one server is enough by itself: replay
 * does not go back. A change of server needs everything that had been committed when the last read ended; the primary, which
 * a replica can be ahead of in what it shows, is compared with those on which the session has read. It sends nothing.
 */
import { Floor } from './floor.js';
import { newerPosition, type Position } from './position.js';
import { type Glimpse, type Monotonic, Sights } from './sights.js';

const NO_SERVERS: ReadonlySet<string> = new Set();

/** An answer from earlier, as far as it matters to those who are shown it. */
export interface Shown extends Glimpse {
  /** When it had been given, by our monotonic clock; −∞ where that was in another process. */
  readonly endedAt: number;
  /** It shows nothing beyond; `undefined` while that is not known. */
  readonly upTo: Position | undefined;
}

export class ReadTrace {
  readonly #floor: Floor;
  readonly #outer: ReadTrace | undefined;
  #openCount = 0;
  #server: string | undefined;
  #key: number | undefined;
  #endedAt = Number.NEGATIVE_INFINITY;
  /** Servers of earlier reads that the primary was not compared with. */
  #earlier: ReadonlySet<string> = NO_SERVERS;
  /** Up to which reads it was. */
  #comparedAt = Number.NEGATIVE_INFINITY;
  #sightCount = 0;
  readonly #isCarried: boolean;
  #hasUnshown = false;
  /** What answers from earlier have shown, beyond what the servers are known to have shown. */
  #shown: Floor | undefined;
  #shownUpTo: Position | undefined;
  /** What answers from earlier are judged by; `undefined` where none are kept. */
  readonly sights: Sights | undefined;

  /**
   * @param floor the session's own, which keeps what was seen on servers that it has left
   * @param outer that of the session around it: this one goes on from there, and what it reads counts there, too
   * @param isCarried whether the session's tokens carry its reads
   * @param monotonic how answers from earlier are judged; `undefined` where none are kept
   */
  constructor(floor: Floor, outer?: ReadTrace, isCarried = false, monotonic?: Monotonic) {
    this.#floor = floor;
    this.#outer = outer;
    this.#isCarried = isCarried;
    this.sights = monotonic === undefined ? undefined : new Sights(monotonic, outer?.sights);
    if (outer === undefined) return;
    if (outer.#shown !== undefined) this.#shown = new Floor(undefined, outer.#shown);
    this.#shownUpTo = outer.#shownUpTo;
    this.#server = outer.server;
    this.#key = outer.key;
    this.#endedAt = outer.endedAt;
    this.#earlier = outer.#earlier;
    this.#comparedAt = outer.#comparedAt;
    this.#sightCount = outer.#sightCount;
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

  /** Grows with all that is seen, of servers and in answers from earlier. */
  get sightCount(): number {
    return this.#sightCount;
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

  /** What a server must have reached beside the session's floor; `undefined` for nothing. */
  get shownFloor(): Floor | undefined {
    return this.#shown;
  }

  /** A token was taken in. */
  tookToken(): void {
    this.#hasUnshown = true;
  }

  /**
   * The primary was compared with those servers.
   * @param sightCount what it was before: what was seen meanwhile may not have been compared
   */
  compared(sightCount: number): void {
    if (this.#sightCount !== sightCount) return;
    this.#comparedAt = this.#endedAt;
    this.#earlier = NO_SERVERS;
  }

  /** The primary shows what tokens speak of. */
  shown(): void {
    this.#hasUnshown = false;
  }

  /** A transaction, a stream or a client reads from now on: what it has shown is known at its end. */
  opened(): void {
    this.#openCount++;
    this.#outer?.opened();
  }

  closed(): void {
    this.#openCount--;
    this.#outer?.closed();
  }

  /** Whether more may have been seen than is known. */
  get isOpen(): boolean {
    return this.#openCount > 0 || this.#outer?.isOpen === true;
  }

  /**
   * A read has ended there.
   * @param tables what it was of; `undefined` where that is not known
   */
  ended(server: string, at: number, key?: number, tables?: readonly string[]): void {
    this.#sightCount++;
    this.sights?.read(tables, server, at);
    // Reads that ran side by side may end on different servers, and the next one must have what either has seen.
    if (this.#server !== server) this.#leave();
    this.#server = server;
    this.#key = key;
    this.#endedAt = at;
    this.#outer?.ended(server, at, key, tables);
  }

  /**
   * Whether an answer from earlier may be shown: it must be known how much of it is to be seen from
   * then on, unless that is what its server shows.
   */
  canShow({ server, upTo }: Shown): boolean {
    return upTo !== undefined || this.#server === undefined || this.#server === server;
  }

  /** An answer from earlier was shown. @param tables what it is of */
  showed(shown: Shown, tables: readonly string[]): void {
    const { server, endedAt, upTo } = shown;
    this.#sightCount++;
    this.sights?.shown(tables, shown, endedAt, upTo);
    // What was read in another process is dated by its position alone.
    const isDated = upTo === undefined || endedAt !== Number.NEGATIVE_INFINITY;
    if (isDated && (this.#server === undefined || this.#server === server)) {
      this.#server = server;
      this.#endedAt = Math.max(this.#endedAt, endedAt);
    } else {
      // The primary may not show it yet, wherever its log stands.
      this.#earlier = new Set(this.#earlier).add(server);
      if (upTo === undefined) {
        // Where that is not known, the session goes on from there, as after a read on that server.
        this.#leave();
        this.#server = server;
        this.#endedAt = endedAt;
      } else {
        this.#server ??= server;
        this.#shown ??= new Floor();
        this.#shown.wroteUpTo(upTo);
        this.#shownUpTo = newerPosition(this.#shownUpTo, upTo);
      }
    }
    this.#outer?.showed(shown, tables);
  }

  /** What was seen there has to be seen elsewhere, too. */
  #leave(): void {
    if (this.#server === undefined) return;
    this.#floor.saw(this.#endedAt);
    if (this.#endedAt > this.#comparedAt) this.#earlier = new Set(this.#earlier).add(this.#server);
  }

  /** Raises what a token says to all that was seen. */
  raise(floor: Floor): void {
    if (this.#server !== undefined) floor.wrote(this.#endedAt, 0);
    if (this.#shownUpTo !== undefined) floor.wroteUpTo(this.#shownUpTo);
  }
}
