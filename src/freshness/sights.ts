/**
 * What a session has seen, by which answers from earlier are judged: none is shown that is older
 * than anything seen, or, where tables are told apart, than anything seen of its own tables. It
 * sends no question: what it cannot tell counts as older.
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

/** What was seen last: on a server, or in an answer from earlier. */
interface Latest {
  readonly server: string;
  /** When the server had answered. */
  readonly endedAt: number;
  /** Nothing beyond was seen; `undefined` where the moment says so. */
  readonly upTo: Position | undefined;
  /** That very answer is all that was seen there since the sights before. */
  readonly glimpse: Glimpse | undefined;
  /** The number of the read; `undefined` for an answer from earlier. */
  readonly read: number | undefined;
}

/** What was seen of one table, or of all. */
class Sight {
  #latest: Latest | undefined;
  /** What was seen before. */
  readonly #before: Floor;

  constructor(start?: Sight) {
    if (start === undefined) {
      this.#before = new Floor();
      return;
    }
    this.#before = new Floor(undefined, start.#before);
    this.#latest = start.#latest;
  }

  see(seen: Latest): void {
    const latest = this.#latest;
    if (latest !== undefined && latest.glimpse !== undefined && latest.glimpse === seen.glimpse) return;
    if (latest !== undefined && !isAllOf(latest, seen)) this.#fold(latest);
    this.#latest = seen;
  }

  /** What that read has shown was that very answer. Where something else was seen since, that stays what counts. */
  recognise(glimpse: Glimpse, read: number): void {
    if (this.#latest?.read === read) this.#latest = { ...this.#latest, glimpse };
  }

  isIn(glimpse: Glimpse, history: PrimaryHistory): boolean {
    const { server, askedAt, lsn } = glimpse;
    if (lsn === undefined) return false;
    const needed = this.#before.resolve(history);
    if (typeof needed === 'string' || lsn < needed) return false;
    const latest = this.#latest;
    if (latest === undefined || latest.glimpse === glimpse) return true;
    if (latest.server === server && askedAt >= latest.endedAt && latest.upTo === undefined) return true;
    const seen = latest.upTo ?? history.covering(latest.endedAt, 0);
    return seen !== undefined && seen.timeline === history.timelines.timeline && lsn >= seen.lsn;
  }

  #fold({ upTo, endedAt }: Latest): void {
    if (upTo === undefined) this.#before.wrote(endedAt, 0);
    else this.#before.wroteUpTo(upTo);
  }
}

/** Replay does not go back: what a server shows later is all that it has shown before. */
function isAllOf(latest: Latest, { server, endedAt, glimpse }: Latest): boolean {
  if (latest.server !== server || latest.upTo !== undefined) return false;
  return glimpse === undefined ? endedAt >= latest.endedAt : glimpse.askedAt >= latest.endedAt;
}

export class Sights {
  readonly monotonic: Monotonic;
  /** How often a server has answered. */
  readCount = 0;
  /** Of what may be of any table. */
  readonly #all: Sight;
  readonly #byTable = new Map<string, Sight>();

  constructor(monotonic: Monotonic, start?: Sights) {
    this.monotonic = monotonic;
    this.#all = new Sight(start === undefined ? undefined : start.#all);
    if (start !== undefined) for (const [table, sight] of start.#byTable) this.#byTable.set(table, new Sight(sight));
  }

  /**
   * A server has answered a read.
   * @param tables what it was of; `undefined` where that is not known
   */
  read(tables: readonly string[] | undefined, server: string, endedAt: number): void {
    const read = ++this.readCount;
    for (const sight of this.#of(tables)) sight.see({ server, endedAt, upTo: undefined, glimpse: undefined, read });
  }

  /**
   * What a server has shown is that answer: where nothing else was seen since, it may be shown again.
   * @param read the number of that read: `readCount` right after it
   */
  recognise(tables: readonly string[] | undefined, glimpse: Glimpse, read: number): void {
    for (const sight of this.#of(tables)) sight.recognise(glimpse, read);
  }

  /** An answer from earlier was shown. */
  shown(tables: readonly string[] | undefined, glimpse: Glimpse, endedAt: number, upTo: Position | undefined): void {
    for (const sight of this.#of(tables))
      sight.see({ server: glimpse.server, endedAt, upTo, glimpse, read: undefined });
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
