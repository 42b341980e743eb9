/**
 * People look at profiles, mostly at the same few, and one time in twenty they change one and look at it again. How many
 * statements reach the servers, and who is shown something older than what they wrote. All run in one process, one after the
 * other in interleaved rounds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import pg from 'pg';
import type * as library from '../../src/index.js';
import { POOL, type Servers } from '../contenders/access.js';
import { median } from '../rounds.js';
import { bentocache, cacheManager, redisClient } from './holders.js';
import { StatementCounts } from './statement-counts.js';
import { CHANGE, PROFILE, PROFILES } from './statements.js';

interface Profile extends Record<string, unknown> {
  readonly version: number;
}

/** How profiles are looked at and changed. */
interface Site {
  readonly name: string;
  readonly userCount: number;
  look(user: number, id: number): Promise<Profile>;
  /** @returns the version that it has then */
  change(user: number, id: number): Promise<number>;
  close(): Promise<unknown>;
}

export interface ProfilesResult {
  readonly name: string;
  /** That reached the servers, for each operation: median of the rounds. */
  readonly statementsPerOperation: number;
  /** How many times fewer than without a cache. */
  readonly cut: number;
  readonly perSecond: number;
  readonly staleCount: number;
  readonly checkedCount: number;
}

const CALLERS = 16;
/** Who has just written sees nothing that was read before: the more often each writes, the less a cache is good for. */
const USERS = 20_000;
const WRITES_ONE_IN = 20;
const OPERATIONS = 6_000;
const WARM_UP_OPERATIONS = 6_000;
/** With all of them. While others have their rounds, nobody asks: within the default of 5 s each round would begin with nothing. */
const LIFETIME_MILLIS = 30_000;
const BUILT = new URL('../../dist/index.js', import.meta.url).href;

export async function profiles(
  servers: Servers,
  redisPort: number | undefined,
  rounds: number,
  withPeers: boolean,
  signal: AbortSignal,
): Promise<ProfilesResult[]> {
  await using counts = await StatementCounts.of(servers);
  const sites = await sitesOf(servers, redisPort, withPeers);
  try {
    const walks = sites.map((site) => new Walk(site));
    for (const walk of walks) await walk.round(WARM_UP_OPERATIONS);
    const figures = walks.map(() => ({ perOperation: [] as number[], perSecond: [] as number[] }));
    for (const walk of walks) walk.forget();
    for (let round = 0; round < rounds; round++) {
      for (let i = 0; i < walks.length; i++) {
        signal.throwIfAborted();
        const at = (i + round) % walks.length;
        const before = await counts.on('profiles');
        const startedAt = performance.now();
        await (walks[at] as Walk).round(OPERATIONS);
        const seconds = (performance.now() - startedAt) / 1_000;
        figures[at]?.perSecond.push(OPERATIONS / seconds);
        figures[at]?.perOperation.push(((await counts.on('profiles')) - before) / OPERATIONS);
      }
    }
    const bare = median(figures[0]?.perOperation ?? []);
    return walks.map(({ site, staleCount, checkedCount }, at) => {
      const statementsPerOperation = median(figures[at]?.perOperation ?? []);
      return {
        name: site.name,
        statementsPerOperation,
        cut: bare / statementsPerOperation,
        perSecond: median(figures[at]?.perSecond ?? []),
        staleCount,
        checkedCount,
      };
    });
  } finally {
    for (const site of sites) await site.close();
  }
}

/** What people do, at one site. */
class Walk {
  readonly site: Site;
  staleCount = 0;
  checkedCount = 0;
  /** The version of each profile that each user has made, by `user:profile`. */
  readonly #made = new Map<string, number>();
  #step = 0;

  constructor(site: Site) {
    this.site = site;
  }

  forget(): void {
    this.staleCount = 0;
    this.checkedCount = 0;
  }

  async round(operations: number): Promise<void> {
    let left = operations;
    const live = async (): Promise<void> => {
      while (left-- > 0) await this.#operation();
    };
    await Promise.all(Array.from({ length: CALLERS }, live));
  }

  async #operation(): Promise<void> {
    const user = Math.floor(Math.random() * this.site.userCount);
    const id = zipf();
    if (++this.#step % WRITES_ONE_IN === 0) {
      const version = await this.site.change(user, id);
      const key = `${user}:${id}`;
      this.#made.set(key, Math.max(version, this.#made.get(key) ?? 0));
    }
    await this.#look(user, id);
  }

  async #look(user: number, id: number): Promise<void> {
    const own = this.#made.get(`${user}:${id}`);
    const { version } = await this.site.look(user, id);
    if (own === undefined) return;
    this.checkedCount++;
    if (version < own) this.staleCount++;
  }
}

async function sitesOf(servers: Servers, redisPort: number | undefined, withPeers: boolean): Promise<Site[]> {
  const sites = [
    await ladder(servers, 'pg-ladder, no cache', false),
    await ladder(servers, 'pg-ladder', true),
    await ladder(servers, 'pg-ladder, 2,000 users', true, 2_000),
    await ladder(servers, 'pg-ladder, 16 users', true, 16),
    aside(servers, 'cache-aside in memory', inMemory()),
  ];
  if (!withPeers) return sites;
  if (redisPort !== undefined) sites.push(aside(servers, 'cache-aside on Redis', onRedis(redisPort)));
  return [
    ...sites,
    aside(servers, 'bentocache', await ofBentocache(redisPort)),
    aside(servers, 'cache-manager', ofCacheManager()),
  ];
}

