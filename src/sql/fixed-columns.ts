/**
 * Which columns of which tables a SELECT fixes: rows with other values there do not change its
 * answer. Equalities lead from one table to the next: of `o.id = $1 and i.order_id = o.id` both
 * columns are fixed. Where types may compare in their own way, none is.
 */
import type { CatalogObjects } from './catalog-objects.js';
import type { RelationRow } from './catalog-rows.js';
import type { Facts } from './facts.js';
import type { Tree } from './grammar.js';
import { type ColumnName, type Equality, equalitiesOf, type FromTable, type KeyTerm } from './key.js';
import { builtInOid, isBuiltIn } from './type-kin.js';

/**
 * A column whose value is fixed. Equal values may be written in several ways, by the column's type:
 * `7` and `007` of integers, `1` and `1.0` of `numeric`, and whatever a collation takes for equal.
 */
export interface KeyColumn extends KeyTerm {
  /** The column's type by oid: a built-in one. */
  readonly type: string;
}

/** A table of which only rows with these values matter. */
export interface FixedTable {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly KeyColumn[];
}

/** Types within which values are equal where their texts mean the same. */
const KINDS: readonly ReadonlySet<string>[] = [new Set(['20', '21', '23']), new Set(['25', '1043']), new Set(['2950'])];
const INTEGERS = KINDS[0] as ReadonlySet<string>;

/** One table of FROM, as the catalogue knows it. */
interface Known {
  readonly alias: string;
  readonly row: RelationRow;
  readonly types: ReadonlyMap<string, string>;
}

export function fixedTablesOf(statements: readonly Tree[], facts: Facts, objects: CatalogObjects): FixedTable[] {
  const { tables, equalities } = equalitiesOf(statements);
  const known = tables.flatMap((table) => knownOf(table, objects));
  if (known.length !== tables.length) return [];
  const solver = new Solver(known, facts, objects);
  // Each round leads one table further.
  for (let round = 0; round < known.length + 1 && solver.apply(equalities); round++);
  return known.flatMap(({ alias, row: { schema, name } }) => {
    const columns = solver.fixedOf(alias);
    return columns.length === 0 ? [] : [{ schema, name, columns }];
  });
}

function knownOf({ name, alias }: FromTable, objects: CatalogObjects): Known[] {
  const [row] = objects.relations(name);
  if (row === undefined) return [];
  const types = row.columns.map((text): [string, string] => {
    const at = text.indexOf(' ');
    return [text.slice(at + 1), text.slice(0, at)];
  });
  return [{ alias, row, types: new Map(types) }];
}

class Solver {
  readonly #tables: readonly Known[];
  readonly #facts: Facts;
  readonly #objects: CatalogObjects;
  readonly #fixed = new Map<string, Map<string, KeyColumn>>();

  constructor(tables: readonly Known[], facts: Facts, objects: CatalogObjects) {
    this.#tables = tables;
    this.#facts = facts;
    this.#objects = objects;
  }

  fixedOf(alias: string): readonly KeyColumn[] {
    return [...(this.#fixed.get(alias)?.values() ?? [])];
  }

  /** @returns whether that has fixed anything */
  apply(equalities: readonly Equality[]): boolean {
    let hasFixed = false;
    for (const { column, other, only } of equalities) {
      const one = this.#placeOf(column);
      if (one === undefined) continue;
      if ('column' in other) {
        const two = this.#placeOf(other);
        if (two === undefined) continue;
        if (this.#lead(one, two, only) || this.#lead(two, one, only)) hasFixed = true;
      } else if (isComparedAsItIs(one.type, other.cast) && this.#fix(one, { ...other, column: one.column }, only)) {
        hasFixed = true;
      }
    }
    return hasFixed;
  }

  #placeOf({ alias, column }: ColumnName): Place | undefined {
    // Only what both sides of USING have is said without its table: it equals that of either.
    const table = this.#tables.find(({ alias: own, types }) => types.has(column) && (alias ?? own) === own);
    const type = table?.types.get(column);
    return table === undefined || type === undefined ? undefined : { alias: table.alias, column, type };
  }

  /** What is fixed of one column is fixed of its equal. */
  #lead(from: Place, to: Place, only: ReadonlySet<string> | undefined): boolean {
    const known = this.#fixed.get(from.alias)?.get(from.column);
    const areAlike = KINDS.some((kind) => kind.has(from.type) && kind.has(to.type));
    return known !== undefined && areAlike && this.#fix(to, { ...known, column: to.column }, only);
  }

  #fix({ alias, column, type }: Place, term: KeyTerm, only: ReadonlySet<string> | undefined): boolean {
    const isMeant = only === undefined || only.has(alias);
    if (!isMeant || this.#fixed.get(alias)?.has(column) === true || !this.#isPlain(type)) return false;
    const columns = this.#fixed.get(alias) ?? new Map<string, KeyColumn>();
    const { value, cast } = term;
    this.#fixed.set(alias, columns.set(column, { column, value, cast, type }));
    return true;
  }

  /** Whether values of the type are compared by PostgreSQL's own `=`. */
  #isPlain(type: string): boolean {
    if (!isBuiltIn(type)) return false;
    const { overloads } = this.#objects;
    const operands = [{ types: [type] }, 'untyped'] as const;
    const values = overloads.valuesIn(this.#facts, undefined);
    return overloads.applied({ schema: undefined, name: '=', operands }, values).length === 0;
  }
}

interface Place {
  readonly alias: string;
  readonly column: string;
  readonly type: string;
}

/** Whether the value becomes one of the column's type, and is not compared as another type's. */
function isComparedAsItIs(type: string, cast: string | undefined): boolean {
  if (cast === undefined) return true;
  const castTo = builtInOid(cast) ?? '';
  return castTo === type || (INTEGERS.has(castTo) && INTEGERS.has(type));
}
