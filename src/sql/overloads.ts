/**
 * Which operators or functions of one name PostgreSQL may choose for a statement. It leaves out
 * those that take a user's type which no value in the statement can have, and all of them where a
 * built-in one takes exactly the operands. It never says which one is chosen, nor what it does.
 */
import type { CatalogRows, FunctionRow, OperatorRow, RelationRow, TypeRow } from './catalog-rows.js';
import type { Call, Facts, Field, Table } from './facts.js';
import type { Operation } from './operands.js';
import type { Name } from './tree.js';
import { builtInOid, isBuiltIn, type Meanings, RECORD, type Sources, TypeKin, ValueTypes } from './type-kin.js';

/** What the words of a definition may mean beside what the catalogue says. */
export interface Given {
  /** Types of a function's arguments, or of a domain's value. */
  readonly types?: readonly string[];
  /** The relation whose columns a policy means. */
  readonly relation?: RelationRow;
}

/** Finds objects by name, as the search path has it. */
export interface Lookup {
  /** Those that take so many arguments. */
  functions(name: Name, argCount: number | undefined): readonly FunctionRow[];
  operators(name: Name): readonly OperatorRow[];
  relations(name: Name): readonly RelationRow[];
  types(name: Name): readonly TypeRow[];
  functionBehind(row: OperatorRow): FunctionRow | undefined;
}

/** Of functions whose results are what others take; more would be made for this. */
const MAX_PASSES = 8;

type Signatures = ReadonlyMap<string, ReadonlySet<string>>;
interface Found {
  readonly table: Table;
  readonly row: RelationRow | undefined;
}

export class Overloads {
  readonly #lookup: Lookup;
  readonly #kin: TypeKin;
  readonly #isBuiltInFirst: boolean;
  readonly #operators: Signatures;
  readonly #functions: Signatures;
  readonly #records: ReadonlySet<string>;
  readonly #columns = new WeakMap<RelationRow, ReadonlyMap<string, string>>();

  constructor({ resolution, searchPath }: CatalogRows, lookup: Lookup) {
    this.#lookup = lookup;
    this.#kin = new TypeKin(resolution.kin);
    // Functions and operators are never looked for among a session's temporary objects, which come
    // first.
    this.#isBuiltInFirst = searchPath.find((schema) => !schema.startsWith('pg_temp')) === 'pg_catalog';
    this.#operators = signaturesOf(resolution.operators);
    this.#functions = signaturesOf(resolution.functions);
    this.#records = new Set(resolution.records);
  }

  /**
   * Functions that a call can mean. @param canBeBuiltIn whether nothing is amiss if there are none
   */
  called(call: Call, rows: readonly FunctionRow[], canBeBuiltIn: boolean, values: ValueTypes): readonly FunctionRow[] {
    if (rows.length === 0 || this.isExact(call, values)) return [];
    const met = rows.filter(({ takes }) => values.canMeet(takes.split(' '), call.operands));
    // If nothing else can be meant, then what is believed of the types is wrong.
    return met.length === 0 && !canBeBuiltIn ? rows : met;
  }

  /** Whether a call means a built-in function, whatever else there is. */
  isExact({ schema, name, operands }: Call, values: ValueTypes): boolean {
    const builtIn = this.#functions.get(name);
    return schema === undefined && this.#isBuiltInFirst && builtIn !== undefined && values.isExactly(builtIn, operands);
  }

  /** Whether `name(value)` may be a cast to a type of that name, although there are functions. */
  mayBeCast(call: Call, values: ValueTypes): boolean {
    return call.argCount === 1 && !this.isExact(call, values);
  }

