import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { haproxyBalanced } from '../../bench/proxies/haproxy.js';
import { pgbouncerSessions } from '../../bench/proxies/pgbouncer.js';
import { RunningProxy } from '../../bench/proxies/proxy.js';
import type { Cluster } from '../../src/index.js';
import type { TestCluster } from '../../src/testing/index.js';
import { open, report, size } from '../behaviour/fixture.js';
import { installed } from './installed.js';
import { layTable, nameCount, startServers } from './pooled-servers.js';

function connectionStrings({ primary, replicas }: TestCluster) {
  return { primary: primary.connectionString, replicas: replicas.map(({ connectionString }) => connectionString) };
}

/** Sixteen sessions that write and read for a while. @returns how many reads there were, and those that were stale */
async function pairs(cluster: Cluster): Promise<{ reads: number; stale: unknown[] }> {
  await layTable(cluster);
  await cluster.write('insert into rows select i, 0 from generate_series(1, 16) i');
  const stale: unknown[] = [];
  let reads = 0;
  await Promise.all(
    Array.from({ length: 16 }, (_, index) =>
      cluster.session(
        async () => {
          const caller = index + 1;
          for (let v = 1; v <= size(20, 500); v++) {
            await cluster.write('update rows set v = $1 where caller = $2', [v, caller]);
            for (let i = 0; i < 4; i++, reads++) {
              const { rows } = await cluster.read('select v from rows where caller = $1', [caller]);
              if (rows[0]?.['v'] !== v) stale.push({ caller, v, rows });
            }
          }
        },
        { inherit: 'none' },
      ),
    ),
  );
  return { reads, stale };
}

describe('behind one program for all servers', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startServers();
  });
  afterAll(async () => {
    await servers.stop();
  });

  const bouncer = installed(pgbouncerSessions);
  it.skipIf(bouncer === undefined)(
    'PgBouncer with session pooling: statements are named and connections shared where one says so',
    async () => {
      await using proxy = await RunningProxy.start(pgbouncerSessions, bouncer ?? '', connectionStrings(servers));
      const { primary, replicas } = proxy.entries;
      for (const isTold of [false, true]) {
        const told = isTold ? { lane: true, namedStatements: true } : {};
        await using cluster = await open(servers, { primary, replicas: [...replicas], ...told });
        expect((await pairs(cluster)).stale).toEqual([]);
        const shared = cluster.stats().nodes.reduce((sum, { lane }) => sum + lane.statementCount, 0);
        const named = await nameCount(cluster);
        expect([shared > 0, named > 0]).toEqual([isTold, isTold]);
      }
    },
  );

  const balancer = installed(haproxyBalanced);
  it.skipIf(balancer === undefined)(
    'HAProxy, with one name for two replicas in turn against all advice: nothing stale is read, and most goes to the primary',
    async () => {
      await using proxy = await RunningProxy.start(haproxyBalanced, balancer ?? '', connectionStrings(servers));
      const { primary, replicas } = proxy.entries;
      await using cluster = await open(servers, { primary, replicas: [...replicas] });
      const { reads, stale } = await pairs(cluster);
      const onReplicas = 1 - cluster.stats().routes['no-candidate'] / reads;
      report('HAProxy, one name for two replicas', { reads, stale: stale.length, 'on replicas': onReplicas });
      expect(stale).toEqual([]);
    },
  );
});
