/**
 * What the server's catalogue says of the names in a statement: which functions, views, operators, casts, domains, aggregates and policies hide something that
 * only the primary can do. It is handed rows, and parses definitions when they are first asked for. Unknown names are told as such.
 */
import { builtIns, needPrimary, safeVolatile, serverDirected, sessionState, volatileBuiltIns } from './built-ins.js';
import { type Call, type Facts, factsOf, type Name, type StatementClass } from './facts.js';
import type { Grammar, Token } from './grammar.js';

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
}

/** An operator with the function behind it. */
export interface OperatorRow {
  readonly schema: string;
  readonly name: string;
  readonly call: string;
}

/** A type with what runs when something is cast to it. */
export interface TypeRow {
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

export class Catalog {
  readonly #grammar: Grammar;
  readonly #searchPath: readonly string[];
  readonly #functions: ReadonlyMap<string, readonly FunctionRow[]>;
  readonly #functionsByOid: ReadonlyMap<string, FunctionRow>;
  readonly #relations: ReadonlyMap<string, readonly RelationRow[]>;
  readonly #operators: ReadonlyMap<string, readonly OperatorRow[]>;
  readonly #types: ReadonlyMap<string, readonly TypeRow[]>;
  readonly #declared: ReadonlySet<string>;
  readonly #judged = new Map<object, Judgement>();
  /** What is being judged now. */
  readonly #open: object[] = [];
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
    this.#declared = new Set(declared.map((name) => name.replace(/\s*([(),])\s*/g, '$1')));
  }

  /** What a statement is, with all that its names stand for. */
  judge(facts: Facts): Judgement {
    let worst = facts.class === 'read' ? SAFE : { class: facts.class, because: facts.because };
    if (worst.class === 'write') return worst;
    for (const judgement of this.#judgements(facts)) {
      if (judgement.class === 'write') return judgement;
      if (worst.class === 'read' && (judgement.class === 'session' || judgement.isDeclared === true)) worst = judgement;
    }
    return worst;
  }

