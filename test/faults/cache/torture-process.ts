/** A process that plays its part in the torture, and tells what it was shown. It ends when its parent is gone. */
import { createCluster } from '../../../src/index.js';
import { redisCache, type SharedStore } from '../../../src/redis.js';
import { type Monotonic, type Plan, play, type SessionLog } from './torture.js';

export interface Order {
  readonly primary: string;
  readonly replicas: { name: string; connectionString: string }[];
  readonly name: string;
  readonly monotonic: Monotonic;
  /** `undefined`: processes share nothing. */
  readonly redisPort: number | undefined;
  /** Whether it stops, as by SIGSTOP, between reading and storing now and then, until its parent lets it go on. */
  readonly stops: boolean;
  readonly plan: Plan;
}

export interface Played {
  readonly logs: SessionLog[];
  /** Reads that were answered by what other processes had read. */
  readonly sharedHitCount: number;
}

/** Of so many answers that are about to be stored, one finds its process stopped. */
const STOP_EVERY = 60;

const { primary, replicas, name, monotonic, redisPort, stops, plan } = JSON.parse(process.argv[2] ?? '') as Order;
process.on('disconnect', () => process.exit(0));

type Connect = (port: number) => Promise<{ client: Parameters<typeof redisCache>[0]; close: () => void }>;

async function connection() {
  if (redisPort === undefined) return undefined;
  // Its packages are there with those of the other tools only.
  const path: string = '../../compat/redis/cache-clients.js';
  const { connectNodeRedis } = (await import(path)) as { connectNodeRedis: Connect };
  return connectNodeRedis(redisPort);
}

function stopping(store: SharedStore): SharedStore {
  if (!stops) return store;
  let count = 0;
  return {
    ...store,
    async set(...args) {
      if (++count % STOP_EVERY === 0) process.kill(process.pid, 'SIGSTOP');
      await store.set(...args);
    },
  };
}

const connected = await connection();
const shared = connected === undefined ? undefined : stopping(redisCache(connected.client));
const cluster = createCluster({ primary, replicas, cache: { monotonic, shared, sharedTimeoutMillis: 100 } });
await cluster.ready();
const logs = await play(cluster, name, plan);
const { session, eventual } = cluster.cache.stats().hits.shared;
await cluster.close();
connected?.close();
process.send?.({ logs, sharedHitCount: session + eventual } satisfies Played);
