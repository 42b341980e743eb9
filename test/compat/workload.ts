/** What every tool has to show: that it works unchanged through `cluster.pool()`, and that its sessions read their writes from replicas that lag. */
import type { Pool } from 'pg';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, readsOf, replicaShare, report, size } from '../behaviour/fixture.js';

/** The least that a tool can do with the table `people (id int primary key, name text not null, age int not null)`. */
export interface Tool {
  /** Updates the one row. */
  save(id: number, age: number): Promise<unknown>;
  /** Selects the one row. */
  age(id: number): Promise<number | undefined>;
}

export interface Stage extends AsyncDisposable {
  readonly servers: TestCluster;
  readonly cluster: Cluster;
  readonly pool: Pool;
}

const SESSIONS = 32;
/** Pairs of a write and a read right after it. */
const PAIRS = size(96, 2_000);
const READS_PER_WRITE = 20;
const THINK_MILLIS = 50;

/** A primary and two replicas with the table and a row for each session, and the pool that a tool is handed. Replay is in time until `jitter`. */
export async function openStage(): Promise<Stage> {
  const servers = await startTestCluster({ replicas: 2 });
  const cluster = await open(servers);
  await cluster.write('create table people (id int primary key, name text not null, age int not null)');
  await cluster.write(`insert into people select i, 'P' || i, 0 from generate_series(0, $1) i`, [SESSIONS - 1]);
  for (const replica of servers.replicas) await replica.waitForReplay();
  const pool = cluster.pool();
  return {
    servers,
    cluster,
    pool,
    async [Symbol.asyncDispose]() {
      if (!pool.ending) await pool.end();
      await cluster.close();
      await servers.stop();
    },
  };
}

/** Pauses every replica's replay half of the time, up to 300 ms each. */
export async function jitter(servers: TestCluster): Promise<void> {
  for (const [i, replica] of servers.replicas.entries()) {
    await replica.jitterReplay({ seed: i + 1, maxMillis: 300, share: 0.5 });
  }
}

/** Sessions side by side: a write, its row at once, and 19 more reads with time to think between. @returns stale reads, and the share that replicas answered */
export async function readYourWrites(
  name: string,
  cluster: Cluster,
  tool: Tool,
): Promise<{ stale: number; share: number }> {
  let stale = 0;
  const before = readsOf(cluster);
  const think = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, THINK_MILLIS * 2 * Math.random()));
  await Promise.all(
    Array.from({ length: SESSIONS }, (_, id) =>
      cluster.session(async () => {
        await think();
        for (let age = 1; age <= PAIRS / SESSIONS; age++) {
          await tool.save(id, age);
          for (let read = 0; read < READS_PER_WRITE; read++) {
            if (read > 0) await think();
            if ((await tool.age(id)) !== age) stale++;
          }
        }
      }),
    ),
  );
  const share = replicaShare(cluster, before);
  report(`${name}, ${PAIRS} pairs`, { stale, 'on replicas, %': share * 100 });
  return { stale, share };
}
