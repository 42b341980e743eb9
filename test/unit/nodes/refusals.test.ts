import { describe, expect, it } from 'vitest';
import { Refusals } from '../../../src/nodes/refusals.js';

const refusal = (code: string) => Object.assign(new Error('no'), { code });

/** How many of so many reads are held back, with dice that fall evenly. */
function heldBack(refusals: Refusals, count: number, now: number, outcome: (now: number) => void): number {
  let held = 0;
  for (let i = 0; i < count; i++) {
    if (refusals.holdsBack(now, () => ((i * 7_919) % 1_000) / 1_000)) held++;
    else outcome(now);
  }
  return held;
}

describe('a server that is asked for connections', () => {
  it('is asked by everybody while it gives them', () => {
    const refusals = new Refusals();
    expect(heldBack(refusals, 1_000, 0, (now) => refusals.gave(now))).toBe(0);
  });

  it.each(['57P03', '53300', 'ECONNREFUSED'])('is asked by few while it answers all with %s', (code) => {
    const refusals = new Refusals();
    const held = heldBack(refusals, 1_000, 0, (now) => refusals.failed(refusal(code), now));
    expect(held).toBeGreaterThan(950);
    expect(refusals.heldBackCount).toBe(held);
  });

  it('is asked by all while it gives half of what it is asked for', () => {
    const refusals = new Refusals();
    let isGiven = false;
    const held = heldBack(refusals, 1_000, 0, (now) => {
      isGiven = !isGiven;
      if (isGiven) refusals.gave(now);
      else refusals.failed(refusal('53300'), now);
    });
    expect(held).toBe(0);
  });

  it.each(['28P01', 'ECONNRESET', '57P01'])('is not held to account for %s', (code) => {
    const refusals = new Refusals();
    expect(heldBack(refusals, 1_000, 0, (now) => refusals.failed(refusal(code), now))).toBe(0);
  });

  it('is asked by all again ten seconds after it has refused', () => {
    const refusals = new Refusals();
    heldBack(refusals, 1_000, 0, (now) => refusals.failed(refusal('53300'), now));
    expect(heldBack(refusals, 1_000, 10_001, (now) => refusals.gave(now))).toBe(0);
  });
});
