/**
 * Whether the answer of a read may be kept and given again, and on what terms: what its call says,
 * over its session, over the rules, over the cluster. Pure.
 */
import type { CacheReadOptions, CacheRule, CacheSettings } from '../options/cache.js';
import type { Dependencies } from '../sql/dependencies.js';
import type { Relation } from '../sql/relations.js';

/** On what terms an answer is kept and given again. */
export interface CacheTerms {
  readonly maxStalenessMillis: number;
  readonly staleIfErrorMillis: number;
  readonly scope: string | undefined;
  /** Tables that the caller has named. */
  readonly tables: readonly string[];
  readonly tags: readonly string[];
}

/** What is asked of caches: by a call, or by the session around it. */
export type Wish = boolean | CacheReadOptions | undefined;

const NONE: readonly string[] = [];

/** @param rule the rule that fits, where one does @returns `undefined` where nothing is to be kept */
export function termsOf(
  call: Wish,
  session: Wish,
  rule: CacheRule | undefined,
  settings: CacheSettings,
): CacheTerms | undefined {
  if (call === false || (call === undefined && session === false)) return undefined;
  if (call === undefined && session === undefined && rule === undefined) return undefined;
  const own = typeof call === 'object' ? call : {};
  const around = typeof session === 'object' ? session : {};
  return {
    maxStalenessMillis:
      own.maxStalenessMillis ?? around.maxStalenessMillis ?? rule?.maxStalenessMillis ?? settings.maxStalenessMillis,
    staleIfErrorMillis: own.staleIfErrorMillis ?? around.staleIfErrorMillis ?? rule?.staleIfErrorMillis ?? 0,
    scope: own.scope ?? around.scope ?? rule?.scope,
    // A rule's tables choose statements; they say nothing new of those.
    tables: own.tables ?? around.tables ?? NONE,
    tags: own.tags ?? around.tags ?? rule?.tags ?? NONE,
  };
}

/** On what terms answers are kept that only `auto` has chosen. */
export function termsUnasked({ maxStalenessMillis }: Pick<CacheSettings, 'maxStalenessMillis'>): CacheTerms {
  return { maxStalenessMillis, staleIfErrorMillis: 0, scope: undefined, tables: NONE, tags: NONE };
}

/** What is known of a text, for caches. */
export interface KnownText {
  readonly isRead: boolean;
  readonly isSingle: boolean;
  readonly dependencies: Dependencies;
}

/** Relations that follow the log of the cluster; what is read of others says nothing of a position. */
const KEPT_KINDS: ReadonlySet<Relation['kind']> = new Set([
  'table',
  'partitioned',
  'view',
  'materialized-view',
  'catalog',
]);

/** Why the answer of such a text is not kept, in words; `undefined` where it is. */
export function obstacleTo(
  { isRead, isSingle, dependencies }: KnownText,
  { tables, scope }: Pick<CacheTerms, 'tables' | 'scope'>,
): string | undefined {
  const { relations, mayBeMore, repeatability } = dependencies;
  if (!isRead) return 'it may write';
  if (!isSingle) return 'it is more than one statement';
  const { repeats, because } = repeatability;
  if (repeats === 'never') return because;
  const foreign = relations.find(({ kind }) => !KEPT_KINDS.has(kind));
  if (foreign !== undefined) return `${foreign.schema}.${foreign.name} is ${foreign.kind}, and no part of the log`;
  if (mayBeMore !== undefined && tables.length === 0) return `${mayBeMore}; name its tables`;
  if (repeats !== 'always' && scope === undefined) return `${because}; name its scope`;
  return undefined;
}
