/**
 * Four ways for an application to use a primary and its replicas. Each decides where a query goes;
 * none knows what is measured. All of them have pools of the same size.
 */
import pg from 'pg';
import { createCluster } from '../library.js';

/** Where a page's queries go in. */
export interface Page {
  read(text: string, values: readonly unknown[]): Promise<pg.QueryResult>;
  write(text: string, values: readonly unknown[]): Promise<pg.QueryResult>;
}

/** How many queries went where. */
export interface Placed {
  /** Reads and writes. */
  readonly onPrimary: number;
  readonly onReplicas: number;
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
  readonly id: 'primary-only' | 'round-robin' | 'sticky-window' | 'pg-ladder';
  readonly title: string;
  open(primary: string, replicas: readonly string[]): Access;
}

const POOL_SIZE = 10; // what pg itself takes
const STICKY_MILLIS = 2_000;

export const strategies: readonly Strategy[] = [
  {
    id: 'primary-only',
    title: 'primary only',
    open: (primary) => overPools(primary, [], () => false),
  },
  {
    id: 'round-robin',
    title: 'round robin',
    open: (primary, replicas) => overPools(primary, replicas, () => true),
  },
  {
    id: 'sticky-window',
    title: 'sticky for 2 s',
    open: (primary, replicas) => overPools(primary, replicas, (sinceSave) => sinceSave > STICKY_MILLIS),
  },
  { id: 'pg-ladder', title: 'pg-ladder', open: overLadder },
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

function overLadder(primary: string, replicas: readonly string[]): Access {
  const cluster = createCluster({
    primary: { connectionString: primary, max: POOL_SIZE },
    replicas: replicas.map((connectionString) => ({ connectionString, max: POOL_SIZE })),
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
        { token: tokens.get(user), inherit: 'none' },
      ),
    placed() {
      const { nodes, routes } = cluster.stats();
      const primary = nodes.find(({ role }) => role === 'primary');
      // Reads count where they ended: one that was run again elsewhere is one read.
      const onReplicas = nodes.reduce((sum, node) => (node === primary ? sum : sum + node.readCount), 0);
      return { onPrimary: primary?.statementCount ?? 0, onReplicas, reasons: routes };
    },
    close: () => cluster.close(),
  };
}

function openPool(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, max: POOL_SIZE });
  pool.on('error', () => {}); // an idle connection was lost: the next query opens another, or tells
  return pool;
}
