/** A process that plays its part while faults befall it, and tells what it was shown. It ends when its parent is gone. */
import { createCluster } from '../../../src/index.js';
import { type NodeRedisRelayClient, redisCache, redisRelay } from '../../../src/redis.js';
import { type Plan, play, type SessionLog } from '../cache/torture.js';

export interface Order {
  readonly nodes: readonly { readonly name: string; readonly connectionString: string }[];
  readonly name: string;
  /** Of what they share, and through which one reads the log for all; `undefined`: each does so for itself. */
  readonly redisPort: number | undefined;
  /** Whose log is read; `undefined`: the primary's. */
  readonly source: string | undefined;
  readonly plan: Plan;
}

/** What it says of itself now and then. */
export interface Standing {
  readonly state: string;
  readonly problem: string | undefined;
  readonly timeline: number | undefined;
  readonly lsn: string | undefined;
  readonly beginCount: number;
  readonly hitCount: number;
  readonly advancedCount: number;
  readonly sessionCount: number;
  readonly misses: object;
  readonly cacheProblem: string | undefined;
  readonly areDefinitionsKnown: boolean;
  /** What each server is to it, and how many statements are under way there. */
  readonly nodes: readonly string[];
  /** Errors so far, by their codes. */
  readonly errors: Readonly<Record<string, number>>;
}

export interface Word {
  readonly standing?: Standing;
  readonly logs?: readonly SessionLog[];
  readonly isOver?: boolean;
}

const REPORT_MILLIS = 25;

const { nodes, name, redisPort, source, plan } = JSON.parse(process.argv[2] ?? '') as Order;
process.on('disconnect', () => process.exit(0));
const say = (word: Word): void => void process.send?.(word, undefined, undefined, () => undefined);

type Client = Parameters<typeof redisCache>[0] & NodeRedisRelayClient;
type Connect = (port: number) => Promise<{ client: Client; close: () => void }>;

async function connection() {
  if (redisPort === undefined) return undefined;
  // Its packages are there with those of the other tools only.
  const path: string = '../../compat/redis/cache-clients.js';
  const { connectNodeRedis } = (await import(path)) as { connectNodeRedis: Connect };
  return connectNodeRedis(redisPort);
}

const connected = await connection();
const cluster = createCluster({
  nodes,
  cache: {
    maxStalenessMillis: plan.maxStalenessMillis,
    ...(connected === undefined ? {} : { shared: redisCache(connected.client), sharedTimeoutMillis: 100 }),
  },
  changes: {
    source: source === undefined ? 'primary' : { node: source },
    relay: connected === undefined ? undefined : redisRelay(connected.client),
  },
});

const errors: Record<string, number> = {};
let logs: SessionLog[] = [];
let sessionCount = 0;
let isOver = false;
process.on('message', () => {
  isOver = true;
});

function report(): void {
  const { state, problem, position, beginCount, areDefinitionsKnown } = cluster.changes.stats();
  const { hits, misses, advancedCount, problem: cacheProblem } = cluster.cache.stats();
  const hitCount = hits.memory.session + hits.memory.eventual + hits.shared.session + hits.shared.eventual;
  const { timeline, lsn } = position ?? {};
  const nodes = cluster.stats().nodes.map((node) => `${node.name} ${node.role} ${node.state} ${node.inFlight}`);
  const counts = {
    beginCount,
    hitCount,
    advancedCount,
    sessionCount,
    errors,
    misses,
    areDefinitionsKnown,
    cacheProblem,
  };
  say({ standing: { state, problem, timeline, lsn, nodes, ...counts }, logs });
  logs = [];
}

await cluster.ready();
const reporting = setInterval(report, REPORT_MILLIS);
await play(cluster, name, plan, {
  isOver: () => isOver,
  ended: (log) => {
    sessionCount++;
    logs.push(log);
  },
  failed: (error) => {
    const { code, message } = Object(error) as { code?: string; message?: string };
    const what = code ?? String(message);
    errors[what] = (errors[what] ?? 0) + 1;
  },
});
clearInterval(reporting);
report();
await cluster.close({ timeoutMillis: 5_000 }).catch(() => undefined);
connected?.close();
say({ isOver: true });
process.disconnect();
