/**
 * What the answer of a statement depends on: all relations that it may touch, behind views,
 * functions and row security too, and whether it is the same again while these stay as they are.
 * Where it is not sure it names too many relations, and says that the answer may differ.
 */
import { builtIns } from './built-ins.js';
import { type CatalogObjects, SYSTEM_SCHEMAS } from './catalog-objects.js';
import type { FunctionRow, RelationRow, TypeRow } from './catalog-rows.js';
import { bodyText, type DefinitionReader, expressionText } from './definition-reader.js';
import type { Call, Facts, Field } from './facts.js';
import { givenTo } from './object-judge.js';
import type { Operation } from './operands.js';
import type { Given } from './overloads.js';
import { kindOf, type Relation } from './relations.js';
import type { Name } from './tree.js';
import type { Turn } from './turn.js';
import { isBuiltIn, type ValueTypes } from './type-kin.js';
import {
  lessSteady,
  type Repeatability,
  readsCatalog,
  STEADY,
  steadinessOf,
  steadinessOfBuiltIn,
  steadinessOfOperator,
  unsteadyWord,
} from './unsteady.js';

/** The oid of `time with time zone`. */
/** Of plpgsql: it runs a text that it makes. */
const EXECUTE = /^execute$/;
const TIMETZ = '1266';

export interface Reach {
  readonly relations: readonly Relation[];
  /** Why the statement may touch relations beside these; `undefined` when these are all. */
  readonly mayBeMore: string | undefined;
  readonly repeatability: Repeatability;
}

/** Finds the reach of one statement. Each object is looked at once, in no particular order. */
export class ReachFinder {
  readonly #objects: CatalogObjects;
  readonly #reader: DefinitionReader;
  readonly #turn: Turn;
  readonly #seen = new Set<object>();
  readonly #seenTexts = new Set<string>();
  /** What is still to be looked at: a list, for chains of objects would fill the stack. */
  readonly #due: (() => void)[] = [];
  readonly #relations = new Map<string, Relation>();
  #mayBeMore: string | undefined;
  #repeatability = STEADY;
  readonly #touchedAgain = new Set<string>();

  constructor(objects: CatalogObjects, reader: DefinitionReader, turn: Turn) {
    this.#objects = objects;
    this.#reader = reader;
    this.#turn = turn;
  }

  /** Relations that are touched in more than one place, such as behind a function of the statement as well; as `schema.name`. */
  get touchedAgain(): ReadonlySet<string> {
    return this.#touchedAgain;
  }

  /** @throws Interruption when others should run first: ask a new finder then */
  find(facts: Facts): Reach {
    this.#visit(facts, undefined);
    for (let next = this.#due.pop(); next !== undefined; next = this.#due.pop()) next();
    return {
      relations: [...this.#relations.values()],
      mayBeMore: this.#mayBeMore,
      repeatability: this.#repeatability,
    };
  }

  #visit(facts: Facts, given: Given | undefined): void {
    const { calls, fields, relations, operators, types, unsteady } = facts;
    let found: ValueTypes | undefined;
    const values = (): ValueTypes => {
      found ??= this.#objects.overloads.valuesIn(facts, given);
      return found;
    };
    for (const what of unsteady) this.#meets(steadinessOf(what));
    if (unsteady.has('EXPLAIN')) this.#misses('EXPLAIN reads the statistics of what it explains');
    for (const call of calls) this.#call(call, values);
    for (const field of fields) this.#field(field, facts, values);
    for (const relation of relations) this.#relation(relation, facts);
    for (const operator of operators) this.#operator(operator, values);
    for (const type of types) this.#type(type);
    if (this.#objects.casts.length > 0) for (const part of this.#objects.unaskedCasts(values())) this.#behind(part);
  }

  #meets(repeatability: Repeatability): void {
    this.#repeatability = lessSteady(this.#repeatability, repeatability);
  }

  #misses(why: string): void {
    this.#mayBeMore ??= why;
  }

