/**
 * What a text says about the operands of its operators and functions, each by itself. PostgreSQL
 * chooses among namesakes by the types of their operands, and applies some operators that the text
 * does not show. This module looks nothing up, and says "any" whenever it is not sure.
 */

import { type Fields, type Name, nameOf } from './tree.js';

/** What is known of one operand. */
export type Operand =
  /** Nothing: it may have any type, or none yet. */
  | 'any'
  /** A literal or a parameter: PostgreSQL gives it the type that is asked for. */
  | 'untyped'
  /** An expression that has a type, which is not known here. */
  | 'typed'
  /** One of these built-in types, by oid. */
  | { readonly types: readonly string[] }
  | { readonly column: string; readonly of: string | undefined }
  | { readonly cast: readonly string[]; readonly isArray: boolean };

/** An operator with its operands: one, or two. */
export interface Operation extends Name {
  readonly operands: readonly Operand[];
}

const BOOL = '16';
const INT8 = '20';
const INT4 = '23';
const TEXT: Operand = { types: ['25'] };
const BIT = '1560';
const NUMERIC = '1700';

const NO_SCHEMA = undefined;
const RANGES: Readonly<Record<string, readonly [low: string, high: string]>> = {
  AEXPR_BETWEEN: ['>=', '<='],
  AEXPR_BETWEEN_SYM: ['>=', '<='],
  AEXPR_NOT_BETWEEN: ['<', '>'],
  AEXPR_NOT_BETWEEN_SYM: ['<', '>'],
};

/** What one node of the tree says of its own type. */
export function operandOf(tree: unknown): Operand {
  const [type = '', node] = (Object.entries(Object(tree) as Fields)[0] ?? []) as [string?, Fields?];
  if (node === undefined) return 'any';
  if (type === 'A_Const') return constant(node);
  if (type === 'ParamRef') return 'untyped';
  if (type === 'CollateClause') return operandOf(node['arg']);
  if (type === 'TypeCast') return cast(node['typeName'] as Fields);
  if (type === 'ColumnRef') return column(node['fields'] as Fields[]);
  // A row is compared element by element, and is a record.
  if (type === 'RowExpr' || type === 'List' || type === 'SetToDefault') return 'any';
  return 'typed';
}

/** Every operator that a node of the tree applies by name, those that it only implies included. */
export function operationsOf(type: string, node: Fields): Operation[] {
  if (type === 'A_Expr') return expression(node);
  if (type === 'CaseExpr' && node['arg'] !== undefined) {
    const arg = settled(operandOf(node['arg']));
    const compared = (node['args'] as { CaseWhen: Fields }[]).map(({ CaseWhen }) => operandOf(CaseWhen['expr']));
    return distinct(compared).map((operand) => equals([arg, operand]));
  }
  if (type === 'JoinExpr') {
    const names = (node['usingClause'] ?? []) as { String: { sval: string } }[];
    const columns = names.map(({ String: { sval } }) => ({ column: sval, of: undefined }));
    const shared = columns.map((each) => equals([each, each]));
    return node['isNatural'] === true ? [...shared, equals(['typed', 'typed'])] : shared;
  }
  if (type === 'SubLink' && node['testexpr'] !== undefined) {
    const operands = [operandOf(node['testexpr']), resultOf(node['subselect'])];
    return [{ ...(nameOf(node['operName']) ?? { schema: NO_SCHEMA, name: '=' }), operands }];
  }
  const sorting = type === 'SortBy' ? nameOf(node['useOp']) : undefined;
  return sorting === undefined ? [] : [{ ...sorting, operands: ['any', 'any'] }];
}

/** The operands of a call in their order; `undefined` where that is not known. */
export function argumentsOf({ args = [], func_variadic, agg_within_group }: Fields): readonly Operand[] | undefined {
  if (func_variadic === true || agg_within_group === true) return undefined;
  if ((args as Fields[]).some((arg) => 'NamedArgExpr' in arg)) return undefined;
  return (args as Fields[]).map(operandOf);
}

