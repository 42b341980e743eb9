/**
 * What the answer of a text depends on: its reach, and the key that its WHERE fixes. A cache goes
 * by it; it decides nothing about where a statement runs.
 */
import type { CatalogObjects } from './catalog-objects.js';
import type { DefinitionReader } from './definition-reader.js';
import type { Facts } from './facts.js';
import type { Tree } from './grammar.js';
import { type KeyTerm, keyTermsOf } from './key.js';
import { type Reach, ReachFinder } from './reach.js';
import type { Turn } from './turn.js';
import { builtInOid, isBuiltIn } from './type-kin.js';
import { factsOf } from './walk.js';

/**
 * A column whose value is fixed. Equal values may be written in several ways, by the column's type:
 * `7` and `007` of integers, `1` and `1.0` of `numeric`, and whatever a collation takes for equal.
 */
export interface KeyColumn extends KeyTerm {
  /** The column's type by oid: a built-in one. */
  readonly type: string;
}

export interface Dependencies extends Reach {
  /**
   * Columns of the text's only table that its WHERE fixes: only rows with these values matter.
   * `undefined` where it fixes none, or touches more than one table.
   */
  readonly key: readonly KeyColumn[] | undefined;
}

/** What is said while nothing is known, or too much is to be looked at. */
export function unknownDependencies(because: string): Dependencies {
  return { relations: [], mayBeMore: because, key: undefined, repeatability: { repeats: 'never', because } };
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
  // A function may read other rows of the same table.
  const key = finder.touchesAgain ? undefined : keyOf(statements, facts, reach, objects);
  return { ...reach, key };
}

function keyOf(
  statements: readonly Tree[],
  facts: Facts,
  { relations, mayBeMore }: Reach,
  objects: CatalogObjects,
): readonly KeyColumn[] | undefined {
  const [relation, ...more] = relations;
  const isOne = relation !== undefined && more.length === 0 && facts.relations.length === 1;
  if (!isOne || mayBeMore !== undefined || (relation.kind !== 'table' && relation.kind !== 'partitioned'))
    return undefined;
  const terms = keyTermsOf(statements);
  if (terms.length === 0) return undefined;
  const [row] = objects.relations(relation);
  const types = new Map((row?.columns ?? []).map((text) => [text.slice(text.indexOf(' ') + 1), text.split(' ', 1)[0]]));
  const values = objects.overloads.valuesIn(facts, undefined);
  const columns = terms.flatMap((term) => {
    const type = types.get(term.column);
    if (type === undefined || !isBuiltIn(type)) return [];
    if (!isComparedAsItIs(type, term)) return [];
    const operands = [{ types: [type] }, 'untyped'] as const;
    const isUsers = objects.overloads.applied({ schema: undefined, name: '=', operands }, values).length > 0;
    return isUsers ? [] : [{ ...term, type }];
  });
  return columns.length === 0 ? undefined : columns;
}

const INTEGERS: ReadonlySet<string> = new Set(['20', '21', '23']);

/** Whether the value becomes one of the column's type, and is not compared as another type's. */
function isComparedAsItIs(type: string, { cast }: KeyTerm): boolean {
  if (cast === undefined) return true;
  const castTo = builtInOid(cast) ?? '';
  return castTo === type || (INTEGERS.has(castTo) && INTEGERS.has(type));
}
