/**
 * How many tables the plan of a statement may lead through: what a plan takes of a server's memory
 * goes by them. An estimate; it decides nothing about a statement's class.
 */
import type { CatalogObjects } from './catalog-objects.js';
import type { RelationRow } from './catalog-rows.js';
import { MAX_DEFINITION_LENGTH } from './definition-reader.js';
import type { Facts } from './facts.js';
import type { Grammar } from './grammar.js';
import { factsOf } from './walk.js';

export class TableCounts {
  readonly #objects: CatalogObjects;
  readonly #grammar: Grammar;
  readonly #counts = new Map<RelationRow, number>();

  constructor(objects: CatalogObjects, grammar: Grammar) {
    this.#objects = objects;
    this.#grammar = grammar;
  }

  /** Partitions count, and so do the tables behind views. */
  of({ relations }: Facts): number {
    return relations.reduce((sum, relation) => sum + this.#tablesIn(this.#objects.relations(relation)[0]), 0);
  }

  #tablesIn(row: RelationRow | undefined): number {
    if (row === undefined) return 1;
    const known = this.#counts.get(row);
    if (known !== undefined) return known;
    // Until it is known: views may lead back to each other.
    this.#counts.set(row, 1);
    const facts = row.definition === null ? undefined : this.#factsOfView(row.definition);
    const count = facts === undefined ? 1 + row.memberCount : this.of(facts);
    this.#counts.set(row, count);
    return count;
  }

  #factsOfView(definition: string): Facts | undefined {
    try {
      return definition.length > MAX_DEFINITION_LENGTH ? undefined : factsOf(this.#grammar.parse(definition));
    } catch {
      return undefined;
    }
  }
}
