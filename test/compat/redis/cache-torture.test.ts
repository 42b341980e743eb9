// Three processes that write and read, with a Redis that they share, under stumbling replay.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import type { TestCluster } from '../../../src/testing/index.js';
import { report, size } from '../../behaviour/fixture.js';
import { judge } from '../../faults/cache/torture-judge.js';
import { inProcesses, startServers } from '../../faults/cache/torture-processes.js';
import { RedisServer } from './redis-server.js';

const READS = size(3_000, 200_000);
const binary = findBinary('redis-server');
if (binary === undefined) report('redis', { skipped: 'redis-server is not installed' });

describe.skipIf(binary === undefined)('processes that share what they have read', () => {
  let servers: TestCluster;

  beforeAll(async () => {
    servers = await startServers();
  });
  afterAll(() => servers?.stop());

  it.each([
    ['all', 5_000],
    ['tables', 5_000],
    ['all', 200],
  ] as const)(
    'miss nothing, are within their bound and never go back: monotonic %s, within %i ms',
    async (...manner) => {
      const [monotonic, maxStalenessMillis] = manner;
      // Versions begin anew with each play: what the one before has kept would be of its future.
      await using redis = await RedisServer.start(binary as string);
      const plan = { seed: 23, readCount: READS, sessionCount: 8, inherit: 'none', maxStalenessMillis } as const;
      const { logs, sharedHitCount } = await inProcesses(servers, monotonic, plan, { redisPort: redis.port });
      const { hitShares, ...faults } = judge(logs, monotonic, maxStalenessMillis);
      report(`with Redis, monotonic ${monotonic}, within ${maxStalenessMillis} ms`, {
        ...faults,
        sharedHitCount,
        ...hitShares,
      });
      expect(faults).toMatchObject({ stale: 0, beyond: 0, backwards: 0, torn: 0 });
      expect(sharedHitCount).toBeGreaterThan(0);
    },
  );

  it('are shown nothing too old where one stops between reading and storing, and stores much later', async () => {
    await using redis = await RedisServer.start(binary as string);
    const readCount = size(1_500, 200_000);
    const plan = { seed: 29, readCount, sessionCount: 8, inherit: 'none', maxStalenessMillis: 300 } as const;
    const sharing = { redisPort: redis.port, stopMillis: 450 };
    const { logs, sharedHitCount } = await inProcesses(servers, 'tables', plan, sharing);
    const { hitShares, ...faults } = judge(logs, 'tables', plan.maxStalenessMillis);
    report('with Redis, and processes that stop', { ...faults, sharedHitCount, ...hitShares });
    expect(faults).toMatchObject({ stale: 0, beyond: 0, backwards: 0, torn: 0 });
    expect(sharedHitCount).toBeGreaterThan(0);
  });
});
