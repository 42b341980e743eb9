/**
 * What the server's catalogue says of the names in a statement: which functions, views, operators, casts, domains, aggregates and policies hide something that
 * only the primary can do. It is handed rows, and parses definitions when they are first asked for. Unknown names are told as such.
 */
import { builtIns, needPrimary, safeVolatile, serverDirected, sessionState, volatileBuiltIns } from './built-ins.js';
import type { Call, Facts, Field, StatementClass } from './facts.js';
import type { Grammar, Token } from './grammar.js';
import type { Operation } from './operands.js';
import { type Given, Overloads } from './overloads.js';
import type { Name } from './tree.js';
import { isBuiltIn, type ValueTypes } from './type-kin.js';
import { factsOf } from './walk.js';

export interface FunctionRow {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  readonly argCount: number;
  readonly defaultCount: number;
  readonly isVariadic: boolean;
  /** Of its arguments' types, as PostgreSQL prints them. */
  readonly signature: string;
  readonly volatility: 'i' | 's' | 'v';
  readonly language: string;
  /** In SQL and plpgsql what was written; of an internal one the name of the built-in behind it. */
  readonly body: string | null;
  readonly isOfExtension: boolean;
  /** Whether it has a search path of its own, so that the names in it mean what they mean there. */
  readonly hasOwnPath: boolean;
  /** Its default arguments, as a list. */
  readonly defaults: string | null;
  /** An aggregate's functions. */
  readonly parts: readonly string[] | null;
  /** Types of its arguments by oid, with blanks between them. */
  readonly takes: string;
  /** Types of its results, likewise. */
  readonly gives: string;
}

export interface RelationRow {
  readonly schema: string;
  readonly name: string;
  readonly kind: string;
  readonly persistence: string;
  /** A view's query. */
  readonly definition: string | null;
  /** Row security's conditions. */
  readonly policies: readonly string[] | null;
  /** What may be applied to its columns without being asked for, by casts and comparisons: `column`, a blank, and the function. */
  readonly hidden: readonly string[] | null;
  /** The type of its rows by oid. */
  readonly rowType: string;
  /** Each column: its type by oid, a blank, and its name. */
  readonly columns: readonly string[];
  /** Tables below it: partitions, and those that inherit from it. */
  readonly memberCount: number;
}

/** An operator with the function behind it. */
export interface OperatorRow {
  readonly schema: string;
  readonly name: string;
  readonly call: string;
  /** Types of its operands by oid, with a blank between them if there are two. */
  readonly takes: string;
}

/** A type with what runs when something is cast to it. */
export interface TypeRow {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  /** Functions of casts to it. */
  readonly casts: readonly string[] | null;
  /** A domain's conditions. */
  readonly checks: readonly string[] | null;
  /** A domain's base type, as PostgreSQL prints it. */
  readonly base: string | null;
}

/** What the library reads of a catalogue, once. Built-in objects are not in it. */
export interface CatalogRows {
  readonly searchPath: readonly string[];
  readonly functions: readonly FunctionRow[];
  readonly relations: readonly RelationRow[];
  readonly operators: readonly OperatorRow[];
  readonly types: readonly TypeRow[];
  readonly resolution: ResolutionRow;
}

/** What PostgreSQL goes by when it chooses among namesakes: types by oid, with blanks between them. */
export interface ResolutionRow {
  /** Built-in operators that have namesakes: name and operands. */
  readonly operators: readonly string[];
  /** Built-in functions that have namesakes: name and arguments. */
  readonly functions: readonly string[];
  /** Built-in functions that give rows of no declared type. */
  readonly records: readonly string[];
  /** Two types, of which the first may turn into the second unasked. */
  readonly kin: readonly string[];
  /** Casts that are applied unasked: two types, and the function. */
  readonly casts: readonly string[];
}

/** What was read before, and the names of functions that may have changed since. */
export interface KnownFunctions {
  readonly rows: CatalogRows;
  readonly changed: ReadonlySet<string>;
}

/** What a statement or an object is found to be. */
export interface Judgement {
  readonly class: StatementClass;
  /** What decided, in words. */
  readonly because: string;
  /** A name that nobody knows, so that the catalogue may be out of date. */
  readonly unknown?: string;
  /** Whether that it only reads is somebody's word, and no proof. */
  readonly isDeclared?: true;
}

