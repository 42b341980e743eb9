import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Candidate, chooseReplica } from '../../../src/routing/route.js';

const replica = (lsn: bigint | undefined, over: Partial<Candidate> = {}): Candidate => ({
  weight: 1,
  inFlight: 0,
  lsn,
  freshAsOf: 100,
  ...over,
});

const candidate = fc.record({
  weight: fc.double({ min: 0.1, max: 10, noNaN: true }),
  inFlight: fc.nat(50),
  lsn: fc.option(fc.bigInt({ min: 0n, max: 20n }), { nil: undefined }),
  freshAsOf: fc.integer({ min: 0, max: 20 }),
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

  it('never takes one that is unproven, behind the floor, too old or excluded, and always one that qualifies', () => {
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
          const chosen = chooseReplica(nodes, floor, since, turn, except);
          if (qualifying.length === 0) return typeof chosen === 'string';
          return typeof chosen === 'object' && qualifying.includes(chosen);
        },
      ),
    );
  });
});
