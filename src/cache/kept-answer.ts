/** What a server answered, kept so that each caller gets a result of its own. */
import type { QueryResult } from 'pg';
import { type Columns, columnsOf, type ParserSource, resultOf } from '../postgres/raw-results.js';
import type { RawAnswer, RawField, RawRow } from './raw-answer.js';

export class KeptAnswer {
  readonly command: string;
  readonly rowCount: number | null;
  readonly columns: Columns<RawField>;
  readonly rows: readonly RawRow[];

  constructor(command: string, rowCount: number | null, columns: Columns<RawField>, rows: readonly RawRow[]) {
    this.command = command;
    this.rowCount = rowCount;
    this.columns = columns;
    this.rows = rows;
  }

  /** Whether all of it came as text, as it is kept. Elsewhere pg was told to ask for it in binary. */
  get isText(): boolean {
    return this.rows.every(
      (row) => Array.isArray(row) && row.every((value) => value === null || typeof value === 'string'),
    );
  }

  /** As it travelled. @param fields its own columns by default */
  raw(fields: readonly RawField[] = this.columns.fields): RawAnswer {
    const { command, rowCount, rows } = this;
    return { command, rowCount, fields, rows };
  }

  /**
   * A result of the caller's own.
   * @param types the caller's own parsers; by default those of the connection that it was read on
   * @throws what a parser throws
   */
  give(rowMode: 'array' | undefined, types: ParserSource | undefined): QueryResult {
    const columns = types === undefined ? this.columns : columnsOf(this.columns.fields, types);
    return resultOf(columns, this, rowMode);
  }
}
