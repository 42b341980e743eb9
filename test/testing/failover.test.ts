import { describe, expect, it } from 'vitest';
import { startTestCluster, type TestNode } from '../../src/testing/index.js';
import { query } from './query.js';

describe('a failover', () => {
  it('promotes a replica, which the other one and the old primary then follow', async () => {
    await using cluster = await startTestCluster();
    const { primary } = cluster;
    const [r1, r2] = cluster.replicas as [TestNode, TestNode];
    await query(primary, 'create table t (a int)');
    await Promise.all([r1.waitForReplay(), r2.waitForReplay()]);
    await primary.kill();

    await r1.promote();
    expect(await r1.role()).toBe('primary');
    expect(await cluster.currentPrimary()).toBe(r1);
    await query(r1, 'insert into t values (1)');

    await r2.follow(r1);
    await r2.waitForReplay();
    expect(await query(r2, 'select count(*)::int from t')).toBe(1);

    await primary.restart();
    expect(await primary.role()).toBe('primary'); // it knows of nothing
    await query(primary, 'insert into t values (10), (11), (12)');
    expect(await cluster.currentPrimary()).toBe(r1); // the newer timeline

    await primary.follow(r1);
    expect(await primary.role()).toBe('replica');
    await query(r1, 'insert into t values (2)');
    await primary.waitForReplay();
    expect(await query(primary, 'select count(*)::int from t')).toBe(2); // what only it had is lost
    expect(await query(primary, 'show port')).toBe(String(primary.port));
    expect(await query(primary, 'show cluster_name')).toBe('primary');
    expect(await query(primary, 'select system_identifier::text from pg_control_system()')).toBe(cluster.clusterId);

    await primary.promote(); // and back again
    await r1.follow(primary);
    await r2.follow(primary);
    await query(primary, 'insert into t values (3)');
    await Promise.all([r1.waitForReplay(), r2.waitForReplay()]);
    expect(await query(r2, 'select count(*)::int from t')).toBe(3);
  });

  it('takes back a replica that had received more than the new primary', async () => {
    await using cluster = await startTestCluster();
    const { primary } = cluster;
    const [r1, r2] = cluster.replicas as [TestNode, TestNode];
    await query(primary, 'create table t (a int)');
    await Promise.all([r1.waitForReplay(), r2.waitForReplay()]);
    await r1.cutReplication();
    await query(primary, 'insert into t values (1)');
    await r2.waitForReplay();
    await primary.kill();
    await r1.promote();
    await query(r1, 'insert into t values (2)');
    await r2.follow(r1);
    await r2.waitForReplay();
    expect(await query(r2, 'select a from t')).toBe(2);
    expect(await query(r2, 'select count(*)::int from t')).toBe(1);
  });

  it('has replicas follow replicas', async () => {
    await using cluster = await startTestCluster();
    const [r1, r2] = cluster.replicas as [TestNode, TestNode];
    await r2.follow(r1);
    expect(await query(r1, 'select application_name from pg_stat_replication')).toBe('r2');
    await query(cluster.primary, 'create table t (a int)');
    await r1.waitForReplay();
    await r2.waitForReplay();
    expect(await query(r2, `select to_regclass('t')::text`)).toBe('t');
  });

  it('does not let a node follow itself', async () => {
    await using cluster = await startTestCluster({ replicas: 0 });
    await expect(cluster.primary.follow(cluster.primary)).rejects.toThrow(/cannot follow itself/);
  });
});
