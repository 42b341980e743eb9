/**
 * Keeps account of what has changed: the last change of each table and of its latest keys, and the
 * position up to which all changes are known. It says through which position an answer still holds.
 * It knows no answers: a million of them cost it nothing, and it grows with tables and keys alone.
 */
import type { ChangeStart, TableChange } from '../change-source.js';
import { type Lsn, newer, older } from '../freshness/lsn.js';
import { keyTextOf } from './key-text.js';

/** What has changed in one table. */
export class TableRecord {
  /** The columns by which its rows are told apart; `undefined` until a row has changed. */
  keyColumns: readonly string[] | undefined;
  /** The last change of any row. */
  last: Lsn = 0n;
  /** The last change that may be of any row. */
  #whole: Lsn = 0n;
  /** The last change of keys that are not kept any more. */
  #dropped: Lsn = 0n;
  /** The last change by key, the oldest first. */
  readonly #keys = new Map<string, Lsn>();

  get keyCount(): number {
    return this.#keys.size;
  }

  record({ keyColumns, keys }: TableChange, lsn: Lsn, maxKeys: number): void {
    this.last = lsn;
    if (keyColumns === undefined || keys === undefined) {
      this.#whole = lsn;
      return;
    }
    if (this.keyColumns === undefined || !areSame(this.keyColumns, keyColumns)) {
      // Rows were told apart by other columns before: which of them changed is not known any more.
      if (this.keyColumns !== undefined) this.#whole = lsn;
      this.keyColumns = keyColumns;
      this.#keys.clear();
    }
    for (const key of keys) {
      const text = keyTextOf(key);
      this.#keys.delete(text);
      this.#keys.set(text, lsn);
    }
    for (const [text, at] of this.#keys) {
      if (this.#keys.size <= maxKeys) break;
      this.#keys.delete(text);
      this.#dropped = newer(at, this.#dropped);
    }
  }

  /** The last change of the row with that key, or of what may be that row. */
  lastOf(key: string): Lsn {
    const own = this.#keys.get(key) ?? this.#dropped;
    return newer(own, this.#whole);
  }
}

function areSame(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((column, i) => column === b[i]));
}

/** What is known of definitions: tables, views, functions, policies and rights. */
export interface Definitions {
  /** Up to there they are what `stamp` names, since their latest change; `undefined`: that is not known. */
  readonly unchangedThrough: Lsn | undefined;
  readonly stamp: string | undefined;
  /** Somebody wants to know. */
  want(): void;
}

export class ChangeLedger {
  readonly #maxKeys: number;
  #start: ChangeStart | undefined;
  #watermark: Lsn = 0n;
  readonly #definitions: Definitions;
  /** The last change that may be of anything: it holds beyond gaps, too. */
  #all: Lsn = 0n;
  #timeline: number | undefined;
  readonly #tables = new Map<string, TableRecord>();

  /** Another number whenever records of tables are others than before. */
  version = 0;

  /** @param maxKeys of each table */
  constructor(maxKeys: number, definitions: Definitions) {
    this.#maxKeys = maxKeys;
    this.#definitions = definitions;
  }

  /** Where it begins; `undefined` while nothing counts as known. */
  get start(): ChangeStart | undefined {
    return this.#start;
  }

  /** All changes up to there are known. */
  get watermark(): Lsn {
    return this.#watermark;
  }

  get tableCount(): number {
    return this.#start === undefined ? 0 : this.#tables.size;
  }

  get keyCount(): number {
    let count = 0;
    for (const { keyCount } of this.#tables.values()) count += keyCount;
    return count;
  }

  began(start: ChangeStart): void {
    this.#clear();
    if (start.timeline !== this.#timeline) this.#all = 0n;
    this.#timeline = start.timeline;
    this.#start = start;
    this.#watermark = start.lsn;
    for (const table of start.tables) this.#tables.set(table, new TableRecord());
  }

  /** The last change that may be of anything; 0 for none. */
  get lastOfAll(): Lsn {
    return this.#all;
  }

  /** Nothing counts as known until it begins anew. */
  broken(): void {
    this.#clear();
  }

  changed(changes: readonly TableChange[] | 'all', lsn: Lsn): void {
    if (changes === 'all') this.definitionChanged(lsn);
    else for (const change of changes) this.#tables.get(change.table)?.record(change, lsn, this.#maxKeys);
  }

  reached(lsn: Lsn): void {
    if (this.#start !== undefined) this.#watermark = newer(lsn, this.#watermark);
  }

  /** Anything may have changed, of whatever table. */
  definitionChanged(lsn: Lsn): void {
    this.#all = newer(lsn, this.#all);
  }

  /**
   * The records of a table; none where the source does not tell of it.
   * @param table as `schema.name`; without a schema in any
   */
  recordsOf(table: string): readonly TableRecord[] {
    const found = this.#tables.get(table);
    if (found !== undefined) return [found];
    if (table.includes('.')) return [];
    return [...this.#tables].filter(([name]) => name.endsWith(`.${table}`)).map(([, record]) => record);
  }

  /**
   * Up to there all changes are known, as seen from an answer that was read at that position;
   * `undefined` where that says nothing of it.
   * @param stamp names the definitions by which it was found out what the answer depends on
   */
  throughFrom(validFrom: Lsn, timeline: number, stamp: string): Lsn | undefined {
    const start = this.#start;
    if (start === undefined || timeline !== start.timeline) return undefined;
    this.#definitions.want();
    const { unchangedThrough } = this.#definitions;
    if (unchangedThrough === undefined || stamp !== this.#definitions.stamp) return undefined;
    if (validFrom < start.lsn || this.#all > validFrom) return undefined;
    const through = older(this.#watermark, unchangedThrough);
    return through > validFrom ? through : undefined;
  }

  #clear(): void {
    this.version++;
    this.#start = undefined;
    this.#watermark = 0n;
    this.#tables.clear();
  }
}
