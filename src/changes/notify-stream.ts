/**
 * Makes a stream of changes of what triggers notify. It asks one connection, and tells a handler.
 *
 * A watermark is a notification of our own: a statement reads the position P of the log, and notifies.
 * When that has arrived, every notification of a commit whose record ends at or before P has arrived
 * before it:
 * - A transaction that has notified takes a lock of its own kind before it commits (PreCommit_Notify:
 *   an exclusive lock on "database 0"), then adds to the queue, then writes its commit record, and
 *   lets go of the lock only when it is no longer in progress. A standby that has to confirm it is
 *   waited for in between.
 * - A commit that ends at or before P wrote its record before P was read, so it had added to the queue
 *   by then, and had or has had the lock. The watermark commits later, so it takes the lock later: it
 *   stands behind in the queue.
 * - Each listening backend reads the queue in order, and stops at the first transaction that is still
 *   in progress: it never passes over one to come back later.
 * Each connection notifies a channel of its own, with a number: it never takes the watermark of
 * another process, or an earlier one, for the one it waits for.
 *
 * A notification tells no position. The transaction that sent it has committed when it arrives: a
 * position that is asked for afterwards lies at or beyond the end of its commit. With that position
 * its change is told, and a watermark is told as reached only when all that arrived before it is.
 *
 * A disabled trigger sends no notification. So each watermark counts only if the rows of the
 * catalogue that cover the tables are the same in a snapshot taken after P was read: a change without
 * a trigger that lies before P could begin only when the trigger was seen to be gone. What is left is
 * one transaction that disables a trigger, writes, and is not visible yet when its record is written,
 * such as one that waits for a standby: its trigger, or whatever else of the catalogue it has changed,
 * moves the stamp of the definitions, and nothing advances beyond what `definition-watch.ts` has seen.
 *
 * Each watermark is a commit, and moves the log: those of several processes would go on for ever. So
 * each notifies a channel that all hear as well. That counts only as a reason to stay silent: what
 * anybody else sends there makes nothing known.
 */
import type { ChangeHandler, TableChange } from '../change-source.js';
import { performance } from '../clock.js';
import { within } from '../deadline.js';
import type { Lsn, WalLayout } from '../freshness/lsn.js';
import { codeOf } from '../postgres/errors.js';
import { CHANGES_CHANNEL, WATERMARKS_CHANNEL } from './names.js';
import { COVERAGE, type CoverageRow, lookAt, positionOf, watermark } from './notify-statements.js';
import { SourceFault } from './source-fault.js';
import { TriggeredTables } from './triggered-tables.js';

export interface NotifyGround {
  readonly handler: ChangeHandler;
  readonly timeline: number;
  readonly layout: WalLayout;
  /** The channel of our own watermarks. */
  readonly channel: string;
  /** Tables that have to be told, as `schema.name`. */
  readonly tables: readonly string[] | undefined;
  ask<Row extends object>(text: string): Promise<Row[]>;
  /** Whether the server is still the one that it was. */
  isSame(): boolean;
  /** Whether somebody wants to know how far all is told. */
  isWanted(): boolean;
}

/** Which tables are covered is looked at as a whole so often, and whenever a watermark finds it changed. */
const LOOK_MILLIS = 1_000;
/** A server that has committed our own notification delivers it at once. */
const DELIVERY_MILLIS = 2_000;
/** What the commit of a watermark writes. Watermarks alone are no reason for another one. */
const WATERMARK_BYTES = 40n;
/** Two that have not been heard of yet, or the header of a page. */
const IDLE_BYTES = 80n;
const LOCK_NOT_AVAILABLE = '55P03';

export class NotifyStream {
  readonly #ground: NotifyGround;
  #tables: TriggeredTables | undefined;
  /** By what of the catalogue. */
  #stamp: unknown;
  #lookQuery = COVERAGE;
  #lookedAt = 0;
  /** Notified since a position was last asked for. */
  #heard = new Set<string>();
  #reached: Lsn = 0n;
  /** The position of our last watermark. */
  #base: Lsn = 0n;
  /** Watermarks of whichever process that were heard of since. */
  #markCount = 0n;
  #isDue = true;
  #number = 0;
  #arrived: () => void = () => undefined;

  constructor(ground: NotifyGround) {
    this.#ground = ground;
  }

  /** To be called with each notification, in order. */
  heard(channel: string, payload: string): void {
    if (channel === CHANGES_CHANNEL) {
      this.#heard.add(payload);
      this.#isDue = true;
    } else if (channel === WATERMARKS_CHANNEL) {
      this.#markCount++;
    } else if (channel === this.#ground.channel && payload === String(this.#number)) {
      this.#arrived();
    }
  }

