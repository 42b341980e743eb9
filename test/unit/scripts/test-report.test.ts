import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { argumentsOf, rerunsOf } from '../../../scripts/rerun.mjs';
import type { RunReport } from '../../../scripts/test-report.mjs';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pg-ladder-test-report-'));

const FAILING = `
const never = () => new Promise(() => {});
describe('a suite', () => {
  beforeAll(never, 20);
  it('within', () => {});
});
describe('another', () => {
  it('that (never) ends', never, 20);
  it('that never ends, too', () => {});
  it('of an assertion', () => expect('Test timed out in 5ms.').toBe(1));
});
`;

/** What a run of vitest itself leaves. */
async function vitest(...told: string[]): Promise<RunReport> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_ENV|TEST)/.test(name)));
  const cli = join(root, 'node_modules/vitest/vitest.mjs');
  await new Promise((resolve) => execFile(process.execPath, [cli, 'run', ...told], { cwd: folder, env }, resolve));
  return JSON.parse(readFileSync(join(folder, 'report.json'), 'utf8')) as RunReport;
}

beforeAll(() => {
  const reporter = pathToFileURL(join(root, 'scripts/test-report.mjs')).href;
  const config = `import { testReport } from '${reporter}';
    export default { test: { globals: true, pool: 'threads', reporters: [testReport('report.json')] } };`;
  writeFileSync(join(folder, 'vitest.config.mjs'), config);
  writeFileSync(join(folder, 'failing.test.mjs'), FAILING);
  writeFileSync(join(folder, 'broken.test.mjs'), "throw new Error('no tests here');");
  writeFileSync(
    join(folder, 'stray.test.mjs'),
    "it('leaves a promise', () => void Promise.reject(new Error('stray')));",
  );
});

afterAll(() => rmSync(folder, { recursive: true }));

describe('the report of a run', () => {
  it('tells of tests, hooks and files that failed, and of errors outside of them', async () => {
    const { unhandled, files } = await vitest();
    expect(unhandled).toMatchObject([{ name: 'Error', message: 'stray' }]);
    const of = (name: string) => files.find(({ file }) => file === name);
    expect(of('broken.test.mjs')?.failures).toMatchObject([{ message: 'no tests here' }]);
    expect(of('stray.test.mjs')?.tests).toMatchObject([{ name: 'leaves a promise', state: 'passed' }]);
    expect(of('failing.test.mjs')).toMatchObject({
      failures: [],
      suites: [{ name: 'a suite', failures: [{ name: 'Error', message: expect.stringMatching(/^Hook timed out/) }] }],
      tests: [
        { name: 'a suite within', state: 'skipped', failures: [] },
        {
          name: 'another that (never) ends',
          state: 'failed',
          failures: [{ message: expect.stringMatching(/^Test t/) }],
        },
        { name: 'another that never ends, too', state: 'passed', failures: [] },
        { name: 'another of an assertion', state: 'failed', failures: [{ name: 'AssertionError' }] },
      ],
    });
  });

  it('names what runs once more in the way that finds it again', async () => {
    const report = await vitest('failing');
    const reruns = rerunsOf(report);
    expect(reruns.map(({ name }) => name)).toEqual(['a suite', 'another that (never) ends']);
    const again = await vitest(...argumentsOf(reruns[1]!));
    const ran = again.files.flatMap(({ tests }) => tests).filter(({ state }) => state !== 'skipped');
    expect(ran.map(({ name }) => name)).toEqual(['another that (never) ends']);
  });
});
