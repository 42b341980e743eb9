/**
 * Walks the grammar's tree of a text and collects its {@link Facts}. It looks nothing up. A node
 * that is not known to be harmless makes the text a write.
 */
import { effectOfSetConfig, effectsOf } from './effects.js';
import type { Beginning, Call, Facts, Field, StatementClass, Table } from './facts.js';
import type { Tree } from './grammar.js';
import {
  ATTACHED,
  CONTROL,
  DERIVED,
  HARMLESS,
  PLAIN_WRITES,
  RECORDS,
  SAMPLING,
  SESSION,
  SETTING,
} from './node-kinds.js';
import { argumentsOf, type Operand, type Operation, operandOf, operationsOf } from './operands.js';
import { NO_NAMES, Scope } from './scope.js';
import type { Effect } from './session-state.js';
import { columnsOf, type Fields, isTemporary, modeOf, type Name, nameOf, switchOf, type WithClause } from './tree.js';
import { unsteadyColumn, unsteadyType, unsteadyValue } from './unsteady.js';

const RANK: Record<StatementClass, number> = { read: 0, session: 1, write: 2 };
export function factsOf(statements: readonly Tree[]): Facts {
  const walk = new Walk(statements.length);
  if (statements.length === 0) walk.decide('write', 'no statement');
  for (const statement of statements) walk.statement(statement);
  return walk;
}

class Walk implements Facts {
  readonly statementCount: number;
  class: StatementClass = 'read';
  because = 'nothing in it writes';
  isDefinition = false;
  readonly calls: Call[] = [];
  readonly fields: Field[] = [];
  readonly columns = new Set<string>();
  leavesState = false;
  readonly effects: Effect[] = [];
  begins: Beginning | undefined;
  #isQuery = false;
  #isControl = false;
  #hasStar = false;
  #comparesRows = false;
  readonly relations: Table[] = [];
  readonly operators: Operation[] = [];
  readonly types: Name[] = [];
  readonly #seen = new Set<string>();
  isFlat = true;
  renames = false;
  readonly rows = new Set<string>();
  readonly unsteady = new Set<string>();
  #hasRecordExpression = false;
  readonly derived = new Map<string, ReadonlySet<string> | undefined>();
  /** What a target list gives out as it is. */
  #projected: unknown;

  constructor(statementCount: number) {
    this.statementCount = statementCount;
  }

  get isDetached(): boolean {
    return this.#isQuery && this.statementCount === 1 && !this.isAttached;
  }

  get isAttached(): boolean {
    return this.unsteady.has('SHOW') || this.calls.some(({ name }) => ATTACHED.has(name));
  }

  get isTransactionControl(): boolean {
    return this.#isControl && this.statementCount === 1;
  }

  get hasRecords(): boolean {
    if (this.#hasRecordExpression) return true;
    if (this.isFlat) return false;
    // A function in FROM may go by its own name.
    return [...this.rows].some((row) => this.derived.has(row) || this.calls.some(({ name }) => name === row));
  }

  get comparesUnnamed(): boolean {
    return this.#hasStar && this.#comparesRows;
  }

  decide(to: StatementClass, because: string): void {
    if (RANK[to] <= RANK[this.class]) return;
    this.class = to;
    this.because = because;
  }

  statement(tree: Tree): void {
    const [type = '', node = {}] = (Object.entries(tree as Fields)[0] ?? []) as [string?, Fields?];
    this.#isQuery = type === 'SelectStmt';
    if (type === 'SelectStmt') this.#visit(tree, NO_NAMES);
    else if (type === 'ExplainStmt') this.#explain(node);
    else if (type === 'CopyStmt') this.#copy(node);
    else if (type === 'VariableShowStmt') this.#note('SHOW');
    else if (SESSION.has(type)) {
      this.leavesState ||=
        SETTING.has(type) && node['is_local'] !== true && !String(node['name']).startsWith('TRANSACTION');
      if (type === 'TransactionStmt') this.#control(node);
      this.effects.push(...effectsOf(type, node));
      this.decide('session', type);
    } else {
      const isOwn = isTemporary(node);
      this.leavesState ||= isOwn;
      // PostgreSQL takes it back itself.
      const onCommit = node['oncommit'] ?? (node['into'] as Fields | undefined)?.['onCommit'];
      if (isOwn && onCommit !== 'ONCOMMIT_DROP') this.effects.push({ kind: 'temporary' });
      this.isDefinition ||= !isOwn && !PLAIN_WRITES.has(type);
      this.decide(isOwn ? 'session' : 'write', isOwn ? `temporary ${type}` : type);
    }
  }

  #control({ kind, options = [] }: Fields): void {
    this.#isControl = CONTROL.has(String(kind));
    if (this.statementCount > 1 || (kind !== 'TRANS_STMT_BEGIN' && kind !== 'TRANS_STMT_START')) return;
    const modes = new Map((options as Fields[]).map(({ DefElem }) => modeOf(DefElem as Fields)));
    const isReadWrite = modes.get('transaction_read_only') === '0';
    if (isReadWrite || modes.get('transaction_isolation') === 'serializable') this.begins = 'primary-only';
    else this.begins = modes.has('transaction_read_only') ? 'read-only' : 'plain';
  }

