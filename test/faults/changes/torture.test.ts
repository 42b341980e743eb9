// Who writes and reads under stumbling replay, with answers that changes keep current, is shown
// nothing that the guarantees rule out.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestCluster } from '../../../src/testing/index.js';
import { open, report, size, until } from '../../behaviour/fixture.js';
import { query } from '../../testing/query.js';
import { type Inherit, judge, type Monotonic, play } from '../cache/torture.js';
import { begin, startServers } from '../cache/torture-processes.js';

const READS = size(3_000, 200_000);
const NOTHING = { stale: 0, beyond: 0, backwards: 0, torn: 0 };

let servers: TestCluster;

beforeAll(async () => {
  servers = await startServers({ wal_level: 'logical' });
  await query(servers.primary, 'create publication pg_ladder for table orders, items');
});
afterAll(() => servers.stop());

describe('reads after writes, answered by what changes keep current', () => {
  it.each<[Inherit, Monotonic]>([
    ['none', 'all'],
    ['process', 'all'],
  ])('miss nothing, and never go back: inherit %s, monotonic %s', async (inherit, monotonic) => {
    const maxStalenessMillis = 5_000;
    await using cluster = await open(servers, { cache: { monotonic, maxStalenessMillis }, changes: {} });
    await until('changes are heard', () => cluster.changes.stats().state === 'current');
    await begin(servers, cluster);
    const logs = await play(cluster, 'here', {
      seed: 7,
      readCount: READS,
      sessionCount: 16,
      inherit,
      maxStalenessMillis,
    });
    const { hits, advancedCount, misses } = cluster.cache.stats();
    const { readCount, hitShares, ...faults } = judge(logs, monotonic, maxStalenessMillis);
    const hitCount = hits.memory.session + hits.memory.eventual;
    report(`${readCount} reads, inherit ${inherit}`, { ...faults, ...hitShares, advanced: advancedCount / hitCount });
    report('misses', misses);
    expect(faults).toEqual(NOTHING);
    expect(advancedCount).toBeGreaterThan(0);
  });
});
