/**
 * Answers whose fields are kept as they travelled, and pg's own results made of them: with pg's
 * parsers, pg's rows and pg's class, so that a caller sees no difference. It keeps nothing itself.
 */
import pg, { type QueryResult } from 'pg';
import { RowMaker } from './row-maker.js';

/** Where pg gets its parsers from. */
export interface ParserSource {
  getTypeParser(oid: number, format: string): unknown;
}

/** A column, as pg describes it. */
interface Field {
  readonly name: string;
  readonly dataTypeID: number;
  readonly format: string;
}

/** What pg's types do not tell of its results. */
interface ResultInternals extends QueryResult {
  _parsers: readonly unknown[] | undefined;
  readonly _types: unknown;
  _prebuiltEmptyResultObject: Readonly<Record<string, unknown>> | null;
  addFields(fields: readonly Field[]): void;
  parseRow(raw: readonly unknown[]): unknown;
}

const Result = (pg as unknown as { Result: new (rowMode: string | undefined, types: unknown) => ResultInternals })
  .Result;

const asItIs = (raw: unknown): unknown => raw;

/** Leaves each field as it travelled. */
export const RAW: ParserSource = { getTypeParser: () => asItIs };

/** Whether its fields are as they travelled: another driver beneath pg may have parsed them. */
export function isRaw(result: object): boolean {
  return (result as Partial<ResultInternals>)._types === RAW;
}

/** The columns of an answer, and the parser of each. */
export interface Columns<F extends Field = Field> {
  readonly fields: readonly F[];
  readonly parsers: readonly unknown[];
  readonly prebuilt: Readonly<Record<string, unknown>> | null;
  /** `undefined` where pg alone knows what its rows are. */
  readonly rowMaker: RowMaker | undefined;
}

/** Columns are shared between results, and frozen. */
export function columnsOf<F extends Field>(fields: readonly F[], types: ParserSource): Columns<F> {
  const result = new Result(undefined, types);
  result.addFields(fields);
  const frozen = Object.freeze(fields.map((field) => Object.freeze({ ...field })));
  const { _parsers: parsers = [], _prebuiltEmptyResultObject: prebuilt } = result;
  const isText = fields.every(({ format }) => format !== 'binary');
  const rowMaker = isText
    ? new RowMaker(
        Array.from(fields, ({ name }) => name),
        parsers,
      )
    : undefined;
  return { fields: frozen, parsers, prebuilt, rowMaker };
}

/** What is kept of an answer. */
interface Kept {
  readonly command: string;
  readonly rowCount: number | null;
  readonly rows: readonly (readonly unknown[])[];
}

/** A result of one's own. @throws what a parser throws */
export function resultOf(
  { fields, parsers, prebuilt, rowMaker }: Columns,
  kept: Kept,
  rowMode: 'array' | undefined,
): QueryResult {
  const result = new Result(rowMode, undefined);
  result.command = kept.command;
  result.rowCount = kept.rowCount;
  result.fields = fields as QueryResult['fields'];
  result._parsers = parsers;
  result._prebuiltEmptyResultObject = prebuilt;
  const { rows } = result;
  const make = rowMode === undefined ? rowMaker?.use() : undefined;
  if (make === undefined) for (const row of kept.rows) rows.push(result.parseRow(row));
  else for (const row of kept.rows) rows.push(make(row) as (typeof rows)[number]);
  return result;
}
