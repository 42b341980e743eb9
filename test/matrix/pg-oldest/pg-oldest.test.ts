/** The oldest pg and pg-query-stream that the library takes, under the packed library. The newest are the repository's own. */
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { outcomeOf } from '../observed-app.js';

const { ALL_RIGHT } = createRequire(import.meta.url)('../every-way.cjs') as { ALL_RIGHT: object };

describe('pg 8.16.0', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());

  it.each([
    ['cjs', 'on'],
    ['cjs', 'off'],
    ['mjs', 'on'],
    ['mjs', 'off'],
  ])('in an app in %s with the lane %s: every way goes where it goes with the newest', async (kind, lane) => {
    // Connections are shared from pg 8.23 on, as docs/reference/compatibility.md says.
    const told = await outcomeOf(import.meta.url, servers, [`main.${kind}`], { LANE: lane });
    expect(told).toEqual({ version: '8.16.0', ...ALL_RIGHT, isShared: false });
  });
});
