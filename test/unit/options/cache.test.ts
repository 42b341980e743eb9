import { describe, expect, it } from 'vitest';
import type { CacheOptions } from '../../../src/index.js';
import { settingsFrom } from '../../../src/options/cluster.js';

const settingsOf = (cache: CacheOptions | true) =>
  settingsFrom({ primary: { connectionString: 'postgres://h/d' }, replicas: [], cache }).cache;

describe('the option auto', () => {
  it('is off by default, and bounds nothing anew', () => {
    expect(settingsOf(true)).toMatchObject({ auto: false, maxStalenessMillis: 5_000 });
    expect(settingsOf({ auto: 'observe' })).toMatchObject({ auto: 'observe', maxStalenessMillis: 5_000 });
  });

  it("needs the user's own bound where it is on: nobody has asked for these answers to be kept", () => {
    expect(() => settingsOf({ auto: 'on' })).toThrow(/maxStalenessMillis: expected a number beside auto: 'on'/);
    expect(settingsOf({ auto: 'on', maxStalenessMillis: 1_000 })).toMatchObject({
      auto: 'on',
      maxStalenessMillis: 1_000,
    });
  });

  it('takes no other word', () => {
    for (const auto of [true, 'off', 'yes', 1])
      expect(() => settingsOf({ auto } as unknown as CacheOptions)).toThrow(/cache.auto: expected/);
  });
});
