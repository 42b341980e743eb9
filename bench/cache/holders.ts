/** Who holds answers in memory, each in its own way. What a hit is good for is measured elsewhere. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import pg from 'pg';
import type * as library from '../../src/index.js';
import type { Servers } from '../contenders/access.js';
import { importPeer, loadPeer } from '../peers.js';
import { wideText } from './statements.js';

export interface HolderSpec {
  readonly holder: 'lru-cache' | 'pg-ladder' | 'bentocache' | 'cache-manager' | 'GET';
  readonly name: string;
  /** Of pg-ladder: all reads in one session that has written. */
  readonly inSession?: boolean;
  /** Of pg-ladder: whether `query` reads, which has to know what the statement is. */
  readonly asQuery?: boolean;
  /** Of `GET`: keeps the rows alone, as people do, and not what pg-ladder keeps with them. */
  readonly isBare?: boolean;
  /** Of bentocache: keeps the rows themselves, which all callers share then, and no text. */
  readonly shares?: boolean;
  /** Where Redis listens, for those that have it beneath, or alone. */
  readonly redisPort?: number;
}

/** Rows that were kept. */
export interface Holder {
  /** How many rows came. */
  hit(key: number): Promise<number>;
  /** Reads that nothing held has answered so far, by their reasons. Default: there are none. */
  misses?(): Readonly<Record<string, number>>;
  /** Puts a whole round into what it needs. Default: nothing. */
  as?<T>(fn: () => Promise<T>): Promise<T>;
  close(): Promise<unknown>;
}

/** So many answers are held, and asked for in turn. */
export const KEYS = 100;
const PATIENCE_MILLIS = 15_000;
const LIFETIME_MILLIS = 3_600_000;
const BUILT = new URL('../../dist/index.js', import.meta.url).href;

type Rows = readonly Record<string, unknown>[];

/** What `redisCache` of `pg-ladder/redis` takes, and `GET` uses. */
interface RedisClient {
  get(key: string): Promise<string | null>;
  set(key: string, value: string): Promise<unknown>;
  quit(): Promise<unknown>;
}

export function openHolder(spec: HolderSpec, servers: Servers, rowCount: number): Promise<Holder> {
  switch (spec.holder) {
    case 'pg-ladder':
      return openLadder(spec, servers, rowCount);
    case 'lru-cache':
      return openLru(servers, rowCount);
    case 'bentocache':
      return openBentocache(spec, servers, rowCount);
    case 'cache-manager':
      return openCacheManager(servers, rowCount);
    case 'GET':
      return openGet(spec, servers, rowCount);
  }
}

async function openLru(servers: Servers, rowCount: number): Promise<Holder> {
  const held = new LRUCache<number, Rows>({ max: KEYS });
  for (const [key, rows] of (await answers(servers, rowCount)).entries()) held.set(key, rows);
  return { hit: async (key) => ((await Promise.resolve(held.get(key))) as Rows).length, close: async () => undefined };
}

async function openLadder(spec: HolderSpec, servers: Servers, rowCount: number): Promise<Holder> {
  const { createCluster, routeOf } = (await import(BUILT)) as typeof library;
  const { primary, replicas } = servers;
  const client = spec.redisPort === undefined ? undefined : redisClient(spec.redisPort);
  const maxStalenessMillis = LIFETIME_MILLIS;
  const rungs = client === undefined ? {} : { memory: false as const, shared: await sharedStore(client) };
  // A busy machine is late now and then: what a hit costs is not measured on those that are given up.
  const cache = { maxStalenessMillis, sharedTimeoutMillis: 1_000, ...rungs };
  const cluster = createCluster({ primary, replicas: [...replicas], cache });
  await cluster.ready();
  const text = wideText(rowCount);
  const run = spec.asQuery === true ? cluster.query.bind(cluster) : cluster.read.bind(cluster);
  const read = (key: number) => run(text, [key], { cache: true });
  const warm = async (): Promise<void> => {
    const giveUpAt = performance.now() + PATIENCE_MILLIS;
    for (let held = 0; held < KEYS; await sleep(300)) {
      held = 0;
      for (let key = 0; key < KEYS; key++) {
        const rung = routeOf(await read(key))?.rung;
        if (rung === 'memory' || rung === 'shared') held++;
      }
      if (performance.now() > giveUpAt) throw new Error(`only ${held} of ${KEYS} answers are kept`);
    }
  };
  const close = async (): Promise<void> => {
    await cluster.close();
    await client?.quit();
  };
  const hit = async (key: number): Promise<number> => (await read(key)).rows.length;
  const misses = (): Record<string, number> => {
    const { misses: byReason, hits, bypassedCount, refreshedCount } = cluster.cache.stats();
    // What is not in memory is looked for in Redis.
    const absent = byReason.absent - hits.shared.session;
    return { ...byReason, absent, bypassed: bypassedCount, refreshed: refreshedCount };
  };
  if (spec.inSession !== true) {
    await warm();
    return { hit, misses, close };
  }
  const as = await cluster.session(
    async () => {
      const enter = AsyncLocalStorage.snapshot();
      await cluster.write('update items set value = value where id = 1');
      return enter;
    },
    { inherit: 'none' },
  );
  // Others have asked for the same before.
  await sleep(500);
  await warm();
  await as(warm);
  return { hit, as, misses, close };
}

interface Bentocache {
  get(options: { key: string }): Promise<Rows | undefined>;
  set(options: { key: string; value: Rows; ttl: number }): Promise<unknown>;
  disconnectAll(): Promise<unknown>;
}

