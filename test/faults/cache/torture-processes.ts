/** The servers that torture is played on, and processes that play it. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Cluster } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open } from '../../behaviour/fixture.js';
import { type Monotonic, type Plan, ROW_COUNT, type SessionLog } from './torture.js';
import type { Order, Played } from './torture-process.js';

const PROCESSES = 3;
const PATH = fileURLToPath(new URL('torture-process.ts', import.meta.url));

/** With the tables, and replay that stumbles. */
export async function startServers(settings: Record<string, string> = {}): Promise<TestCluster> {
  const servers = await startTestCluster({ replicas: 2, settings });
  await using cluster = await open(servers);
  await cluster.write('create table orders (id int primary key, version int not null)');
  await cluster.write('create table items (order_id int primary key references orders, version int not null)');
  await cluster.write('insert into orders select i, 0 from generate_series(0, $1) as i', [ROW_COUNT]);
  await cluster.write('insert into items select id, 0 from orders');
  for (const [i, replica] of servers.replicas.entries()) {
    await replica.waitForReplay();
    await replica.jitterReplay({ seed: i + 1, maxMillis: 150, share: 0.4 });
  }
  return servers;
}

/** Versions begin anew: each play is judged by its own writes. */
export async function begin(servers: TestCluster, cluster: Cluster): Promise<void> {
  await cluster.write('update orders set version = 0');
  await cluster.write('update items set version = 0');
  for (const replica of servers.replicas) await replica.waitForReplay();
}

export interface Sharing {
  /** Of what they share; `undefined` for nothing. */
  readonly redisPort?: number;
  /** For so long, in milliseconds, each process stops between reading and storing at most; `undefined` for never. */
  readonly stopMillis?: number;
}

/** Plays in three processes at once. */
export async function inProcesses(
  servers: TestCluster,
  monotonic: Monotonic,
  plan: Plan,
  { redisPort, stopMillis }: Sharing = {},
): Promise<Played> {
  await using cluster = await open(servers);
  await begin(servers, cluster);
  const readCount = Math.ceil(plan.readCount / PROCESSES);
  const one = async (i: number): Promise<Played> => {
    const order: Order = {
      primary: servers.primary.connectionString,
      replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
      name: `process ${i}`,
      monotonic,
      redisPort,
      stops: stopMillis !== undefined,
      plan: { ...plan, readCount, seed: plan.seed + i },
    };
    const child: ChildProcess = fork(PATH, [JSON.stringify(order)], { execArgv: ['--import', 'tsx'] });
    // One that stands still goes on; to the others it means nothing.
    const goingOn = stopMillis === undefined ? undefined : setInterval(() => child.kill('SIGCONT'), stopMillis);
    const [played] = (await once(child, 'message')) as [Played];
    child.disconnect();
    await once(child, 'exit');
    clearInterval(goingOn);
    return played;
  };
  const all = await Promise.all(Array.from({ length: PROCESSES }, (_, i) => one(i)));
  const sharedHitCount = all.reduce((sum, played) => sum + played.sharedHitCount, 0);
  return { logs: all.flatMap(({ logs }): SessionLog[] => logs), sharedHitCount };
}
