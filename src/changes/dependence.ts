/**
 * What a kept answer depends on, and through which position that has not changed since it was read:
 * a comparison of numbers, made when the answer is asked for. It changes nothing in the ledger.
 */
import type { Lsn } from '../freshness/lsn.js';
import { type FixedColumns, keyTextOf } from './key-text.js';
import type { ChangeLedger, TableRecord } from './ledger.js';

export class Dependence {
  readonly #ledger: ChangeLedger;
  readonly #tables: readonly string[];
  readonly #fixed: FixedColumns | undefined;
  readonly #stamp: string;
  #records: readonly TableRecord[] | undefined;
  #version = -1;
  /** The key, by the columns that the table's rows are told apart by. */
  #key: string | undefined;
  #keyColumns: readonly string[] | undefined;

  /**
   * @param tables all of them, as `schema.name`
   * @param fixed columns of the only table that the statement fixes
   * @param stamp names the definitions by which that was found out
   */
  constructor(ledger: ChangeLedger, tables: readonly string[], fixed: FixedColumns | undefined, stamp: string) {
    this.#ledger = ledger;
    this.#tables = tables;
    this.#fixed = fixed;
    this.#stamp = stamp;
  }

  /** The answer that was read at that position holds through the returned one; `undefined`: that is not known. */
  throughFrom(validFrom: Lsn, timeline: number): Lsn | undefined {
    const through = this.#ledger.throughFrom(validFrom, timeline, this.#stamp);
    if (through === undefined) return undefined;
    if (this.#version !== this.#ledger.version) {
      this.#version = this.#ledger.version;
      this.#records = this.#ledger.recordsOf(this.#tables);
      this.#keyColumns = undefined;
    }
    if (this.#records === undefined) return undefined;
    for (const record of this.#records) if (this.#lastOf(record, validFrom) > validFrom) return undefined;
    return through;
  }

  #lastOf(record: TableRecord, validFrom: Lsn): Lsn {
    if (this.#fixed === undefined || record.last <= validFrom) return record.last;
    if (this.#keyColumns !== record.keyColumns) {
      this.#keyColumns = record.keyColumns;
      this.#key = this.#keyBy(record.keyColumns);
    }
    return this.#key === undefined ? record.last : record.lastOf(this.#key);
  }

  /** `undefined` where the statement does not fix all of them. */
  #keyBy(columns: readonly string[] | undefined): string | undefined {
    const values: string[] = [];
    for (const column of columns ?? []) {
      const value = this.#fixed?.get(column);
      if (value === undefined) return undefined;
      values.push(value);
    }
    return values.length === 0 ? undefined : keyTextOf(values);
  }
}
