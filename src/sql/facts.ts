/**
 * What a statement's text says of itself: its kind, and every function, relation, operator and type that it names. What those do is the catalogue's to
 * say. Whatever is not known to be harmless is a write.
 */

import { effectOfSetConfig, effectsOf } from './effects.js';
import type { Tree } from './grammar.js';
import { argumentsOf, type Operand, type Operation, operandOf, operationsOf } from './operands.js';
import type { Effect } from './session-state.js';

/** `session`: meaningless on a pool, whose connections belong to nobody; kept on the primary. */
export type StatementClass = 'read' | 'write' | 'session';

/** A transaction that says READ ONLY, one that says neither, or one that a standby would refuse. */
export type Beginning = 'read-only' | 'plain' | 'primary-only';

export interface Name {
  /** `undefined` where the search path decides. */
  readonly schema: string | undefined;
  readonly name: string;
}

export interface Call extends Name {
  /** `undefined` where that is not known. */
  readonly argCount: number | undefined;
  /** `undefined` where their order is not known. */
  readonly operands: readonly Operand[] | undefined;
}

/** What is taken out of something by name: a column, or a function of the row. */
export interface Field {
  readonly name: string;
  /** The table or the subquery; `undefined` where it is any other expression. */
  readonly of: string | undefined;
  /** Whether what it is taken out of may be of any type. */
  readonly isOfAny: boolean;
}

/** A relation with the name that its columns may be qualified by. */
export interface Table extends Name {
  readonly alias: string;
}

export interface Facts {
  readonly class: StatementClass;
  /** The node of the tree that decided; for a read that nothing stood against it. */
  readonly because: string;
  readonly statementCount: number;
  /** Whether it changes what the catalogue says. */
  readonly isDefinition: boolean;
  /** Whether its connection does not matter to it: one query that asks for nothing that belongs to a session. */
  readonly isDetached: boolean;
  /** Whether it reads something of the connection that it runs on. */
  readonly isAttached: boolean;
  /** Whether it leaves something on its connection that later reads may go by. */
  readonly leavesState: boolean;
  /** What it leaves there, or takes back. */
  readonly effects: readonly Effect[];
  /** Whether it is one statement that begins, ends or marks a transaction, and does nothing by itself. */
  readonly isTransactionControl: boolean;
  /** What kind of transaction it begins; `undefined` for any other statement. */
  readonly begins: Beginning | undefined;
  readonly calls: readonly Call[];
  readonly fields: readonly Field[];
  /** Every word by which a column may be meant. */
  readonly columns: ReadonlySet<string>;
  /** Whether columns are compared that are not named: of `*`, under DISTINCT, UNION or NATURAL. */
  readonly comparesUnnamed: boolean;
  readonly relations: readonly Table[];
  /** Operators with what they are applied to. */
  readonly operators: readonly Operation[];
  readonly types: readonly Name[];
  /** Whether every column that it names belongs to a relation, and none to a subquery or a function. */
  readonly isFlat: boolean;
  /** Whether columns are given other names. */
  readonly renames: boolean;
  /** Subqueries, functions and the like in FROM, with their columns where these are known. */
  readonly derived: ReadonlyMap<string, ReadonlySet<string> | undefined>;
  /** Names that may stand for whole rows. */
  readonly rows: ReadonlySet<string>;
  /** Whether anything in it may be a row of no declared type. */
  readonly hasRecords: boolean;
}

type Fields = Record<string, unknown>;

interface WithClause {
  readonly ctes?: readonly { readonly CommonTableExpr: { readonly ctename: string } }[];
  readonly recursive?: boolean;
}

