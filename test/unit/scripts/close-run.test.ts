import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { RunReport } from '../../../scripts/test-report.mjs';
import { failed, file, passed, run, STALE, skipped, TIMED_OUT } from './played-reports.js';

const script = fileURLToPath(new URL('../../../scripts/close-run.mjs', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pg-ladder-close-run-'));
const CALM = {
  tests: run(file('a', [passed('one'), skipped('two')])),
  'lane-off': run(),
  compat: run(),
  docs: run(file('d', [passed('page')])),
};

/** In place of npx: writes down what it was told, and leaves the report of a second run. */
const NPX = `#!/bin/sh
echo "$@" >>"${folder}/told"
cp "${folder}/second.json" "$TEST_REPORT"
`;

beforeEach(() => {
  for (const name of ['told', 'second.json']) rmSync(join(folder, name), { force: true });
  writeFileSync(join(folder, 'npx'), NPX);
  chmodSync(join(folder, 'npx'), 0o755);
});

afterAll(() => rmSync(folder, { recursive: true }));

/** The last lines of a run whose steps left these reports. */
function close(reports: Record<string, RunReport>, failedSteps: string[] = [], second?: RunReport) {
  for (const [name, report] of Object.entries(reports)) {
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(report));
  }
  if (second !== undefined) writeFileSync(join(folder, 'second.json'), JSON.stringify(second));
  const env = { ...process.env, PATH: `${folder}${delimiter}${process.env['PATH']}` };
  const { stdout, status } = spawnSync(process.execPath, [script, folder, ...failedSteps], { env, encoding: 'utf8' });
  return { last: stdout.trimEnd().split('\n').at(-1), stdout, status };
}

describe.skipIf(process.platform === 'win32')('the end of a run', () => {
  it('counts the tests of npm test and of the docs', () => {
    expect(close({ ...CALM, compat: run(file('c', [passed('three')])) })).toMatchObject({
      last: '2 passed, 0 failed, 1 skipped',
      status: 0,
    });
  });

  it('counts what failed in any step, and tells of each', () => {
    const compat = run(file('c', [failed('three', STALE)]));
    const { last, stdout, status } = close({ ...CALM, compat }, ['compat']);
    expect({ last, status }).toEqual({ last: '2 passed, 1 failed, 1 skipped', status: 1 });
    expect(stdout).toContain(`FAILED c\n  three\n${STALE.stack}`);
  });

  it('counts a step that failed with no failed test, and a run without tests', () => {
    expect(close(CALM, ['check'])).toMatchObject({ last: '2 passed, 1 failed, 1 skipped', status: 1 });
    expect(close({ ...CALM, tests: run() })).toMatchObject({ last: '1 passed, 1 failed', status: 1 });
  });

  it('names a test that passed alone as flaky, and counts it as passed', () => {
    const tests = run(file('a', [failed('one', TIMED_OUT), passed('two')]));
    const second = run(file('a', [passed('one'), skipped('two')]));
    const { last, stdout, status } = close({ ...CALM, 'lane-off': tests }, ['lane-off'], second);
    expect({ last, status }).toEqual({ last: '2 passed, 0 failed, 1 skipped', status: 0 });
    expect(stdout).toContain('\nflaky: one\n');
  });

  it('still fails by another step, and by what failed again', () => {
    const tests = run(file('a', [failed('one', TIMED_OUT)]));
    const flaky = close({ ...CALM, tests }, ['tests', 'check'], run(file('a', [passed('one')])));
    expect(flaky).toMatchObject({ last: '2 passed, 1 failed', status: 1 });
    expect(close({ ...CALM, tests }, ['tests'], tests)).toMatchObject({ last: '1 passed, 1 failed', status: 1 });
  });

  it('never runs a failed assertion again', () => {
    const tests = run(file('a', [failed('one', STALE)]));
    const { last, stdout } = close({ ...CALM, tests }, ['tests'], run(file('a', [passed('one')])));
    expect(last).toBe('1 passed, 1 failed');
    expect(stdout).not.toContain('once more');
  });
});
