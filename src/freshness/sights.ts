/**
 * What a session has seen, by which answers from earlier are judged: none is shown that is older
 * than anything seen, or, where tables are told apart, than anything seen of its own tables. It
 * asks nobody: what it cannot tell counts as older.
 */
import { Floor } from './floor.js';
import type { Lsn } from './lsn.js';
import type { Position } from './position.js';
import type { PrimaryHistory } from './primary-history.js';

/** Whether all that was seen counts for an answer from earlier, or what was seen of its tables. */
export type Monotonic = 'all' | 'tables';

/** An answer from earlier. */
export interface Glimpse {
  /** The server that gave it, in the life that it had then. */
  readonly server: string;
  /** Our monotonic clock before it was asked for; −∞ where that was in another process. */
  readonly askedAt: number;
  /** The position that it is known to show; `undefined` while that is not proven. */
  readonly lsn: Lsn | undefined;
}

/** What was seen of one table, or of all. */
class Sight {
  /** Where it was last seen, and when that had been answered. */
  #server: string | undefined;
  #endedAt = Number.NEGATIVE_INFINITY;
  /** On other servers before, and in answers from earlier. */
  readonly #elsewhere: Floor;

  constructor(start?: Sight) {
    if (start === undefined) {
      this.#elsewhere = new Floor();
      return;
    }
    this.#elsewhere = new Floor(undefined, start.#elsewhere);
    this.#server = start.#server;
    this.#endedAt = start.#endedAt;
  }

  read(server: string, endedAt: number): void {
    if (this.#server !== undefined && this.#server !== server) this.#elsewhere.wrote(this.#endedAt, 0);
    this.#endedAt = this.#server === server ? Math.max(this.#endedAt, endedAt) : endedAt;
    this.#server = server;
  }

  shown(upTo: Position): void {
    this.#elsewhere.wroteUpTo(upTo);
  }

  isIn({ server, askedAt, lsn }: Glimpse, history: PrimaryHistory): boolean {
    if (lsn === undefined) return false;
    const needed = this.#elsewhere.resolve(history);
    if (typeof needed === 'string' || lsn < needed) return false;
    if (this.#server === undefined) return true;
    // Replay does not go back: whatever that server has shown, it shows to whoever asks later.
    if (this.#server === server && askedAt >= this.#endedAt) return true;
    const seen = history.covering(this.#endedAt, 0);
    return seen !== undefined && seen.timeline === history.timelines.timeline && lsn >= seen.lsn;
  }
}

export class Sights {
  readonly monotonic: Monotonic;
  /** Of what may be of any table. */
  readonly #all: Sight;
  readonly #byTable = new Map<string, Sight>();

  constructor(monotonic: Monotonic, start?: Sights) {
    this.monotonic = monotonic;
    this.#all = new Sight(start === undefined ? undefined : start.#all);
    if (start !== undefined) for (const [table, sight] of start.#byTable) this.#byTable.set(table, new Sight(sight));
  }

  /**
   * A server has answered a read, just now or, where its answer was kept, earlier.
   * @param tables what it was of; `undefined` where that is not known
   */
  read(tables: readonly string[] | undefined, server: string, endedAt: number): void {
    for (const sight of this.#of(tables)) sight.read(server, endedAt);
  }

  /** An answer from earlier was shown. @param upTo it shows nothing beyond */
  shown(tables: readonly string[] | undefined, upTo: Position): void {
    for (const sight of this.#of(tables)) sight.shown(upTo);
  }

  /** Whether an answer from earlier shows all that it has to. @param tables what it is of */
  areIn(glimpse: Glimpse, tables: readonly string[], history: PrimaryHistory): boolean {
    if (!this.#all.isIn(glimpse, history)) return false;
    if (this.#byTable.size === 0) return true;
    return tables.every((table) => this.#byTable.get(table)?.isIn(glimpse, history) !== false);
  }

  #of(tables: readonly string[] | undefined): readonly Sight[] {
    if (this.monotonic === 'all' || tables === undefined) return [this.#all];
    return tables.map((table) => {
      let sight = this.#byTable.get(table);
      if (sight === undefined) {
        sight = new Sight();
        this.#byTable.set(table, sight);
      }
      return sight;
    });
  }
}
