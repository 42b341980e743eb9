import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { TokenCodec } from '../../../src/token/codec.js';
import { memoryTokenStore } from '../../../src/token/memory-store.js';
import { mergedTokens } from '../../../src/token/merge.js';
import { orderOf } from '../../../src/token/order.js';

const codec = new TokenCodec(['a secret of sixteen'], 60_000, 2);
const at = (timeline: number, lsn: bigint, now = 1_000): string => codec.encode({ clusterId: '7', timeline, lsn }, now);

describe('what two tokens say together', () => {
  it('is the higher position, by timeline and then by LSN, however close they are', () => {
    const lower = at(2, (1n << 62n) + 1n);
    const higher = at(2, (1n << 62n) + 2n);
    expect(mergedTokens(lower, higher)).toBe(higher);
    expect(mergedTokens(higher, lower)).toBe(higher);
    expect(mergedTokens(at(1, 99n), at(2, 1n))).toBe(at(2, 1n));
  });

  it('lasts as long as the later of two that stand alike', () => {
    expect(mergedTokens(at(1, 5n, 2_000), at(1, 5n, 1_000))).toBe(at(1, 5n, 2_000));
  });

  it('keeps the word that a write has no position beside the position of another one', () => {
    const mark = codec.encodePrimaryOnly(1_000);
    expect(mergedTokens(at(1, 5n), mark)).toBe(`${mark}.${at(1, 5n)}`);
    expect(mergedTokens(`${mark}.${at(1, 5n)}`, at(1, 6n))).toBe(`${mark}.${at(1, 6n)}`);
    expect(mergedTokens(mark, codec.encodePrimaryOnly(2_000))).toBe(codec.encodePrimaryOnly(2_000));
  });

  it('no longer has the word that a write has no position when that has expired', () => {
    const mark = codec.encodePrimaryOnly(1_000);
    expect(mergedTokens(mark, at(1, 5n, 60_999), 60_000)).toBe(`${mark}.${at(1, 5n, 60_999)}`);
    expect(mergedTokens(mark, at(1, 5n, 61_000), 60_000)).toBe(at(1, 5n, 61_000));
  });

  it('leaves out what is no token', () => {
    expect(mergedTokens('nonsense', at(1, 5n))).toBe(at(1, 5n));
    expect(mergedTokens(`${at(1, 9n)} and more`, at(1, 5n))).toBe(at(1, 5n));
    expect(mergedTokens('', 'x.y')).toBe('');
    fc.assert(
      fc.property(fc.string(), (text) => {
        mergedTokens(text, text);
        orderOf(text);
      }),
    );
  });

  it('does not depend on their order', () => {
    const token = fc
      .tuple(
        fc.integer({ min: 1, max: 3 }),
        fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
        fc.integer({ min: 0, max: 9 }),
      )
      .map(([timeline, lsn, now]) => at(timeline, lsn, now));
    fc.assert(fc.property(token, token, (a, b) => mergedTokens(a, b) === mergedTokens(b, a)));
  });
});

describe('a TokenStore in the process', () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it('keeps the highest position of each key until it expires', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const store = memoryTokenStore();
    await Promise.all([store.put('ada', at(1, 9n), 1_000), store.put('ada', at(1, 8n), 1_000)]);
    await store.put('bob', at(1, 1n), 1_000);
    expect(await store.get('ada')).toBe(at(1, 9n));
    await store.put('eve', 'nonsense', 1_000);
    expect(await store.get('eve')).toBeUndefined();
    vi.advanceTimersByTime(1_001);
    expect(await store.get('ada')).toBeUndefined();
    await store.put('ada', at(1, 2n), 1_000);
    expect(await store.get('ada')).toBe(at(1, 2n));
  });

  it('holds no more keys than it may, the oldest making room', async () => {
    const store = memoryTokenStore({ maxKeys: 2 });
    for (const key of ['a', 'b', 'a', 'c']) await store.put(key, at(1, 1n), 1_000);
    expect(await Promise.all(['a', 'b', 'c'].map((key) => store.get(key)))).toEqual([at(1, 1n), undefined, at(1, 1n)]);
  });
});
