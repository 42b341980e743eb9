/** A process that plays its part in torture.test.ts, and tells what it was shown. It ends when its parent is gone. */
import { createCluster } from '../../../src/index.js';
import { type Monotonic, type Plan, play } from './torture.js';

export interface Order {
  readonly primary: string;
  readonly replicas: { name: string; connectionString: string }[];
  readonly name: string;
  readonly monotonic: Monotonic;
  readonly plan: Plan;
}

const { primary, replicas, name, monotonic, plan } = JSON.parse(process.argv[2] ?? '') as Order;
process.on('disconnect', () => process.exit(0));
const cluster = createCluster({ primary, replicas, cache: { monotonic } });
await cluster.ready();
const logs = await play(cluster, name, plan);
await cluster.close();
process.send?.(logs);
