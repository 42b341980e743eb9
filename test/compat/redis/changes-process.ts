/** One of several processes that share a log through Redis: says what it is told, in the order in which it is. */
import { LogicalSource } from '../../../src/changes/logical-source.js';
import type { RelayRole } from '../../../src/changes/relay-stats.js';
import { RelayedSource } from '../../../src/changes/relayed-source.js';
import { Fleet } from '../../../src/nodes/fleet.js';
import { settingsFrom } from '../../../src/options/cluster.js';
import { Publisher } from '../../../src/publisher.js';
import { type IoredisRelayClient, type NodeRedisRelayClient, redisRelay } from '../../../src/redis.js';
import { connectIoredis, connectNodeRedis } from './cache-clients.js';

export interface Order {
  readonly primary: string;
  readonly redisPort: number;
  readonly library: 'node-redis' | 'ioredis';
  readonly lock: number;
}

/** Positions as text: they pass from process to process. */
export type Told =
  | { readonly kind: 'began' | 'reached'; readonly lsn: string }
  | { readonly kind: 'changed'; readonly lsn: string; readonly keys: readonly number[]; readonly at: number }
  | { readonly kind: 'broken'; readonly reason: string };

export interface Report {
  readonly role: RelayRole;
  readonly told: readonly Told[];
}

const REPORT_MILLIS = 10;
const now = (): number => performance.timeOrigin + performance.now();

const order = JSON.parse(process.argv[2] ?? '') as Order;
const fleet = new Fleet(settingsFrom({ primary: order.primary, replicas: [] }), new Publisher('shop'));
fleet.start();
const connect = order.library === 'ioredis' ? connectIoredis : connectNodeRedis;
const connection = await connect(order.redisPort);

let told: Told[] = [];
const relayed = new RelayedSource({
  source: new LogicalSource(fleet, { lock: BigInt(order.lock) }),
  relay: redisRelay(connection.client as NodeRedisRelayClient | IoredisRelayClient),
  stream: () => fleet.history.clusterId,
});
const subscription = relayed.subscribe({
  began: ({ lsn }) => void told.push({ kind: 'began', lsn: String(lsn) }),
  changed: (changes, lsn) => {
    if (changes === 'all') throw new Error('nobody has changed all');
    const keys = changes.flatMap((change) => change.keys ?? []).map(([key]) => Number(key));
    told.push({ kind: 'changed', lsn: String(lsn), keys, at: now() });
  },
  reached: (lsn) => void told.push({ kind: 'reached', lsn: String(lsn) }),
  broken: (reason) => void told.push({ kind: 'broken', reason }),
});

let role: RelayRole | undefined;
const reporting = setInterval(() => {
  if (told.length === 0 && role === relayed.stats.role) return;
  role = relayed.stats.role;
  process.send?.({ role, told } satisfies Report);
  told = [];
}, REPORT_MILLIS);

process.once('disconnect', () => process.exit());
process.on('message', async () => {
  await subscription.close();
  clearInterval(reporting);
  connection.close();
  await fleet.close();
  process.disconnect();
});
