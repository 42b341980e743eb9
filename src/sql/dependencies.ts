/**
 * What the answer of a text depends on: its reach, and the keys that it fixes. A cache goes
 * by it; it decides nothing about where a statement runs.
 */
import type { CatalogObjects } from './catalog-objects.js';
import type { DefinitionReader } from './definition-reader.js';
import type { Facts } from './facts.js';
import { type FixedTable, fixedTablesOf } from './fixed-columns.js';
import type { Tree } from './grammar.js';
import { type Reach, ReachFinder } from './reach.js';
import type { Turn } from './turn.js';
import { factsOf } from './walk.js';

export interface Dependencies extends Reach {
  /** Columns that the text fixes, by table: of these tables only rows with these values matter. */
  readonly keys: readonly FixedTable[];
}

/** What is said while nothing is known, or too much is to be looked at. */
export function unknownDependencies(because: string): Dependencies {
  return { relations: [], mayBeMore: because, keys: [], repeatability: { repeats: 'never', because } };
}

/** @throws Interruption when others should run first: ask again */
export function dependenciesOf(
  statements: readonly Tree[],
  objects: CatalogObjects,
  reader: DefinitionReader,
  turn: Turn,
): Dependencies {
  const facts = factsOf(statements);
  if (facts.class !== 'read') return unknownDependencies('it is no read');
  const finder = new ReachFinder(objects, reader, turn);
  const reach = finder.find(facts);
  return { ...reach, keys: keysOf(statements, facts, reach, finder.touchedAgain, objects) };
}

/** @param touchedAgain behind a function, say, where other rows may matter */
function keysOf(
  statements: readonly Tree[],
  facts: Facts,
  { relations, mayBeMore }: Reach,
  touchedAgain: ReadonlySet<string>,
  objects: CatalogObjects,
): readonly FixedTable[] {
  if (mayBeMore !== undefined) return [];
  const tables = relations.filter(({ kind }) => kind === 'table' || kind === 'partitioned');
  return fixedTablesOf(statements, facts, objects).filter(
    ({ schema, name }) =>
      !touchedAgain.has(`${schema}.${name}`) && tables.some((one) => one.schema === schema && one.name === name),
  );
}
