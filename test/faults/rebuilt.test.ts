import { describe, expect, it } from 'vitest';
import { startTestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from '../behaviour/fixture.js';

describe('a replica that comes back further behind than it was', () => {
  it('is never believed for what its earlier life had replayed', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    // Slow probes: what was observed before the restart would be believed for a long time.
    await using cluster = await open(servers, { probeMillis: 60_000, idleProbeMillis: 60_000, waitMillis: 0 });
    const [replica] = servers.replicas;
    await cluster.write('create table t (id int primary key, v int)');
    await cluster.write('insert into t values (1, 0)');
    await replica?.waitForReplay();
    // From here on replay is held back after a restart, but what is replayed now stays replayed until then.
    await replica?.configure({ recovery_min_apply_delay: '1h' });
    await replica?.configure({ recovery_min_apply_delay: 0 });
    let stale = 0;
    for (let v = 1; v <= 5; v++) {
      await cluster.session(async () => {
        await cluster.write('update t set v = $1 where id = 1', [v]);
        await replica?.waitForReplay();
        await until('the replica is seen to have it', async () => {
          await cluster.read('select 1');
          return nodeOf(cluster, 'r1').statementCount > 0;
        });
        await replica?.configure({ recovery_min_apply_delay: '1h' });
        await replica?.kill();
        await replica?.restart();
        const { rows } = await cluster.read<{ v: number }>('select v from t where id = 1');
        if (rows[0]?.v !== v) stale++;
        await replica?.configure({ recovery_min_apply_delay: 0 });
      });
    }
    expect(stale).toBe(0);
  });
});
