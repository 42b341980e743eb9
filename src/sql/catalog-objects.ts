/**
 * The objects of a catalogue by name and by oid, and which of them a name means on the search path.
 * It judges nothing.
 */
import type { CatalogRows, FunctionRow, OperatorRow, RelationRow, TypeRow } from './catalog-rows.js';
import { Overloads } from './overloads.js';
import type { Name } from './tree.js';
import { isBuiltIn, type ValueTypes } from './type-kin.js';

/** Schemas whose objects are built in. */
export const SYSTEM_SCHEMAS: ReadonlySet<string> = new Set(['pg_catalog', 'information_schema', 'pg_toast']);
/** A cast to one of them may be written as a call, although no function has that name. */
const CALLED_TYPES: ReadonlySet<string> = new Set(
  `json jsonb uuid xml tsquery tsvector regproc regprocedure regoper regoperator regclass regcollation regtype regrole
  regnamespace regconfig regdictionary oid xid xid8 cid tid pg_lsn bytea name`.split(/\s+/),
);

/** An implicit cast: two types by oid, and the function. */
export type CastRow = readonly [source: string, target: string, part: string];

export class CatalogObjects {
  readonly #searchPath: readonly string[];
  readonly #functions: ReadonlyMap<string, readonly FunctionRow[]>;
  readonly #functionsByOid: ReadonlyMap<string, FunctionRow>;
  readonly #relations: ReadonlyMap<string, readonly RelationRow[]>;
  readonly #operators: ReadonlyMap<string, readonly OperatorRow[]>;
  readonly #types: ReadonlyMap<string, readonly TypeRow[]>;
  readonly #checks: ReadonlyMap<string, readonly string[]>;
  readonly casts: readonly CastRow[];
  readonly overloads: Overloads;

  constructor(rows: CatalogRows) {
    this.#searchPath = rows.searchPath;
    this.#functions = byName(rows.functions);
    this.#functionsByOid = new Map(rows.functions.map((row) => [row.oid, row]));
    this.#relations = byName(rows.relations);
    this.#operators = byName(rows.operators);
    this.#types = byName(rows.types);
    this.#checks = new Map(rows.types.map(({ oid, checks }) => [oid, checks ?? []]));
    this.casts = rows.resolution.casts.map((cast) => cast.split(' ') as [string, string, string]);
    this.overloads = new Overloads(rows, {
      functions: (name, count) => this.functions(name, count),
      operators: (name) => this.#visible(this.#operators, name),
      relations: (name) => this.relations(name),
      types: (name) => this.types(name),
      functionBehind: ({ call }) => this.functionOf(call),
    });
  }

  /** Functions that a name can mean with so many arguments. */
  functions(name: Name, argCount: number | undefined): readonly FunctionRow[] {
    return this.#visible(this.#functions, name).filter((row) => takes(row, argCount));
  }

  /** Functions of that name in any schema. */
  functionsNamed(name: string): readonly FunctionRow[] {
    return this.#functions.get(name) ?? [];
  }

  functionOf(oid: string): FunctionRow | undefined {
    return this.#functionsByOid.get(oid);
  }

  /** Relations that a name can mean, the likeliest first. */
  relations(name: Name): readonly RelationRow[] {
    return this.#visible(this.#relations, name);
  }

  /** Relations of that name in any schema. */
  relationsNamed(name: string): readonly RelationRow[] {
    return this.#relations.get(name) ?? [];
  }

  hasOperator(name: string): boolean {
    return this.#operators.has(name);
  }

  types(name: Name): readonly TypeRow[] {
    return this.#visible(this.#types, name);
  }

  /** Functions of implicit casts that a statement's values may go through. */
  *unaskedCasts(values: ValueTypes): Generator<string> {
    for (const [source, target, part] of this.casts) {
      // A cast between built-in types is a superuser's, and may be met anywhere.
      const isFromUsers = isBuiltIn(source) || values.brings(source, false);
      const isMet = isBuiltIn(target) ? isFromUsers : values.has(source) && values.brings(target, true);
      if (isMet) yield part;
    }
  }

  /** The conditions of a domain, by its oid. */
  checksOf(type: string): readonly string[] {
    return this.#checks.get(type) ?? [];
  }

  /** In the schema of the name; else wherever on the search path, in its order. */
  #visible<Row extends { readonly schema: string }>(
    rows: ReadonlyMap<string, readonly Row[]>,
    { schema, name }: Name,
  ): readonly Row[] {
    const all = rows.get(name) ?? [];
    if (schema !== undefined) return all.filter((row) => row.schema === schema);
    const inPath = all.filter((row) => this.#searchPath.includes(row.schema));
    return [...inPath].sort((a, b) => this.#searchPath.indexOf(a.schema) - this.#searchPath.indexOf(b.schema));
  }
}

/** Whether `type(value)` can be a cast to a built-in type. */
export function isCalledType({ schema, name }: Name): boolean {
  return schema === undefined && CALLED_TYPES.has(name);
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
