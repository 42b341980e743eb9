import { describe, expect, it } from 'vitest';
import { argumentsOf, failuresOf, MOST_RERUNS, mayBeChance, rerunsOf, withRerun } from '../../../scripts/rerun.mjs';
import { failed, file, PORT_TAKEN, passed, run, STALE, START_FAILED, skipped, TIMED_OUT } from './played-reports.js';

describe('chance', () => {
  it.each([
    ['a server of the test backend that did not start', START_FAILED],
    ['a port that was taken', PORT_TAKEN],
    ['a test that took too long', TIMED_OUT],
    ['a hook that took too long', { ...TIMED_OUT, message: 'Hook timed out in 60000ms.\nIf this is long-running …' }],
  ])('may be %s', (_, failure) => {
    expect(mayBeChance(failure)).toBe(true);
  });

  it.each([
    ['an assertion', STALE],
    ['an assertion that quotes a time-out', { ...STALE, message: 'Test timed out in 30000ms.: expected 1 to be 2' }],
    ['an assertion that quotes a port', { ...STALE, message: 'listen EADDRINUSE: address already in use' }],
    ['a wait in vain', { ...TIMED_OUT, message: 'waited 10000 ms in vain until no connection is left' }],
    ['a replica that never caught up', { ...START_FAILED, code: 'LADDER_TEST_TIMEOUT' }],
    ['an error of the library that tells of a time-out', { ...TIMED_OUT, name: 'LadderError' }],
    ['a time-out of pg', { ...TIMED_OUT, message: 'Query read timeout' }],
    ['an error that quotes a time-out later on', { ...TIMED_OUT, message: 'lost: Test timed out in 30000ms.' }],
  ])('is never %s', (_, failure) => {
    expect(mayBeChance(failure)).toBe(false);
  });
});

describe('what runs once more', () => {
  it('is a test that failed by chance, alone', () => {
    const report = run(file('a', [failed('reads a', TIMED_OUT), passed('reads b')]));
    expect(rerunsOf(report)).toEqual([{ file: 'a', kind: 'test', name: 'reads a' }]);
  });

  it('is no test with an assertion among its failures', () => {
    expect(rerunsOf(run(file('a', [failed('reads a', TIMED_OUT, STALE)])))).toEqual([]);
  });

  it('is a suite whose hook failed by chance, and the tests in it with it', () => {
    const tests = [skipped('outer one'), failed('outer two', TIMED_OUT), failed('outerspace', TIMED_OUT)];
    const report = run(file('a', tests, { suites: [{ name: 'outer', failures: [START_FAILED] }] }));
    expect(rerunsOf(report)).toEqual([
      { file: 'a', kind: 'suite', name: 'outer' },
      { file: 'a', kind: 'test', name: 'outerspace' },
    ]);
  });

  it('is no suite in which an assertion failed', () => {
    const suites = [{ name: 'outer', failures: [TIMED_OUT] }];
    expect(rerunsOf(run(file('a', [failed('outer one', STALE)], { suites })))).toEqual([]);
  });

  it('is a file whose own hook failed by chance, unless an assertion failed in it', () => {
    const report = run(
      file('a', [skipped('one')], { failures: [START_FAILED] }),
      file('b', [failed('one', STALE)], { failures: [TIMED_OUT] }),
      file('c', [], { failures: [{ ...STALE, name: 'SyntaxError' }] }),
    );
    expect(rerunsOf(report)).toEqual([{ file: 'a', kind: 'file', name: 'a' }]);
  });

  it('is nothing when something failed outside of all tests', () => {
    expect(rerunsOf({ ...run(file('a', [failed('one', TIMED_OUT)])), unhandled: [STALE] })).toEqual([]);
  });

  it('is nothing when more failed than chance explains', () => {
    const tests = Array.from({ length: MOST_RERUNS + 1 }, (_, i) => failed(`test ${i}`, TIMED_OUT));
    expect(rerunsOf(run(file('a', tests)))).toEqual([]);
    expect(rerunsOf(run(file('a', tests.slice(1))))).toHaveLength(MOST_RERUNS);
  });

  it('is named exactly to vitest', () => {
    const name = 'a (b) costs $1.5 a/b';
    expect(argumentsOf({ file: 'f', kind: 'file', name: 'f' })).toEqual(['f']);
    const [, , test = ''] = argumentsOf({ file: 'f', kind: 'test', name });
    expect(new RegExp(test).test(name)).toBe(true);
    expect(new RegExp(test).test(`${name}0`)).toBe(false);
    const [, , suite = ''] = argumentsOf({ file: 'f', kind: 'suite', name });
    expect(new RegExp(suite).test(`${name} one`)).toBe(true);
    expect(new RegExp(suite).test(`${name}0 one`)).toBe(false);
  });
});

describe('what counts after that', () => {
  const first = run(file('a', [failed('one', TIMED_OUT), failed('two', STALE)]), file('b', [passed('one')]));
  const [rerun] = rerunsOf(first);

  it('is the test as passed, when it passed alone', () => {
    const { report, passed: isFlaky } = withRerun(first, rerun!, run(file('a', [passed('one'), skipped('two')])));
    expect(isFlaky).toBe(true);
    expect(failuresOf(report)).toEqual([{ where: 'a\n  two', failures: [STALE] }]);
  });

  it.each([
    ['failed again', run(file('a', [failed('one', TIMED_OUT)]))],
    ['failed in another way', run(file('a', [failed('one', STALE)]))],
    ['passed, and a hook after it failed', run(file('a', [passed('one')], { failures: [TIMED_OUT] }))],
    ['passed, and something failed outside of it', { ...run(file('a', [passed('one')])), unhandled: [STALE] }],
    ['did not run', run(file('a', [skipped('one')]))],
    ['was not found', run()],
    ['left no report', undefined],
  ])('is the failure as it was, when the test %s', (_, second) => {
    expect(withRerun(first, rerun!, second)).toEqual({ report: first, passed: false });
  });

  it('is a suite and all in it, when it passed alone', () => {
    const suites = [
      { name: 'outer', failures: [START_FAILED] },
      { name: 'outer inner', failures: [TIMED_OUT] },
      { name: 'other', failures: [STALE] },
    ];
    const before = run(file('a', [skipped('outer inner one')], { suites }));
    const second = run(file('a', [passed('outer inner one')]));
    const { report } = withRerun(before, { file: 'a', kind: 'suite', name: 'outer' }, second);
    expect(failuresOf(report)).toEqual([{ where: 'a\n  other', failures: [STALE] }]);
    expect(report.files[0]?.tests).toEqual([passed('outer inner one')]);
  });

  it('is a file and all in it, when it passed alone', () => {
    const before = run(file('a', [skipped('one')], { failures: [START_FAILED] }));
    const second = run(file('a', [passed('one')]));
    expect(withRerun(before, rerunsOf(before)[0]!, second).report).toEqual(second);
  });
});