  *#judgements(facts: Facts): Generator<Judgement> {
    const { calls, fields, relations, operators, types } = facts;
    for (const call of calls) yield this.#call(call);
    for (const field of fields) yield this.#field(field);
    for (const relation of relations) {
      yield this.#relation(relation);
      yield this.#hidden(relation, facts);
    }
    for (const operator of operators) yield this.#operator(operator);
    for (const type of types) yield this.#type(type);
  }

  /** Overloads are told apart by how many arguments they take; where several could be meant, the worst is. */
  #call(call: Call): Judgement {
    const own = this.#visible(this.#functions, call).filter((row) => takes(row, call.argCount));
    const isSystem = call.schema !== undefined && SYSTEM_SCHEMAS.has(call.schema);
    const canBeBuiltIn = (call.schema === undefined || isSystem) && builtIns.has(call.name);
    if (call.schema === 'information_schema') return SAFE;
    if (own.length === 0 && !canBeBuiltIn)
      return call.argCount === 1 ? this.#castByName(call) : unknown('function', call);
    const all = own.flatMap((row) => [this.#function(row), this.#defaults(row, call.argCount)]);
    return worstOf(canBeBuiltIn ? [builtIn(call.name), ...all] : all);
  }

  /** `type(value)` is a cast. */
  #castByName(call: Call): Judgement {
    if (call.schema === undefined && BUILT_IN_TYPES.has(call.name)) return SAFE;
    return this.#visible(this.#types, call).length > 0 ? this.#type(call) : unknown('function', call);
  }

  /** The default arguments that a call leaves to the function. */
  #defaults({ schema, name, argCount, defaults }: FunctionRow, count: number | undefined): Judgement {
    if (defaults === null || (count !== undefined && count >= argCount)) return SAFE;
    return within(`a default argument of ${schema}.${name}`, this.#expression(defaults));
  }

  #function(row: FunctionRow): Judgement {
    return this.#once(row, () => {
      const name = `${row.schema}.${row.name}`;
      if (this.#declared.has(name) || this.#declared.has(`${name}(${row.signature.replaceAll(', ', ',')})`))
        return DECLARED;
      // Who installs an extension trusts it; its overloads of common names must not keep everybody on the primary.
      if (row.isOfExtension && row.volatility !== 'v') return SAFE;
      if (row.parts !== null) return within(`aggregate ${name}`, worstOf(row.parts.map((part) => this.#part(part))));
      if (row.language === 'sql' && row.body !== null) {
        const anywhere = row.hasOwnPath ? this.#words(row.body) : SAFE;
        return within(`function ${name}`, worstOf([anywhere, this.#body(row.body)]));
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

  /** `row.name` may be the call of a function that takes the row. */
  #field(field: string): Judgement {
    const takingRows = (this.#functions.get(field) ?? []).filter(
      ({ argCount, signature }) => argCount === 1 && this.#relations.has(signature.split('.').at(-1) ?? ''),
    );
    return worstOf(takingRows.map((row) => this.#function(row)));
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
        ...(row.policies ?? []).map((condition) => within('row security', this.#expression(condition))),
        ...(row.definition === null ? [] : [this.#text(row.definition)]),
      ];
      return within(row.kind === 'v' ? `view ${name}` : name, worstOf(judgements));
    });
  }

  #operator({ schema, name }: Name): Judgement {
    const rows = this.#visible(this.#operators, { schema, name });
    return worstOf(rows.map((row) => within(`operator ${name}`, this.#behindOperator(row.call))));
  }

  /** An operator is told from its namesakes by types, which are not worked out: one in C must not keep every `=` on the primary. */
  #behindOperator(part: string): Judgement {
    const row = this.#functionsByOid.get(part);
    return row?.language === 'c' && row.volatility !== 'v' ? SAFE : this.#part(part);
  }

  #type({ schema, name }: Name): Judgement {
    const rows = this.#visible(this.#types, { schema, name });
    return worstOf(rows.map((row) => this.#typeRow(row)));
  }

  #typeRow(row: TypeRow): Judgement {
    return this.#once(row, () => {
      const [name = '', schema] = (row.base ?? '').split('.').reverse();
      const judgements = [
        ...(row.casts ?? []).map((part) => this.#part(part)),
        ...(row.checks ?? []).map((condition) => this.#expression(condition)),
        ...(row.base === null ? [] : [this.#type({ schema, name })]),
      ];
      return within(`type ${row.schema}.${row.name}`, worstOf(judgements));
    });
  }

  #expression(text: string): Judgement {
    return this.#text(`select ${text}`);
  }

  /** The body of a function in SQL: a list of statements, or one that PostgreSQL has parsed already. */
  #body(body: string): Judgement {
    const atomic = /^\s*begin\s+atomic\s([\s\S]*?)\s*end\s*$/i.exec(body)?.[1];
    const returned = /^\s*return\s([\s\S]*)$/i.exec(body)?.[1];
    return this.#text(atomic ?? (returned === undefined ? body : `select ${returned}`));
  }

  #text(text: string): Judgement {
    let facts: Facts;
    try {
      facts = factsOf(this.#grammar.parse(text));
    } catch {
      return { class: 'write', because: 'its definition could not be read' };
    }
    return this.judge(facts);
  }

  /** A body in plpgsql is not SQL: it is believed unless it names something that is not harmless. */
  #words(body: string): Judgement {
    let tokens: Token[];
    try {
      tokens = this.#grammar.tokens(body);
    } catch {
      return { class: 'write', because: 'its body could not be read' };
    }
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
    const all = (this.#functions.get(name) ?? []).map((row) => this.#function(row));
    return worstOf(builtIns.has(name) ? [builtIn(name), ...all] : all);
  }

  #mentioned(name: string): Judgement {
    return worstOf((this.#relations.get(name) ?? []).map((row) => this.#row(row)));
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
   * is judged again when it is asked for again.
   */
  #once(object: object, judge: () => Judgement): Judgement {
    const known = this.#judged.get(object);
    if (known !== undefined) return known;
    const open = this.#open.indexOf(object);
    if (open >= 0) {
      this.#leadsBackTo = Math.min(this.#leadsBackTo, open);
      return SAFE;
    }
    const place = this.#open.push(object) - 1;
    const before = this.#leadsBackTo;
    this.#leadsBackTo = Number.POSITIVE_INFINITY;
    try {
      const judgement = judge();
      if (judgement.class !== 'read' || this.#leadsBackTo >= place) this.#judged.set(object, judgement);
      return judgement;
    } finally {
      this.#open.length = place;
      this.#leadsBackTo = Math.min(before, this.#leadsBackTo < place ? this.#leadsBackTo : Number.POSITIVE_INFINITY);
    }
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

function builtIn(name: string): Judgement {
  if (sessionState.has(name)) return { class: 'session', because: `${name}() belongs to its session` };
  if (serverDirected.has(name)) return { class: 'write', because: `${name}() tells of the server that is asked` };
  if (needPrimary.has(name) || (volatileBuiltIns.has(name) && !safeVolatile.has(name))) {
    return { class: 'write', because: `${name}() needs the primary` };
  }
  return SAFE;
}

function worstOf(judgements: readonly Judgement[]): Judgement {
  return (
    judgements.find((judgement) => judgement.class === 'write') ??
    judgements.find((judgement) => judgement.class === 'session') ??
    judgements.find((judgement) => judgement.isDeclared) ??
    SAFE
  );
}

function within(what: string, judgement: Judgement): Judgement {
  return judgement === SAFE ? SAFE : { ...judgement, because: `${what}: ${judgement.because}` };
}

function unknown(what: string, { schema, name }: Name): Judgement {
  const full = schema === undefined ? name : `${schema}.${name}`;
  return { class: 'write', because: `${what} ${full} is not known`, unknown: full };
}