/** Each operation is a request of a user, who brings his token. */
async function ladder({ primary, replicas }: Servers, name: string, cache: boolean, userCount = USERS): Promise<Site> {
  const { createCluster } = (await import(BUILT)) as typeof library;
  const node = (connectionString: string) => ({ connectionString, ...POOL });
  const cluster = createCluster({
    primary: node(primary),
    replicas: replicas.map(node),
    ...(cache ? { cache: { maxStalenessMillis: LIFETIME_MILLIS } } : {}),
  });
  await cluster.ready();
  const tokens = new Map<number, string>();
  const options = cache ? { cache: true } : undefined;
  const request = <T>(user: number, fn: (session: library.Session) => Promise<T>): Promise<T> => {
    const token = tokens.get(user);
    return cluster.session(fn, { inherit: 'none', ...(token === undefined ? {} : { token }) });
  };
  return {
    name,
    userCount,
    look: (user, id) =>
      request(user, async () => (await cluster.read<Profile>(PROFILE, [id], options)).rows[0] as Profile),
    change: (user, id) =>
      request(user, async (session) => {
        const { rows } = await cluster.write<Profile>(CHANGE, [id]);
        tokens.set(user, await session.token());
        return (rows[0] as Profile).version;
      }),
    close: () => cluster.close(),
  };
}

/** What is kept beside the database, and forgotten by hand. */
interface Aside {
  get(id: number, load: () => Promise<Profile>): Promise<Profile>;
  forget(id: number): Promise<unknown>;
  close(): Promise<unknown>;
}

function aside({ primary, replicas }: Servers, name: string, kept: Aside): Site {
  const writes = new pg.Pool({ connectionString: primary, ...POOL });
  const reads = replicas.map((connectionString) => new pg.Pool({ connectionString, ...POOL }));
  let next = 0;
  return {
    name,
    userCount: USERS,
    look: (_, id) =>
      kept.get(id, async () => {
        const pool = reads[next++ % reads.length] as pg.Pool;
        return (await pool.query<Profile>({ name: 'profile', text: PROFILE, values: [id] })).rows[0] as Profile;
      }),
    async change(_, id) {
      const { rows } = await writes.query<Profile>({ name: 'change', text: CHANGE, values: [id] });
      await kept.forget(id);
      return (rows[0] as Profile).version;
    },
    async close() {
      await kept.close();
      await Promise.all([writes, ...reads].map((pool) => pool.end()));
    },
  };
}

function inMemory(): Aside {
  const held = new LRUCache<number, Profile>({ max: PROFILES, ttl: LIFETIME_MILLIS });
  return {
    async get(id, load) {
      const found = held.get(id);
      if (found !== undefined) return found;
      const loaded = await load();
      held.set(id, loaded);
      return loaded;
    },
    forget: async (id) => held.delete(id),
    close: async () => held.clear(),
  };
}

function onRedis(port: number): Aside {
  const client = redisClient(port) as ReturnType<typeof redisClient> & {
    set(key: string, value: string, unit: 'PX', millis: number): Promise<unknown>;
  };
  const keyOf = (id: number): string => `profile:${id}`;
  return {
    async get(id, load) {
      const found = await client.get(keyOf(id));
      if (found !== null) return JSON.parse(found) as Profile;
      const loaded = await load();
      await client.set(keyOf(id), JSON.stringify(loaded), 'PX', LIFETIME_MILLIS);
      return loaded;
    },
    forget: (id) => client.del(keyOf(id)),
    close: () => client.quit(),
  };
}

async function ofBentocache(redisPort: number | undefined): Promise<Aside> {
  const bento = await bentocache({ shares: false, redisPort });
  const keyOf = (id: number): string => `bento:${id}`;
  return {
    get: async (id, load) => {
      const asked = { key: keyOf(id), ttl: LIFETIME_MILLIS, factory: async () => [await load()] };
      return (await bento.getOrSet(asked))[0] as Profile;
    },
    forget: (id) => bento.delete({ key: keyOf(id) }),
    close: () => bento.disconnectAll(),
  };
}

function ofCacheManager(): Aside {
  const cache = cacheManager();
  return {
    get: async (id, load) => (await cache.wrap(`${id}`, async () => [await load()], LIFETIME_MILLIS))[0] as Profile,
    forget: (id) => cache.del(`${id}`),
    // What it does in the background is over then.
    close: () => Promise.all([cache.disconnect(), sleep(0)]),
  };
}

const SUMS = cumulated();

/** The first is asked for twice as often as the second, thrice as often as the third. */
function zipf(): number {
  const point = Math.random() * (SUMS.at(-1) as number);
  let low = 0;
  let high = SUMS.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((SUMS[middle] as number) > point) high = middle;
    else low = middle + 1;
  }
  return low;
}

function cumulated(): Float64Array {
  const sums = new Float64Array(PROFILES);
  let sum = 0;
  for (let rank = 0; rank < PROFILES; rank++) {
    sum += 1 / (rank + 1);
    sums[rank] = sum;
  }
  return sums;
}
