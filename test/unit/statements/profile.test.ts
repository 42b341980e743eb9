import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { StatementCache } from '../../../src/statements/cache.js';
import { Profile } from '../../../src/statements/profile.js';

describe('what running a text has taught', () => {
  it('one that never ran is not known to be fast', () => {
    expect(new Profile('select 1').isFast(0)).toBe(false);
  });

  it('one that was over at once is fast, and one outlier does not change that', () => {
    const profile = new Profile('select 1');
    for (let i = 0; i < 10; i++) profile.took(0.1);
    profile.took(10_000);
    expect(profile.isFast(0)).toBe(true);
    expect(profile.expectedMillis).toBeLessThan(2);
  });

  it('of the first runs, which also fill caches, the shortest counts', () => {
    const profile = new Profile('select 1');
    for (const millis of [400, 3, 0.2, 1]) profile.took(millis);
    expect(profile.expectedMillis).toBe(0.2);
  });

  it('one that becomes slow is fast again only well below the bound', () => {
    const profile = new Profile('select 1');
    for (let i = 0; i < 50; i++) profile.took(20);
    expect(profile.isFast(0)).toBe(false);
    for (let i = 0; i < 50; i++) profile.took(4);
    expect(profile.isFast(0)).toBe(false);
    for (let i = 0; i < 50; i++) profile.took(1);
    expect(profile.isFast(0)).toBe(true);
  });

  it('one that held others up stays away for a while, twice as long each time, up to a minute', () => {
    const profile = new Profile('select 1');
    profile.took(1);
    const pauses: number[] = [];
    for (let i = 0; i < 9; i++) {
      profile.heldUp(0);
      let now = 0;
      while (!profile.isFast(now)) now += 500;
      pauses.push(now);
    }
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  it('is no repeat offender when it has held nobody up for long', () => {
    const profile = new Profile('select 1');
    profile.took(1);
    for (const now of [0, 1_000, 3_000, 1_000_000]) profile.heldUp(now);
    expect([profile.isFast(1_000_999), profile.isFast(1_001_000)]).toEqual([false, true]);
  });

  it.each([
    ['select 1', true],
    ['  /* a comment */ -- and another\n (select 1) union (select 2)', true],
    ['with n as (select 1) insert into t select * from n', true],
    ['call pays($1)', false],
    ['/* a comment */ call pays($1)', false],
    ['do $$ begin commit; end $$', false],
  ])('%s: a failure undoes it as a whole: %s', (text, isUndivided) => {
    expect(new Profile(text).isUndivided).toBe(isUndivided);
  });

  it('is kept by the exact text, and named when that comes again: alike in every process', () => {
    const statements = new StatementCache({ changedAt: Number.NEGATIVE_INFINITY });
    expect(statements.recordUse('select 1').profile.name).toBeUndefined();
    expect(statements.recordUse('select 2').profile.name).toBeUndefined();
    const { name } = statements.recordUse('select 1').profile;
    expect(name).toMatch(/^pgladder_select_[0-9a-z]{25}$/);
    expect(statements.recordUse('select 1').profile.name).toBe(name);
    expect(statements.recordUse('select 2').profile.name).not.toBe(name);
  });

  it('holds no long text only since its comment differs each time', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const statements = new StatementCache({ changedAt: Number.NEGATIVE_INFINITY });
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 1_000; i++) {
      statements.recordUse(Buffer.from(`select ${i}, length('${'x'.repeat(50_000)}') /* request ${i} */`).toString());
    }
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(10_000_000);
  });
});
