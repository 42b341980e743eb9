import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Candidate, chooseReplica } from '../../../src/routing/route.js';

const replica = (lsn: bigint | undefined, over: Partial<Candidate> = {}): Candidate => ({
  weight: 1,
  inFlight: 0,
  lsn,
  freshAsOf: 100,
  share: 1,
  isEjected: false,
  isStalled: false,
  ...over,
});

const candidate = fc.record({
  weight: fc.double({ min: 0.1, max: 10, noNaN: true }),
  inFlight: fc.nat(50),
  lsn: fc.option(fc.bigInt({ min: 0n, max: 20n }), { nil: undefined }),
  freshAsOf: fc.integer({ min: 0, max: 20 }),
  share: fc.double({ min: 0.1, max: 1, noNaN: true }),
  isEjected: fc.boolean(),
  isStalled: fc.boolean(),
});

describe('choosing a replica', () => {
  it('takes the least busy of those that are fresh enough, by weight', () => {
    const busy = replica(10n, { inFlight: 4 });
    const idle = replica(10n, { inFlight: 1 });
    const strong = replica(10n, { inFlight: 4, weight: 5 });
    expect(chooseReplica([busy, idle], 10n, 0, 0)).toBe(idle);
    expect(chooseReplica([busy, idle, strong], 10n, 0, 0)).toBe(strong);
  });

  it('lets equally busy ones take turns', () => {
    const nodes = [replica(1n), replica(1n), replica(1n)];
    const chosen = new Set(Array.from({ length: 3 }, (_, turn) => chooseReplica(nodes, 0n, 0, turn)));
    expect(chosen.size).toBe(3);
  });

  it.each([
    ['there is none', [], 'no-candidate'],
    ['nothing is proven of any', [replica(undefined)], 'no-candidate'],
    ['all are behind the floor', [replica(9n), replica(undefined)], 'behind-floor'],
    ['the one that reached the floor is too old', [replica(9n), replica(10n, { freshAsOf: 1 })], 'too-stale'],
  ])('says why when %s', (_, nodes, why) => {
    expect(chooseReplica(nodes, 10n, 50, 0)).toBe(why);
  });

  it('gives one on probation its share, and no more', () => {
    const [back, other] = [replica(1n, { share: 0.25 }), replica(1n, { inFlight: 2 })];
    expect(chooseReplica([back, other], 0n, 0, 0)).toBe(other);
    expect(chooseReplica([back, replica(1n, { inFlight: 4 })], 0n, 0, 0)).toBe(back);
  });

  it('takes one that is ejected only when no other is to be had, not when another has only to catch up', () => {
    const out = replica(9n, { isEjected: true });
    expect(chooseReplica([out, replica(9n, { inFlight: 90 })], 9n, 0, 0)).not.toBe(out);
    expect(chooseReplica([out, replica(1n)], 9n, 0, 0)).toBe('behind-floor');
    expect(chooseReplica([out, replica(undefined)], 9n, 0, 0)).toBe(out);
  });

  it('takes one whose pool stands still when no other qualifies', () => {
    const full = replica(9n, { isStalled: true });
    expect(chooseReplica([full, replica(9n, { inFlight: 90 })], 9n, 0, 0)).not.toBe(full);
    expect(chooseReplica([full, replica(1n)], 9n, 0, 0)).toBe(full);
  });

  it('never takes one that is unproven, behind the floor, too old or excluded, nor one that is ejected beside a live one', () => {
    fc.assert(
      fc.property(
        fc.array(candidate, { maxLength: 8 }),
        fc.bigInt({ min: 0n, max: 20n }),
        fc.integer({ min: 0, max: 20 }),
        fc.nat(),
        fc.nat(8),
        (nodes, floor, since, turn, out) => {
          const except = new Set(nodes.slice(out, out + 1));
          const qualifying = nodes.filter(
            (n) => n.lsn !== undefined && n.lsn >= floor && n.freshAsOf >= since && !except.has(n),
          );
          const isLive = nodes.some((n) => n.lsn !== undefined && !n.isEjected && !except.has(n));
          const allowed = qualifying.filter((n) => !n.isEjected || !isLive);
          const chosen = chooseReplica(nodes, floor, since, turn, except);
          if (allowed.length === 0) return typeof chosen === 'string';
          return typeof chosen === 'object' && allowed.includes(chosen);
        },
      ),
    );
  });
});