  /** The connection listens: tells where it begins. @throws SourceFault, or what a question threw */
  async begin(): Promise<void> {
    // What has arrived lies before the position that is asked for now.
    this.#heard.clear();
    const row = await this.#ask(COVERAGE);
    this.#began(row);
  }

  /** Asks how far the log is, and tells what has become known. @throws SourceFault, or what a question threw */
  async tick(): Promise<void> {
    const isWanted = this.#ground.isWanted();
    if (!isWanted && performance.now() - this.#lookedAt < LOOK_MILLIS) return;
    if (!this.#isDue || !isWanted) {
      const lsn = await this.#look();
      if (lsn === undefined) return;
      this.#isDue ||= this.#hasMoved(lsn);
      if (!this.#isDue || !isWanted) return;
    }
    const marked = await this.#mark();
    if (marked === undefined) return;
    this.#base = marked;
    this.#isDue = false;
    // From here on, what is heard may lie beyond it.
    const lsn = await this.#look();
    if (lsn === undefined) return;
    this.#isDue ||= this.#hasMoved(lsn);
    if (marked <= this.#reached) return;
    this.#reached = marked;
    this.#ground.handler.reached(marked);
  }

  /** @returns the position of a watermark that has arrived; `undefined` where commits that notify are held back */
  async #mark(): Promise<Lsn | undefined> {
    this.#number++;
    this.#markCount = 0n;
    const arrived = new Promise<void>((resolve) => {
      this.#arrived = resolve;
    });
    let row: { lsn?: unknown } | undefined;
    try {
      row = await this.#ask(watermark(this.#ground.channel, this.#number));
    } catch (error) {
      if (codeOf(error) === LOCK_NOT_AVAILABLE) return undefined;
      throw error;
    }
    const late = () => new SourceFault('notifications do not arrive: is there a pooler before the primary?');
    await within(arrived, DELIVERY_MILLIS, late, true);
    return positionOf(row?.lsn, this.#ground.layout);
  }

  /** By more than watermarks have written. */
  #hasMoved(lsn: Lsn): boolean {
    return lsn - this.#base > IDLE_BYTES + this.#markCount * WATERMARK_BYTES;
  }

  /**
   * Tells all that was heard so far.
   * @returns where the log is; `undefined` where it had to begin anew
   */
  async #look(): Promise<Lsn | undefined> {
    const heard = this.#heard;
    this.#heard = new Set();
    const isWhole = performance.now() - this.#lookedAt >= LOOK_MILLIS;
    const row: CoverageRow | undefined = await this.#ask(isWhole ? COVERAGE : this.#lookQuery);
    if (row?.stamp !== this.#stamp) {
      // All that was heard lies before where it begins anew.
      if (isWhole) this.#began(row);
      else await this.begin();
      return undefined;
    }
    if (isWhole) this.#lookedAt = performance.now();
    const lsn = positionOf(row?.lsn, this.#ground.layout);
    if (heard.size > 0) this.#ground.handler.changed(this.#changesOf(heard), lsn);
    return lsn;
  }

  #began(row: CoverageRow | undefined): void {
    const { handler, timeline, layout, tables: wanted } = this.#ground;
    const tables = new TriggeredTables(row, wanted);
    if (tables.problem !== undefined) throw new SourceFault(tables.problem);
    const lsn = positionOf(row?.lsn, layout);
    this.#tables = tables;
    this.#stamp = row?.stamp;
    this.#lookQuery = lookAt(tables.oids);
    this.#lookedAt = performance.now();
    this.#reached = lsn;
    this.#base = lsn;
    this.#markCount = 0n;
    handler.began({ timeline, lsn, tables: tables.tables, tellsDefinitions: false });
  }

  #changesOf(heard: ReadonlySet<string>): readonly TableChange[] | 'all' {
    const tables = new Set<string>();
    for (const payload of heard) {
      const affected = /^[0-9]{1,10}$/.test(payload) ? this.#tables?.affectedBy(Number(payload)) : undefined;
      if (affected === undefined) return 'all';
      for (const table of affected) tables.add(table);
    }
    return [...tables].map((table) => ({ table }));
  }

  async #ask<Row extends object>(text: string): Promise<Row | undefined> {
    const rows = await this.#ground.ask<Row>(text);
    if (!this.#ground.isSame()) throw new SourceFault('the primary is another one, or was started anew');
    return rows[0];
  }
}