  #call(call: Call, values: () => ValueTypes): void {
    if (call.schema === 'information_schema') return;
    const own = this.#objects.functions(call, call.argCount);
    const isSystem = call.schema !== undefined && SYSTEM_SCHEMAS.has(call.schema);
    const canBeBuiltIn = (call.schema === undefined || isSystem) && builtIns.has(call.name);
    if (canBeBuiltIn) this.#builtIn(call.name, call.argCount);
    const met = own.length === 0 ? own : this.#objects.overloads.called(call, own, canBeBuiltIn, values());
    for (const row of met) {
      this.#function(row);
      if (row.defaults !== null) this.#expression(row.defaults, { types: [] }, `function ${row.name}`);
      for (const type of row.takes.split(' ')) this.#argument(type);
    }
    // `type(value)` is a cast.
    if (call.argCount === 1) this.#type(call);
  }

  #field(field: Field, facts: Facts, values: () => ValueTypes): void {
    if (field.of === undefined && builtIns.has(field.name)) this.#builtIn(field.name, 1);
    if (this.#objects.functionsNamed(field.name).length === 0) return;
    for (const row of this.#objects.overloads.takingRow(field, facts, values())) this.#function(row);
  }

  #operator(operation: Operation, values: () => ValueTypes): void {
    this.#meets(steadinessOfOperator(operation.name));
    if (!this.#objects.hasOperator(operation.name)) return;
    for (const { call, takes } of this.#objects.overloads.applied(operation, values())) {
      this.#behind(call);
      for (const type of takes.split(' ')) this.#argument(type);
    }
  }

  /** What may run when something of another type is given for it. */
  #argument(type: string): void {
    if (isBuiltIn(type)) return;
    for (const [, target, part] of this.#objects.casts) if (target === type) this.#behind(part);
    for (const check of this.#objects.checksOf(type)) this.#expression(check, { types: [type] }, 'a domain');
  }

  #type(name: Name): void {
    for (const row of this.#objects.types(name)) if (this.#isNew(row)) this.#due.push(() => this.#typeRow(row));
  }

  #typeRow({ oid, casts, checks, base }: TypeRow): void {
    for (const part of casts ?? []) this.#behind(part);
    for (const check of checks ?? []) this.#expression(check, { types: [oid] }, 'a domain');
    const [name = '', schema] = (base ?? '').split('.').reverse();
    if (base !== null) this.#type({ schema, name });
  }

  #builtIn(name: string, argCount: number | undefined): void {
    this.#meets(steadinessOfBuiltIn(name, argCount));
    if (readsCatalog(name)) this.#misses(`${name}() reads the catalogue`);
  }

  /** A function behind something else: its oid, or the name of a built-in one. */
  #behind(part: string): void {
    const row = this.#objects.functionOf(part);
    if (row !== undefined) this.#function(row);
    else this.#builtIn(part, undefined);
  }

  #function(row: FunctionRow): void {
    if (this.#isNew(row)) this.#due.push(() => this.#functionRow(row));
  }

  #functionRow(row: FunctionRow): void {
    const { volatility, language, body, parts, hasOwnPath } = row;
    const name = `function ${row.schema}.${row.name}`;
    if (volatility === 'v' && parts === null) this.#meets({ repeats: 'never', because: `${name} is VOLATILE` });
    if (parts !== null) for (const part of parts) this.#behind(part);
    else if (language === 'sql' && body !== null) {
      if (hasOwnPath) this.#words(body, name, true);
      this.#text(bodyText(body), givenTo(row), name);
    } else if (language === 'plpgsql' && body !== null) {
      // What is declared IMMUTABLE is believed, but for the relations that it names.
      if (volatility !== 'i') this.#meets(depends(name, language));
      this.#words(body, name, volatility !== 'i');
    } else if (language === 'internal' && body !== null) {
      this.#builtIn(body.replace(/_oid$/, ''), undefined);
    } else if (volatility !== 'i') {
      this.#meets(depends(name, language));
      this.#misses(`${name} is written in ${language}`);
    }
  }

  #relation({ schema, name }: Name, facts: Facts): void {
    const [row] = this.#objects.relations({ schema, name });
    if (row === undefined) {
      const isSystem = schema === undefined ? name.startsWith('pg_') : SYSTEM_SCHEMAS.has(schema);
      if (isSystem) this.#catalog(schema ?? 'pg_catalog', name);
      else this.#misses(`relation ${schema === undefined ? name : `${schema}.${name}`} is not known`);
      return;
    }
    this.#row(row);
    for (const entry of row.hidden ?? []) {
      const at = entry.lastIndexOf(' ');
      if (facts.comparesUnnamed || facts.columns.has(entry.slice(0, at))) this.#behind(entry.slice(at + 1));
    }
  }

  /** Many of them show what the role may see, or tell of settings. */
  #catalog(schema: string, name: string): void {
    this.#add({ schema, name, kind: 'catalog' });
    this.#meets({ repeats: 'scoped', because: `${schema}.${name} is a catalogue` });
  }

  #row(row: RelationRow): void {
    if (!this.#isNew(row)) {
      this.#touchedAgain.add(`${row.schema}.${row.name}`);
      return;
    }
    const { schema, name, definition, policies, columns } = row;
    this.#add({ schema, name, kind: kindOf(row) });
    if (columns.some((column) => column.startsWith(`${TIMETZ} `))) this.#meets(steadinessOf('timetz'));
    if (policies !== null) {
      this.#meets({ repeats: 'scoped', because: `${schema}.${name} has row security` });
      for (const policy of policies) this.#expression(policy, { relation: row }, `row security of ${schema}.${name}`);
    }
    if (definition !== null) this.#text(definition, undefined, `view ${schema}.${name}`);
  }

  #add(relation: Relation): void {
    this.#relations.set(`${relation.schema}.${relation.name}`, relation);
  }

  #expression(text: string, given: Given, what: string): void {
    this.#text(expressionText(text), given, what);
  }

  #text(text: string, given: Given | undefined, what: string): void {
    const facts = this.#reader.facts(text);
    if (facts !== undefined) this.#due.push(() => this.#visit(facts, given));
    else this.#isUnread(what);
  }

  /**
   * A body that is no SQL: whatever bears one of its names counts.
   * @param isMet whether the functions count, too
   */
  #words(body: string, what: string, isMet: boolean): void {
    if (this.#seenTexts.has(body)) return;
    this.#seenTexts.add(body);
    const tokens = this.#reader.tokens(body);
    if (tokens === undefined) {
      this.#isUnread(what);
      return;
    }
    for (const { text, isQuoted } of tokens) {
      if (EXECUTE.test(text) && !isQuoted) this.#misses(`${what} runs a text that it makes`);
      for (const row of this.#objects.relationsNamed(text)) this.#row(row);
      for (const row of this.#objects.functionsNamed(text)) this.#function(row);
      if (!isMet) continue;
      if (builtIns.has(text)) this.#builtIn(text, undefined);
      const word = unsteadyWord(text);
      if (word !== undefined) this.#meets(steadinessOf(word));
    }
  }

  #isUnread(what: string): void {
    this.#misses(`${what} cannot be read`);
    this.#meets({ repeats: 'never', because: `${what} cannot be read` });
  }

  #isNew(object: object): boolean {
    this.#turn.step();
    if (this.#seen.has(object)) return false;
    this.#seen.add(object);
    return true;
  }
}

function depends(name: string, language: string): Repeatability {
  return { repeats: 'scoped', because: `${name} is STABLE, and written in ${language}` };
}