const SAFE: Judgement = { class: 'read', because: 'nothing in it writes' };
const DECLARED: Judgement = { ...SAFE, isDeclared: true };
/** Words that a plpgsql body of a function which only reads does not have. */
const WRITING_WORDS = new Set(
  'insert update delete merge truncate execute copy lock notify listen create alter drop grant revoke call'.split(' '),
);
/** Relations whose rows tell of the server that is asked, and of no other. */
const SERVER_VIEWS =
  /^pg_(stat_(?!ext)|statio_|locks$|cursors$|prepared_|replication_|backend_memory|shmem_|listening|aios$|dsm_|sequences$)/;
/** Those that one casts to by their name, although no function is called that. */
const BUILT_IN_TYPES = new Set(
  `json jsonb uuid xml tsquery tsvector regproc regprocedure regoper regoperator regclass regcollation regtype regrole regnamespace regconfig regdictionary
  oid xid xid8 cid tid pg_lsn bytea name`.split(/\s+/),
);
const SYSTEM_SCHEMAS = new Set(['pg_catalog', 'information_schema', 'pg_toast']);
/** In characters. A longer definition is not even asked for. */
export const MAX_DEFINITION_LENGTH = 2 ** 16;
const TOO_LONG: Judgement = { class: 'write', because: 'its definition is too long to be read' };
/** Of definitions that are read before others run, in characters: some 20 ms of the dearest. */
const TURN_LENGTH = 16_000;
/** Looks at objects, before others run; a look takes well below a microsecond. */
const TURN_STEPS = 50_000;
/** Looks at what is behind one object. */
const MAX_STEPS = 20_000;
/** Objects that each lead to the next: each takes some of the stack. */
const MAX_OPEN = 50;

/** So much is behind a statement that others should run before it is judged again. What has been found out by then is kept. */
export class Interruption extends Error {}

/** A server has more of it than a process should hold. */
export class CatalogTooLargeError extends Error {
  constructor() {
    super('the catalogue is too large to be read');
  }
}

/** It is the outermost object that leads too far. */
class TooMuchError extends Error {}

export class Catalog {
  readonly #grammar: Grammar;
  readonly #searchPath: readonly string[];
  readonly #functions: ReadonlyMap<string, readonly FunctionRow[]>;
  readonly #functionsByOid: ReadonlyMap<string, FunctionRow>;
  readonly #relations: ReadonlyMap<string, readonly RelationRow[]>;
  readonly #operators: ReadonlyMap<string, readonly OperatorRow[]>;
  readonly #types: ReadonlyMap<string, readonly TypeRow[]>;
  readonly #declared: ReadonlySet<string>;
  readonly #checks: ReadonlyMap<string, readonly string[]>;
  readonly #casts: readonly (readonly string[])[];
  readonly #overloads: Overloads;
  readonly #judged = new Map<object, Judgement>();
  readonly #tableCounts = new Map<RelationRow, number>();
  /** What was read for a judgement that was interrupted. */
  readonly #facts = new Map<string, Facts | undefined>();
  readonly #tokens = new Map<string, readonly Token[] | undefined>();
  #wasInterrupted = false;
  #turnLength = 0;
  #turnSteps = 0;
  #steps = 0;
  /** What is being judged now. */
  readonly #open: object[] = [];
  /** Harmless if what it leads back to is, which is being judged still; and in the order in which it was found to be. */
  readonly #pending = new Map<object, { readonly judgement: Judgement; readonly leadsBackTo: number }>();
  readonly #pendingOrder: object[] = [];
  /** The outermost of those that the judgement under way leads back to. */
  #leadsBackTo = Number.POSITIVE_INFINITY;

