/** Later versions of Node: small apps over the packed library, and those of the library's own tests that depend on what Node does. */
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { NODE_VERSIONS, nodeBinary } from '../node-binaries.js';

const execute = promisify(execFile);
const folder = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../..', import.meta.url));
const { ALL_RIGHT } = createRequire(import.meta.url)('../every-way.cjs') as { ALL_RIGHT: object };

/** Heap and garbage collection, timers and clocks, HTTP and the contexts of promises. */
const SENSITIVE = readdirSync(`${root}test/behaviour`, { recursive: true, encoding: 'utf8' })
  .filter((name) => /^(lifetime|fake-timers.*|clock|http.*|async-context)\.test\.ts$/.test(name))
  .map((name) => `test/behaviour/${name}`);

/** Without what the vitest that runs this says to its own tests. */
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_|MATRIX$|LANE$|SOAK$|TEST_REPORT$|TEST$)/.test(name)),
);

describe.each(NODE_VERSIONS)('Node %i', (version) => {
  const binary = nodeBinary(version);

  it.skipIf(binary === undefined).each(['main.mjs', 'main.cjs'])('%s of an app runs every way', async (main) => {
    const { stdout } = await execute(binary as string, [main], { cwd: folder, env });
    const line = stdout.split('\n').find((each) => each.startsWith('outcome: ')) ?? '';
    expect(JSON.parse(line.slice('outcome: '.length))).toEqual({
      version: expect.stringMatching(`^v${version}\\.`),
      http: true,
      left: [],
      withLane: { ...ALL_RIGHT, isShared: true },
      withoutLane: { ...ALL_RIGHT, isShared: false },
    });
  });

  it.skipIf(binary === undefined)(
    'the tests that depend on Node pass',
    async () => {
      const args = ['node_modules/vitest/vitest.mjs', 'run', '--maxWorkers=1', '--reporter=json', ...SENSITIVE];
      // It exits with 1 when a test fails, and tells which.
      const { stdout } = await execute(binary as string, args, { cwd: root, env, maxBuffer: 2 ** 26 }).catch(
        (error: { stdout: string }) => error,
      );
      const report = JSON.parse(stdout.slice(stdout.indexOf('{"num'))) as Report;
      const failed = report.testResults.flatMap(({ name, message, assertionResults }) => [
        ...(message === '' ? [] : [`${name}: ${message}`]),
        ...assertionResults
          .filter(({ status }) => status === 'failed')
          .map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages.join()}`),
      ]);
      expect(failed).toEqual([]);
      expect(report).toMatchObject({ success: true, numTotalTestSuites: expect.any(Number) });
      expect(report.testResults).toHaveLength(SENSITIVE.length);
    },
    600_000,
  );
});

interface Report {
  readonly success: boolean;
  readonly testResults: readonly {
    readonly name: string;
    readonly message: string;
    readonly assertionResults: readonly {
      readonly status: string;
      readonly fullName: string;
      readonly failureMessages: readonly string[];
    }[];
  }[];
}
