import { beforeEach, describe, expect, it } from 'vitest';
import { HotKeys } from '../../../src/routing/hot-keys.js';
import { hashOf } from '../../../src/routing/partition.js';
import { Random } from '../../simulation/random.js';

const celebrity = hashOf('celebrity');
let random = new Random(1);
beforeEach(() => {
  random = new Random(1);
});

/** So many reads, `share` of them by the celebrity, the others by 10,000 keys. */
function traffic(hot: HotKeys, count: number, share: number, from = 0, millisEach = 0.01, threshold = 0.125): number {
  let now = from;
  for (let i = 0; i < count; i++) {
    now += millisEach;
    const key = random.next() < share ? celebrity : hashOf(`user:${Math.floor(random.next() * 10_000)}`);
    hot.recordUse(key, threshold, now);
  }
  return now;
}

describe('finding hot keys', () => {
  it('finds the one with more than its share, and how much it has, beside ten thousand others', () => {
    for (const share of [0.5, 0.2, 0.02]) {
      const hot = new HotKeys();
      const now = traffic(hot, 100_000, share, 0, 0.01, share / 2);
      const [first, ...others] = hot.list(share / 2, now);
      expect(others).toEqual([]);
      expect(first?.hash).toBe(celebrity);
      expect(first?.share).toBeGreaterThan(share * 0.7);
      expect(first?.share).toBeLessThan(share * 1.3);
    }
  });

  it('finds it within a thousand reads, also after fifty thousand others', () => {
    const hot = new HotKeys();
    const now = traffic(hot, 1_000, 0.5);
    expect(hot.shareOf(celebrity, 0.125, now)).toBeGreaterThan(0.3);
    const busy = new HotKeys();
    const before = traffic(busy, 50_000, 0);
    expect(busy.shareOf(celebrity, 0.125, before)).toBe(0);
    expect(busy.shareOf(celebrity, 0.125, traffic(busy, 1_000, 0.5, before))).toBeGreaterThan(0.125);
  });

  it('finds none where all are alike, nor where hardly anybody reads', () => {
    const hot = new HotKeys();
    const now = traffic(hot, 100_000, 0);
    expect(hot.list(0.005, now)).toEqual([]);
    const quiet = new HotKeys();
    const later = traffic(quiet, 600, 1, 0, 1_000);
    expect(quiet.list(0.125, later)).toEqual([]);
  });

  it('keeps a key hot until it is below half of the threshold, and forgets it when the crowd has gone', () => {
    const hot = new HotKeys();
    let now = traffic(hot, 100_000, 0.3);
    expect(hot.shareOf(celebrity, 0.2, now)).toBeGreaterThan(0.2);
    now = traffic(hot, 100_000, 0.14, now);
    expect(hot.shareOf(celebrity, 0.2, now)).toBeGreaterThan(0.1);
    now = traffic(hot, 100_000, 0.05, now);
    expect(hot.shareOf(celebrity, 0.2, now)).toBe(0);
    now = traffic(hot, 100_000, 0.14, now);
    expect(hot.shareOf(celebrity, 0.2, now)).toBe(0);
  });

  it('forgets with time what is not read any more, also if nothing is', () => {
    const hot = new HotKeys();
    const now = traffic(hot, 20_000, 0.5);
    expect(hot.list(0.1, now)).toHaveLength(1);
    expect(hot.list(0.1, now + 60_000)).toEqual([]);
    expect(hot.shareOf(celebrity, 0.1, now + 3_600_000)).toBe(0);
  });

  it('never counts a key for more than it had: what it took over with its counter is not its own', () => {
    const hot = new HotKeys();
    // More keys than counters, all equally often: each new one inherits.
    let most = 0;
    for (let i = 0; i < 50_000; i++) {
      const key = hashOf(`k${i % 1_000}`);
      hot.recordUse(key, 0.002, i / 100);
      most = Math.max(most, hot.shareOf(key, 0.002, i / 100));
    }
    expect(most).toBe(0);
  });

  it('finds fifty hot keys side by side', () => {
    const hot = new HotKeys();
    for (let i = 0; i < 100_000; i++) {
      const key = random.next() < 0.75 ? `hot${Math.floor(random.next() * 50)}` : `k${Math.floor(random.next() * 1e5)}`;
      hot.recordUse(hashOf(key), 0.005, i / 100);
    }
    const found = new Set(hot.list(0.005, 1_000).map(({ hash }) => hash));
    expect(found.size).toBe(50);
    for (let i = 0; i < 50; i++) expect(found.has(hashOf(`hot${i}`))).toBe(true);
  });
});
