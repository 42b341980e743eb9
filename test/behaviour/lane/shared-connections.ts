import { afterAll, beforeAll } from 'vitest';
import type { Cluster } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open, until } from '../fixture.js';

/** Statements that went through shared connections. */
export const shared = (cluster: Cluster) =>
  cluster.stats().nodes.reduce((sum, { lane }) => sum + lane.statementCount, 0);

/** Runs a read until it is known well enough to share a connection. */
export async function warm(cluster: Cluster, text: string, values: unknown[] = []): Promise<void> {
  const before = shared(cluster);
  await until(`“${text}” shares a connection`, async () => {
    // What a machine that stands still makes time out says nothing.
    await cluster.read(text, values).catch((error: Error & { code?: string }) => {
      if (error.code !== '57014' && error.message !== 'Query read timeout') throw error;
    });
    return shared(cluster) > before + 30;
  });
}

export let servers: TestCluster;

export let primaryUrl: string;

export let replicaUrl: string;

/** Starts the servers once a file. */
export function sharesConnections(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    primaryUrl = servers.primary.connectionString;
    replicaUrl = servers.replicas[0]?.connectionString ?? '';
    await using cluster = await open(servers);
    await cluster.write('create table t (id int primary key, v int not null)');
    await cluster.write('insert into t select i, i from generate_series(1, 1000) i');
    await cluster.write(
      "create function remembers(v text) returns text language plpgsql volatile as $$ begin perform set_config('app.who', v, false); return v; end $$",
    );
    await cluster.write(
      'create function slowly(s float) returns int stable language plpgsql as $$ begin return (select 1 from pg_sleep(s)); end $$',
    );
    await servers.replicas[0]?.waitForReplay();
  });
  afterAll(() => servers.stop());
}
