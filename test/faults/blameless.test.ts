import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCluster } from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { nodeOf, open, until } from '../behaviour/fixture.js';
import { query } from '../testing/query.js';

const SLEEPERS =
  "select count(*)::int from pg_stat_activity where state = 'active' and query like '%pg_sleep%' and pid <> pg_backend_pid()";

describe('what says nothing of a server', () => {
  let servers: TestCluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
  });
  afterAll(() => servers.stop());

  it('a caller’s own reason to give up takes no replica out, whatever its code', async () => {
    await using cluster = await open(servers);
    for (let i = 0; i < 4; i++) {
      const controller = new AbortController();
      const { signal } = controller;
      const reading = cluster.read('select pg_sleep(60)', [], { signal, target: { node: 'r1' } });
      await until('it runs', async () => (await query(servers.replicas[0] as TestNode, SLEEPERS)) === 1);
      // As node:http says of a request whose client has gone.
      controller.abort(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }));
      await expect(reading).rejects.toThrow('aborted');
    }
    expect(nodeOf(cluster, 'r1')).toMatchObject({ state: 'live', ejectionCount: 0 });
  });

  it.each([
    ['query_timeout', { query_timeout: 250 }],
    ['transaction_timeout', { options: '-c transaction_timeout=250' }],
  ])(
    'statements that take longer than %s take nobody out, run once, and leave the primary what it is',
    async (_, bound) => {
      const at = (connectionString: string) => ({ connectionString, ...bound });
      await using cluster = createCluster({
        primary: at(servers.primary.connectionString),
        replicas: servers.replicas.map(({ connectionString }) => at(connectionString)),
      });
      await cluster.ready();
      const slow = Array.from({ length: 4 }, () => cluster.read('select pg_sleep(0.7)'));
      for (const { status } of await Promise.allSettled(slow)) expect(status).toBe('rejected');
      for (let i = 0; i < 4; i++) {
        await expect(cluster.write('select pg_sleep(0.7)')).rejects.toMatchObject({
          code: 'LADDER_WRITE_OUTCOME_UNKNOWN',
        });
      }
      expect(cluster.stats().nodes.map(({ ejectionCount }) => ejectionCount)).toEqual([0, 0, 0]);
      expect(cluster.stats().topology.map(({ change }) => change)).toEqual(['found']);
      expect(cluster.stats().routes.retried).toBe(0);
    },
  );
});

describe('a hot key on the primary', () => {
  it('is read on its own replica when the primary dies', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = createCluster({
      primary: { connectionString: servers.primary.connectionString, max: 2 },
      replicas: servers.replicas.map(({ connectionString }) => connectionString),
      hotKeys: { target: 'primary', share: 0.1 },
      // Longer than the test: whoever waited for it would not be done.
      primaryWaitMillis: 120_000,
    });
    await cluster.ready();
    const read = (text: string) => cluster.read(text, [], { partitionKey: 'celebrity', consistency: 'eventual' });
    for (let i = 0; i < 200; i++) await read('select 1');
    expect(cluster.stats().routes['hot-key']).toBeGreaterThan(0);
    const reads = Array.from({ length: 16 }, () => read('select pg_sleep(0.3)'));
    await until('some run there', () => nodeOf(cluster, 'primary').inFlight > 0);
    await servers.primary.kill();
    await Promise.all([...reads, read('select 1')]);
  });
});
