/** A process that plays its part in the torture, and tells what it was shown. It ends when its parent is gone. */
import { createCluster } from '../../../src/index.js';
import { redisCache } from '../../../src/redis.js';
import { type Monotonic, type Plan, play, type SessionLog } from './torture.js';

export interface Order {
  readonly primary: string;
  readonly replicas: { name: string; connectionString: string }[];
  readonly name: string;
  readonly monotonic: Monotonic;
  /** `undefined`: processes share nothing. */
  readonly redisPort: number | undefined;
  readonly plan: Plan;
}

export interface Played {
  readonly logs: SessionLog[];
  /** Reads that were answered by what other processes had read. */
  readonly sharedHitCount: number;
}

const { primary, replicas, name, monotonic, redisPort, plan } = JSON.parse(process.argv[2] ?? '') as Order;
process.on('disconnect', () => process.exit(0));

type Connect = (port: number) => Promise<{ client: Parameters<typeof redisCache>[0]; close: () => void }>;

async function connection() {
  if (redisPort === undefined) return undefined;
  // Its packages are there with those of the other tools only.
  const path: string = '../../compat/redis/cache-clients.js';
  const { connectNodeRedis } = (await import(path)) as { connectNodeRedis: Connect };
  return connectNodeRedis(redisPort);
}

const connected = await connection();
const shared = connected === undefined ? undefined : redisCache(connected.client);
const cluster = createCluster({ primary, replicas, cache: { monotonic, shared, sharedTimeoutMillis: 100 } });
await cluster.ready();
const logs = await play(cluster, name, plan);
const { session, eventual } = cluster.cache.stats().hits.shared;
await cluster.close();
connected?.close();
process.send?.({ logs, sharedHitCount: session + eventual } satisfies Played);
