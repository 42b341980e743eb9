/**
 * Which tables show each other's rows: partitions and their parents, and whatever inherits. All
 * those that are joined that way, however far, are one family. Where the catalogue is not sure, as
 * of a cast between the rows of two tables, they count as one. Pure.
 */
import type { CatalogRows } from './catalog-rows.js';

/** Two types by oid: rows of the first may count as rows of the second. */
const PAIR = /^(\d+) (\d+)$/;

/** By names without schemas, since tables are told apart by these where families matter. */
export class Families {
  readonly #parents = new Map<string, string>();

  constructor({ relations, resolution }: Pick<CatalogRows, 'relations' | 'resolution'>) {
    const names = new Map<string, string>();
    for (const { rowType, name, kind } of relations) if (kind === 'r' || kind === 'p') names.set(rowType, name);
    for (const pair of resolution.kin) {
      const [, child = '', parent = ''] = PAIR.exec(pair) ?? [];
      const [one, other] = [names.get(child), names.get(parent)];
      if (one !== undefined && other !== undefined) this.#join(one, other);
    }
  }

  /** One name for all of its family; its own where it has none. */
  of(name: string): string {
    let top = name;
    for (let parent = this.#parents.get(top); parent !== undefined; parent = this.#parents.get(top)) top = parent;
    return top;
  }

  #join(one: string, other: string): void {
    const [a, b] = [this.of(one), this.of(other)];
    if (a !== b) this.#parents.set(a, b);
  }
}
