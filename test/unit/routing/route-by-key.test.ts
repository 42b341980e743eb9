/** Choosing a replica for a read with a partition key: the key's own comes first. */
import { describe, expect, it } from 'vitest';
import { hashOf, keyFraction, rankOf } from '../../../src/routing/partition.js';
import { answerOf, choose, criteria, type Replica, replica, router } from './played-replicas.js';

describe('choosing by a partition key', () => {
  const keys = Array.from({ length: 3_000 }, (_, i) => hashOf(`user:${i}`));
  const inOrder = (nodes: readonly Replica[], key: number) => nodes.toSorted((a, b) => rankOf(key, b) - rankOf(key, a));
  const three = () => [replica(1n), replica(1n), replica(1n)];

  it('takes the first of the key’s order, then the next that is fresh enough', () => {
    const nodes = three();
    const one = router();
    for (const key of keys) {
      const [first, second, third] = inOrder(nodes, key) as [Replica, Replica, Replica];
      expect(one.choose(nodes, criteria({ key }))).toMatchObject({ node: first, why: 'partition' });
      first.lsn = 0n;
      expect(one.choose(nodes, criteria({ key, floor: 1n }))).toMatchObject({ node: second, why: 'next-in-order' });
      second.isEjected = true;
      expect(answerOf(one.choose(nodes, criteria({ key, floor: 1n })))).toBe(third);
      [first.lsn, second.isEjected] = [1n, false];
    }
  });

  it('passes over one that answers far more slowly than others, or fails', () => {
    const nodes = three();
    const one = router();
    for (const key of keys.slice(0, 300)) {
      const [first, second] = inOrder(nodes, key) as [Replica, Replica];
      first.responseMillis = 45;
      expect(answerOf(one.choose(nodes, criteria({ key })))).toBe(first);
      first.responseMillis = 60;
      expect(one.choose(nodes, criteria({ key }))).toMatchObject({ node: second, why: 'next-in-order' });
      for (const node of nodes) node.responseMillis = 60;
      expect(answerOf(one.choose(nodes, criteria({ key })))).toBe(first);
      for (const node of nodes) node.responseMillis = 0.3;
    }
  });

  it('passes on what is more than its fair share of the work, and takes it again once that has ended', () => {
    const nodes = three();
    const one = router();
    const key = hashOf('user:42');
    const [first, second] = inOrder(nodes, key) as [Replica, Replica];
    for (let under = 0; under < 300; under++) {
      const chosen = answerOf(one.choose(nodes, criteria({ key }))) as Replica;
      expect(chosen.inFlight + 1).toBeLessThanOrEqual(Math.ceil((1.25 * (under + 1)) / 3));
      chosen.inFlight++;
    }
    expect(first.inFlight).toBe(125);
    expect(second.inFlight).toBe(125);
    for (const node of nodes) node.inFlight = 0;
    expect(answerOf(one.choose(nodes, criteria({ key })))).toBe(first);
  });

  it('bounds the work by weight', () => {
    const nodes = [replica(1n, { weight: 3 }), replica(1n), replica(1n)];
    const one = router();
    for (let i = 0; i < 5_000; i++)
      (answerOf(one.choose(nodes, criteria({ key: keys[i % 7] as number }))) as Replica).inFlight++;
    expect(nodes[0]?.inFlight).toBeLessThanOrEqual(Math.ceil((1.25 * 5_000 * 3) / 5));
    expect(nodes[1]?.inFlight).toBeLessThanOrEqual(Math.ceil((1.25 * 5_000) / 5));
  });

  it('does not take up to eight statements for a burden that are over in a moment', () => {
    const nodes = three();
    for (const node of nodes) node.typicalMillis = 0.3;
    const key = hashOf('user:42');
    const [first] = inOrder(nodes, key) as [Replica];
    for (let under = 0; under < 8; under++) {
      expect(choose(nodes, { key })).toBe(first);
      first.inFlight++;
    }
    expect(choose(nodes, { key })).not.toBe(first);
  });

  it('takes no chance for a burden: of statements that are over in a moment, what is usual counts', () => {
    const nodes = three();
    const key = hashOf('user:42');
    const [first, second, third] = inOrder(nodes, key) as [Replica, Replica, Replica];
    for (const node of nodes) [node.typicalMillis, node.inFlight, node.load.usual] = [1, 10, 10];
    first.inFlight = 25;
    expect(choose(nodes, { key, isBrief: true })).toBe(first);
    expect(choose(nodes, { key })).not.toBe(first);
    first.load.usual = 20;
    expect(choose(nodes, { key, isBrief: true })).not.toBe(first);
    // What takes its time does not pile up by chance.
    first.load.usual = 10;
    first.typicalMillis = 50;
    expect([second, third]).toContain(choose(nodes, { key, isBrief: true }));
  });

  it('does not come back to one whose age jitters around the bound, unless no other is steady', () => {
    const nodes = three();
    const key = hashOf('user:42');
    const [first, second] = inOrder(nodes, key) as [Replica, Replica];
    first.steadyAgeMillis = 1_001;
    expect(choose(nodes, { key })).toBe(second);
    expect(choose(nodes, { key, maxAgeMillis: 1_001 })).toBe(first);
    for (const node of nodes) node.steadyAgeMillis = 5_000;
    expect(choose(nodes, { key })).toBe(first);
  });

  it('lets one that comes back have a part of its keys, always the same ones', () => {
    const nodes = three();
    const [back] = nodes as [Replica];
    back.share = 0.3;
    const own = keys.filter((key) => inOrder(nodes, key)[0] === back);
    const taken = own.filter((key) => choose(nodes, { key }) === back);
    expect(taken).toEqual(own.filter((key) => keyFraction(key) < 0.3));
  });

  it('keeps a session at the next one while its own is half full, and takes it home then', () => {
    const nodes = three();
    const key = hashOf('user:42');
    const [first, second] = inOrder(nodes, key) as [Replica, Replica];
    for (const node of nodes) node.inFlight = 10;
    first.inFlight = 9;
    expect(choose(nodes, { key, home: second })).toBe(second);
    expect(choose(nodes, { key })).toBe(first);
    // It was there for another key.
    expect(choose(nodes, { key, home: second, isHomeOfKey: false })).toBe(first);
    first.inFlight = 3;
    expect(choose(nodes, { key, home: second })).toBe(first);
    second.inFlight = 30;
    first.inFlight = 9;
    expect(choose(nodes, { key, home: second })).toBe(first);
  });

  it('spreads a hot key over the first several of its order, to the less busy one, and leaves sessions where they are', () => {
    const nodes = Array.from({ length: 6 }, () => replica(1n));
    const one = router();
    for (const key of keys.slice(0, 200)) {
      const several = inOrder(nodes, key).slice(0, 3);
      const choices = Array.from({ length: 600 }, () => one.choose(nodes, criteria({ key, spread: 3 })));
      expect(new Set(choices.map(answerOf))).toEqual(new Set(several));
      expect(new Set(choices.map(({ why }) => why))).toEqual(new Set(['hot-key']));
      expect(one.choose(nodes, criteria({ key, spread: 3, home: several[2] }))).toMatchObject({
        node: several[2],
        why: 'affinity',
      });
      expect(several).toContain(
        answerOf(one.choose(nodes, criteria({ key, spread: 3, home: inOrder(nodes, key)[5] }))),
      );
    }
    const counts = new Map(nodes.map((node) => [node, 0]));
    const key = keys[0] as number;
    for (let i = 0; i < 600; i++) (answerOf(one.choose(nodes, criteria({ key, spread: 6 }))) as Replica).inFlight++;
    for (const node of counts.keys()) expect(Math.abs(node.inFlight - 100)).toBeLessThan(40);
  });
});
