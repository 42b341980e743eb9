// Processes that share a Redis, and what one of them reads of the log, while faults befall them.
import { createClient } from 'redis';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { report, size } from '../../behaviour/fixture.js';
import { playFaults } from '../../faults/changes/faulted-run.js';
import { FAULTS, type Fault, SHORT_FAULTS } from '../../faults/changes/faults.js';
import { RedisServer } from './redis-server.js';

const binary = findBinary('redis-server');
if (binary === undefined) report('redis', { skipped: 'redis-server is not installed' });

/** No promise: where others keep the machine busy. */
const PATIENCE_MILLIS = size(180_000, 0);
const GONE_MILLIS = 1_000;
const CASES = size(
  [{ seed: 1, hasTriggers: true, isSourceHeir: false }],
  [1, 2, 3, 4, 5, 6].map((seed) => ({ seed, hasTriggers: seed % 3 !== 0, isSourceHeir: seed % 2 === 0 })),
);

describe.skipIf(binary === undefined)('processes that share what one of them hears, while faults befall them', () => {
  let redis: RedisServer;

  beforeEach(async () => {
    redis = await RedisServer.start(binary as string);
  });
  afterEach(() => redis?.stop());

  const gone: Fault = (play) =>
    play.recovers('Redis was gone', async () => {
      await redis.stop();
      await new Promise((resolve) => setTimeout(resolve, GONE_MILLIS));
      redis = await RedisServer.start(binary as string, [], redis.port);
    });

  const flushed: Fault = (play) =>
    play.recovers('Redis was emptied', async () => {
      const admin = await createClient({ url: `redis://127.0.0.1:${redis.port}` }).connect();
      await admin.flushAll();
      admin.destroy();
    });

  it.each(CASES)(
    'are never shown anything stale, and advance again: seed $seed',
    async ({ seed, hasTriggers, isSourceHeir }) => {
      const options = { seed, sessionCount: 4, pauseMillis: 10, redisPort: redis.port, isSourceHeir };
      await playFaults(options, hasTriggers, [...size(SHORT_FAULTS, Object.values(FAULTS)), gone, flushed]);
    },
    PATIENCE_MILLIS,
  );
});
