/**
 * The equalities that hold for each row that matters to a SELECT: between columns of its tables, and
 * with parameters or constants. By the text alone: it knows neither types nor which table has a
 * column. What it does not understand it leaves out, and then more rows may matter.
 */
import type { Tree } from './grammar.js';
import { type Fields, type Name, nameOf } from './tree.js';

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

/** A table in FROM. */
export interface FromTable {
  readonly name: Name;
  /** What its columns are called by. */
  readonly alias: string;
}

export interface ColumnName {
  /** `undefined` where the text says the column alone. */
  readonly alias: string | undefined;
  readonly column: string;
}

export interface Equality {
  readonly column: ColumnName;
  readonly other: ColumnName | Omit<KeyTerm, 'column'>;
  /** The tables of whose rows it says something; `undefined`: of all. The inner side of an outer join alone has to fit. */
  readonly only: ReadonlySet<string> | undefined;
}

export interface Equalities {
  readonly tables: readonly FromTable[];
  readonly equalities: readonly Equality[];
}

const NONE: Equalities = { tables: [], equalities: [] };
const OUTER: Readonly<Record<string, 'larg' | 'rarg'>> = { JOIN_LEFT: 'rarg', JOIN_RIGHT: 'larg' };

/** Of the only SELECT of a text; without tables where its FROM has more than tables and their joins. */
export function equalitiesOf([statement, ...others]: readonly Tree[]): Equalities {
  const { SelectStmt: select } = Object(statement) as { SelectStmt?: Fields };
  if (select === undefined || others.length > 0 || select['op'] !== 'SETOP_NONE') return NONE;
  if (select['withClause'] !== undefined) return NONE;
  const reading = new FromReading();
  for (const item of (select['fromClause'] ?? []) as Fields[]) reading.read(item, undefined);
  reading.condition(select['whereClause'], undefined);
  return reading.found;
}

/** Reads FROM and the conditions that go with it. */
class FromReading {
  readonly #tables: FromTable[] = [];
  readonly #equalities: Equality[] = [];
  #isUnderstood = true;

  get found(): Equalities {
    const aliases = new Set(this.#tables.map(({ alias }) => alias));
    const isClear = this.#isUnderstood && aliases.size === this.#tables.length;
    return isClear ? { tables: this.#tables, equalities: this.#equalities } : NONE;
  }

  /** @param only see {@link Equality} @returns the tables that the item has */
  read(item: Fields, only: ReadonlySet<string> | undefined): readonly FromTable[] {
    const { RangeVar: table, JoinExpr: join } = item as { RangeVar?: Fields; JoinExpr?: Fields };
    if (table !== undefined) return this.#table(table);
    const { jointype, larg, rarg, quals, usingClause, isNatural, alias } = join ?? {};
    const isInner = jointype === 'JOIN_INNER';
    const innerSide = OUTER[String(jointype)];
    const isKnown = isInner || innerSide !== undefined;
    if (!isKnown || isNatural === true || alias !== undefined) {
      this.#isUnderstood = false;
      return [];
    }
    const sides = { larg: larg as Fields, rarg: rarg as Fields };
    const tables = {
      larg: this.#side(sides.larg, innerSide === 'larg', only),
      rarg: this.#side(sides.rarg, innerSide === 'rarg', only),
    };
    const within = innerSide === undefined ? only : aliasesOf(tables[innerSide]);
    this.condition(quals, within);
    for (const part of (usingClause ?? []) as Fields[]) this.#using(part, tables.larg, tables.rarg, within);
    return [...tables.larg, ...tables.rarg];
  }

  /** A column that both sides have; on a side of several tables it is not said whose it is. */
  #using(
    part: Fields,
    [left, ...lefts]: readonly FromTable[],
    [right, ...rights]: readonly FromTable[],
    only: ReadonlySet<string> | undefined,
  ): void {
    const { String: word } = part as { String?: { sval?: string } };
    const column = word?.sval;
    if (column === undefined || left === undefined || right === undefined || lefts.length + rights.length > 0) return;
    const [a, b] = [left, right].map(({ alias }) => ({ alias, column })) as [ColumnName, ColumnName];
    this.#equalities.push({ column: a, other: b, only });
  }

  /** A side of a join whose rows may be missing has conditions of its own for its own tables. */
  #side(item: Fields, mayMiss: boolean, only: ReadonlySet<string> | undefined): readonly FromTable[] {
    if (!mayMiss) return this.read(item, only);
    const own = new Set<string>();
    const tables = this.read(item, own);
    for (const { alias } of tables) own.add(alias);
    return tables;
  }

  #table(table: Fields): readonly FromTable[] {
    const { aliasname = table['relname'], colnames } = Object(table['alias']) as Fields;
    if (colnames !== undefined) this.#isUnderstood = false;
    const { schemaname: schema, relname } = table as { schemaname?: string; relname: string };
    const name = { schema, name: relname };
    const found = { name, alias: String(aliasname) };
    this.#tables.push(found);
    return [found];
  }

  /** What must all hold for a row to matter. */
  condition(tree: unknown, only: ReadonlySet<string> | undefined): void {
    const { BoolExpr: all, A_Expr: comparison } = Object(tree) as { BoolExpr?: Fields; A_Expr?: Fields };
    if (all !== undefined && all['boolop'] === 'AND_EXPR') {
      for (const arg of all['args'] as unknown[]) this.condition(arg, only);
      return;
    }
    if (comparison === undefined || comparison['kind'] !== 'AEXPR_OP') return;
    const operator = nameOf(comparison['name']);
    if (operator?.name !== '=' || (operator.schema ?? 'pg_catalog') !== 'pg_catalog') return;
    for (const [left, right] of pairsOf(comparison['lexpr'], comparison['rexpr'])) this.#equal(left, right, only);
  }

  #equal(left: unknown, right: unknown, only: ReadonlySet<string> | undefined): void {
    const [a, b] = [columnOf(left), columnOf(right)];
    if (a !== undefined && b !== undefined) this.#equalities.push({ column: a, other: b, only });
    const column = a ?? b;
    const value = fixedOf(a === undefined ? left : right);
    if (column !== undefined && value !== undefined) this.#equalities.push({ column, other: value, only });
  }
}

function aliasesOf(tables: readonly FromTable[]): ReadonlySet<string> {
  return new Set(tables.map(({ alias }) => alias));
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

function columnOf(tree: unknown): ColumnName | undefined {
  const { ColumnRef: reference } = Object(tree) as { ColumnRef?: { fields: { String?: { sval?: string } }[] } };
  const parts = reference?.fields.map(({ String: part }) => part?.sval);
  const column = parts?.at(-1);
  if (parts === undefined || column === undefined || parts.length > 2) return undefined;
  return { alias: parts.length === 2 ? parts[0] : undefined, column };
}

function fixedOf(tree: unknown): Omit<KeyTerm, 'column'> | undefined {
  const { TypeCast: cast } = Object(tree) as { TypeCast?: { arg: unknown; typeName: Fields } };
  const value = keyValueOf(cast === undefined ? tree : cast.arg);
  if (value === undefined) return undefined;
  if (cast === undefined) return { value, cast: undefined };
  const { names, arrayBounds, typmods } = cast.typeName;
  const type = nameOf(names);
  // Of a type with a modifier, such as char(3), the value may be cut off.
  if (type === undefined || arrayBounds !== undefined || typmods !== undefined) return undefined;
  return { value, cast: type.name };
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
