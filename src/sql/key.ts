/**
 * The key that the WHERE of a SELECT fixes: columns of its only table, each equal to one parameter
 * or constant. Rows with other values in these columns do not change the answer. By the text alone:
 * it does not know the types of columns.
 */
import type { Tree } from './grammar.js';
import { type Fields, nameOf } from './tree.js';

/** A value as the text has it. */
export type KeyValue =
  /** `$1` is 1. */
  | { readonly parameter: number }
  /** What the text says, not as PostgreSQL would write it: `'a'` is `a`, and `'007'` is `007`. */
  | { readonly constant: string };

/** `column = value`. */
export interface KeyTerm {
  readonly column: string;
  readonly value: KeyValue;
  /** The type that the value is cast to first; `undefined` where it takes the column's. */
  readonly cast: string | undefined;
}

/** The terms that must all hold for a row to matter; empty where the text fixes no column. */
export function keyTermsOf([statement, ...others]: readonly Tree[]): readonly KeyTerm[] {
  const { SelectStmt: select } = Object(statement) as { SelectStmt?: Fields };
  if (select === undefined || others.length > 0 || select['op'] !== 'SETOP_NONE') return [];
  const [from, ...more] = (select['fromClause'] ?? []) as Fields[];
  const { RangeVar: table } = Object(from) as { RangeVar?: Fields };
  if (table === undefined || more.length > 0 || select['withClause'] !== undefined) return [];
  const { aliasname = table['relname'], colnames } = Object(table['alias']) as Fields;
  if (colnames !== undefined) return [];
  return termsOf(select['whereClause'], String(aliasname));
}

function termsOf(tree: unknown, alias: string): readonly KeyTerm[] {
  const { BoolExpr: all, A_Expr: comparison } = Object(tree) as { BoolExpr?: Fields; A_Expr?: Fields };
  if (all !== undefined && all['boolop'] === 'AND_EXPR')
    return (all['args'] as unknown[]).flatMap((arg) => termsOf(arg, alias));
  if (comparison === undefined || comparison['kind'] !== 'AEXPR_OP') return [];
  const operator = nameOf(comparison['name']);
  if (operator?.name !== '=' || (operator.schema ?? 'pg_catalog') !== 'pg_catalog') return [];
  return pairsOf(comparison['lexpr'], comparison['rexpr']).flatMap(([left, right]) => {
    const term = termOf(left, right, alias) ?? termOf(right, left, alias);
    return term === undefined ? [] : [term];
  });
}

/** `(a, b) = ($1, $2)` compares element by element. */
function pairsOf(left: unknown, right: unknown): readonly (readonly [unknown, unknown])[] {
  const [lefts, rights] = [elementsOf(left), elementsOf(right)];
  if (lefts === undefined && rights === undefined) return [[left, right]];
  if (lefts === undefined || lefts.length !== rights?.length) return [];
  return lefts.map((each, i) => [each, rights[i]]);
}

function elementsOf(tree: unknown): readonly unknown[] | undefined {
  const { RowExpr: row } = Object(tree) as { RowExpr?: { args?: unknown[] } };
  return row === undefined ? undefined : (row.args ?? []);
}

function termOf(columnTree: unknown, valueTree: unknown, alias: string): KeyTerm | undefined {
  const { ColumnRef: reference } = Object(columnTree) as { ColumnRef?: { fields: { String?: { sval?: string } }[] } };
  const parts = reference?.fields.map(({ String: part }) => part?.sval);
  const column = parts?.at(-1);
  if (parts === undefined || column === undefined || parts.length > 2) return undefined;
  if (parts.length === 2 && parts[0] !== alias) return undefined;
  const { TypeCast: cast } = Object(valueTree) as { TypeCast?: { arg: unknown; typeName: Fields } };
  const value = keyValueOf(cast === undefined ? valueTree : cast.arg);
  if (value === undefined) return undefined;
  if (cast === undefined) return { column, value, cast: undefined };
  const { names, arrayBounds, typmods } = cast.typeName;
  const type = nameOf(names);
  // Of a type with a modifier, such as char(3), the value may be cut off.
  if (type === undefined || arrayBounds !== undefined || typmods !== undefined) return undefined;
  return { column, value, cast: type.name };
}

function keyValueOf(tree: unknown): KeyValue | undefined {
  const { ParamRef: parameter, A_Const: constant } = Object(tree) as {
    ParamRef?: { number?: number };
    A_Const?: Fields;
  };
  if (parameter !== undefined) return parameter.number === undefined ? undefined : { parameter: parameter.number };
  if (constant === undefined || constant['isnull'] === true) return undefined;
  // Zero, false and the empty text are not written down.
  const { sval, ival, fval, boolval } = constant as {
    sval?: { sval?: string };
    ival?: { ival?: number };
    fval?: { fval?: string };
    boolval?: { boolval?: boolean };
  };
  if (sval !== undefined) return { constant: sval.sval ?? '' };
  if (ival !== undefined) return { constant: String(ival.ival ?? 0) };
  // A fraction equals values that are written in other ways.
  if (fval !== undefined) return /^\d+$/.test(fval.fval ?? '') ? { constant: fval.fval ?? '' } : undefined;
  return boolval === undefined ? undefined : { constant: boolval.boolval === true ? 't' : 'f' };
}
