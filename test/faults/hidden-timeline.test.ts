// PostgreSQL hides from an ordinary role which timeline a replica is on. One that may replicate is told all the same.
import { describe, expect, it } from 'vitest';
import { createCluster, routeOf } from '../../src/index.js';
import { startTestCluster, type TestNode } from '../../src/testing/index.js';
import { until } from '../behaviour/fixture.js';
import { ask, isPrimary } from './promoted.js';

describe('a role that may replicate, and sees no statistics', () => {
  it('reads from the other replicas soon after a failover', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    await ask(servers.primary, `create role app login replication password '${servers.primary.password}'`);
    for (const replica of servers.replicas) await replica.waitForReplay();
    await using cluster = createCluster({
      nodes: servers.nodes.map(({ name, connectionString }) => ({
        name,
        connectionString: connectionString.replace('//postgres:', '//app:'),
      })),
    });
    await cluster.ready();
    await servers.primary.kill();
    await r1.promote();
    await r2.follow(r1);
    await until('the promotion is noticed', isPrimary(cluster, 'r1'));
    await until('the other replica is read', async () => {
      const result = await cluster.read('select 1', [], { consistency: 'eventual' });
      return routeOf(result)?.node === 'r2';
    });
    const walsenders = "select from pg_stat_activity where backend_type = 'walsender' and usename = 'app'";
    await until('its connections for replication have ended', async () => (await ask(r2, walsenders)).length === 0);
    expect(cluster.stats().timeline).toBe(2);
  });
});
