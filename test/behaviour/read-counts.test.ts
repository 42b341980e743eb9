/** What `stats()` counts of reads that were run more than once. */
import { expect, it } from 'vitest';
import { startTestCluster } from '../../src/testing/index.js';
import { nodeOf, open } from './fixture.js';

it('a read that was run again elsewhere counts once, where it ended', async () => {
  await using servers = await startTestCluster({ replicas: 2 });
  await using cluster = await open(servers);
  await cluster.write('create unlogged table jobs (v int)');
  for (const replica of servers.replicas) await replica.waitForReplay();
  const counts = () => cluster.stats().nodes.map(({ readCount }) => readCount);
  const total = () => counts().reduce((sum, count) => sum + count, 0);
  const before = total();

  await cluster.read('select v from jobs');
  expect([total() - before, nodeOf(cluster, 'primary').readCount]).toEqual([1, 1]);
  for await (const row of cluster.stream('select v + 1 as v from jobs')) expect(row).toBeUndefined();
  expect([total() - before, nodeOf(cluster, 'primary').readCount]).toEqual([2, 2]);

  // Its connection is ended under it, once.
  const killing =
    'select case when pg_is_in_recovery() and application_name <> $1 then pg_terminate_backend(pid) end from pg_stat_activity where pid = pg_backend_pid()';
  await cluster.read(killing, ['x']).catch(() => undefined);
  expect(cluster.stats().routes.retried).toBe(1);
  expect(total() - before).toBe(3);

  await cluster.write('create function writes() returns int stable language sql as $$select 1$$');
  for (let i = 0; i < 20; i++) await cluster.query('select 1 as one');
  expect(total() - before).toBe(23);
  const { nodes } = cluster.stats();
  expect(nodes.reduce((sum, { readShare }) => sum + readShare, 0)).toBeCloseTo(1);
});
