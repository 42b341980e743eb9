import { describe, expect, it } from 'vitest';
import { Standstill } from '../../../src/changes/standstill.js';

const FAR = 1_000_000n;

describe('a watermark that stands still', () => {
  it('is noticed where the log goes on, from when it was first seen', () => {
    const still = new Standstill();
    expect(still.look(100n, FAR, false, 1_000)).toBe(0);
    expect(still.look(100n, FAR, false, 3_000)).toBe(2_000);
    expect(still.look(100n, 2n * FAR, false, 9_000)).toBe(8_000);
  });

  it('is noticed where something holds it back, however little lies beyond', () => {
    const still = new Standstill();
    still.look(100n, 100n, true, 0);
    expect(still.look(100n, 101n, true, 2_500)).toBe(2_500);
  });

  it('is none while it moves, or nothing is beyond but what may not be flushed', () => {
    const still = new Standstill();
    still.look(100n, FAR, false, 0);
    expect(still.look(101n, FAR, false, 5_000)).toBe(0);
    expect(still.look(101n, FAR, false, 6_000)).toBe(1_000);
    expect(still.look(FAR, FAR, false, 7_000)).toBe(0);
    expect(still.look(FAR, FAR + 8_192n, false, 90_000)).toBe(0);
    expect(still.look(FAR, FAR + 100_000n, false, 91_000)).toBe(0);
    expect(still.look(FAR, FAR + 100_000n, false, 92_000)).toBe(1_000);
  });

  it('begins anew with each source', () => {
    const still = new Standstill();
    still.look(100n, FAR, true, 0);
    expect(still.look(undefined, FAR, false, 5_000)).toBe(0);
    expect(still.look(100n, FAR, false, 6_000)).toBe(0);
  });
});
