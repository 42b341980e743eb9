/** Choosing a replica for a read without a partition key. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashOf } from '../../../src/routing/partition.js';
import { answerOf, choose, criteria, type Replica, replica, router } from './played-replicas.js';

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
