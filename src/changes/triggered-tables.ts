/**
 * Which tables tell every change by their triggers, and for which tables a change of one counts, by
 * the catalogue at one moment. It sends nothing.
 */
import { InvalidAnswer } from '../postgres/errors.js';
import type { CoverageRow } from './notify-statements.js';
import { NOTIFY_INSTALL } from './notify-triggers.js';

interface Relation {
  readonly name: string;
  /** Rows may change there without a trigger that is run. */
  readonly isUntold: boolean;
  readonly hasTrigger: boolean;
  /** The trigger is the one that was installed, and always runs. */
  readonly isWhole: boolean;
  readonly parents: number[];
  readonly children: number[];
}

/** So many names are told in a reason. */
const NAMED_COUNT = 5;

export class TriggeredTables {
  /** Of which every change is told, as `schema.name`. */
  readonly tables: readonly string[];
  /** All that were looked at. */
  readonly oids: readonly number[];
  /** Why they do not do; `undefined` where they do. */
  readonly problem: string | undefined;
  readonly #relations: ReadonlyMap<number, Relation>;
  readonly #affected = new Map<number, readonly string[]>();

  /** @param wanted those that have to be told; `undefined`: whichever are @throws InvalidAnswer */
  constructor(row: CoverageRow | undefined, wanted: readonly string[] | undefined) {
    this.#relations = read(listed(row?.relations), listed(row?.edges));
    this.oids = [...this.#relations.keys()];
    this.tables = [...this.#relations]
      .filter(([oid]) => this.#isTold(oid))
      .map(([, { name }]) => name)
      .sort();
    this.problem = this.#problem(wanted);
  }

  /** The tables that a statement on that one may have changed, itself included; `undefined` where it is not known. */
  affectedBy(oid: number): readonly string[] | undefined {
    if (!this.#relations.has(oid)) return undefined;
    const known = this.#affected.get(oid);
    if (known !== undefined) return known;
    const affected = this.#names(this.#around(oid));
    this.#affected.set(oid, affected);
    return affected;
  }

  /** A statement on any of those may change a row that belongs to it. */
  #isTold(oid: number): boolean {
    return [...this.#around(oid)].every((one) => {
      const relation = this.#relations.get(one);
      return relation?.isWhole === true && !relation.isUntold;
    });
  }

  /** Those below it, and all that stand above one of them. */
  #around(oid: number): Set<number> {
    return this.#reach(this.#reach(new Set([oid]), 'children'), 'parents');
  }

  #reach(from: Iterable<number>, way: 'parents' | 'children'): Set<number> {
    const reached = new Set(from);
    for (const one of reached) for (const next of this.#relations.get(one)?.[way] ?? []) reached.add(next);
    return reached;
  }

  #problem(wanted: readonly string[] | undefined): string | undefined {
    const altered = [...this.#relations].filter(([, one]) => one.hasTrigger && !one.isWhole).map(([oid]) => oid);
    if (altered.length > 0) return problemOf('are disabled, or not those that were installed', this.#names(altered));
    const missing = wanted?.filter((name) => !this.tables.includes(name)) ?? [];
    if (missing.length > 0) return problemOf('are missing, there or on a parent or a child', missing);
    return this.tables.length === 0 ? problemOf('are missing', []) : undefined;
  }

  #names(oids: Iterable<number>): string[] {
    return [...oids].map((oid) => this.#relations.get(oid)?.name ?? '');
  }
}

function problemOf(what: string, tables: readonly string[]): string {
  const more = tables.length > NAMED_COUNT ? ` and ${tables.length - NAMED_COUNT} more` : '';
  const named = tables.length === 0 ? '' : ` (${tables.slice(0, NAMED_COUNT).join(', ')}${more})`;
  return `the triggers that notify of changes ${what}${named}: run ${NOTIFY_INSTALL}`;
}

function read(rows: readonly unknown[][], edges: readonly unknown[][]): Map<number, Relation> {
  const found = new Map<number, Relation>();
  for (const [oid, schema, table, isUntold, hasTrigger, isWhole] of rows)
    found.set(Number(oid), {
      name: `${String(schema)}.${String(table)}`,
      isUntold: isUntold !== false,
      hasTrigger: hasTrigger === true,
      isWhole: isWhole === true,
      parents: [],
      children: [],
    });
  for (const [child, parent] of edges) {
    found.get(Number(child))?.parents.push(Number(parent));
    found.get(Number(parent))?.children.push(Number(child));
  }
  return found;
}

function listed(text: unknown): readonly unknown[][] {
  if (text === '') return [];
  const list: unknown = typeof text === 'string' ? JSON.parse(text) : undefined;
  if (!Array.isArray(list) || !list.every(Array.isArray)) throw new InvalidAnswer('it tells no tables');
  return list as unknown[][];
}
