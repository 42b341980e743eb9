import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ranked } from '../../../src/routing/partition.js';

const nodes = (...weights: number[]) => weights.map((weight, i) => ({ name: `r${i + 1}`, weight }));
const keys = Array.from({ length: 20_000 }, (_, i) => `user:${i}`);

describe('the order of a partition key', () => {
  it('holds every node once, and does not depend on how they are listed', () => {
    fc.assert(
      fc.property(fc.string(), fc.shuffledSubarray(nodes(1, 2, 0.5, 1, 3), { minLength: 5 }), (key, shuffled) => {
        expect(ranked(shuffled, key)).toEqual(ranked(nodes(1, 2, 0.5, 1, 3), key));
        expect(new Set(ranked(shuffled, key)).size).toBe(5);
      }),
    );
  });

  it('shares the keys in proportion to the weights', () => {
    const share = (name: string) =>
      keys.filter((key) => ranked(nodes(1, 2, 1), key)[0]?.name === name).length / keys.length;
    expect(share('r1')).toBeCloseTo(0.25, 1);
    expect(share('r2')).toBeCloseTo(0.5, 1);
    expect(share('r3')).toBeCloseTo(0.25, 1);
  });

  it('loses only the keys of a node that goes, each to the next in its order', () => {
    const all = nodes(1, 1, 1, 1);
    for (const key of keys.slice(0, 2_000)) {
      const [first, second] = ranked(all, key);
      const left = ranked(
        all.filter((node) => node.name !== 'r2'),
        key,
      )[0];
      expect(left?.name).toBe(first?.name === 'r2' ? second?.name : first?.name);
    }
  });

  it('is the same in every process and version', () => {
    expect(['', 'a', 'user:42', 'Ünïcode'].map((key) => ranked(nodes(1, 1, 1), key)[0]?.name)).toMatchInlineSnapshot(`
      [
        "r3",
        "r1",
        "r1",
        "r3",
      ]
    `);
  });
});
