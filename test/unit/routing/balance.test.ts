import { describe, expect, it } from 'vitest';
import { type Burden, betterOfTwo, costOf, isOutdone, ResponseTime } from '../../../src/routing/balance.js';

const burden = (over: Partial<Burden> = {}): Burden => ({
  weight: 1,
  share: 1,
  inFlight: 0,
  responseMillis: 0.3,
  typicalMillis: 0.3,
  ...over,
});
const shares = (all: readonly Burden[], count = 30_000): number[] => {
  const taken = all.map(() => 0);
  for (let i = 0; i < count; i++) {
    const at = all.indexOf(betterOfTwo(all, Math.random(), Math.random()));
    taken[at] = (taken[at] as number) + 1;
  }
  return taken.map((n) => n / count);
};

describe('how long a node takes', () => {
  it('rises with two slow answers in a row and not with one, which is chance', () => {
    const response = new ResponseTime();
    for (let t = 0; t < 1_000; t += 10) response.took(t === 500 ? 400 : 0.4, t);
    expect(response.millis).toBeCloseTo(0.4, 3);
    response.took(20, 1_000);
    response.took(21, 1_010);
    expect(response.millis).toBe(20);
  });

  it('forgets it within 3 s of fast answers, also if only four come in a second', () => {
    const response = new ResponseTime();
    for (let t = 0; t < 1_000; t += 10) response.took(20, t);
    for (let t = 1_000; t <= 4_000; t += 250) response.took(0.4, t);
    expect(response.millis).toBeLessThan(0.8);
  });

  it('does not forget it while slow answers come, however fast those between them', () => {
    const response = new ResponseTime();
    for (let t = 0; t < 10_000; t += 10) response.took(t % 100 < 20 ? 20 : 0.4, t);
    expect(response.millis).toBeGreaterThan(10);
  });

  it('takes one that fails at once for a slow one', () => {
    const response = new ResponseTime();
    for (let t = 0; t < 1_000; t += 10) response.took(0.4, t);
    response.failed(1_000);
    expect(response.millis).toBeCloseTo(0.4, 3);
    response.failed(1_001);
    expect(response.millis).toBeGreaterThanOrEqual(250);
    for (let t = 1_010; t < 1_100; t += 10) response.took(0.1, t);
    expect(response.millis).toBeGreaterThan(100);
    for (let t = 1_100; t < 5_000; t += 10) response.took(0.1, t);
    expect(response.millis).toBeLessThan(0.5);
  });
});

describe('the better one of two', () => {
  it('shares idle replicas by weight', () => {
    const taken = shares([burden({ weight: 2 }), burden(), burden()]);
    for (const [i, fair] of [0.5, 0.25, 0.25].entries()) expect(taken[i]).toBeCloseTo(fair, 1);
  });

  it('gives one on probation its share, and no more', () => {
    const [back] = shares([burden({ share: 0.1 }), burden(), burden()]);
    expect(back).toBeGreaterThan(0.02);
    expect(back).toBeLessThan(0.08);
  });

  it('never takes the worse of two, and seldom the worst of many', () => {
    expect(shares([burden({ inFlight: 9 }), burden({ inFlight: 2 })])[0]).toBe(0);
    const [worst] = shares([burden({ responseMillis: 20 }), burden(), burden()]);
    expect(worst).toBe(0);
    expect(shares([burden({ weight: 3, inFlight: 3 }), burden({ inFlight: 3 })])[1]).toBe(0);
  });

  it('makes nothing of differences that chance makes', () => {
    const taken = shares([burden({ responseMillis: 2.9 }), burden({ responseMillis: 0.2 })]);
    expect(taken[0]).toBeCloseTo(0.5, 1);
  });

  it('takes the only one', () => expect(shares([burden({ inFlight: 99 })])).toEqual([1]));

  it('prices a slow one above a busy one, until that is very busy', () => {
    const slow = burden({ responseMillis: 20.3 });
    expect(costOf(slow)).toBeGreaterThan(costOf(burden({ inFlight: 40 })));
    expect(costOf(slow)).toBeLessThan(costOf(burden({ inFlight: 60 })));
  });
});

describe('leaving a replica for a better one', () => {
  it.each([
    ['not for a little', burden({ inFlight: 3 }), burden(), false],
    ['not for many more that are over in a moment', burden({ inFlight: 7 }), burden(), false],
    ['for a few more that take their time', burden({ inFlight: 4, typicalMillis: 50 }), burden(), true],
    ['for many more', burden({ inFlight: 20 }), burden({ inFlight: 2 }), true],
    ['not for one that is as busy', burden({ inFlight: 20 }), burden({ inFlight: 15 }), false],
    ['for one that answers far sooner', burden({ responseMillis: 20 }), burden(), true],
    ['not for one that answers a bit sooner', burden({ responseMillis: 4 }), burden(), false],
  ])('%s', (_, own, other, leaves) => expect(isOutdone(own, other)).toBe(leaves));
});