  /** Without ANALYZE nothing runs; of options given twice the last one counts. */
  #explain({ query, options = [] }: Fields): void {
    this.#note('EXPLAIN');
    const analyze = (options as Fields[])
      .map(({ DefElem }) => DefElem as Fields)
      .findLast(({ defname }) => defname === 'analyze');
    const isOn = analyze === undefined ? false : switchOf(analyze['arg']);
    if (isOn === undefined) this.decide('write', 'EXPLAIN with an option that is none');
    else if (isOn) this.statement(query);
    else if ('ExecuteStmt' in (query as Fields)) this.decide('session', 'EXPLAIN of a prepared statement');
  }

  #copy({ is_from, filename, is_program, relation, query }: Fields): void {
    const isToServer = filename !== undefined || is_program === true;
    if (is_from === true) this.decide('write', 'COPY FROM');
    else if (isToServer) this.decide('write', 'COPY to a file or program of the server');
    else if (query !== undefined) this.statement(query);
    else this.#relation(relation as Fields, NO_NAMES);
  }

  #visit(value: unknown, ctes: Scope): void {
    if (Array.isArray(value)) {
      for (const item of value) this.#visit(item, ctes);
    } else if (typeof value === 'object' && value !== null) {
      this.#fields(value as Fields, ctes);
    }
  }

  #fields(fields: Fields, outer: Scope): void {
    const { withClause, ...rest } = fields;
    const ctes = withClause === undefined ? outer : this.#with(withClause as WithClause, outer);
    for (const [key, value] of Object.entries(rest)) {
      if (key === 'lockingClause') this.decide('write', 'a row lock');
      else if (key === 'intoClause') this.#into(value as Fields);
      else if (key === 'distinctClause' || key === 'isNatural' || (key === 'op' && value !== 'SETOP_NONE'))
        this.#comparesRows = true;
      else if (key === 'usingClause') this.#names(value);
      else if (key === 'colnames' || key === 'aliascolnames') this.renames = true;
      else if (key === 'typeName') this.#type(value as Fields);
      else if (/^[A-Z]/.test(key)) this.#node(key, value as Fields, ctes);
      this.#visit(value, ctes);
    }
  }

  /**
   * @returns the names that are CTEs in the rest of the statement; without RECURSIVE each body sees
   * only those before it
   */
  #with({ ctes = [], recursive }: WithClause, outer: Scope): Scope {
    const names = new Scope(outer);
    if (recursive === true) for (const { CommonTableExpr } of ctes) names.add(CommonTableExpr.ctename);
    for (const cte of ctes) {
      this.#visit(cte, names);
      names.add(cte.CommonTableExpr.ctename);
    }
    return names;
  }

  #node(type: string, node: Fields, ctes: Scope): void {
    if (!HARMLESS.has(type) && !type.startsWith('Json')) this.decide('write', type);
    for (const operation of operationsOf(type, node)) this.#once(this.operators, operation);
    if (type === 'FuncCall') this.#call(node);
    else if (type === 'RangeVar') this.#relation(node, ctes);
    else if (type === 'TypeName') this.#type(node);
    else if (type === 'A_Star') this.#hasStar = true;
    else if (type === 'ResTarget') this.#projected = (node['val'] as Fields | undefined)?.['ColumnRef'];
    else if (RECORDS.has(type)) this.#hasRecordExpression = true;
    else if (DERIVED.has(type)) this.#derive(node['alias'], columnsOf(node));
    else if (type === 'JoinExpr') this.#join(node);
    else if (type === 'ColumnRef') {
      this.#names(node['fields']);
      this.#path(node['fields'], undefined);
      this.#row(node['fields'], node === this.#projected);
      this.#note(unsteadyColumn(node['fields']));
    } else if (type === 'A_Indirection') this.#path(node['indirection'], operandOf(node['arg']));
    else if (type === 'RangeTableSample') this.#sampling(node);
    else if (type === 'SQLValueFunction' || type === 'A_Const') this.#note(unsteadyValue(type, node));
  }

  #note(unsteady: string | undefined): void {
    if (unsteady !== undefined) this.unsteady.add(unsteady);
  }

  #call(node: Fields): void {
    const { funcname, args, agg_star, func_variadic, agg_within_group } = node;
    const name = nameOf(funcname);
    const isCounted = func_variadic !== true && agg_within_group !== true && agg_star !== true;
    if (name === undefined) return;
    if (name.name === 'set_config') this.#setConfig((args ?? []) as Fields[]);
    const argCount = isCounted ? ((args as unknown[] | undefined)?.length ?? 0) : undefined;
    this.#once(this.calls, { ...name, argCount, operands: argumentsOf(node) });
  }

  /** A long text says much the same again and again. */
  #once<T>(found: T[], one: T): void {
    const key = JSON.stringify(one);
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    found.push(one);
  }

  /** Something in FROM that is no relation. */
  #derive(alias: unknown, columns?: ReadonlySet<string>): void {
    const { aliasname } = Object(alias) as { aliasname?: string };
    this.isFlat = false;
    // Where two go by one name, nothing is known of either.
    if (aliasname !== undefined) this.derived.set(aliasname, this.derived.has(aliasname) ? undefined : columns);
  }

  #join({ alias, join_using_alias }: Fields): void {
    for (const each of [alias, join_using_alias]) if (each !== undefined) this.#derive(each);
  }

  /** `t`, or `t.*` other than as a list of columns, may be a whole row. */
  #row(fields: unknown, isProjected: boolean): void {
    const names = (fields as { String?: { sval: string } }[]).map(({ String: part }) => part?.sval);
    const name = names.at(-1) ?? (isProjected ? undefined : names.at(-2));
    if (name !== undefined) this.rows.add(name);
  }

  #setConfig(args: readonly Fields[]): void {
    const effect = effectOfSetConfig(args);
    if (effect === undefined) return;
    this.leavesState = true;
    this.effects.push(effect);
  }

  #names(parts: unknown): void {
    for (const part of parts as { String?: { sval: string } }[]) {
      if (part.String !== undefined) this.columns.add(part.String.sval);
    }
  }

  /** @param arg what they are taken out of; `undefined` where the first part is a table */
  #path(parts: unknown, arg: Operand | undefined): void {
    const names = (parts as { String?: { sval: string } }[]).map(({ String: part }) => part?.sval);
    const of = arg === undefined ? names.at(-2) : undefined;
    const isOfAny = arg === 'any' || arg === 'untyped';
    for (const name of arg === undefined ? names.slice(1) : names) {
      if (name === undefined) continue;
      this.fields.push({ name, of, isOfAny });
      if (arg !== undefined) this.columns.add(name);
    }
  }

  #relation({ schemaname, relname, relpersistence, alias }: Fields, ctes: Scope): void {
    const [schema, name] = [schemaname as string | undefined, String(relname)];
    const { aliasname = name, colnames } = Object(alias) as { aliasname?: string; colnames?: unknown };
    if (relpersistence === 't') this.decide('session', 'a temporary table');
    if (colnames !== undefined) this.isFlat = false;
    if (schema === undefined && ctes.has(name)) this.#derive({ aliasname });
    else this.relations.push({ schema, name, alias: aliasname });
  }

  #into({ rel }: Fields): void {
    const isTemporary = (rel as Fields | undefined)?.['relpersistence'] === 't';
    this.isDefinition ||= !isTemporary;
    this.leavesState ||= isTemporary;
    if (isTemporary) this.effects.push({ kind: 'temporary' });
    this.decide(isTemporary ? 'session' : 'write', isTemporary ? 'SELECT INTO a temporary table' : 'SELECT INTO');
  }

  #type({ names }: Fields): void {
    const name = nameOf(names);
    this.#note(unsteadyType(name?.name));
    if (name !== undefined && name.schema !== 'pg_catalog') this.types.push(name);
  }

  #sampling({ method }: Fields): void {
    this.#note('TABLESAMPLE');
    const name = nameOf(method);
    if (name === undefined || !SAMPLING.has(name.name)) this.decide('write', 'a sampling method that is not built in');
  }
}
