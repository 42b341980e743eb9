/** How often the memory store hits, beside a plain LRU of as many entries, on the same requests. */
import { LRUCache } from 'lru-cache';
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../../src/cache/memory-store.js';
import { type Request, Trace } from './trace.js';

const isSoak = process.env['SOAK'] === '1';
const keyCount = isSoak ? 100_000 : 20_000;
const capacity = keyCount / 20;
const seeds = isSoak ? [1, 2, 3] : [1];
const keys = Array.from({ length: keyCount }, (_, key) => `select * from t where id = $1;${key + keyCount}`);
const held = { bytes: 600, costMillis: 2 };

function lru(): Request {
  const cache = new LRUCache<string, typeof held>({ max: capacity });
  return (key) => {
    if (cache.get(keys[key]!) !== undefined) return true;
    cache.set(keys[key]!, held);
    return false;
  };
}

function memoryStore(): Request {
  const one = new MemoryStore({ maxBytes: 1e6 });
  one.set(keys[0]!, held);
  const store = new MemoryStore({ maxBytes: one.byteCount * capacity });
  return (key) => {
    if (store.get(keys[key]!) !== undefined) return true;
    store.set(keys[key]!, held);
    return false;
  };
}

/** The share of hits in per cent. */
function hitsOf(request: Request, trace: Trace, count: number): number {
  let hitCount = 0;
  for (let at = 0; at < count; at++) if (request(trace.next())) hitCount++;
  return (hitCount / count) * 100;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Every 20 times the capacity, each key is asked for once; that is not counted itself. */
function scanned(request: Request, seed: number): { overall: number; afterScans: number } {
  const trace = new Trace(keyCount, seed);
  hitsOf(request, trace, keyCount);
  const after: number[] = [];
  const later: number[] = [];
  for (let round = 0; round < 6; round++) {
    for (let key = 0; key < keyCount; key++) request(key);
    after.push(hitsOf(request, trace, capacity * 2));
    later.push(hitsOf(request, trace, capacity * 18));
  }
  const afterScans = mean(after);
  return { overall: 0.1 * afterScans + 0.9 * mean(later), afterScans };
}

/** After each of three shifts, the hits in ten pieces of a fifth of the keys' number. */
function shifted(request: Request, seed: number): number[][] {
  const trace = new Trace(keyCount, seed);
  hitsOf(request, trace, keyCount * 2);
  return Array.from({ length: 3 }, () => {
    trace.shift();
    return Array.from({ length: 10 }, () => hitsOf(request, trace, keyCount / 5));
  });
}

describe.each(seeds)(`admission on a trace of ${keyCount} keys, a twentieth of which fit (seed %i)`, (seed) => {
  it('hits more often than an LRU when scans pass by: by 5 points over all, by 8 after a scan', () => {
    const plain = scanned(lru(), seed);
    const ours = scanned(memoryStore(), seed);
    expect(ours.overall - plain.overall).toBeGreaterThan(5);
    expect(ours.afterScans - plain.afterScans).toBeGreaterThan(8);
  });

  it('hits less often than an LRU for no more than 100,000 requests after popularity shifts', () => {
    const plain = shifted(lru(), seed);
    const ours = shifted(memoryStore(), seed);
    for (const [shift, pieces] of ours.entries()) {
      // As many requests as there are keys: a store of a fifth of the entries learns in a fifth of the time.
      const late = pieces.slice(5).map((hits, piece) => hits - plain[shift]![piece + 5]!);
      expect(Math.min(...late)).toBeGreaterThan(0);
      // and it has not lost much until then
      expect(mean(plain[shift]!.slice(0, 5)) - mean(pieces.slice(0, 5))).toBeLessThan(5);
    }
  });
});
