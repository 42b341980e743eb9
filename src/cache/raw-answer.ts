/** What a server answered, as it travelled: each field as text, before any parser has seen it. It never changes. */

/** A column, as pg describes it. */
export interface RawField {
  readonly name: string;
  readonly tableID: number;
  readonly columnID: number;
  readonly dataTypeID: number;
  readonly dataTypeSize: number;
  readonly dataTypeModifier: number;
  readonly format: string;
}

/** A row: its fields in the order of the columns, `null` for NULL. */
export type RawRow = readonly (string | null)[];

export interface RawAnswer {
  readonly command: string;
  readonly rowCount: number | null;
  readonly fields: readonly RawField[];
  readonly rows: readonly RawRow[];
}
