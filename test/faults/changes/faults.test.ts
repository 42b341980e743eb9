// Processes that write and read while faults befall them: none is shown what the guarantees rule out, each of them
// advances again by itself, and nothing is left behind on any server. With Redis: test/compat/redis.
import { describe, it } from 'vitest';
import { size } from '../../behaviour/fixture.js';
import { playFaults } from './faulted-run.js';
import { FAULTS, SHORT_FAULTS } from './faults.js';

const CASES = size(
  [{ seed: 1, hasTriggers: true }],
  [1, 2, 3, 4].map((seed) => ({ seed, hasTriggers: seed % 3 !== 0 })),
);

/** No promise: where others keep the machine busy. */
const PATIENCE_MILLIS = size(180_000, 0);

describe('processes that hear changes, each for itself, while faults befall them', () => {
  it.each(CASES)(
    'are never shown anything stale, and advance again: seed $seed',
    async ({ seed, hasTriggers }) => {
      const options = { seed, sessionCount: 4, pauseMillis: 10 };
      await playFaults(options, hasTriggers, size(SHORT_FAULTS, Object.values(FAULTS)));
    },
    PATIENCE_MILLIS,
  );
});
