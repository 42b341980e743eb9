/** What is known of an answer beside where and when it was read. */
import type { Changes } from '../changes/changes.js';
import type { Dependence, TableDependence } from '../changes/dependence.js';
import { fixedColumnsOf } from '../changes/key-text.js';
import type { CachedText } from './texts.js';

export interface Particulars {
  readonly text: CachedText;
  readonly tags: readonly string[];
  /** Tables that its caller named. */
  readonly named: readonly string[];
  readonly costMillis: number;
  /** Whether it depends on the time: then no position makes it younger. */
  readonly isTimed: boolean;
  /** What it depends on, as far as changes are told; `undefined` where they say nothing of it. */
  readonly dependence: Dependence | undefined;
}

/** What is known where it was read. */
type Said = Pick<Particulars, 'tags' | 'named' | 'costMillis'>;

export function particularsOf(
  text: CachedText,
  said: Said,
  values: readonly unknown[],
  changes: Changes | undefined,
): Particulars {
  const isTimed = text.dependencies.repeatability.repeats === 'timed';
  const dependence = changes === undefined || isTimed ? undefined : dependenceOf(text, said.named, values, changes);
  const { tags, named, costMillis } = said;
  // Named one by one: to spread an object takes as long as all else here.
  return { text, tags, named, costMillis, isTimed, dependence };
}

function dependenceOf(
  text: CachedText,
  named: readonly string[],
  values: readonly unknown[],
  changes: Changes,
): Dependence | undefined {
  const tables = dependentTables(text, named, values);
  return tables === undefined ? undefined : changes.dependence(tables, text.generation);
}

/** The tables that an answer depends on; `undefined` where it depends on what no source tells of. */
export function dependentTables(
  { dependencies: { relations, mayBeMore, keys } }: Pick<CachedText, 'dependencies'>,
  named: readonly string[],
  values: readonly unknown[],
): readonly TableDependence[] | undefined {
  if (mayBeMore !== undefined && named.length === 0) return undefined;
  const tables: TableDependence[] = named.map((table) => ({ table, fixed: undefined }));
  for (const { schema, name, kind } of relations) {
    // What a view shows is that of its tables.
    if (kind === 'view') continue;
    if (kind !== 'table' && kind !== 'partitioned') return undefined;
    const key = keys.find((one) => one.schema === schema && one.name === name);
    const fixed = key === undefined ? undefined : fixedColumnsOf(key.columns, values);
    tables.push({ table: `${schema}.${name}`, fixed });
  }
  return tables;
}
