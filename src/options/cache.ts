/**
 * The options of caches: documented for users, and checked before anything runs. What a read asks
 * for is laid over its session's, over a rule's, over the cluster's.
 */
import { z } from 'zod';
import type { Monotonic } from '../freshness/sights.js';
import type { SharedStore } from '../shared-store.js';
import { MOST_MILLIS, millis, optionsOf, positiveMillis } from './check.js';

/** What a read asks of caches. */
export interface CacheReadOptions {
  /**
   * How old a kept answer may be, in milliseconds, 0 and above: the age of its data, not of the
   * answer. Default: the rule's, else the cluster's. A read's own `maxStalenessMillis` bounds it,
   * too.
   */
  maxStalenessMillis?: number | undefined;
  /**
   * Tables that the answer depends on, such as `products` or `shop.products`, beside those that
   * pg-ladder finds. Needed where it cannot find all, as behind a function in a language that it
   * does not read.
   */
  tables?: readonly string[] | undefined;
  /** Names by which `cluster.cache.forget({ tags })` finds the answer. */
  tags?: readonly string[] | undefined;
  /**
   * Who may share the answer, such as a tenant or a user: at most 1,024 characters. Needed where it
   * depends on the role, on settings, on row security or on the time.
   */
  scope?: string | undefined;
  /**
   * How old an answer may be that is given when no server can answer, in milliseconds, 0 and above.
   * Default 0: none is. It still shows all that its session wrote and saw.
   */
  staleIfErrorMillis?: number | undefined;
}

/** A statement, as rules see it. */
export interface CachedStatement {
  readonly text: string;
  /** As `explain()` gives it. */
  readonly digest: string;
  /** The relations that it depends on, as `schema.name`. */
  readonly tables: readonly string[];
}

/** Which statements are cached although their calls say nothing; the first that fits counts. */
export interface CacheRule extends CacheReadOptions {
  /**
   * It fits where all tables of the statement are among these; `products` stands for that name in
   * any schema.
   */
  tables?: readonly string[] | undefined;
  /** It fits the statement of that digest, see `explain()`. */
  digest?: string | undefined;
  /** It fits where this says so; it is asked once a text. */
  match?: ((statement: CachedStatement) => boolean) | undefined;
}

/** The rungs above the replicas. */
export interface CacheOptions {
  /**
   * The rung within the process: how much it may hold, in bytes, at least 65,536. Default 64 MiB.
   * `false`: none.
   */
  memory?: { maxBytes?: number | undefined } | false | undefined;
  /** The rung that processes share: see `redisCache` of `pg-ladder/redis`. Default: none. */
  shared?: SharedStore | undefined;
  /** How long a call to the shared rung may take, in milliseconds, above 0, up to 1,000. Default 5. */
  sharedTimeoutMillis?: number | undefined;
  /** How old a kept answer may be where its read says nothing else, in milliseconds. Default 5,000. */
  maxStalenessMillis?: number | undefined;
  /**
   * What a session never sees again in an older state. `all` (default): anything. `tables`: the
   * tables that it has read, each by itself: more answers can be used, and an answer may be older
   * than one of other tables.
   */
  monotonic?: Monotonic | undefined;
  /** What is cached although the call says nothing: for code that cannot be changed. */
  rules?: readonly CacheRule[] | undefined;
  /**
   * The share of answers from memory that is compared with a replica, 0 to 1. Default 0. Where one
   * is wrong, a `cache-audit` warning tells of it, and `cluster.cache.stats()` counts it.
   */
  audit?: number | undefined;
  /** How many answers may be read anew in the background at a time, 0 to 64. Default 4. */
  refreshCount?: number | undefined;
  /**
   * Looks at a share of the reads that say nothing of caches. `'observe'` says what it would save to
   * keep their answers, in `cluster.cache.stats().advice` and `explain()`, and changes nothing.
   * `'on'` also keeps and gives the answers of statements that it pays for, once it has seen that
   * kept answers are what servers say, and stops when it does not pay any more. It needs
   * `maxStalenessMillis`. A call, a session or a rule that says something of caches is left alone.
   * Each server is asked once what its `pg_stat_statements` has counted, where that may be read.
   * Default `false`.
   */
  auto?: 'observe' | 'on' | false | undefined;
}

