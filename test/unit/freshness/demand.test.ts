import { describe, expect, it } from 'vitest';
import { gapOf, meets, RungAt } from '../../../src/freshness/demand.js';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import { at } from './positions.js';

const NO_BOUND = Number.NEGATIVE_INFINITY;

describe('whether a rung is fresh enough', () => {
  it.each([
    ['has reached the floor, and nobody asks for its age', 10n, NO_BOUND, undefined],
    ['is one byte behind the floor', 9n, NO_BOUND, 'behind-floor'],
    ['is not proven to be anywhere', undefined, NO_BOUND, 'behind-floor'],
    ['is just as old as it may be', 10n, 50, undefined],
    ['is older than it may be', 11n, 50.1, 'too-stale'],
    ['is behind the floor and too old', 9n, 99, 'behind-floor'],
  ])('one that %s', (_, lsn, freshSince, gap) => {
    const rung = { lsn, freshAsOf: 50 };
    expect(gapOf(rung, { floor: 10n, freshSince })).toBe(gap);
    expect(meets(rung, { floor: 10n, freshSince })).toBe(gap === undefined);
  });

  it('without a floor: one that is not proven still is not', () => {
    expect(meets({ lsn: undefined, freshAsOf: 50 }, { floor: 0n, freshSince: NO_BOUND })).toBe(false);
  });

  it('at a position of the history: it shows every commit up to the newest sample that it covers', () => {
    const history = new PrimaryHistory();
    history.add(at(1, 100n));
    history.add(at(2, 200n));
    expect(new RungAt(100n, history).freshAsOf).toBe(1);
    expect(new RungAt(250n, history).freshAsOf).toBe(2);
    expect(new RungAt(99n, history).freshAsOf).toBe(NO_BOUND);
    expect(new RungAt(undefined, history).freshAsOf).toBe(NO_BOUND);
  });
});