async function openBentocache(spec: HolderSpec, servers: Servers, rowCount: number): Promise<Holder> {
  const bento = await bentocache({ shares: spec.shares === true, redisPort: spec.redisPort });
  const names = namesOf(rowCount);
  for (const [key, value] of (await answers(servers, rowCount)).entries())
    await bento.set({ key: names[key] as string, value, ttl: LIFETIME_MILLIS });
  return {
    hit: async (key) => ((await bento.get({ key: names[key] as string })) as Rows).length,
    close: () => bento.disconnectAll(),
  };
}

/** @param shares whether it keeps the rows themselves, and no text */
export async function bentocache({
  shares,
  redisPort,
}: {
  readonly shares: boolean;
  readonly redisPort?: number | undefined;
}): Promise<
  Bentocache & { getOrSet(options: object): Promise<Rows>; delete(options: { key: string }): Promise<unknown> }
> {
  type Store = { useL1Layer(layer: unknown): Store; useL2Layer(layer: unknown): Store };
  const { BentoCache, bentostore } = await importPeer<{
    BentoCache: new (options: object) => Awaited<ReturnType<typeof bentocache>>;
    bentostore: () => Store;
  }>('bentocache/build/index.js');
  const { memoryDriver } = await importPeer<{ memoryDriver: (options: object) => unknown }>(
    'bentocache/build/src/drivers/memory.js',
  );
  let store = bentostore().useL1Layer(memoryDriver({ maxItems: 10_000, ...(shares ? { serialize: false } : {}) }));
  if (redisPort !== undefined) {
    const { redisDriver } = await importPeer<{ redisDriver: (options: object) => unknown }>(
      'bentocache/build/src/drivers/redis.js',
    );
    store = store.useL2Layer(redisDriver({ connection: { host: '127.0.0.1', port: redisPort } }));
  }
  return new BentoCache({ default: 'rows', stores: { rows: store } });
}

export interface CacheManager {
  get(key: string): Promise<Rows | undefined>;
  set(key: string, value: Rows, ttl: number): Promise<unknown>;
  del(key: string): Promise<unknown>;
  wrap(key: string, load: () => Promise<Rows>, ttl: number): Promise<Rows>;
  disconnect(): Promise<unknown>;
}

export function cacheManager(): CacheManager {
  return loadPeer<{ createCache(): CacheManager }>('cache-manager').createCache();
}

async function openCacheManager(servers: Servers, rowCount: number): Promise<Holder> {
  const cache = cacheManager();
  const names = namesOf(rowCount);
  for (const [key, value] of (await answers(servers, rowCount)).entries())
    await cache.set(names[key] as string, value, LIFETIME_MILLIS);
  return {
    hit: async (key) => ((await cache.get(names[key] as string)) as Rows).length,
    close: () => cache.disconnect(),
  };
}

/** What everybody writes first: `GET`, and `JSON.parse`. */
async function openGet(
  { redisPort = 0, isBare = false }: HolderSpec,
  servers: Servers,
  rowCount: number,
): Promise<Holder> {
  const client = redisClient(redisPort);
  const names = namesOf(rowCount);
  const found = isBare ? await answers(servers, rowCount) : await rawAnswers(servers, rowCount);
  for (const [key, value] of found.entries())
    await client.set(names[key] as string, JSON.stringify(isBare ? { rows: value } : value));
  return {
    hit: async (key) =>
      (JSON.parse((await client.get(names[key] as string)) as string) as { readonly rows: Rows }).rows.length,
    close: () => client.quit(),
  };
}

export function redisClient(port: number): RedisClient & { del(key: string): Promise<unknown> } {
  const { Redis } = loadPeer<{ Redis: new (port: number, host: string) => ReturnType<typeof redisClient> }>('ioredis');
  return new Redis(port, '127.0.0.1');
}

async function sharedStore(client: RedisClient): Promise<never> {
  const built = (await import(new URL('redis.js', BUILT).href)) as { redisCache?: (client: RedisClient) => unknown };
  if (built.redisCache === undefined) throw new Error('this build has no shared rung');
  return built.redisCache(client) as never;
}

function namesOf(rowCount: number): string[] {
  return Array.from({ length: KEYS }, (_, key) => `wide:${rowCount}:${key}`);
}

/** As pg-ladder keeps them: with their columns, and each field as it travels. */
async function rawAnswers({ replicas: [replica] }: Servers, rowCount: number): Promise<object[]> {
  const client = new pg.Client({ connectionString: replica as string });
  await client.connect();
  try {
    const found: object[] = [];
    const types = { getTypeParser: () => (raw: unknown) => raw };
    for (let key = 0; key < KEYS; key++) {
      const query = { text: wideText(rowCount), values: [key], rowMode: 'array', types };
      const { rows, fields, command } = await client.query(query as unknown as pg.QueryArrayConfig);
      found.push({ command, fields: fields.flatMap((field) => Object.values(field)), rows });
    }
    return found;
  } finally {
    await client.end();
  }
}

async function answers({ replicas: [replica] }: Servers, rowCount: number): Promise<Rows[]> {
  const client = new pg.Client({ connectionString: replica as string });
  await client.connect();
  try {
    const found: Rows[] = [];
    for (let key = 0; key < KEYS; key++) found.push((await client.query(wideText(rowCount), [key])).rows as Rows);
    return found;
  } finally {
    await client.end();
  }
}