export interface CacheSettings {
  /** 0: none. */
  readonly memoryBytes: number;
  readonly shared: SharedStore | undefined;
  readonly sharedTimeoutMillis: number;
  readonly maxStalenessMillis: number;
  readonly monotonic: Monotonic;
  readonly rules: readonly CacheRule[];
  readonly audit: number;
  readonly refreshCount: number;
  readonly auto: 'observe' | 'on' | false;
}

const names = z.array(z.string().min(1).max(1_024)).max(1_000);

const readShape = {
  maxStalenessMillis: millis.optional(),
  tables: names.optional(),
  tags: names.optional(),
  scope: z.string().max(1_024).optional(),
  staleIfErrorMillis: millis.optional(),
};

/** What a read and a session take. */
export const cacheOfRead = z
  .union([z.boolean(), optionsOf(readShape)], 'expected true, false or { maxStalenessMillis, tables, tags, scope }')
  .optional();

/** Whether it has nothing but a bound on age, and that is one. Anything else may be right, too. */
export function isSurelyCacheOptions(cache: unknown): boolean {
  if (typeof cache !== 'object' || cache === null) return false;
  for (const name in cache) if (name !== 'maxStalenessMillis') return false;
  const { maxStalenessMillis } = cache as CacheReadOptions;
  return typeof maxStalenessMillis === 'number' && maxStalenessMillis >= 0 && maxStalenessMillis <= MOST_MILLIS;
}

const rule = optionsOf({
  ...readShape,
  digest: z.string().min(1).max(64).optional(),
  match: z.custom<CacheRule['match']>((value) => typeof value === 'function', 'expected a function').optional(),
}).check(({ value, issues }) => {
  if (value.tables !== undefined || value.digest !== undefined || value.match !== undefined) return;
  issues.push({ code: 'custom', path: [], message: 'expected tables, digest or match', input: value });
});

const isStore = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof (value as Partial<SharedStore>).lease === 'function';

const options = optionsOf({
  memory: z
    .union(
      [z.literal(false), optionsOf({ maxBytes: z.int().min(65_536).optional() })],
      'expected false or { maxBytes }',
    )
    .default({}),
  shared: z.custom<SharedStore>(isStore, 'expected a store, such as redisCache(client)').optional(),
  sharedTimeoutMillis: positiveMillis.max(1_000).default(5),
  maxStalenessMillis: millis.optional(),
  monotonic: z.enum(['all', 'tables']).default('all'),
  rules: z.array(rule).default([]),
  audit: z.number().min(0).max(1).default(0),
  refreshCount: z.int().min(0).max(64).default(4),
  auto: z.union([z.literal(false), z.enum(['observe', 'on'])], "expected 'observe', 'on' or false").default(false),
}).check(({ value: { auto, maxStalenessMillis }, issues }) => {
  if (auto !== 'on' || maxStalenessMillis !== undefined) return;
  const message = "expected a number beside auto: 'on': how old an answer may be that nobody has asked to be kept";
  issues.push({ code: 'custom', path: ['maxStalenessMillis'], message, input: maxStalenessMillis });
});

/** What the cluster takes. */
export const cacheOfCluster = z
  .union([z.boolean(), options], 'expected true, false or { memory, shared, … }')
  .optional();

const DEFAULT_MEMORY_BYTES = 64 * 2 ** 20;
const DEFAULT_MAX_STALENESS_MILLIS = 5_000;

/** `undefined`: no caches. */
export function cacheSettings(given: z.infer<typeof cacheOfCluster>): CacheSettings | undefined {
  if (given === undefined || given === false) return undefined;
  const {
    memory,
    shared,
    maxStalenessMillis = DEFAULT_MAX_STALENESS_MILLIS,
    ...rest
  } = given === true ? options.parse({}) : given;
  const memoryBytes = memory === false ? 0 : (memory.maxBytes ?? DEFAULT_MEMORY_BYTES);
  const rules = rest.rules as readonly CacheRule[];
  return Object.freeze({ ...rest, maxStalenessMillis, rules, memoryBytes, shared });
}
