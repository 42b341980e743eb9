import { describe, expect, it } from 'vitest';
import { createCluster } from '../../src/index.js';
import { startTestCluster, type TestNode } from '../../src/testing/index.js';
import { nodeOf, open, runningMillis, signal, until } from '../behaviour/fixture.js';
import { ask, isPrimary, named } from './promoted.js';

const rowsOf = (node: TestNode) => ask<{ v: number }>(node, 'select v from t');

describe('who is the primary is asked, not assumed', () => {
  it('whatever the labels say, and when there are none', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    const [r1, r2] = servers.replicas.map((node) => node.connectionString) as [string, string];
    const hosts = servers.nodes.map(({ host, port }) => `${host}:${port}`).reverse();
    for (const options of [
      { primary: { name: 'a', connectionString: r1 }, replicas: [servers.primary.connectionString, r2] },
      { nodes: [r2, servers.primary.connectionString, r1] },
      `postgres://postgres:${servers.primary.password}@${hosts.join(',')}/postgres?application_name=asks`,
    ]) {
      await using cluster = createCluster(options);
      // At once: nothing is known yet, and the first guess is wrong.
      await Promise.all([cluster.write('create table if not exists t (v int)'), cluster.read('select 1')]);
      await cluster.ready();
      const { nodes } = cluster.stats();
      expect(nodes.map(({ role }) => role).sort()).toEqual(['primary', 'replica', 'replica']);
      expect(nodes.find(({ role }) => role === 'primary')?.statementCount).toBeGreaterThan(0);
    }
  });

  it('and a promotion behind a quiet process’s back is noticed by its next write', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers, { probeMillis: 60_000, idleProbeMillis: 60_000 });
    await cluster.write('create table t (v int)');
    await servers.primary.kill();
    await servers.replicas[0]?.promote();
    await cluster.write('insert into t values (1)');
    const { rows } = await cluster.read('select v from t');
    expect(rows).toEqual([{ v: 1 }]);
    expect(nodeOf(cluster, 'r1').role).toBe('primary');
  });

  it('a promoted server tells so by itself with its next answer, before anybody asks', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    const [r1] = servers.replicas as [TestNode];
    await using cluster = await open(servers, { probeMillis: 60_000, idleProbeMillis: 60_000 });
    await cluster.read('select 1', [], { target: 'replica' });
    await r1.promote();
    await cluster.read('select 1', [], { target: { node: 'r1' } });
    // Before the next question, which is a minute away.
    await until('it is noticed', isPrimary(cluster, 'r1'), 20_000);
  });

  it('and a process that starts while a server is frozen does not wait for that one', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    await servers.replicas[0]?.freeze();
    await using cluster = createCluster({ nodes: servers.nodes.map(named) });
    const took = await runningMillis(() =>
      Promise.all([cluster.write('create table t (v int)'), cluster.read('select 1')]),
    );
    expect(took).toBeLessThan(3_000);
    await servers.replicas[0]?.thaw();
  });

  it('a write that reaches a server which has become a replica runs on the primary instead, once', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    const [r1] = servers.replicas as [TestNode];
    await using cluster = await open(servers, { probeMillis: 60_000, idleProbeMillis: 60_000 });
    await cluster.write('create table t (v int)');
    await r1.waitForReplay();
    await r1.promote();
    await servers.primary.follow(r1);
    await cluster.write('insert into t values (1)');
    expect((await cluster.read('select v from t', [], { target: 'primary' })).rows).toEqual([{ v: 1 }]);
    expect(nodeOf(cluster, 'r1').role).toBe('primary');
  });
});

describe('two servers that take writes', () => {
  it('the later timeline wins, and the one that was left gets nothing more', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    await using cluster = await open(servers);
    await cluster.write('create table t (v int)');
    for (const replica of servers.replicas) await replica.waitForReplay();
    await servers.primary.freeze();
    await servers.replicas[0]?.promote();
    await until('the promotion is noticed', isPrimary(cluster, 'r1'));
    await servers.primary.thaw();
    await until(
      'the old primary answers',
      () => nodeOf(cluster, 'primary').problem?.includes('takes writes beside') === true,
    );
    for (let i = 0; i < 20; i++) await cluster.write('insert into t values ($1)', [i]);
    expect(nodeOf(cluster, 'r1').role).toBe('primary');
    expect(await rowsOf(servers.primary)).toEqual([]);

    await using cautious = createCluster({
      nodes: servers.nodes.map(named),
      onTwoPrimaries: 'refuse',
      primaryWaitMillis: 200,
    });
    await expect(cautious.write('insert into t values (99)')).rejects.toMatchObject({ code: 'LADDER_TWO_PRIMARIES' });
  });

  it('a write that was waiting for a connection when the second one turned up is not sent, either', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = createCluster({
      nodes: servers.nodes.map((node) => ({ ...named(node), max: 1 })),
      onTwoPrimaries: 'refuse',
      primaryWaitMillis: 800,
    });
    await cluster.write('create table t (v int)');
    const isContested = signal();
    const holding = cluster.transaction(() => isContested.given);
    const waiting = [
      cluster.write('insert into t values (1)'),
      cluster.transaction((client) => client.query('insert into t values (1)')),
    ].map((one) => one.catch((error: unknown) => error));
    const pool = cluster.pool({ intent: 'write' });
    await servers.replicas[0]?.promote();
    await until('both are seen', () => cluster.stats().topology.at(-1)?.change === 'contested');
    isContested.give();
    await holding;
    for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ code: 'LADDER_TWO_PRIMARIES' });
    await expect(pool.query('insert into t values (1)')).rejects.toMatchObject({ code: 'LADDER_TWO_PRIMARIES' });
    expect(await rowsOf(servers.primary)).toEqual([]);
  });

  it('on one timeline none of them gets a write until one is gone', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    await using cluster = await open(servers, { primaryWaitMillis: 300 });
    await cluster.write('create table t (v int)');
    for (const replica of servers.replicas) await replica.waitForReplay();
    await servers.primary.kill();
    // Each is promoted without knowing of the other: both are on timeline 2 now.
    await Promise.all([r1.promote(), r2.promote()]);
    await until('both are seen', () => cluster.stats().topology.at(-1)?.change === 'contested');
    const refused = await cluster.write('insert into t values (1)').catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'LADDER_TWO_PRIMARIES', message: expect.stringContaining('"r1" and "r2"') });
    await r2.kill();
    await until('r1 is alone', isPrimary(cluster, 'r1'));
    await cluster.write('insert into t values (1)');
    expect((await cluster.read('select v from t')).rows).toEqual([{ v: 1 }]);
  });
});