  /** @param declared VOLATILE functions that only read, as `schema.name` or `schema.name(types)` */
  constructor(rows: CatalogRows, grammar: Grammar, declared: readonly string[]) {
    this.#grammar = grammar;
    this.#searchPath = rows.searchPath;
    this.#functions = byName(rows.functions);
    this.#functionsByOid = new Map(rows.functions.map((row) => [row.oid, row]));
    this.#relations = byName(rows.relations);
    this.#operators = byName(rows.operators);
    this.#types = byName(rows.types);
    this.#checks = new Map(rows.types.map(({ oid, checks }) => [oid, checks ?? []]));
    this.#casts = rows.resolution.casts.map((cast) => cast.split(' '));
    this.#overloads = new Overloads(rows, {
      functions: (name, count) => this.#visible(this.#functions, name).filter((row) => takes(row, count)),
      operators: (name) => this.#visible(this.#operators, name),
      relations: (name) => this.#visible(this.#relations, name),
      types: (name) => this.#visible(this.#types, name),
      functionBehind: ({ call }) => this.#functionsByOid.get(call),
    });
    this.#declared = new Set(declared.map((name) => name.replace(/\s*([(),])\s*/g, '$1')));
  }

  /** Tables that a plan of a statement may lead through, partitions and those behind views included. */
  tableCountOf({ relations }: Facts): number {
    return relations.reduce((sum, relation) => sum + this.#tablesIn(this.#visible(this.#relations, relation)[0]), 0);
  }

  #tablesIn(row: RelationRow | undefined): number {
    if (row === undefined) return 1;
    const known = this.#tableCounts.get(row);
    if (known !== undefined) return known;
    // Until it is known: views may lead back to each other.
    this.#tableCounts.set(row, 1);
    const facts = row.definition === null ? undefined : this.#factsOfView(row.definition);
    const count = facts === undefined ? 1 + row.memberCount : this.tableCountOf(facts);
    this.#tableCounts.set(row, count);
    return count;
  }

  #factsOfView(definition: string): Facts | undefined {
    try {
      return definition.length > MAX_DEFINITION_LENGTH ? undefined : factsOf(this.#grammar.parse(definition));
    } catch {
      return undefined;
    }
  }

  /** What a statement is, with all that its names stand for. @throws Interruption */
  judge(facts: Facts): Judgement {
    this.#turnLength = 0;
    this.#turnSteps = 0;
    const judgement = this.#judge(facts, undefined);
    if (!this.#wasInterrupted) {
      this.#facts.clear();
      this.#tokens.clear();
    }
    return judgement;
  }

  #judge(facts: Facts, given: Given | undefined): Judgement {
    let worst = facts.class === 'read' ? SAFE : { class: facts.class, because: facts.because };
    if (worst.class === 'write') return worst;
    for (const judgement of this.#judgements(facts, given)) {
      if (judgement.class === 'write') return judgement;
      if (worst.class === 'read' && (judgement.class === 'session' || judgement.isDeclared === true)) worst = judgement;
    }
    return worst;
  }

  *#judgements(facts: Facts, given: Given | undefined): Generator<Judgement> {
    const { calls, fields, relations, operators, types } = facts;
    let found: ValueTypes | undefined;
    const values = (): ValueTypes => {
      found ??= this.#overloads.valuesIn(facts, given);
      return found;
    };
    for (const call of calls) yield this.#call(call, values);
    for (const field of fields) yield this.#field(field, facts, values);
    for (const relation of relations) {
      yield this.#relation(relation);
      yield this.#hidden(relation, facts);
    }
    for (const operator of operators) yield this.#operator(operator, values);
    for (const type of types) yield this.#type(type);
    if (this.#casts.length > 0) yield* this.#unasked(values());
  }

  /** Where several overloads could be meant, the worst is. */
  #call(call: Call, values: () => ValueTypes): Judgement {
    const own = this.#visible(this.#functions, call).filter((row) => takes(row, call.argCount));
    const isSystem = call.schema !== undefined && SYSTEM_SCHEMAS.has(call.schema);
    const canBeBuiltIn = (call.schema === undefined || isSystem) && builtIns.has(call.name);
    if (call.schema === 'information_schema') return SAFE;
    if (own.length === 0 && !canBeBuiltIn)
      return call.argCount === 1 ? this.#castByName(call) : unknown('function', call);
    return worstOf(this.#meant(call, own, canBeBuiltIn, values));
  }

  *#meant(
    call: Call,
    own: readonly FunctionRow[],
    canBeBuiltIn: boolean,
    values: () => ValueTypes,
  ): Generator<Judgement> {
    if (canBeBuiltIn) yield builtIn(call.name);
    const met = own.length === 0 ? own : this.#overloads.called(call, own, canBeBuiltIn, values());
    for (const row of met) {
      yield this.#function(row);
      yield this.#defaults(row, call.argCount);
      yield this.#arguments(row.takes);
    }
    const hasType = call.argCount === 1 && this.#visible(this.#types, call).length > 0;
    if (hasType && this.#overloads.mayBeCast(call, values())) yield this.#type(call);
  }

  /** `type(value)` is a cast. */
  #castByName(call: Call): Judgement {
    if (call.schema === undefined && BUILT_IN_TYPES.has(call.name)) return SAFE;
    return this.#visible(this.#types, call).length > 0 ? this.#type(call) : unknown('function', call);
  }

  /** The default arguments that a call leaves to the function. */
  #defaults({ schema, name, argCount, defaults }: FunctionRow, count: number | undefined): Judgement {
    if (defaults === null || (count !== undefined && count >= argCount)) return SAFE;
    return within(`a default argument of ${schema}.${name}`, this.#expression(defaults, { types: [] }));
  }

  #function(row: FunctionRow): Judgement {
    return this.#once(row, () => {
      const name = `${row.schema}.${row.name}`;
      if (this.#declared.has(name) || this.#declared.has(`${name}(${row.signature.replaceAll(', ', ',')})`))
        return DECLARED;
      // Who installs an extension trusts it; its overloads of common names must not keep everybody on the primary.
      if (row.isOfExtension && row.volatility !== 'v') return SAFE;
      if (row.body !== null && row.body.length > MAX_DEFINITION_LENGTH) return within(`function ${name}`, TOO_LONG);
      if (row.parts !== null) return within(`aggregate ${name}`, worstOf(each(row.parts, (part) => this.#part(part))));
      if (row.language === 'sql' && row.body !== null) {
        const anywhere = row.hasOwnPath ? this.#words(row.body) : SAFE;
        return within(`function ${name}`, worstOf([anywhere, this.#body(row.body, givenTo(row))]));
      }
      if (row.language === 'plpgsql' && row.body !== null && row.volatility !== 'v') {
        return within(`function ${name}`, this.#words(row.body));
      }
      // Its source names C code, which a superuser alone can bind; some of it goes by another name than its function.
      if (row.language === 'internal' && row.body !== null && row.volatility !== 'v') {
        return within(`function ${name}`, builtIn(row.body.replace(/_oid$/, '')));
      }
      const what = row.volatility === 'v' ? 'is VOLATILE' : `is written in ${row.language}`;
      return { class: 'write', because: `function ${name} ${what}: declare it in readOnlyFunctions if it only reads` };
    });
  }

  /** `row.name` may be the call of a function that takes the row, and `(value).name` that of one that takes the value. */
  #field(field: Field, facts: Facts, values: () => ValueTypes): Judgement {
    const canBeBuiltIn = field.of === undefined && builtIns.has(field.name);
    const own = this.#functions.has(field.name) ? this.#overloads.takingRow(field, facts, values()) : [];
    const built = canBeBuiltIn ? builtIn(field.name) : SAFE;
    return worstOf([built, worstOf(each(own, (row) => this.#function(row)))]);
  }

  /** What may run when a function or an operator is given something of another type. */
  #arguments(types: string): Judgement {
    const own = types.split(' ').filter((type) => !isBuiltIn(type));
    return within('a cast of an argument', worstOf(each(own, (type) => this.#argument(type))));
  }

  #argument(type: string): Judgement {
    const casts = this.#casts.filter(([, target]) => target === type);
    const conditions = this.#checks.get(type) ?? [];
    return worstOf([
      worstOf(each(casts, ([, , part = '']) => this.#part(part))),
      worstOf(each(conditions, (condition) => this.#expression(condition, { types: [type] }))),
    ]);
  }

  /** Casts that nobody has written: from what the statement has, and to it. */
  *#unasked(values: ValueTypes): Generator<Judgement> {
    for (const [source = '', target = '', part = ''] of this.#casts) {
      // A cast between built-in types is a superuser's, and may be met anywhere.
      const isFromUsers = isBuiltIn(source) || values.brings(source, false);
      const isMet = isBuiltIn(target) ? isFromUsers : values.has(source) && values.brings(target, true);
      if (isMet) yield within('an implicit cast', this.#part(part));
    }
  }

  /** A function behind something else: `oid`, or a built-in's name. */
  #part(part: string): Judgement {
    const row = this.#functionsByOid.get(part);
    if (row !== undefined) return this.#function(row);
    return builtIns.has(part)
      ? builtIn(part)
      : { class: 'write', because: `a function of which nothing is known (${part})` };
  }

  #relation({ schema, name }: Name): Judgement {
    if (schema === 'information_schema') return SAFE;
    if (schema === 'pg_catalog' || (schema === undefined && name.startsWith('pg_'))) {
      if (SERVER_VIEWS.test(name)) return { class: 'write', because: `${name} tells of the server that is asked` };
      if (schema === 'pg_catalog' || this.#visible(this.#relations, { schema, name }).length === 0) return SAFE;
    }
    const [row] = this.#visible(this.#relations, { schema, name });
    return row === undefined ? unknown('relation', { schema, name }) : this.#row(row);
  }

  /** What the columns that a statement names, or compares unnamed, bring with them. */
  #hidden(relation: Name, { columns, comparesUnnamed }: Facts): Judgement {
    const [row] = this.#visible(this.#relations, relation);
    for (const entry of row?.hidden ?? []) {
      const at = entry.lastIndexOf(' ');
      const column = entry.slice(0, at);
      if (!comparesUnnamed && !columns.has(column)) continue;
      const judgement = this.#part(entry.slice(at + 1));
      if (judgement.class !== 'read') return within(`a cast or comparison of ${column}`, judgement);
    }
    return SAFE;
  }

  #row(row: RelationRow): Judgement {
    return this.#once(row, () => {
      const name = `${row.schema}.${row.name}`;
      if (row.persistence === 'u') return { class: 'write', because: `${name} is UNLOGGED: a replica cannot read it` };
      if (row.persistence === 't') return { class: 'session', because: `${name} is temporary` };
      if (row.kind === 'S') return { class: 'write', because: `${name} is a sequence: a replica runs ahead of it` };
      if (row.kind === 'f') return { class: 'write', because: `${name} is a foreign table` };
      const judgements = [
        ...(row.policies ?? []).map((condition) =>
          within('row security', this.#expression(condition, { relation: row })),
        ),
        ...(row.definition === null ? [] : [this.#text(row.definition)]),
      ];
      return within(row.kind === 'v' ? `view ${name}` : name, worstOf(judgements));
    });
  }

  #operator(operation: Operation, values: () => ValueTypes): Judgement {
    if (!this.#operators.has(operation.name)) return SAFE;
    const rows = this.#overloads.applied(operation, values());
    const judgements = each(rows, (row) => worstOf([this.#behindOperator(row.call), this.#arguments(row.takes)]));
    return within(`operator ${operation.name}`, worstOf(judgements));
  }

  /** An operator is told from its namesakes by types, which are not worked out: one in C must not keep every `=` on the primary. */
  #behindOperator(part: string): Judgement {
    const row = this.#functionsByOid.get(part);
    return row?.language === 'c' && row.volatility !== 'v' ? SAFE : this.#part(part);
  }

  #type({ schema, name }: Name): Judgement {
    const rows = this.#visible(this.#types, { schema, name });
    return worstOf(each(rows, (row) => this.#typeRow(row)));
  }

  #typeRow(row: TypeRow): Judgement {
    return this.#once(row, () => {
      const [name = '', schema] = (row.base ?? '').split('.').reverse();
      const judgements = [
        ...(row.casts ?? []).map((part) => this.#part(part)),
        ...(row.checks ?? []).map((condition) => this.#expression(condition, { types: [row.oid] })),
        ...(row.base === null ? [] : [this.#type({ schema, name })]),
      ];
      return within(`type ${row.schema}.${row.name}`, worstOf(judgements));
    });
  }

  #expression(text: string, given: Given): Judgement {
    return this.#text(`select ${text}`, given);
  }

  /** The body of a function in SQL: a list of statements, or one that PostgreSQL has parsed already. */
  #body(body: string, given: Given): Judgement {
    const atomic = /^\s*begin\s+atomic\s([\s\S]*?)\s*end\s*$/i.exec(body)?.[1];
    const returned = /^\s*return\s([\s\S]*)$/i.exec(body)?.[1];
    return this.#text(atomic ?? (returned === undefined ? body : `select ${returned}`), given);
  }

  #text(text: string, given?: Given): Judgement {
    if (text.length > MAX_DEFINITION_LENGTH) return TOO_LONG;
    const facts = this.#read(this.#facts, text, () => factsOf(this.#grammar.parse(text)));
    if (facts === undefined) return { class: 'write', because: 'its definition could not be read' };
    return this.#judge(facts, given);
  }

  /** Reads a definition once for a judgement, however often that is interrupted. `undefined` for what cannot be read. */
  #read<T>(known: Map<string, T | undefined>, text: string, read: () => T): T | undefined {
    if (known.has(text)) return known.get(text);
    const isMuch = this.#turnLength > 0 && this.#turnLength + text.length > TURN_LENGTH;
    if (isMuch || !this.#grammar.isWhole) this.#interrupt();
    this.#turnLength += text.length;
    let found: T | undefined;
    try {
      found = read();
    } catch {
      // It stays unknown.
    }
    known.set(text, found);
    return found;
  }

  #interrupt(): never {
    this.#wasInterrupted = true;
    throw new Interruption();
  }

  /** A body in plpgsql is not SQL: it is believed unless it names something that is not harmless. */
  #words(body: string): Judgement {
    const tokens = this.#read(this.#tokens, body, () => this.#grammar.tokens(body));
    if (tokens === undefined) return { class: 'write', because: 'its body could not be read' };
    let found = SAFE;
    for (const [i, { text, isQuoted }] of tokens.entries()) {
      if (!isQuoted && WRITING_WORDS.has(text)) return { class: 'write', because: `it says ${text.toUpperCase()}` };
      const judgement = tokens[i + 1]?.text === '(' ? this.#named(text) : this.#mentioned(text);
      if (judgement.class !== 'read') return judgement;
      if (judgement.isDeclared === true) found = judgement;
    }
    return found;
  }

  /** A function by its name alone, whatever schema and arguments it has. */
  #named(name: string): Judgement {
    const own = worstOf(each(this.#functions.get(name) ?? [], (row) => this.#function(row)));
    return builtIns.has(name) ? worstOf([builtIn(name), own]) : own;
  }

  #mentioned(name: string): Judgement {
    return worstOf(each(this.#relations.get(name) ?? [], (row) => this.#row(row)));
  }

  /** The objects that a name can mean: in its schema, or in the first ones of the search path that have it. */
  #visible<Row extends { readonly schema: string }>(
    rows: ReadonlyMap<string, readonly Row[]>,
    { schema, name }: Name,
  ): readonly Row[] {
    const all = rows.get(name) ?? [];
    if (schema !== undefined) return all.filter((row) => row.schema === schema);
    const inPath = all.filter((row) => this.#searchPath.includes(row.schema));
    return [...inPath].sort((a, b) => this.#searchPath.indexOf(a.schema) - this.#searchPath.indexOf(b.schema));
  }

  /**
   * Judges an object once. Objects may lead back to each other: one that is being judged counts as harmless meanwhile, and what was found harmless by that alone
   * is so for good as soon as the outermost of those that it leads back to is found harmless.
   */
  #once(object: object, judge: () => Judgement): Judgement {
    const known = this.#judged.get(object);
    if (known !== undefined) return known;
    this.#step();
    const pending = this.#pending.get(object);
    if (pending !== undefined) {
      this.#leadsBackTo = Math.min(this.#leadsBackTo, pending.leadsBackTo);
      return pending.judgement;
    }
    const open = this.#open.indexOf(object);
    if (open >= 0) {
      this.#leadsBackTo = Math.min(this.#leadsBackTo, open);
      return SAFE;
    }
    return this.#first(object, judge);
  }

  #first(object: object, judge: () => Judgement): Judgement {
    if (this.#open.length >= MAX_OPEN) throw new TooMuchError('it is nested too deeply');
    const place = this.#open.push(object) - 1;
    if (place === 0) this.#steps = 0;
    const before = this.#leadsBackTo;
    const pendingBefore = this.#pendingOrder.length;
    this.#leadsBackTo = Number.POSITIVE_INFINITY;
    let judgement: Judgement | undefined;
    try {
      judgement = judge();
      return judgement;
    } catch (error) {
      if (!(error instanceof TooMuchError) || place > 0) throw error;
      judgement = { class: 'write', because: error.message };
      return judgement;
    } finally {
      this.#settle(object, judgement, place, pendingBefore);
      this.#open.length = place;
      this.#leadsBackTo = Math.min(before, this.#leadsBackTo < place ? this.#leadsBackTo : Number.POSITIVE_INFINITY);
    }
  }

  /** @param judgement `undefined` when it was interrupted */
  #settle(object: object, judgement: Judgement | undefined, place: number, pendingBefore: number): void {
    const leadsBackTo = this.#leadsBackTo;
    if (judgement?.class === 'read' && leadsBackTo < place) {
      this.#pending.set(object, { judgement, leadsBackTo });
      this.#pendingOrder.push(object);
      return;
    }
    if (judgement !== undefined) this.#judged.set(object, judgement);
    // What is only declared to read is behind all of them then.
    const isHarmless = judgement?.class === 'read' && judgement.isDeclared !== true;
    for (const other of this.#pendingOrder.splice(pendingBefore)) {
      const found = this.#pending.get(other)?.judgement;
      if (isHarmless && found !== undefined) this.#judged.set(other, found);
      this.#pending.delete(other);
    }
  }

  #step(): void {
    if (++this.#turnSteps > TURN_STEPS) this.#interrupt();
    if (++this.#steps > MAX_STEPS && this.#open.length > 0) throw new TooMuchError('it leads to too much');
  }
}

function byName<Row extends { readonly name: string }>(rows: readonly Row[]): Map<string, Row[]> {
  const map = new Map<string, Row[]>();
  for (const row of rows) {
    const known = map.get(row.name);
    if (known === undefined) map.set(row.name, [row]);
    else known.push(row);
  }
  return map;
}

function takes({ argCount, defaultCount, isVariadic, parts }: FunctionRow, count: number | undefined): boolean {
  // An ordered-set aggregate's direct arguments stand elsewhere.
  if (count === undefined || parts !== null) return true;
  return isVariadic ? count >= argCount - 1 - defaultCount : count >= argCount - defaultCount && count <= argCount;
}

/** What a function's body can say without naming it. */
function givenTo({ takes: taken, gives }: FunctionRow): Given {
  return { types: [...taken.split(' '), ...gives.split(' ')] };
}

function builtIn(name: string): Judgement {
  if (sessionState.has(name)) return { class: 'session', because: `${name}() belongs to its session` };
  if (serverDirected.has(name)) return { class: 'write', because: `${name}() tells of the server that is asked` };
  if (needPrimary.has(name) || (volatileBuiltIns.has(name) && !safeVolatile.has(name))) {
    return { class: 'write', because: `${name}() needs the primary` };
  }
  return SAFE;
}

/** The first of the worst; asks for no more once it is a write. */
function worstOf(judgements: Iterable<Judgement>): Judgement {
  let worst = SAFE;
  for (const judgement of judgements) {
    if (judgement.class === 'write') return judgement;
    const isWorse = judgement.class === 'session' ? worst.class === 'read' : worst === SAFE && judgement.isDeclared;
    if (isWorse === true) worst = judgement;
  }
  return worst;
}

/** One after the other, as they are asked for. */
function* each<Row>(rows: Iterable<Row>, judge: (row: Row) => Judgement): Generator<Judgement> {
  for (const row of rows) yield judge(row);
}

function within(what: string, judgement: Judgement): Judgement {
  return judgement === SAFE ? SAFE : { ...judgement, because: `${what}: ${judgement.because}` };
}

function unknown(what: string, { schema, name }: Name): Judgement {
  const full = schema === undefined ? name : `${schema}.${name}`;
  return { class: 'write', because: `${what} ${full} is not known`, unknown: full };
}
