import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Load } from '../../../src/routing/load.js';
import { hashOf, keyFraction, rankOf } from '../../../src/routing/partition.js';
import { type Candidate, type Choice, type Criteria, Router } from '../../../src/routing/route.js';

type Replica = { -readonly [K in keyof Candidate]: Candidate[K] } & { readonly name: string };

let made = 0;
const replica = (lsn: bigint | undefined, over: Partial<Candidate> = {}): Replica => {
  const name = `r${++made}`;
  const load = { weight: 1, inFlight: 0, share: 1, responseMillis: 0.3, typicalMillis: 50, capacity: 10 };
  const state = { freshAsOf: 100, steadyAgeMillis: 0, isEjected: false, isStalled: false, isNear: false };
  return { name, hash: hashOf(name), lsn, load: new Load(), ...load, ...state, ...over };
};
const criteria = (over: Partial<Criteria<Replica>> = {}): Criteria<Replica> => ({
  floor: 0n,
  freshSince: 0,
  maxAgeMillis: 1_000,
  key: undefined,
  spread: 1,
  home: undefined,
  isHomeOfKey: true,
  isBrief: false,
  except: undefined,
  ...over,
});
const router = () => new Router<Replica>(1.25);
/** The replica, or why there is none. */
const answerOf = ({ node, why }: Choice<Replica>) => node ?? why;
const choose = (nodes: readonly Replica[], over: Partial<Criteria<Replica>> = {}) =>
  answerOf(router().choose(nodes, criteria(over)));

const candidate = fc
  .record({
    weight: fc.double({ min: 0.1, max: 10, noNaN: true }),
    inFlight: fc.nat(50),
    responseMillis: fc.double({ min: 0, max: 300, noNaN: true }),
    lsn: fc.option(fc.bigInt({ min: 0n, max: 20n }), { nil: undefined }),
    freshAsOf: fc.integer({ min: 0, max: 20 }),
    steadyAgeMillis: fc.integer({ min: 0, max: 20 }),
    share: fc.double({ min: 0.1, max: 1, noNaN: true }),
    isEjected: fc.boolean(),
    isStalled: fc.boolean(),
    isNear: fc.boolean(),
  })
  .map(({ lsn, ...over }) => replica(lsn, over));

