/**
 * What a session has seen, by which answers from earlier are judged: none is shown that is older
 * than anything seen, or, where tables are told apart, than anything seen of its own tables. It
 * sends no question: what it cannot tell counts as older.
 */
import { Floor } from './floor.js';
import type { Lsn } from './lsn.js';
import { newerPosition, type Position } from './position.js';
import type { PrimaryHistory } from './primary-history.js';
import type { UpperBound } from './upper-bound.js';

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
  /** It shows nothing beyond; `undefined` where its server was not asked. */
  readonly upperBound?: UpperBound | undefined;
}

/** What was seen last: on a server, or in an answer from earlier. */
interface Latest {
  readonly server: string;
  /** When the server had answered. */
  readonly endedAt: number;
  /** Nothing beyond was seen; `undefined` where the moment says so. */
  readonly upTo: Position | undefined;
  /** The same, as its server says. */
  readonly upperBound: UpperBound | undefined;
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
  /** What was seen before is within it, too. The primary may not have been asked since: so no floor, which would judge it. */
  #bound: Position | undefined;

  constructor(start?: Sight) {
    if (start === undefined) {
      this.#before = new Floor();
      return;
    }
    this.#before = new Floor(undefined, start.#before);
    this.#bound = start.#bound;
    this.#latest = start.#latest;
  }

  /** What is asked, and not answered yet, of what was seen last. */
  get pending(): UpperBound | undefined {
    const upperBound = this.#latest?.upperBound;
    return upperBound?.isPending === true ? upperBound : undefined;
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
    if (lsn === undefined || !this.#isBeyondBound(lsn, history)) return false;
    const needed = this.#before.resolve(history);
    if (typeof needed === 'string' || lsn < needed) return false;
    const latest = this.#latest;
    if (latest === undefined || latest.glimpse === glimpse) return true;
    if (latest.server === server && askedAt >= latest.endedAt && latest.upTo === undefined) return true;
    const { upTo, upperBound, endedAt } = latest;
    return isWithin(upperBound?.position, lsn, history) || isWithin(upTo ?? history.covering(endedAt, 0), lsn, history);
  }

  #fold({ upTo, upperBound, endedAt }: Latest): void {
    const position = upperBound?.position;
    if (upTo !== undefined) this.#before.wroteUpTo(upTo);
    else if (position !== undefined) this.#bound = newerPosition(this.#bound, position);
    else this.#before.wrote(endedAt, 0);
  }

  #isBeyondBound(lsn: Lsn, { timelines, clusterId }: PrimaryHistory): boolean {
    const bound = this.#bound;
    if (bound === undefined) return true;
    if (bound.timeline === timelines.timeline && bound.clusterId === clusterId) return lsn >= bound.lsn;
    // After a failover the chain of timelines says what is left of it.
    this.#bound = undefined;
    this.#before.wroteUpTo(bound);
    return true;
  }
}

function isWithin(seen: Position | undefined, lsn: Lsn, { timelines }: PrimaryHistory): boolean {
  return seen !== undefined && seen.timeline === timelines.timeline && lsn >= seen.lsn;
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
  /** Whether an answer from earlier was asked for. */
  isAsked = false;
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
   * @param upperBound what the server is asked behind it
   */
  read(tables: readonly string[] | undefined, server: string, endedAt: number, upperBound?: UpperBound): void {
    const read = ++this.readCount;
    for (const sight of this.#of(tables))
      sight.see({ server, endedAt, upTo: undefined, upperBound, glimpse: undefined, read });
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
      sight.see({ server: glimpse.server, endedAt, upTo, upperBound: glimpse.upperBound, glimpse, read: undefined });
  }

  /** What is asked, and not answered yet, and may show that an answer from earlier is good enough. @param tables what it is of */
  pending(tables: readonly string[]): UpperBound | undefined {
    let pending = this.#all.pending;
    for (const table of tables) pending ??= this.#byTable.get(table)?.pending;
    return pending;
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
