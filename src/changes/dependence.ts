/**
 * What a kept answer depends on, and through which position that has not changed since it was read:
 * a comparison of numbers, made when the answer is asked for. It changes nothing in the ledger.
 */
import { type Lsn, newer } from '../freshness/lsn.js';
import { type FixedColumns, keyTextOf } from './key-text.js';
import type { ChangeLedger, TableRecord } from './ledger.js';

/** A table that an answer depends on. */
export interface TableDependence {
  /** As `schema.name`; without a schema in any. */
  readonly table: string;
  /** Only rows with these values matter; `undefined`: all do. */
  readonly fixed: FixedColumns | undefined;
}

/** The record of a table, and the key of the row that matters. */
class Part {
  readonly #record: TableRecord;
  readonly #fixed: FixedColumns | undefined;
  #key: string | undefined;
  /** By which the key was made. */
  #keyColumns: readonly string[] | undefined;

  constructor(record: TableRecord, fixed: FixedColumns | undefined) {
    this.#record = record;
    this.#fixed = fixed;
  }

  hasChangedSince(lsn: Lsn): boolean {
    const record = this.#record;
    if (record.last <= lsn) return false;
    return this.last > lsn;
  }

  /** The last change that may be of the row that matters. */
  get last(): Lsn {
    const record = this.#record;
    if (this.#fixed === undefined) return record.last;
    if (this.#keyColumns !== record.keyColumns) {
      this.#keyColumns = record.keyColumns;
      this.#key = keyBy(record.keyColumns ?? [], this.#fixed);
    }
    return this.#key === undefined ? record.last : record.lastOf(this.#key);
  }
}

/** The key of the row that matters; `undefined` where not all of its columns are fixed. */
export function keyBy(columns: readonly string[], fixed: FixedColumns): string | undefined {
  const values: string[] = [];
  for (const column of columns) {
    const value = fixed.get(column);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return values.length === 0 ? undefined : keyTextOf(values);
}

export class Dependence {
  readonly #ledger: ChangeLedger;
  readonly #tables: readonly TableDependence[];
  readonly #stamp: string;
  #parts: readonly Part[] | undefined;
  #version = -1;

  /**
   * @param tables all of them
   * @param stamp names the definitions by which these were found
   */
  constructor(ledger: ChangeLedger, tables: readonly TableDependence[], stamp: string) {
    this.#ledger = ledger;
    this.#tables = tables;
    this.#stamp = stamp;
  }

  /** The answer that was read at that position holds through the returned one; `undefined`: that is not known. */
  throughFrom(validFrom: Lsn, timeline: number): Lsn | undefined {
    const through = this.#ledger.throughFrom(validFrom, timeline, this.#stamp);
    if (through === undefined) return undefined;
    const parts = this.#partsNow();
    if (parts === undefined) return undefined;
    for (const part of parts) if (part.hasChangedSince(validFrom)) return undefined;
    return through;
  }

  /** The last change that may concern the answer, as far as it has been told; `undefined` where that says nothing. */
  lastChange(timeline: number): Lsn | undefined {
    if (this.#ledger.start?.timeline !== timeline) return undefined;
    return this.#partsNow()?.reduce((last, part) => newer(part.last, last), this.#ledger.lastOfAll);
  }

  #partsNow(): readonly Part[] | undefined {
    if (this.#version !== this.#ledger.version) {
      this.#version = this.#ledger.version;
      this.#parts = this.#partsOf();
    }
    return this.#parts;
  }

  /** `undefined` where changes of one of them are not told. */
  #partsOf(): readonly Part[] | undefined {
    const parts: Part[] = [];
    for (const { table, fixed } of this.#tables) {
      const records = this.#ledger.recordsOf(table);
      if (records.length === 0) return undefined;
      for (const record of records) parts.push(new Part(record, fixed));
    }
    return parts;
  }
}
