/** What a server answered, kept so that each caller gets a result of its own: no one can change another's. */
import { type Columns, columnsOf, type ParserSource } from '../postgres/raw-results.js';
import type { RawField, RawRow } from './raw-answer.js';

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
    return this.rows.every((row) => Array.isArray(row) && row.every((value) => value === null || typeof value === 'string'));
  }

  /** @param types the caller's own parsers; by default those of the connection that it was read on */
  columnsFor(types: ParserSource | undefined): Columns<RawField> {
    return types === undefined ? this.columns : columnsOf(this.columns.fields, types);
  }
}
