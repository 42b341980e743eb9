/** Relations as a statement depends on them. */
import type { RelationRow } from './catalog-rows.js';

/**
 * `catalog`: one of PostgreSQL's own, such as `pg_class`. The change stream decodes only `table`
 * and `partitioned`.
 */
export type RelationKind =
  | 'table'
  | 'partitioned'
  | 'view'
  | 'materialized-view'
  | 'foreign'
  | 'unlogged'
  | 'temporary'
  | 'sequence'
  | 'catalog';

export interface Relation {
  readonly schema: string;
  readonly name: string;
  readonly kind: RelationKind;
}

const KINDS: Readonly<Record<string, RelationKind>> = {
  p: 'partitioned',
  v: 'view',
  m: 'materialized-view',
  f: 'foreign',
  S: 'sequence',
};

export function kindOf({ kind, persistence }: RelationRow): RelationKind {
  if (persistence === 't') return 'temporary';
  if (persistence === 'u') return 'unlogged';
  return KINDS[kind] ?? 'table';
}
