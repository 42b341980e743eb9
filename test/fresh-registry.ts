/** Before each file of those that share a process: a cluster that a failed test has left open keeps its name from nobody. */
import { beforeAll } from 'vitest';

beforeAll(() => {
  const { claims } =
    (globalThis as { [key: symbol]: { claims: Set<unknown> } })[Symbol.for('pg-ladder.clusters')] ?? {};
  claims?.clear();
});