function expression({ kind, name, lexpr, rexpr }: Fields): Operation[] {
  const range = RANGES[String(kind)];
  if (range !== undefined) return between(range, operandOf(lexpr), listOf(rexpr), String(kind).endsWith('_SYM'));
  const operator = nameOf(name);
  if (operator === undefined) return [];
  if (lexpr === undefined) return [{ ...operator, operands: [operandOf(rexpr)] }];
  const left = operandOf(lexpr);
  if (kind === 'AEXPR_IN') {
    // The list may be brought to one type first, which is that of one of its items, or of the left
    // side.
    const items = distinct([...listOf(rexpr), left]);
    return items.map((item) => ({ ...operator, operands: [left, item] }));
  }
  const isOfArray = kind === 'AEXPR_OP_ANY' || kind === 'AEXPR_OP_ALL';
  return [{ ...operator, operands: [left, isOfArray ? elementOf(operandOf(rexpr)) : operandOf(rexpr)] }];
}

function between([low, high]: readonly [string, string], tested: Operand, bounds: Operand[], isSymmetric: boolean) {
  const [from = 'any', to = 'any'] = bounds;
  const apply = (name: string, bound: Operand): Operation => ({ schema: NO_SCHEMA, name, operands: [tested, bound] });
  const inOrder = [apply(low, from), apply(high, to)];
  return isSymmetric ? [...inOrder, apply(low, to), apply(high, from)] : inOrder;
}

function equals(operands: readonly Operand[]): Operation {
  return { schema: NO_SCHEMA, name: '=', operands };
}

function constant({ isnull, sval, ival, fval, boolval, bsval }: Fields): Operand {
  if (isnull === true || sval !== undefined) return 'untyped';
  if (ival !== undefined) return { types: [INT4] };
  if (fval !== undefined) return { types: [/^\d{1,18}$/.test(String((fval as Fields)['fval'])) ? INT8 : NUMERIC] };
  if (boolval !== undefined) return { types: [BOOL] };
  return bsval === undefined ? 'any' : { types: [BIT] };
}

function cast({ names, arrayBounds, setof, pct_type }: Fields): Operand {
  const parts = (names as { String?: { sval?: string } }[]).map(({ String: part }) => part?.sval ?? '');
  if (parts.at(-1) === 'unknown' || setof === true || pct_type === true) return 'any';
  return { cast: parts, isArray: arrayBounds !== undefined };
}

function column(fields: Fields[]): Operand {
  const parts = fields.map((field) => (field['String'] as { sval?: string } | undefined)?.sval);
  if (parts.includes(undefined)) return 'any';
  const [last = '', of, ...more] = parts.reverse();
  return more.length > 0 ? 'typed' : { column: last, of };
}

function listOf(tree: unknown): Operand[] {
  const items = (Object(tree) as { List?: { items?: unknown[] } }).List?.items ?? [tree];
  return items.map(operandOf);
}

/** Of `= any (…)`. */
function elementOf(array: Operand): Operand {
  if (array === 'any' || array === 'untyped') return array;
  return typeof array === 'object' && 'cast' in array && array.isArray ? { ...array, isArray: false } : 'typed';
}

/** The only column of a subquery, where literals have become text. */
function resultOf(subselect: unknown): Operand {
  const { targetList = [], op } = Object((subselect as { SelectStmt?: Fields }).SelectStmt) as Fields;
  const [only, ...more] = targetList as { ResTarget: Fields }[];
  if (only === undefined || more.length > 0 || op !== 'SETOP_NONE') return 'typed';
  return settled(operandOf(only.ResTarget['val']));
}

/** What becomes of an operand that PostgreSQL gives a type before it looks for an operator. */
function settled(operand: Operand): Operand {
  return operand === 'untyped' ? TEXT : operand;
}

/** A long list of literals is all alike. */
function distinct(operands: readonly Operand[]): Operand[] {
  return [...new Map(operands.map((operand) => [JSON.stringify(operand), operand])).values()];
}
