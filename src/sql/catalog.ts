/**
 * Judges a statement by the server's catalogue: which functions, views, operators, casts, domains
 * and policies its names stand for, and whether one of them can do what only the primary can. It is
 * handed rows and asks no server. A name that is not in them is a write, and is reported as
 * unknown.
 */
import { builtIns } from './built-ins.js';
import { CatalogObjects, isCalledType, SYSTEM_SCHEMAS } from './catalog-objects.js';
import type { CatalogRows, FunctionRow } from './catalog-rows.js';
import { DefinitionReader } from './definition-reader.js';
import { type Dependencies, dependenciesOf } from './dependencies.js';
import type { Call, Facts, Field } from './facts.js';
import { Families } from './families.js';
import type { Grammar, Tree } from './grammar.js';
import { builtIn, each, type Judgement, SAFE, unknown, within, worstOf } from './judgement.js';
import { ObjectJudge } from './object-judge.js';
import type { Operation } from './operands.js';
import type { Given } from './overloads.js';
import { TableCounts } from './table-counts.js';
import type { Name } from './tree.js';
import { Turn } from './turn.js';
import type { ValueTypes } from './type-kin.js';
import { Verdicts } from './verdicts.js';

/** Relations whose rows tell of the server that is asked, and of no other. */
const SERVER_VIEWS =
  /^pg_(stat_(?!ext)|statio_|locks$|cursors$|prepared_|replication_|backend_memory|shmem_|listening|aios$|dsm_|sequences$)/;

export class Catalog {
  readonly #objects: CatalogObjects;
  readonly #turn = new Turn();
  readonly #reader: DefinitionReader;
  readonly #reachTurn = new Turn();
  readonly #reachReader: DefinitionReader;
  readonly #judges: ObjectJudge;
  readonly #tables: TableCounts;
  readonly #rows: Pick<CatalogRows, 'relations' | 'resolution'>;
  #families: Families | undefined;

  /** @param declared VOLATILE functions that only read, as `schema.name` or `schema.name(types)` */
  constructor(rows: CatalogRows, grammar: Grammar, declared: readonly string[]) {
    this.#objects = new CatalogObjects(rows);
    this.#reader = new DefinitionReader(grammar, this.#turn);
    this.#reachReader = new DefinitionReader(grammar, this.#reachTurn);
    const judge = (facts: Facts, given: Given | undefined): Judgement => this.#judge(facts, given);
    this.#judges = new ObjectJudge(this.#objects, this.#reader, new Verdicts(this.#turn), declared, judge);
    this.#tables = new TableCounts(this.#objects, grammar);
    this.#rows = rows;
  }

  /** One name for a table and all that show its rows, or whose rows it shows. @param name without its schema */
  familyOf(name: string): string {
    this.#families ??= new Families(this.#rows);
    return this.#families.of(name);
  }

  /**
   * Tables that a plan of a statement may lead through, partitions and those behind views included.
   */
  tableCountOf(facts: Facts): number {
    return this.#tables.of(facts);
  }

  /** What the answer of a text depends on. @throws Interruption: ask again */
  dependenciesOf(statements: readonly Tree[]): Dependencies {
    const turn = this.#reachTurn;
    turn.begin();
    const found = dependenciesOf(statements, this.#objects, this.#reachReader, turn);
    if (!turn.wasInterrupted) this.#reachReader.forget();
    return found;
  }

  /** What a statement is, with all that its names stand for. @throws Interruption */
  judge(facts: Facts): Judgement {
    this.#turn.begin();
    const judgement = this.#judge(facts, undefined);
    if (!this.#turn.wasInterrupted) this.#reader.forget();
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
      found ??= this.#objects.overloads.valuesIn(facts, given);
      return found;
    };
    for (const call of calls) yield this.#call(call, values);
    for (const field of fields) yield this.#field(field, facts, values);
    for (const relation of relations) {
      yield this.#relation(relation);
      const [row] = this.#objects.relations(relation);
      if (row !== undefined) yield this.#judges.hidden(row, facts);
    }
    for (const operator of operators) yield this.#operator(operator, values);
    for (const type of types) yield this.#judges.type(type);
    if (this.#objects.casts.length === 0) return;
    for (const part of this.#objects.unaskedCasts(values())) yield within('an implicit cast', this.#judges.part(part));
  }

  /** Where several overloads could be meant, the worst is. */
  #call(call: Call, values: () => ValueTypes): Judgement {
    const own = this.#objects.functions(call, call.argCount);
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
    const met = own.length === 0 ? own : this.#objects.overloads.called(call, own, canBeBuiltIn, values());
    for (const row of met) {
      yield this.#judges.function(row);
      yield this.#judges.defaults(row, call.argCount);
      yield this.#judges.arguments(row.takes);
    }
    const hasType = call.argCount === 1 && this.#objects.types(call).length > 0;
    if (hasType && this.#objects.overloads.mayBeCast(call, values())) yield this.#judges.type(call);
  }

  /** `type(value)` is a cast. */
  #castByName(call: Call): Judgement {
    if (isCalledType(call)) return SAFE;
    return this.#objects.types(call).length > 0 ? this.#judges.type(call) : unknown('function', call);
  }

  /**
   * `row.name` may be the call of a function that takes the row, and `(value).name` that of one
   * that takes the value.
   */
  #field(field: Field, facts: Facts, values: () => ValueTypes): Judgement {
    const canBeBuiltIn = field.of === undefined && builtIns.has(field.name);
    const own =
      this.#objects.functionsNamed(field.name).length > 0
        ? this.#objects.overloads.takingRow(field, facts, values())
        : [];
    const built = canBeBuiltIn ? builtIn(field.name) : SAFE;
    return worstOf([built, worstOf(each(own, (row) => this.#judges.function(row)))]);
  }

  #relation({ schema, name }: Name): Judgement {
    if (schema === 'information_schema') return SAFE;
    if (schema === 'pg_catalog' || (schema === undefined && name.startsWith('pg_'))) {
      if (SERVER_VIEWS.test(name)) return { class: 'write', because: `${name} tells of the server that is asked` };
      if (schema === 'pg_catalog' || this.#objects.relations({ schema, name }).length === 0) return SAFE;
    }
    const [row] = this.#objects.relations({ schema, name });
    return row === undefined ? unknown('relation', { schema, name }) : this.#judges.relation(row);
  }

  #operator(operation: Operation, values: () => ValueTypes): Judgement {
    if (!this.#objects.hasOperator(operation.name)) return SAFE;
    const rows = this.#objects.overloads.applied(operation, values());
    const judgements = each(rows, (row) =>
      worstOf([this.#judges.behindOperator(row.call), this.#judges.arguments(row.takes)]),
    );
    return within(`operator ${operation.name}`, worstOf(judgements));
  }
}
