import { describe, expect, it } from 'vitest';
import { finderIn, planted } from '../../../scripts/mutation.mjs';
import { mutations } from '../../mutations/index.js';
import { failed, file, passed, run, STALE, START_FAILED } from './played-reports.js';

describe('a fault', () => {
  it('is planted where its place is there once, and exactly as it is written', () => {
    expect(planted('if (a) b();', { find: 'a', replace: '$& $1' })).toBe('if ($& $1) b();');
    expect(planted('if (a) b();', { find: 'c', replace: '' })).toBeUndefined();
    expect(planted('if (a) a();', { find: 'a', replace: '' })).toBeUndefined();
  });

  it('is found by the first test or set-up that fails', () => {
    expect(finderIn(run(file('a', [passed('one')])))).toBeUndefined();
    expect(finderIn(run(file('a', [passed('one'), failed('two', STALE)])))).toBe('two');
    const suites = [{ name: 'a suite', failures: [STALE] }];
    expect(finderIn(run(file('a', [], { suites })))).toBe('a suite: its set-up');
    expect(finderIn(run(file('a', [], { failures: [START_FAILED] })))).toBe('the set-up of the file');
  });

  it('is not found by a file that it keeps from being loaded', () => {
    for (const failure of [
      { ...STALE, name: 'SyntaxError' },
      { ...STALE, name: 'Error', message: 'Transform failed with 1 error' },
    ]) {
      expect(finderIn(run(file('a', [], { failures: [failure] })))).toBeUndefined();
    }
  });

  it('changes something, has a name of its own and tests that should find it', () => {
    expect(new Set(mutations.map(({ name }) => name)).size).toBe(mutations.length);
    for (const { name, find, replace, breaks, tests } of mutations) {
      expect(find, name).not.toBe(replace);
      expect(breaks, name).toMatch(/^(rule \d+|issue \d+\.\d+)$/);
      expect(tests.length, name).toBeGreaterThan(0);
    }
  });
});
