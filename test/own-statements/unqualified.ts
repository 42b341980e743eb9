/**
 * What in an SQL text would be looked up by the search path, where another role may have put something of the same name. It knows the text alone: a
 * column that is none, and so a call of a function that takes the row, is found on real servers only.
 */
import { loadModule, parseSync } from 'libpg-query';

await loadModule();

type Fields = Record<string, unknown>;
type Names = readonly { readonly String?: { readonly sval?: string } }[];

/** Nodes that look nothing up by themselves. Any other has to be thought about first. */
const UNDERSTOOD = new Set(
  `SelectStmt InsertStmt UpdateStmt CreateStmt TransactionStmt VariableSetStmt ListenStmt UnlistenStmt ResTarget ColumnRef A_Const A_Expr A_ArrayExpr FuncCall TypeCast
  SubLink CaseExpr CaseWhen CoalesceExpr MinMaxExpr NullTest BoolExpr SQLValueFunction ParamRef JoinExpr RangeVar RangeSubselect RangeFunction List
  String SortBy ColumnDef Constraint DefElem Integer CommonTableExpr`.split(/\s+/),
);
/** Spellings of an operator without its name: PostgreSQL looks it up as if it had been written without a schema. */
const SPELT_OUT = /^AEXPR_(?!OP$|OP_ANY$|OP_ALL$)/;
/** Functions that send a query of their own, with plain operators. */
const ASKING = /^(pg_get_(viewdef|ruledef)|.*_to_xml.*|ts_stat|ts_rewrite)$/;
/** Functions and types that take a name as text. */
const NAMING = /^(reg\w+|to_reg\w+|has_\w+_privilege|nextval|currval|setval)$/;

/** @returns what is wrong with each, in words; nothing when all of it means pg_catalog, or one of `schemas` for a relation */
export function unqualified(text: string, schemas: readonly string[] = []): string[] {
  const found: string[] = [];
  let isSafePath = false;
  /** Of WITH: such a name comes before any that the search path leads to. */
  const ofWith = new Set<string>();

  const qualified = (names: unknown, what: string): void => {
    const parts = (names as Names).map((part) => part.String?.sval ?? '');
    if (parts.length < 2 || parts[0] !== 'pg_catalog') found.push(`${what} ${parts.join('.')}`);
  };
  const check = (type: string, node: Fields): void => {
    if (!UNDERSTOOD.has(type)) found.push(`${type} is not understood`);
    if (type === 'FuncCall') {
      const [name = ''] = (node['funcname'] as Names).slice(-1).map((part) => part.String?.sval ?? '');
      qualified(node['funcname'], 'function');
      if (ASKING.test(name) && !isSafePath)
        found.push(`${name} asks by a query of its own: set the search path before`);
      if (NAMING.test(name)) found.push(`${name} looks up what it is given`);
    } else if (type === 'A_Expr') {
      const kind = String(node['kind']);
      if (SPELT_OUT.test(kind)) found.push(`operator behind ${kind}`);
      else qualified(node['name'], 'operator');
    } else if (type === 'SubLink' && node['testexpr'] !== undefined) {
      qualified(node['operName'] ?? [{ String: { sval: 'IN' } }], 'operator');
    } else if (type === 'SortBy' && node['useOp'] !== undefined) {
      qualified(node['useOp'], 'operator');
    } else if (type === 'CaseExpr' && node['arg'] !== undefined) {
      found.push('operator behind CASE with an argument');
    } else if (type === 'JoinExpr' && (node['usingClause'] !== undefined || node['isNatural'] === true)) {
      found.push('operator behind JOIN USING');
    } else if (type === 'RangeVar') {
      const schema = String(node['schemaname']);
      const isOfWith = node['schemaname'] === undefined && ofWith.has(String(node['relname']));
      if (schema !== 'pg_catalog' && !schemas.includes(schema) && !isOfWith)
        found.push(`relation ${String(node['relname'])}`);
    } else if (type === 'TypeCast') {
      const names = ((node['typeName'] as Fields)['names'] as Names).map((part) => part.String?.sval ?? '');
      const given = JSON.stringify(node['arg']);
      if (NAMING.test(names.at(-1) ?? '') && !given.includes('"pg_catalog.')) found.push(`name in ${given}`);
    } else if (type === 'CommonTableExpr') {
      ofWith.add(String(node['ctename']));
    } else if (type === 'VariableSetStmt' && node['name'] === 'search_path') {
      isSafePath = /"pg_catalog".*"pg_temp"/.test(JSON.stringify(node['args'])) && node['is_local'] === true;
      if (!isSafePath) found.push('another search path');
    }
  };
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const item of value) visit(item);
    else if (typeof value === 'object' && value !== null) {
      // What WITH names is seen in the rest of the statement, which stands before it in the tree.
      if ('withClause' in value) visit(value.withClause);
      for (const [key, inner] of Object.entries(value as Fields)) {
        if (key === 'withClause') continue;
        // What these hold comes without a node's name.
        if (key === 'typeName') qualified((inner as Fields)['names'], 'type');
        else if (key === 'coldeflist') found.push('a list of column types');
        else if (key === 'relation') check('RangeVar', inner as Fields);
        else if (/^[A-Z]/.test(key)) check(key, inner as Fields);
        visit(inner);
      }
    }
  };
  for (const { stmt } of parseSync(text).stmts ?? []) visit(stmt);
  return found;
}

/** Whether a text is SQL. */
export function parses(text: string): boolean {
  try {
    return (parseSync(text).stmts ?? []).length > 0;
  } catch {
    return false;
  }
}
