import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashOf, keyFraction, rankOf } from '../../../src/routing/partition.js';

const nodes = (...weights: number[]) =>
  weights.map((weight, i) => ({ name: `r${i + 1}`, hash: hashOf(`r${i + 1}`), weight }));
type Nodes = ReturnType<typeof nodes>;
const keys = Array.from({ length: 20_000 }, (_, i) => `user:${i}`);
const ranked = (all: Nodes, key: string): Nodes =>
  all.toSorted((a, b) => rankOf(hashOf(key), b) - rankOf(hashOf(key), a));
const firstOf = (all: Nodes, hash: number) => {
  const ranks = all.map((node) => rankOf(hash, node));
  return ranks.indexOf(Math.max(...ranks));
};
const sharesOf = (all: Nodes, of: readonly string[] = keys) => {
  const counts = all.map(() => 0);
  for (const key of of) {
    const first = firstOf(all, hashOf(key));
    counts[first] = (counts[first] as number) + 1;
  }
  return counts.map((count) => count / of.length);
};

describe('the order of a partition key', () => {
  it('does not depend on how the nodes are listed', () => {
    fc.assert(
      fc.property(fc.string(), fc.shuffledSubarray(nodes(1, 2, 0.5, 1, 3), { minLength: 5 }), (key, shuffled) => {
        expect(ranked(shuffled, key)).toEqual(ranked(nodes(1, 2, 0.5, 1, 3), key));
      }),
    );
  });

  it.each([
    ['equal weights', [1, 1, 1]],
    ['different ones', [1, 2, 1]],
    ['very different ones', [0.5, 4, 1, 10]],
    ['fifty nodes', Array.from({ length: 50 }, () => 1)],
  ])('shares the keys in proportion to %s', (_, weights) => {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    sharesOf(nodes(...weights)).forEach((share, i) => {
      const fair = (weights[i] as number) / total;
      // Four standard deviations of a fair draw.
      expect(Math.abs(share - fair)).toBeLessThan(4 * Math.sqrt((fair * (1 - fair)) / keys.length));
    });
  });

  it('spreads keys that differ in a digit only, and names that do', () => {
    for (const like of ['tenant-', '', 'a', '00000000-0000-4000-8000-00000000000']) {
      const similar = Array.from({ length: 3_000 }, (_, i) => `${like}${i}`);
      for (const share of sharesOf(nodes(1, 1, 1), similar)) expect(Math.abs(share - 1 / 3)).toBeLessThan(0.04);
    }
  });

  it('loses only the keys of a node that goes, each to the next in its order, and gets them back with it', () => {
    const all = nodes(1, 1, 1, 1);
    const left = all.filter(({ name }) => name !== 'r2');
    for (const key of keys.slice(0, 2_000)) {
      const [first, second] = ranked(all, key);
      expect(ranked(left, key)[0]?.name).toBe(first?.name === 'r2' ? second?.name : first?.name);
    }
  });

  it('tells nothing of a key’s nodes by its fraction', () => {
    const upper = keys.filter((key) => keyFraction(hashOf(key)) >= 0.5);
    expect(upper.length / keys.length).toBeCloseTo(0.5, 1);
    for (const share of sharesOf(nodes(1, 1, 1), upper)) expect(share).toBeCloseTo(1 / 3, 1);
  });

  it('is the same in every process and version', () => {
    expect(['', 'a', 'user:42', 'Ünïcode'].map((key) => hashOf(key) >>> 0)).toMatchInlineSnapshot(`
      [
        2872998923,
        444641715,
        599759890,
        1535409231,
      ]
    `);
    expect(['', 'a', 'user:42', 'Ünïcode'].map((key) => ranked(nodes(1, 1, 1), key)[0]?.name)).toMatchInlineSnapshot(`
      [
        "r3",
        "r1",
        "r3",
        "r2",
      ]
    `);
  });
});
