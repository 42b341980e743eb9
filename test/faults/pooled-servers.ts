import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';

/** A primary and two replicas whose replay stumbles. */
export async function startServers(): Promise<TestCluster> {
  const servers = await startTestCluster({ replicas: 2 });
  await Promise.all(servers.replicas.map((replica, index) => replica.jitterReplay({ seed: index + 1 })));
  return servers;
}

/** Numbers by caller, with nothing that keeps a number from being there twice. */
export async function layTable(cluster: Cluster): Promise<void> {
  await cluster.write('drop table if exists rows');
  await cluster.write('create table rows (caller int, v int)');
  await cluster.write('create index on rows (caller)');
}

/** The most statements that the library has named on one of the primary's connections. */
export async function nameCount(cluster: Cluster): Promise<number> {
  const text = "select count(*)::int as n from pg_prepared_statements where name like 'pgladder%'";
  const answers = await Promise.all(Array.from({ length: 10 }, () => cluster.write<{ n: number }>(text)));
  return Math.max(...answers.map(({ rows }) => rows[0]?.n ?? 0));
}
