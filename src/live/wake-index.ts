/**
 * Which live queries a change may concern: by table, and by the key where a query fixes it. A change
 * of what no query depends on costs one look into a map, however many there are.
 */
import type { TableChange } from '../change-source.js';
import { keyBy, type TableDependence } from '../changes/dependence.js';
import { type FixedColumns, keyTextOf } from '../changes/key-text.js';

/** The queries that depend on one table. */
class TableWakes<Query> {
  /** Of any row, or of those that cannot be told apart by the latest key columns. */
  readonly #ofAny = new Set<Query>();
  readonly #byKey = new Map<string, Set<Query>>();
  /** Several of one query, where it fixes several keys. */
  readonly #fixed = new Map<Query, FixedColumns[]>();
  #keyColumns: readonly string[] | undefined;

  get isEmpty(): boolean {
    return this.#ofAny.size === 0 && this.#fixed.size === 0;
  }

  add(query: Query, fixed: FixedColumns | undefined): void {
    if (fixed === undefined) {
      this.#ofAny.add(query);
      return;
    }
    const all = this.#fixed.get(query);
    if (all === undefined) this.#fixed.set(query, [fixed]);
    else all.push(fixed);
    this.#file(query, fixed);
  }

  remove(query: Query): void {
    this.#ofAny.delete(query);
    for (const fixed of this.#fixed.get(query) ?? []) {
      const key = keyBy(this.#keyColumns ?? [], fixed);
      const queries = key === undefined ? undefined : this.#byKey.get(key);
      queries?.delete(query);
      if (key !== undefined && queries?.size === 0) this.#byKey.delete(key);
    }
    this.#fixed.delete(query);
  }

  concerned({ keyColumns, keys }: TableChange, wake: (query: Query) => void): void {
    for (const query of this.#ofAny) wake(query);
    if (this.#fixed.size === 0) return;
    if (keyColumns === undefined || keys === undefined) {
      for (const query of this.#fixed.keys()) wake(query);
      return;
    }
    if (!areSame(this.#keyColumns, keyColumns)) this.#fileAnew(keyColumns, wake);
    for (const key of keys) for (const query of this.#byKey.get(keyTextOf(key)) ?? []) wake(query);
  }

  #file(query: Query, fixed: FixedColumns): void {
    if (this.#keyColumns === undefined) return;
    const key = keyBy(this.#keyColumns, fixed);
    if (key === undefined) {
      this.#ofAny.add(query);
      return;
    }
    const queries = this.#byKey.get(key);
    if (queries === undefined) this.#byKey.set(key, new Set([query]));
    else queries.add(query);
  }

  /** Rows are told apart by these columns from now on: which row it was before is not known. */
  #fileAnew(keyColumns: readonly string[], wake: (query: Query) => void): void {
    this.#keyColumns = keyColumns;
    this.#byKey.clear();
    for (const [query, all] of this.#fixed) {
      wake(query);
      for (const fixed of all) this.#file(query, fixed);
    }
  }
}

export class WakeIndex<Query> {
  readonly #tables = new Map<string, TableWakes<Query>>();
  /** By name alone, where a query names a table without its schema. */
  readonly #bare = new Map<string, TableWakes<Query>>();

  add(query: Query, dependences: readonly TableDependence[]): void {
    for (const { table, fixed } of dependences) {
      const tables = this.#listFor(table);
      let wakes = tables.get(table);
      if (wakes === undefined) {
        wakes = new TableWakes();
        tables.set(table, wakes);
      }
      wakes.add(query, fixed);
    }
  }

  /** @param dependences as they were added */
  remove(query: Query, dependences: readonly TableDependence[]): void {
    for (const { table } of dependences) {
      const tables = this.#listFor(table);
      const wakes = tables.get(table);
      wakes?.remove(query);
      if (wakes?.isEmpty === true) tables.delete(table);
    }
  }

  /** Calls back for each query that the changes may concern, some of them more than once. */
  concerned(changes: readonly TableChange[], wake: (query: Query) => void): void {
    for (const change of changes) {
      const { table } = change;
      this.#tables.get(table)?.concerned(change, wake);
      if (this.#bare.size > 0) this.#bare.get(table.slice(table.indexOf('.') + 1))?.concerned(change, wake);
    }
  }

  #listFor(table: string): Map<string, TableWakes<Query>> {
    return table.includes('.') ? this.#tables : this.#bare;
  }
}

function areSame(a: readonly string[] | undefined, b: readonly string[]): boolean {
  return a === b || (a?.length === b.length && a.every((column, i) => column === b[i]));
}
