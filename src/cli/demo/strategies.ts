/**
 * Six ways for an application to use a primary and its replicas. Each decides where a query goes;
 * none knows what is measured. All of them have pools of the same size.
 */
import pg from 'pg';
import { createCluster } from '../library.js';
import type { Store } from './redis.js';

/** What a page is shown. */
export interface Shown {
  // biome-ignore lint/suspicious/noExplicitAny: as pg has it
  readonly rows: any[];
  /** Whether the strategy took it from a cache, where it says so. */
  readonly isKept?: boolean;
}

/** Where a page's queries go in. A page has one user's profile. */
export interface Page {
  read(text: string, values: readonly unknown[]): Promise<Shown>;
  write(text: string, values: readonly unknown[]): Promise<pg.QueryResult>;
}

/** How many queries went where. */
export interface Placed {
  /** Reads and writes. */
  readonly onPrimary: number;
  readonly onReplicas: number;
  /** Reads that no server saw. */
  readonly inCache?: number;
  /** Positions that were asked for right behind a write, on its own connection. */
  readonly riders?: number;
  /** Why they went there, where the strategy knows. */
  readonly reasons?: Readonly<Record<string, number>>;
}

/** A strategy at work. */
export interface Access {
  /** Runs what one request of a user does. */
  page(user: number, view: (page: Page) => Promise<void>): Promise<void>;
  placed(): Placed;
  close(): Promise<void>;
}

export interface Strategy {
  readonly id: 'primary-only' | 'round-robin' | 'sticky-window' | 'cache-aside' | 'pg-ladder' | 'pg-ladder-cached';
  readonly title: string;
  /** Resolves when it is ready for users. */
  open(primary: string, replicas: readonly string[]): Promise<Access>;
}

const POOL_SIZE = 10; // what pg itself takes
const STICKY_MILLIS = 2_000;
const KEPT_SECONDS = 60;

/** @param store what the application keeps rows in by hand */
export const strategiesWith = (store: Store): readonly Strategy[] => [
  {
    id: 'primary-only',
    title: 'primary only',
    open: async (primary) => overPools(primary, [], () => false),
  },
  {
    id: 'round-robin',
    title: 'round robin',
    open: async (primary, replicas) => overPools(primary, replicas, () => true),
  },
  {
    id: 'sticky-window',
    title: 'sticky for 2 s',
    open: async (primary, replicas) => overPools(primary, replicas, (sinceSave) => sinceSave > STICKY_MILLIS),
  },
  {
    id: 'cache-aside',
    title: `cache-aside, ${store.name}`,
    open: async (primary, replicas) => {
      const servers = overPools(primary, replicas, () => true);
      return besideCache(store, servers);
    },
  },
  {
    id: 'pg-ladder',
    title: 'pg-ladder',
    open: (primary, replicas) => overLadder(primary, replicas, false),
  },
  {
    id: 'pg-ladder-cached',
    title: 'pg-ladder + caches',
    open: (primary, replicas) => overLadder(primary, replicas, true),
  },
];

/**
 * @param toReplica whether a read may go to a replica, that long after the user's last save in
 * milliseconds
 */
function overPools(
  primaryUrl: string,
  replicaUrls: readonly string[],
  toReplica: (sinceSave: number) => boolean,
): Access {
  const primary = openPool(primaryUrl);
  const replicas = replicaUrls.map(openPool);
  const savedAt = new Map<number, number>();
  let onPrimary = 0;
  let onReplicas = 0;

  const ask = (pool: pg.Pool, text: string, values: readonly unknown[]) => {
    if (pool === primary) onPrimary++;
    else onReplicas++;
    return pool.query(text, [...values]);
  };
  return {
    page: (user, view) =>
      view({
        read(text, values) {
          const sinceSave = performance.now() - (savedAt.get(user) ?? Number.NEGATIVE_INFINITY);
          const replica = toReplica(sinceSave) ? replicas[onReplicas % replicas.length] : undefined;
          return ask(replica ?? primary, text, values);
        },
        async write(text, values) {
          const result = await ask(primary, text, values);
          savedAt.set(user, performance.now());
          return result;
        },
      }),
    placed: () => ({ onPrimary, onReplicas }),
    close: async () => void (await Promise.all([primary, ...replicas].map((pool) => pool.end()))),
  };
}

/** As applications do it: a row that is not kept is read, and kept; who writes it deletes it there. */
function besideCache(store: Store, servers: Access): Access {
  let inCache = 0;
  return {
    ...servers,
    page: (user, view) =>
      servers.page(user, (page) => {
        const key = `profile:${user}`;
        return view({
          async read(text, values) {
            const kept = await store.get(key);
            if (kept !== undefined) {
              inCache++;
              return { rows: JSON.parse(kept), isKept: true };
            }
            const { rows } = await page.read(text, values);
            await store.set(key, JSON.stringify(rows), KEPT_SECONDS);
            return { rows };
          },
          async write(text, values) {
            const result = await page.write(text, values);
            await store.delete(key);
            return result;
          },
        });
      }),
    placed: () => ({ ...servers.placed(), inCache }),
  };
}

async function overLadder(primary: string, replicas: readonly string[], cache: boolean): Promise<Access> {
  const cluster = createCluster({
    cache,
    primary: { connectionString: primary, max: POOL_SIZE },
    replicas: replicas.map((connectionString) => ({ connectionString, max: POOL_SIZE })),
  });
  await cluster.ready().catch(async (error: unknown) => {
    await cluster.close();
    throw error;
  });
  // What a web application keeps in each user's cookie.
  const tokens = new Map<number, string>();
  return {
    page: (user, view) =>
      cluster.session(
        async (session) => {
          await view(cluster);
          tokens.set(user, await session.token());
        },
        { token: tokens.get(user), inherit: 'none', cache },
      ),
    placed() {
      const { nodes, routes, riderCount: riders } = cluster.stats();
      const inCache = routes.cache;
      const primary = nodes.find(({ role }) => role === 'primary');
      // Reads count where they ended: one that was run again elsewhere is one read.
      const onReplicas = nodes.reduce((sum, node) => (node === primary ? sum : sum + node.readCount), 0);
      return { onPrimary: primary?.statementCount ?? 0, onReplicas, inCache, riders, reasons: routes };
    },
    close: () => cluster.close(),
  };
}

function openPool(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: POOL_SIZE });
  pool.on('error', () => {}); // an idle connection was lost: the next query opens another, or tells
  return pool;
}
