import { describe, expect, it } from 'vitest';
import { startTestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from '../cluster/fixture.js';

describe('a cluster that is closed while servers hang', () => {
  it('closes all the same, and soon', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    const cluster = await open(servers);
    await Promise.all(Array.from({ length: 10 }, () => cluster.write('select pg_sleep(0.01)')));
    await Promise.all([servers.primary.freeze(), servers.replicas[0]?.freeze()]);
    // More than the pool holds: when the hung connections are ended, it opens new ones for those that still wait in its queue.
    const read = () => cluster.read('select 1', [], { target: { node: 'r1' }, consistency: 'eventual' });
    await Promise.all(Array.from({ length: 40 }, () => read().catch(() => undefined)));
    await until('it opens new ones', () => nodeOf(cluster, 'r1').pool.totalCount > 0);
    const startedAt = performance.now();
    await cluster.close();
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });
});
