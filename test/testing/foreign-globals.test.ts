import pg from 'pg';
import { expect, it, vi } from 'vitest';
import { createCluster } from '../../src/index.js';
import { startTestCluster, type TestNode } from '../../src/testing/index.js';
import { query } from './query.js';

it('parsers and defaults that an application has set for all clients of pg spoil neither its test cluster nor its reads', async () => {
  const { defaults } = pg as unknown as { defaults: Record<string, unknown> };
  for (const oid of [16, 20, 21, 23, 25, 26, 1009, 1043, 3220, 3802]) {
    pg.types.setTypeParser(oid, 'text', (text: string) => `spoilt ${text}`);
    pg.types.setTypeParser(oid, 'binary', (bytes) => `spoilt ${bytes}`);
  }
  Object.assign(defaults, { binary: true, statement_timeout: 1, lock_timeout: 1, rows: 1, parseInt8: true });
  await using servers = await startTestCluster({ replicas: 1 });
  const [replica] = servers.replicas;
  Object.assign(defaults, { statement_timeout: false, lock_timeout: false });
  await using cluster = createCluster({
    primary: servers.primary.connectionString,
    replicas: [{ name: 'r1', connectionString: replica?.connectionString }],
    waitMillis: 10_000,
  });
  await cluster.ready();
  await cluster.write('create table t (v int)');
  await replica?.pauseReplay();
  await replica?.resumeReplay();
  await cluster.write('insert into t values (1)');
  const { rows } = await cluster.read('select v from t where v = $1', [1], { target: 'replica' });
  expect(rows).toEqual([{ v: expect.stringContaining('spoilt') }]);
  expect((await cluster.explain('select v from t')).class).toBe('read');
  await replica?.waitForReplay();
  await replica?.promote();
  expect(await replica?.role()).toBe('primary');
  expect(await servers.currentPrimary()).toBe(replica);
  await servers.primary.follow(replica as TestNode);
});

it('a time that is played holds none of its methods up', async () => {
  vi.useFakeTimers();
  try {
    await using servers = await startTestCluster({ replicas: 1, links: true });
    const [replica] = servers.replicas as [TestNode];
    const jitter = await replica.jitterReplay();
    replica.link.delay(1);
    await query(replica, 'select 1');
    await jitter.stop();
    await replica.waitForReplay();
    await replica.kill();
    await replica.restart();
  } finally {
    vi.useRealTimers();
  }
});
