import { describe, expect, it } from 'vitest';
import type { StoreGrowth } from './heap-growth.js';
import { heapGrowth } from './run-heap-growth.js';

const isSoak = process.env['SOAK'] === '1';
const keyCount = isSoak ? 1_000_000 : 100_000;
/** The list and the map grow in leaps: bounds on both sides of one, and between. */
const bounds = isSoak ? [16, 23, 64, 91, 128, 181, 256] : [16];

describe('the bound of the memory store', () => {
  it.each(bounds)(`of %i MiB is what it takes, within a tenth, after ${keyCount} distinct keys`, async (mebibytes) => {
    const maxBytes = mebibytes * 2 ** 20;
    const growth = await heapGrowth<StoreGrowth>('store', keyCount, maxBytes, 1);
    expect(growth.byteCount).toBeLessThanOrEqual(maxBytes);
    expect(growth.byteCount).toBeGreaterThan(maxBytes * 0.99);
    expect(growth.grownBytes / maxBytes).toBeGreaterThan(0.9);
    expect(growth.grownBytes / maxBytes).toBeLessThan(1.1);
    // both ways of a full store were taken
    expect(growth.evictedCount).toBeGreaterThan(growth.entryCount / 2);
    expect(growth.passedOverCount).toBeGreaterThan(growth.entryCount);
  });
});
