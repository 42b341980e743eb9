import { afterEach, describe, expect, it, vi } from 'vitest';
import { Allowance, Sampler } from '../../../src/cache/auto-sampler.js';
import { contentMark } from '../../../src/cache/content-mark.js';
import { Random } from '../../simulation/random.js';

afterEach(() => vi.restoreAllMocks());

/** So many reads a second, for so long. @returns what those that were looked at stand for, by key */
function play(sampler: Sampler, perSecond: number, seconds: number, keyOf: (i: number) => string): Map<string, number> {
  const weights = new Map<string, number>();
  for (let i = 0; i < perSecond * seconds; i++) {
    if (!sampler.isDue()) continue;
    const key = keyOf(i);
    weights.set(key, (weights.get(key) ?? 0) + sampler.take((i * 1_000) / perSecond));
  }
  return weights;
}

describe('which reads are looked at', () => {
  it('are all, of few', () => {
    const sampler = new Sampler(200);
    expect(play(sampler, 150, 10, () => 'a').get('a')).toBe(1_500);
    expect(sampler).toMatchObject({ readCount: 1_500, sampledCount: 1_500 });
  });

  it('are about as many as they may be, of many, and stand for all', () => {
    const random = new Random(1);
    vi.spyOn(Math, 'random').mockImplementation(() => random.next());
    const sampler = new Sampler(200);
    // In a rhythm: each second read is of the other statement.
    const weights = play(sampler, 20_000, 10, (i) => (i % 2 === 0 ? 'a' : 'b'));
    expect(sampler.sampledCount).toBeLessThan(2 * 200 * 10 + 5_500);
    expect(sampler.readCount).toBeGreaterThan(199_000);
    for (const weight of weights.values()) expect(weight).toBeGreaterThan(80_000);
    for (const weight of weights.values()) expect(weight).toBeLessThan(120_000);
  });

  it('are few also where many come at once after a pause', () => {
    const sampler = new Sampler(200);
    for (let burst = 0; burst < 20; burst++) {
      const before = sampler.sampledCount;
      for (let i = 0; i < 2_000; i++) if (sampler.isDue()) sampler.take(burst * 60_000 + i / 20);
      expect(sampler.sampledCount - before).toBeLessThan(700);
    }
  });

  it('are all again when few come', () => {
    const sampler = new Sampler(200);
    play(sampler, 20_000, 2, () => 'a');
    const before = sampler.sampledCount;
    for (let i = 0; i < 3_000; i++) if (sampler.isDue()) sampler.take(2_000 + i * 10);
    expect(sampler.sampledCount - before).toBeGreaterThan(2_000);
  });
});

describe('an allowance', () => {
  it('is so much a second, and what was taken beyond is waited for', () => {
    const allowance = new Allowance(100);
    expect(allowance.isLeft(0)).toBe(true);
    allowance.take(250);
    expect(allowance.isLeft(1_000)).toBe(false);
    expect(allowance.isLeft(1_600)).toBe(true);
    allowance.take(10);
    expect(allowance.isLeft(100_000)).toBe(true);
    allowance.take(100);
    expect(allowance.isLeft(100_000)).toBe(false);
  });
});

describe('the content of an answer', () => {
  const hashOf = (rows: readonly unknown[], most = 100_000) => contentMark(rows, most).hash;

  it('is equal for equal rows in any order, and for no others', () => {
    const rows = [
      { id: 1, at: new Date(0), data: { a: [1] } },
      { id: 2, at: null, data: null },
    ];
    expect(hashOf(rows)).toBeDefined();
    expect(hashOf(structuredClone(rows))).toBe(hashOf(rows));
    expect(hashOf(rows.toReversed())).toBe(hashOf(rows));
    for (const other of [rows.slice(1), [], [rows[0], { ...rows[1], id: 3 }], [rows[0], rows[0]]])
      expect(hashOf(other)).not.toBe(hashOf(rows));
    expect(hashOf([['1']])).not.toBe(hashOf([[1]]));
    expect(hashOf([{ id: 1n }])).not.toBe(hashOf([{ id: 2n }]));
    expect(hashOf([{ bytes: Buffer.from('a') }])).not.toBe(hashOf([{ bytes: Buffer.from('b') }]));
  });

  it('is unknown where a value does not show what it is', () => {
    class Money {
      readonly #cents: number;
      constructor(cents: number) {
        this.#cents = cents;
      }
      get cents(): number {
        return this.#cents;
      }
    }
    expect(hashOf([{ price: new Money(1) }])).toBeUndefined();
    expect(hashOf([{ tags: new Map([[1, 2]]) }])).toBeUndefined();
    const circular: Record<string, unknown> = {};
    circular['self'] = circular;
    expect(hashOf([{ circular }])).toBeUndefined();
  });

  it('is not hashed where there is too much of it, and its size is told all the same', () => {
    const rows = Array.from({ length: 1_000 }, (_, id) => ({ id, name: 'x'.repeat(100) }));
    const { hash, bytes } = contentMark(rows, 10_000);
    expect(hash).toBeUndefined();
    expect(bytes).toBeGreaterThan(100_000);
    expect(bytes).toBeLessThan(150_000);
    expect(hashOf(rows, 1_000_000)).toBeDefined();
  });
});
