import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StalenessClock } from '../../../src/freshness/staleness-clock.js';

/** Moments and LSNs that both never go back. */
const samples = fc
  .array(fc.record({ after: fc.double({ min: 0.01, max: 40, noNaN: true }), grown: fc.bigInt({ min: 0n, max: 3n }) }), {
    minLength: 1,
    maxLength: 300,
  })
  .map((steps) => {
    let at = 0;
    let lsn = 0n;
    return steps.map(({ after, grown }) => {
      at += after;
      lsn += grown;
      return { at, lsn };
    });
  });

function clockOf(of: readonly { at: number; lsn: bigint }[]): StalenessClock {
  const clock = new StalenessClock();
  for (const { at, lsn } of of) clock.sample(at, lsn);
  return clock;
}

describe('the staleness clock', () => {
  it('knows nothing without a sample: the age is infinite, not zero', () => {
    const clock = new StalenessClock();
    expect(clock.freshAsOf(2n ** 64n - 1n)).toBe(Number.NEGATIVE_INFINITY);
    expect(clock.firstAfter(0)).toBeUndefined();
  });

  it('never calls a position fresher than the exact answer, and is at most a spacing off', () => {
    fc.assert(
      fc.property(samples, fc.bigInt({ min: 0n, max: 900n }), (of, lsn) => {
        const exact = of.filter((s) => s.lsn <= lsn).at(-1)?.at ?? Number.NEGATIVE_INFINITY;
        const told = clockOf(of).freshAsOf(lsn);
        expect(told).toBeLessThanOrEqual(exact);
        if (told !== Number.NEGATIVE_INFINITY) expect(exact - told).toBeLessThan(5);
      }),
    );
  });

  it('covers a moment only by a sample asked for after it', () => {
    fc.assert(
      fc.property(samples, fc.double({ min: 0, max: 9000, noNaN: true }), (of, moment) => {
        const exact = of.find((s) => s.at > moment)?.lsn;
        const told = clockOf(of).firstAfter(moment);
        expect(told === undefined).toBe(exact === undefined);
        if (told !== undefined && exact !== undefined) expect(told).toBeGreaterThanOrEqual(exact);
      }),
    );
  });

  it('keeps a replica of an idle primary fresh: the same LSN moves the moment on', () => {
    const clock = clockOf([
      { at: 1, lsn: 7n },
      { at: 1001, lsn: 7n },
      { at: 9001, lsn: 7n },
    ]);
    expect(clock.freshAsOf(7n)).toBe(9001);
    expect(clock.freshAsOf(6n)).toBe(Number.NEGATIVE_INFINITY);
  });

  it('stays sound when it has to forget: the age only grows', () => {
    const of = Array.from({ length: 10_000 }, (_, i) => ({ at: i * 10, lsn: BigInt(i) }));
    const clock = clockOf(of);
    expect(clock.freshAsOf(9_999n)).toBe(99_990);
    expect(clock.freshAsOf(9_000n)).toBe(90_000);
    expect(clock.freshAsOf(1n)).toBe(Number.NEGATIVE_INFINITY);
  });

  it('takes no notice of a sample that moves backwards', () => {
    const clock = clockOf([
      { at: 10, lsn: 5n },
      { at: 20, lsn: 4n },
    ]);
    expect(clock.freshAsOf(4n)).toBe(Number.NEGATIVE_INFINITY);
  });
});
