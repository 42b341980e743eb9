import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { comparePositions, newerPosition, type Position, Timelines } from '../../../src/freshness/position.js';

const position = fc.record({
  clusterId: fc.constant('7'),
  timeline: fc.integer({ min: 1, max: 5 }),
  lsn: fc.bigInt({ min: 0n, max: 1000n }),
});

describe('positions', () => {
  it('are ordered by timeline, then by LSN', () => {
    const at = (timeline: number, lsn: bigint): Position => ({ clusterId: '7', timeline, lsn });
    expect(comparePositions(at(1, 900n), at(2, 100n))).toBeLessThan(0);
    expect(comparePositions(at(2, 101n), at(2, 100n))).toBeGreaterThan(0);
    expect(comparePositions(at(2, 100n), at(2, 100n))).toBe(0);
  });

  it('merge by maximum: in any order, as often as you like', () => {
    fc.assert(
      fc.property(position, position, position, (a, b, c) => {
        const left = newerPosition(newerPosition(a, b), c);
        const right = newerPosition(newerPosition(c, b), a);
        expect(comparePositions(left, right)).toBe(0);
        expect(comparePositions(left, a)).toBeGreaterThanOrEqual(0);
        expect(newerPosition(left, left)).toBe(left);
      }),
    );
  });
});

describe('the fate of a position after failovers', () => {
  const history = new Timelines(1).continuedOn(2, 100n).continuedOn(3, 200n);

  it.each([
    ['below the fork is kept', 1, 100n, 'kept'],
    ['above the fork is lost', 1, 101n, 'lost'],
    ['on the timeline between, below its end, is kept', 2, 200n, 'kept'],
    ['on the timeline between, above its end, is lost', 2, 201n, 'lost'],
    ['on the current timeline is kept', 3, 300n, 'kept'],
    ['above everything that was written is ahead', 3, 301n, 'ahead'],
    ['on a timeline that nobody has seen is ahead', 4, 1n, 'ahead'],
  ] as const)('%s', (_, timeline, lsn, fate) => {
    expect(history.fateOf(timeline, lsn, 300n)).toBe(fate);
  });

  it('is unknown across a fork that nobody saw', () => {
    const gap = new Timelines(1).continuedOn(3, 200n);
    expect(gap.fateOf(1, 10n, 300n)).toBe('unknown');
    expect(gap.fateOf(2, 10n, 300n)).toBe('kept');
  });

  it('a lost position stays lost however far the new timeline grows past it', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 101n, max: 10_000n }), fc.bigInt({ min: 100n, max: 10n ** 12n }), (lsn, highest) => {
        expect(history.fateOf(1, lsn, highest)).toBe('lost');
      }),
    );
  });
});
