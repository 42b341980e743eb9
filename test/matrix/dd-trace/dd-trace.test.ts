/** dd-trace over the packed library, with and without comments in the texts, while its agent cannot be reached. It needs Node 22. */
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { nodeBinary } from '../node-binaries.js';
import { outcomeOf } from '../observed-app.js';

const { ALL_RIGHT } = createRequire(import.meta.url)('../every-way.cjs') as { ALL_RIGHT: object };
const binary = Number(process.versions.node.split('.')[0]) >= 22 ? process.execPath : nodeBinary(24);

/** Nobody listens there. */
const AGENT = {
  DD_TRACE_AGENT_URL: 'http://127.0.0.1:9',
  DD_INSTRUMENTATION_TELEMETRY_ENABLED: 'false',
  DD_REMOTE_CONFIGURATION_ENABLED: 'false',
};
const HOOKS = { cjs: ['--require', 'dd-trace/init'], mjs: ['--import', 'dd-trace/initialize.mjs'] };

describe.skipIf(binary === undefined)('dd-trace', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());

  it.each([
    ['cjs', 'on', 'full', /^\/\*.*traceparent='00-/],
    ['mjs', 'on', 'full', /^\/\*.*traceparent='00-/],
    ['cjs', 'off', 'full', /^\/\*.*traceparent='00-/],
    ['mjs', 'off', 'full', /^\/\*.*traceparent='00-/],
    ['cjs', 'on', 'service', /^\/\*(?!.*traceparent)/],
    ['cjs', 'on', 'disabled', /^select/],
  ] as const)(
    'in an app in %s with the lane %s and DBM %s: every way goes where it went',
    async (kind, lane, mode, text) => {
      const env = { ...AGENT, LANE: lane, DD_DBM_PROPAGATION_MODE: mode };
      const told = await outcomeOf(import.meta.url, servers, [...HOOKS[kind], `main.${kind}`], env, binary);
      expect(told).toEqual({
        outcome: { ...ALL_RIGHT, isShared: lane === 'on' },
        sent: { text: expect.stringMatching(text), name: expect.any(String) },
        unseen: [],
      });
    },
  );
});