describe('choosing a replica', () => {
  it('takes the least busy of those that are fresh enough, by weight', () => {
    const busy = replica(10n, { inFlight: 4 });
    const idle = replica(10n, { inFlight: 1 });
    const strong = replica(10n, { inFlight: 4, weight: 8 });
    expect(choose([busy, idle], { floor: 10n })).toBe(idle);
    expect(choose([busy, strong], { floor: 10n })).toBe(strong);
  });

  it('lets equally busy ones take turns, a few reads each', () => {
    const nodes = [replica(1n), replica(1n), replica(1n)];
    const one = router();
    const chosen = Array.from({ length: 3_000 }, () => (answerOf(one.choose(nodes, criteria())) as Replica).name);
    for (const { name } of nodes) expect(chosen.filter((other) => other === name).length).toBeGreaterThan(700);
    const changes = chosen.filter((name, i) => i > 0 && name !== chosen[i - 1]).length;
    expect(changes).toBeLessThan(3_000 / 8);
  });

  it.each([
    ['there is none', [], 'no-candidate'],
    ['nothing is proven of any', [replica(undefined)], 'no-candidate'],
    ['all are behind the floor', [replica(9n), replica(undefined)], 'behind-floor'],
    ['the one that reached the floor is too old', [replica(9n), replica(10n, { freshAsOf: 1 })], 'too-stale'],
  ])('says why when %s', (_, nodes, why) => {
    expect(choose(nodes, { floor: 10n, freshSince: 50 })).toBe(why);
    expect(choose(nodes, { floor: 10n, freshSince: 50, key: hashOf('k') })).toBe(why);
  });

  it('takes one that is ejected only when no other is to be had, not when another has only to catch up', () => {
    const out = replica(9n, { isEjected: true });
    expect(choose([out, replica(9n, { inFlight: 90 })], { floor: 9n })).not.toBe(out);
    expect(choose([out, replica(1n)], { floor: 9n })).toBe('behind-floor');
    expect(choose([out, replica(undefined)], { floor: 9n })).toBe(out);
  });

  it('takes one whose pool stands still when no other qualifies', () => {
    const full = replica(9n, { isStalled: true });
    expect(choose([full, replica(9n, { inFlight: 90 })], { floor: 9n })).not.toBe(full);
    expect(choose([full, replica(1n)], { floor: 9n })).toBe(full);
  });

  it('never takes one that is unproven, behind the floor, too old or excluded, nor one that is ejected beside a live one', () => {
    fc.assert(
      fc.property(
        fc.array(candidate, { maxLength: 8 }),
        fc.bigInt({ min: 0n, max: 20n }),
        fc.integer({ min: 0, max: 20 }),
        fc.option(fc.integer(), { nil: undefined }),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(8),
        fc.nat(8),
        (nodes, floor, freshSince, key, spread, out, at) => {
          const except = new Set(nodes.slice(out, out + 1));
          const home = nodes[at];
          const qualifying = nodes.filter(
            (n) => n.lsn !== undefined && n.lsn >= floor && n.freshAsOf >= freshSince && !except.has(n),
          );
          const isLive = nodes.some((n) => n.lsn !== undefined && !n.isEjected && !except.has(n));
          const allowed = qualifying.filter((n) => !n.isEjected || !isLive);
          const chosen = choose(nodes, { floor, freshSince, key, spread, home, except, maxAgeMillis: 10 });
          if (allowed.length === 0) return typeof chosen === 'string';
          return typeof chosen === 'object' && allowed.includes(chosen);
        },
      ),
    );
  });

  it('takes those of the own zone first, and others when these have as much as their pools hold', () => {
    const near = [replica(1n, { isNear: true }), replica(1n, { isNear: true, inFlight: 9 })];
    const far = [replica(1n), replica(1n)];
    const one = router();
    for (let i = 0; i < 1_000; i++) expect(near).toContain(answerOf(one.choose([...far, ...near], criteria())));
    for (const node of near) node.inFlight = 10;
    for (let i = 0; i < 1_000; i++) expect(far).toContain(answerOf(one.choose([...far, ...near], criteria())));
    for (const node of far) node.inFlight = 40;
    for (let i = 0; i < 1_000; i++) expect(near).toContain(answerOf(one.choose([...far, ...near], criteria())));
  });

  it('takes others when those of the own zone answer far more slowly', () => {
    const [near, ...far] = [replica(1n, { isNear: true }), replica(1n), replica(1n)] as [Replica, Replica, Replica];
    const one = router();
    near.responseMillis = 8;
    for (let i = 0; i < 1_000; i++) expect(answerOf(one.choose([near, ...far], criteria()))).toBe(near);
    near.responseMillis = 30;
    for (let i = 0; i < 1_000; i++) expect(far).toContain(answerOf(one.choose([near, ...far], criteria())));
    for (const node of far) node.responseMillis = 10;
    for (let i = 0; i < 1_000; i++) expect(answerOf(one.choose([near, ...far], criteria()))).toBe(near);
  });

  it.each([
    ['another is in another zone', { isNear: false }],
    ['another is out', { isNear: true, isEjected: true }],
    ['another is behind', { isNear: true, freshAsOf: -1 }],
  ])('shares evenly among those that will do, while %s', (_, over) => {
    const both = [replica(1n, { isNear: true }), replica(1n, { isNear: true })];
    const one = router();
    const nodes = [both[0] as Replica, replica(1n, over), both[1] as Replica];
    const chosen = Array.from({ length: 20_000 }, () => answerOf(one.choose(nodes, criteria())));
    expect(chosen.filter((node) => node === both[0]).length / 20_000).toBeCloseTo(0.5, 1);
    expect(chosen.filter((node) => node === both[1]).length / 20_000).toBeCloseTo(0.5, 1);
  });

  it('leaves a session where it is, unless that is far slower or busier than another', () => {
    const [home, other] = [replica(1n), replica(1n)];
    const one = router();
    for (let i = 0; i < 100; i++) expect(answerOf(one.choose([home, other], criteria({ home })))).toBe(home);
    for (let i = 0; i < 100; i++) expect(one.keeps(home, [home, other], 0)).toBe(true);
    home.responseMillis = 20;
    expect(answerOf(one.choose([home, other], criteria({ home })))).toBe(other);
    expect(Array.from({ length: 1_000 }, () => one.keeps(home, [home, other], 0))).toContain(false);
    const zones = [
      [true, false, 20, false],
      [true, false, 8, true],
      [false, true, 20, true],
    ] as const;
    for (const [isHomeNear, isNear, responseMillis, keeps] of zones) {
      const [here, there] = [replica(1n, { isNear: isHomeNear, responseMillis }), replica(1n, { isNear })];
      expect(Array.from({ length: 1_000 }, () => one.keeps(here, [here, there], 0)).every((kept) => kept)).toBe(keeps);
    }
    for (const sick of [{ isEjected: true }, { isStalled: true }, { lsn: undefined }, { freshAsOf: -1 }]) {
      const worse = replica(1n, sick);
      for (let i = 0; i < 100; i++) expect(one.keeps(home, [home, worse], 0)).toBe(true);
    }
  });
});

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
