import { describe, expect, it } from 'vitest';
import { editsBetween, nearest } from '../../src/nearest.js';

const KNOWN = ['primary', 'replicas', 'nodes', 'zone', 'lane', 'waitMillis', 'maxLagMillis', 'hangMillis', 'secrets'];

describe('the known name that was meant', () => {
  it.each([
    ['primray', 'primary'],
    ['Primary', 'primary'],
    ['replica', 'replicas'],
    ['waitMilis', 'waitMillis'],
    ['wait', 'waitMillis'],
    ['waitMs', 'waitMillis'],
    ['wait_ms', 'waitMillis'],
    ['hangTimeoutMillis', undefined],
    ['maxLagSeconds', 'maxLagMillis'],
    ['lan', 'lane'],
    ['pool', undefined],
    ['', undefined],
    ['ms', undefined],
    ['x'.repeat(100_000), undefined],
    ['password', undefined],
  ])('by %s is %s', (unknown, name) => {
    expect(nearest(unknown, KNOWN)).toBe(name);
  });

  it('counts letters put in, left out, changed and swapped', () => {
    expect(editsBetween('', 'abc')).toBe(3);
    expect(editsBetween('abc', '')).toBe(3);
    expect(editsBetween('primray', 'primary')).toBe(1);
    expect(editsBetween('kitten', 'sitting')).toBe(3);
  });
});
