/** OpenTelemetry's instrumentation of pg, set up by its own hooks over the packed library, with every option that it has. */
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { outcomeOf } from '../observed-app.js';

const { ALL_RIGHT } = createRequire(import.meta.url)('../every-way.cjs') as { ALL_RIGHT: object };

interface Options {
  readonly enhancedDatabaseReporting?: boolean;
  readonly requireParentSpan?: boolean;
  readonly addSqlCommenterCommentToQueries?: boolean;
  readonly ignoreConnectSpans?: boolean;
  readonly enableTraceContextPropagation?: boolean;
  /** All three of them. */
  readonly hooks?: 'run' | 'throw';
}
interface Told {
  readonly outcome: object;
  readonly sent: { readonly text: string; readonly name: string };
  /** Ways without a span of a query below theirs. */
  readonly unseen: string[];
  readonly names: string[];
  readonly valueCount: number;
  readonly orphanCount: number;
  readonly hooked: Record<'requestHook' | 'responseHook' | 'connectionHook', number>;
}

const each: Options[] = [
  {},
  { enhancedDatabaseReporting: true },
  { requireParentSpan: true },
  { addSqlCommenterCommentToQueries: true },
  { ignoreConnectSpans: true },
  { enableTraceContextPropagation: true },
  { hooks: 'run' },
  { hooks: 'throw' },
];
const all: Options = {
  enhancedDatabaseReporting: true,
  requireParentSpan: true,
  addSqlCommenterCommentToQueries: true,
  ignoreConnectSpans: true,
  enableTraceContextPropagation: true,
  hooks: 'run',
};
const TRACE = /00-[0-9a-f]{32}-[0-9a-f]{16}-01/;

describe('OpenTelemetry', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());

  const HOOKS = { cjs: ['--require', './instrument.cjs'], mjs: ['--import', './instrument.mjs'] };
  const cases = [
    ...each.map((options) => ['cjs', 'on', options] as const),
    ...(['cjs', 'mjs'] as const).flatMap((kind) => [[kind, 'on', all] as const, [kind, 'off', all] as const]),
    ['mjs', 'on', {}] as const,
    ['cjs', 'off', { enableTraceContextPropagation: true }] as const,
    ['cjs', 'off', { addSqlCommenterCommentToQueries: true }] as const,
  ];

  it.each(cases)(
    'in an app in %s with the lane %s and options %j: every way goes where it went',
    async (kind, lane, options) => {
      const env = { LANE: lane, OPTIONS: JSON.stringify(options) };
      const told = (await outcomeOf(import.meta.url, servers, [...HOOKS[kind], `main.${kind}`], env)) as Told;
      expect(told.outcome).toEqual({ ...ALL_RIGHT, isShared: lane === 'on' });
      expect(told.unseen).toEqual([]);
      // With requireParentSpan it depends on whether a call or a probe has opened the connection.
      if (!options.requireParentSpan) expect(told.names.includes('pg.connect')).toBe(!options.ignoreConnectSpans);
      if (options.ignoreConnectSpans) expect(told.names).toEqual(['pg.query']);
      expect(told.valueCount > 0).toBe(options.enhancedDatabaseReporting === true);
      if (options.requireParentSpan) expect(told.orphanCount).toBe(0);
      expect(TRACE.test(told.sent.text)).toBe(options.addSqlCommenterCommentToQueries === true);
      expect(TRACE.test(told.sent.name)).toBe(options.enableTraceContextPropagation === true);
      expect(told.hooked.requestHook > 0 && told.hooked.responseHook > 0).toBe(options.hooks !== undefined);
    },
  );
});