  /** Operators of users that may be applied. */
  applied({ schema, name, operands }: Operation, values: ValueTypes): readonly OperatorRow[] {
    const rows = this.#lookup.operators({ schema, name });
    const builtIn = this.#operators.get(name);
    const canBeBuiltIn = schema === undefined && builtIn !== undefined;
    if (rows.length === 0) return rows;
    if (canBeBuiltIn && this.#isBuiltInFirst && values.isExactly(builtIn, operands)) return [];
    const met = rows.filter(({ takes }) => {
      const parameters = takes.split(' ');
      return parameters.length === operands.length && values.canMeet(parameters, operands);
    });
    return met.length === 0 && !canBeBuiltIn ? rows : met;
  }

  /**
   * Functions of a row that may be meant by `row.name`: a column of that name would be meant
   * instead.
   */
  takingRow({ name, of, isOfAny }: Field, facts: Facts, values: ValueTypes): readonly FunctionRow[] {
    const all = this.#lookup.functions({ schema: undefined, name }, 1);
    // Of a table it is a row that is taken; anything else may have any type.
    const rows = of === undefined ? all : all.filter((row) => !isBuiltIn(firstOf(row)));
    if (rows.length === 0 || isOfAny) return rows;
    const tables = of === undefined ? [] : facts.relations.filter(({ alias }) => alias === of);
    const relations = tables.map((table) => this.#lookup.relations(table)[0]).filter((row) => row !== undefined);
    const lacking = relations.filter((row) => !this.#columnsOf(row).has(name)).map(({ rowType }) => rowType);
    const isTable = tables.length > 0 && !facts.derived.has(of ?? '');
    const isKnown = isTable || (tables.length === 0 && facts.derived.get(of ?? '')?.has(name) === true);
    const met = this.#kin.reach(isKnown ? lacking : [...lacking, RECORD]);
    return rows.filter((row) => {
      const taken = firstOf(row);
      return isBuiltIn(taken) || met.has(taken) || (!isKnown && values.has(taken));
    });
  }

  /**
   * The types of all values that there can be in a statement. What a namesake gives counts if it
   * may be chosen itself.
   */
  valuesIn(facts: Facts, given: Given | undefined): ValueTypes {
    const found = facts.relations.map((table) => ({ table, row: this.#lookup.relations(table)[0] }));
    if (given?.relation !== undefined) {
      const { schema, name } = given.relation;
      found.push({ table: { schema, name, alias: name }, row: given.relation });
    }
    const values = new ValueTypes(this.#kin, this.#meanings(facts, given, found), this.#sources(facts, given, found));
    for (let pass = 0; pass < MAX_PASSES; pass++) {
      const given = new Set<string>();
      for (const types of this.#given(facts, values)) for (const type of types) given.add(type);
      if (!values.add([...given])) return values;
    }
    values.open();
    return values;
  }

  /** Types of what functions give that may be called. */
  *#given(facts: Facts, values: ValueTypes): Generator<readonly string[]> {
    for (const call of facts.calls) {
      const rows = this.#lookup.functions(call, call.argCount);
      for (const { gives } of this.called(call, rows, this.#functions.has(call.name), values)) yield gives.split(' ');
      if (this.mayBeCast(call, values)) yield this.#lookup.types(call).map(({ oid }) => oid);
    }
    for (const operation of facts.operators) {
      for (const row of this.applied(operation, values)) {
        yield this.#lookup.functionBehind(row)?.gives.split(' ') ?? [];
      }
    }
    for (const field of facts.fields) {
      for (const { gives } of this.takingRow(field, facts, values)) yield gives.split(' ');
    }
  }

  #sources(facts: Facts, given: Given | undefined, found: readonly Found[]): Sources | undefined {
    const ofColumns = found.flatMap(({ row }) => (row === undefined ? [] : [...this.#columnsOf(row).values()]));
    const ofOthers = [...(given?.types ?? [])];
    // A whole row's fields have types that its relation's columns have.
    for (const { table, row } of found)
      if (row !== undefined && facts.rows.has(table.alias)) ofOthers.push(row.rowType);
    if (facts.hasRecords || facts.calls.some(({ name }) => this.#records.has(name))) ofOthers.push(RECORD);
    for (const name of facts.types) {
      const types = this.#lookup.types(name);
      const relations = this.#lookup.relations(name);
      // Arrays are named after their elements, more or less.
      if (types.length + relations.length === 0 && name.name.startsWith('_')) return undefined;
      ofOthers.push(...types.map(({ oid }) => oid), ...relations.map(({ rowType }) => rowType));
    }
    const isAnyNamed = facts.renames || facts.comparesUnnamed;
    return { ofColumns, ofOthers, hasField: (field) => isAnyNamed || facts.columns.has(field) };
  }

  #meanings({ isFlat }: Facts, given: Given | undefined, found: readonly Found[]): Meanings {
    const typeOf = (name: readonly string[]): string | undefined => {
      const [last = '', schema] = [...name].reverse();
      if (schema === 'pg_catalog') return builtInOid(last);
      if (schema === undefined && this.#isBuiltInFirst && builtInOid(last) !== undefined) return builtInOid(last);
      return this.#lookup.types({ schema, name: last })[0]?.oid;
    };
    const columnTypes = (column: string, of: string | undefined): readonly string[] | undefined => {
      // A function's arguments have names as well.
      if (!isFlat || given?.types !== undefined) return undefined;
      const named = found.filter(({ table: { alias } }) => of === undefined || alias === of);
      const types = named.map(({ row }) => (row === undefined ? undefined : this.#columnsOf(row).get(column)));
      // A name alone may be that of a whole row; with its table's it is a function of the row where
      // there is no such column.
      const isDoubtful =
        of === undefined ? found.some(({ table }) => table.alias === column) : types.includes(undefined);
      if (isDoubtful || named.some(({ row }) => row === undefined)) return undefined;
      const known = new Set(types.filter((type) => type !== undefined));
      return known.size === 0 ? undefined : [...known];
    };
    return { columnTypes, typeOf };
  }

  #columnsOf(row: RelationRow): ReadonlyMap<string, string> {
    let columns = this.#columns.get(row);
    if (columns === undefined) {
      columns = new Map(row.columns.map((text) => split(text, text.indexOf(' '))).map(([type, name]) => [name, type]));
      this.#columns.set(row, columns);
    }
    return columns;
  }
}

function firstOf({ takes }: FunctionRow): string {
  return takes.split(' ')[0] ?? '';
}

/** @param texts a name, a blank, and the operands' types with blanks between them */
function signaturesOf(texts: readonly string[]): Signatures {
  const found = new Map<string, Set<string>>();
  for (const text of texts) {
    const [name, types] = split(text, text.indexOf(' '));
    const known = found.get(name);
    if (known === undefined) found.set(name, new Set([types]));
    else known.add(types);
  }
  return found;
}

function split(text: string, at: number): [before: string, after: string] {
  return [text.slice(0, at), text.slice(at + 1)];
}