/** Nodes that only compute or read, whatever is in them. */
const HARMLESS = new Set(
  `SelectStmt ResTarget ColumnRef A_Const A_Expr A_Star A_ArrayExpr A_Indirection A_Indices FuncCall TypeCast TypeName SubLink CaseExpr CaseWhen
  CoalesceExpr MinMaxExpr NullTest BooleanTest BoolExpr RowExpr ParamRef JoinExpr RangeVar RangeSubselect RangeFunction RangeTableSample RangeTableFunc
  RangeTableFuncCol Alias SortBy WindowDef GroupingSet GroupingFunc List String Integer Float Boolean BitString CommonTableExpr CTESearchClause
  CTECycleClause CollateClause SQLValueFunction XmlExpr XmlSerialize NamedArgExpr DefElem ColumnDef`.split(/\s+/),
);
const SESSION = new Set(
  `VariableSetStmt TransactionStmt PrepareStmt ExecuteStmt DeallocateStmt DeclareCursorStmt FetchStmt ClosePortalStmt ListenStmt UnlistenStmt
  DiscardStmt LoadStmt ConstraintsSetStmt`.split(/\s+/),
);
/** Statements that write and leave the catalogue as it is. */
const PLAIN_WRITES = new Set(
  `InsertStmt UpdateStmt DeleteStmt MergeStmt CopyStmt CallStmt DoStmt NotifyStmt LockStmt CheckPointStmt VacuumStmt TruncateStmt RefreshMatViewStmt
  ReindexStmt ClusterStmt`.split(/\s+/),
);
/** What makes rows of no declared type. */
const RECORDS = new Set(['RowExpr', 'CTESearchClause', 'CTECycleClause']);
/** What stands in FROM without being a relation. */
const DERIVED = new Set('RangeSubselect RangeFunction RangeTableFunc JsonTable'.split(' '));
const RANK: Record<StatementClass, number> = { read: 0, session: 1, write: 2 };
/** Functions that read and tell something of the connection they run on, or that keep it busy on purpose. */
const ATTACHED = new Set(
  `current_setting pg_backend_pid pg_show_all_settings inet_client_addr inet_client_port pg_sleep pg_sleep_for pg_sleep_until`.split(
    ' ',
  ),
);
/** Statements that change what their connection goes by from then on. */
const SETTING = new Set(['VariableSetStmt', 'LoadStmt', 'DiscardStmt']);
const CONTROL = new Set(
  'BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE ROLLBACK_TO'.split(' ').map((kind) => `TRANS_STMT_${kind}`),
);
const SAMPLING = new Set(['bernoulli', 'system']);

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
  #isShow = false;
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
    return this.#isShow || this.calls.some(({ name }) => ATTACHED.has(name));
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
    else if (type === 'VariableShowStmt') this.#isShow = true;
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

  /** @returns the names that are CTEs in the rest of the statement; without RECURSIVE each body sees only those before it */
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
    } else if (type === 'A_Indirection') this.#path(node['indirection'], operandOf(node['arg']));
    else if (type === 'RangeTableSample') this.#sampling(node);
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
    if (name !== undefined && name.schema !== 'pg_catalog') this.types.push(name);
  }

  #sampling({ method }: Fields): void {
    const name = nameOf(method);
    if (name === undefined || !SAMPLING.has(name.name)) this.decide('write', 'a sampling method that is not built in');
  }
}

/** Names of CTEs, with those of the statements around. */
class Scope {
  readonly #outer: Scope | undefined;
  readonly #names = new Set<string>();

  constructor(outer?: Scope) {
    this.#outer = outer;
  }

  has(name: string): boolean {
    return this.#names.has(name) || this.#outer?.has(name) === true;
  }

  add(name: string): void {
    this.#names.add(name);
  }
}

const NO_NAMES = new Scope();

function nameOf(parts: unknown): Name | undefined {
  if (!Array.isArray(parts)) return undefined;
  const texts = (parts as { String?: { sval?: string } }[]).map(({ String: part }) => part?.sval ?? '');
  const name = texts.at(-1);
  return name === undefined ? undefined : { schema: texts.at(-2), name };
}

/** The columns of a subquery; `undefined` where its text does not name them all. */
function columnsOf({ subquery, alias }: Fields): ReadonlySet<string> | undefined {
  const { targetList = [], op } = Object((Object(subquery) as { SelectStmt?: Fields }).SelectStmt) as Fields;
  if (op !== 'SETOP_NONE' || (Object(alias) as Fields)['colnames'] !== undefined) return undefined;
  const names = (targetList as { ResTarget: Fields }[]).map(({ ResTarget: { name, val } }) => {
    const { fields = [] } = Object((Object(val) as { ColumnRef?: Fields }).ColumnRef) as { fields?: Fields[] };
    return name ?? (fields.at(-1)?.['String'] as { sval?: string } | undefined)?.sval;
  });
  return names.length === 0 || names.includes(undefined) ? undefined : new Set(names as string[]);
}

function isTemporary({ relation, into, view, sequence }: Fields): boolean {
  const made = (relation ?? (into as Fields | undefined)?.['rel'] ?? view ?? sequence) as Fields | undefined;
  return made?.['relpersistence'] === 't' || made?.['schemaname'] === 'pg_temp';
}

/** A transaction's mode and its value; of numbers 0 is not written down. */
function modeOf({ defname, arg }: Fields): [string, string] {
  const { sval, ival } = ((arg as Fields)['A_Const'] ?? {}) as { sval?: { sval?: string }; ival?: { ival?: number } };
  return [String(defname), String(sval?.sval ?? ival?.ival ?? 0)];
}

/** An option's value as DefElem carries it: nothing at all means on. `undefined` for one that PostgreSQL would not take. */
function switchOf(arg: unknown): boolean | undefined {
  if (arg === undefined) return true;
  const [node] = Object.values(arg as Record<string, { sval?: string; boolval?: boolean; ival?: number }>);
  const value = String(node?.sval ?? node?.boolval ?? node?.ival ?? 0).toLowerCase();
  if (['on', 'true', '1'].includes(value)) return true;
  return ['off', 'false', '0'].includes(value) ? false : undefined;
}
