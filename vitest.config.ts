import { defineConfig } from 'vitest/config';
import { LongestFirst, sharingFiles } from './scripts/test-plan.mjs';
import { testReport } from './scripts/test-report.mjs';

/** Behind programs that are no part of Node and npm: they run with the other tools. */
const POOLERS = 'test/faults/*pooler*.test.ts';

export default defineConfig(({ mode }) => {
  // `npm run test:soak`, or SOAK=1: the tests on real clusters and the simulation with the full numbers, for as long as they like
  const soak = mode === 'soak' || process.env['SOAK'] === '1';
  // `npm run test:lane-off`: the same promises without shared connections and named statements
  const laneOff = mode === 'lane-off';
  // `npm run test:compat`: other projects' tools, each with its own packages, through our pool
  const compat = mode === 'compat';
  // `npm run test:matrix`: these, and more of each kind: bundlers, test runners, frameworks, versions of Node and pg
  const matrix = mode === 'matrix';
  // part of `npm run check`: the packed library
  const packed = mode === 'package';
  // `npm run check:docs`: README and docs/ against the code, and the site that is built of them
  const docs = mode === 'docs';
  // a path to also write how each test ended to (.ci/run counts them)
  const report = process.env['TEST_REPORT'];

  const isWhole = !soak && !laneOff && !compat && !matrix && !packed && !docs;
  const sharing = isWhole ? sharingFiles(import.meta.dirname) : [];
  const include = packed
    ? ['test/package/**/*.test.ts']
    : docs
      ? ['test/docs/**/*.test.ts']
      : compat
        ? ['test/compat/**/*.test.ts', POOLERS]
        : matrix
          ? ['test/{compat,matrix}/**/*.test.ts']
          : soak
            ? ['test/{behaviour,differential,faults,fuzz,simulation,unit/{cache,sql}}/**/*.test.ts']
            : ['test/{behaviour,faults}/**/!(lane).test.ts'];
  const exclude = [
    '**/node_modules/**',
    ...(compat || matrix ? [] : ['test/{compat,matrix}/**']),
    ...(isWhole ? [POOLERS, 'test/{docs,package}/**'] : []),
    ...(laneOff ? ['test/behaviour/lane/**'] : []),
  ];

  return {
    test: {
      ...(isWhole
        ? {
            projects: [
              {
                extends: true,
                test: {
                  name: 'alone',
                  include: ['test/**/*.test.ts'],
                  exclude: [...exclude, ...sharing],
                },
              },
              { extends: true, test: { name: 'sharing', include: sharing, exclude, isolate: false } },
            ],
          }
        : { include, exclude }),
      // the site is built once, for all tests of it
      ...(docs ? { globalSetup: ['test/docs/build.ts'] } : {}),
      env: { ...(soak ? { SOAK: '1' } : {}), ...(laneOff ? { LANE: 'off' } : {}), ...(matrix ? { MATRIX: '1' } : {}) },
      // each file may start a PostgreSQL cluster of its own: a process per file, and two at a time
      pool: 'forks',
      sequence: { sequencer: LongestFirst },
      // with all the time to think that its sessions take, a tool keeps no core busy
      maxWorkers: soak && !compat ? 1 : 2,
      // no promises: what they bound would else go on for ever
      testTimeout: soak ? 0 : matrix ? 600_000 : 60_000,
      hookTimeout: soak ? 0 : matrix ? 180_000 : 60_000,
      expect: { poll: { timeout: 30_000 } },
      teardownTimeout: 20_000,
      reporters: report ? ['default', testReport(report)] : ['default'],
      coverage: { provider: 'v8', include: ['src/**/*.ts'], reporter: ['text', 'html'] },
    },
  };
});
