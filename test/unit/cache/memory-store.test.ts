import { describe, expect, it } from 'vitest';
import { MemoryStore, type Weighed } from '../../../src/cache/memory-store.js';

interface Held extends Weighed {
  readonly name?: string;
}

const storeOf = (maxBytes: number): MemoryStore<Held> => new MemoryStore<Held>({ maxBytes });
const plain: Held = { bytes: 800, costMillis: 2 };

/** Asks for a key as often, then sets it. */
function ask(store: MemoryStore<Held>, key: string, held: Held = plain, times = 1): string {
  for (let time = 0; time < times; time++) store.get(key);
  return store.set(key, held);
}

/** Holds `key 0` and so on, each asked for as often, until the next would push one out. @returns how many */
function fill(store: MemoryStore<Held>, times: number, maxBytes: number): number {
  for (let at = 0; ; at++) {
    ask(store, `key ${at}`, plain, times);
    if (store.byteCount + store.byteCount / store.entryCount > maxBytes) return at + 1;
  }
}

describe('the memory store', () => {
  it('gives back the very object that was set', () => {
    const store = storeOf(1e6);
    const held = { bytes: 10, costMillis: 1 };
    expect(store.get('key')).toBeUndefined();
    expect(store.set('key', held)).toBe('kept');
    expect(store.get('key')).toBe(held);
    expect(store.peek('key')).toBe(held);
    expect(store.peek('another')).toBeUndefined();
    expect(store.entryCount).toBe(1);
  });

  it('knows nothing of a key that was deleted, and can hold it again', () => {
    const store = storeOf(1e6);
    store.set('key', plain);
    expect(store.delete('key')).toBe(true);
    expect(store.delete('key')).toBe(false);
    expect(store.get('key')).toBeUndefined();
    expect(store.peek('key')).toBeUndefined();
    expect([store.entryCount, store.byteCount, store.evictedCount]).toEqual([0, 0, 0]);
    expect(store.set('key', plain)).toBe('kept');
    expect(store.get('key')).toBe(plain);
  });

  it('is empty after clear(), and forgets what was popular', () => {
    const store = storeOf(20_000);
    const count = fill(store, 10, 20_000);
    store.clear();
    expect([store.entryCount, store.byteCount]).toEqual([0, 0]);
    expect([...store.entries()]).toEqual([]);
    expect(fill(store, 1, 20_000)).toBe(count);
    expect(ask(store, 'new', plain, 2)).toBe('kept');
  });

  it('lists its entries, the most recently used first, and stands deletions meanwhile', () => {
    const store = storeOf(1e6);
    for (const name of ['a', 'b', 'c', 'd']) store.set(name, { ...plain, name });
    store.get('a');
    store.peek('b');
    expect([...store.entries()].map(([key, { name }]) => [key, name])).toEqual(
      ['a', 'd', 'c', 'b'].map((name) => [name, name]),
    );
    const seen: string[] = [];
    for (const [key] of store.entries()) {
      seen.push(key);
      store.delete(key);
    }
    expect(seen).toEqual(['a', 'd', 'c', 'b']);
    expect(store.entryCount).toBe(0);
  });
});

describe('the bound of bytes', () => {
  it('counts the key and the bookkeeping too', () => {
    const store = storeOf(1e6);
    store.set('k', { bytes: 0, costMillis: 0 });
    const bare = store.byteCount;
    expect(bare).toBeGreaterThan(100);
    store.set('k', { bytes: 500, costMillis: 0 });
    expect(store.byteCount).toBe(bare + 500);
    store.clear();
    store.set('k'.repeat(1_000), { bytes: 0, costMillis: 0 });
    expect(store.byteCount).toBe(bare + 16 + 1_000);
    store.clear();
    store.set('ключ'.repeat(250), { bytes: 0, costMillis: 0 });
    expect(store.byteCount).toBe(bare + 16 + 2_000);
  });

  it('is never exceeded, whatever is set', () => {
    const maxBytes = 50_000;
    const store = storeOf(maxBytes);
    for (let at = 0; at < 5_000; at++) {
      const key = `key ${(at * 7919) % 300}`;
      ask(store, key, { bytes: (at * 104_729) % 9_000, costMillis: at % 13 }, at % 4);
      expect(store.byteCount).toBeLessThanOrEqual(maxBytes);
    }
    expect(store.evictedCount).toBeGreaterThan(0);
    expect(store.passedOverCount).toBeGreaterThan(0);
  });

  it('holds when an entry is replaced by a larger one: others go, it stays', () => {
    const store = storeOf(20_000);
    const count = fill(store, 5, 20_000);
    const larger = { bytes: 2_000, costMillis: 0 };
    expect(store.set('key 0', larger)).toBe('kept');
    expect(store.byteCount).toBeLessThanOrEqual(20_000);
    expect(store.peek('key 0')).toBe(larger);
    expect(store.evictedCount).toBe(count - store.entryCount);
    expect(store.evictedCount).toBeGreaterThan(0);
  });

  it('leaves room when an entry is replaced by a smaller one', () => {
    const store = storeOf(20_000);
    fill(store, 5, 20_000);
    store.set('key 0', { bytes: 0, costMillis: 0 });
    store.set('key 1', { bytes: 0, costMillis: 0 });
    expect(ask(store, 'new')).toBe('kept');
    expect(store.evictedCount).toBe(0);
  });

  it('keeps nothing over an eighth of it, and lets go what such an entry would have replaced', () => {
    const store = storeOf(80_000);
    expect(store.set('key', { bytes: 9_000, costMillis: 1 })).toBe('kept');
    expect(store.set('key', { bytes: 10_000, costMillis: 1 })).toBe('too-large');
    expect(store.get('key')).toBeUndefined();
    expect([store.entryCount, store.byteCount, store.evictedCount]).toEqual([0, 0, 0]);
  });

  it('of 0 keeps nothing', () => {
    const store = storeOf(0);
    expect(store.set('', { bytes: 0, costMillis: 0 })).toBe('too-large');
    expect(store.get('')).toBeUndefined();
    expect(store.entryCount).toBe(0);
  });

  it('takes entries that hold nothing, cost nothing, or have an empty key', () => {
    const store = storeOf(10_000);
    const empty = { bytes: 0, costMillis: 0 };
    expect(store.set('', empty)).toBe('kept');
    expect(store.get('')).toBe(empty);
    for (let at = 0; at < 100; at++) ask(store, `key ${at}`, empty, 1);
    expect(store.byteCount).toBeLessThanOrEqual(10_000);
    expect(store.entryCount).toBeGreaterThan(20);
    expect(ask(store, 'popular', empty, 16)).toBe('kept');
  });
});

describe('admission to a full store', () => {
  it('lets a scan of keys that are asked for once flush nothing', () => {
    const store = storeOf(1_000_000);
    const count = fill(store, 1, 1_000_000);
    for (let at = 0; at < 5 * count; at++) store.get(`key ${at % count}`);
    const scan = (from: number, to: number): void => {
      for (let at = from; at < to; at++) ask(store, `scanned ${at}`);
    };
    scan(0, count);
    expect([store.evictedCount, store.passedOverCount]).toEqual([0, count]);
    // of a scan 20 times as large, the sketch takes one key in 200 for a popular one at most
    scan(count, 20 * count);
    expect(store.evictedCount).toBeLessThan((20 * count) / 200);
    const stayed = Array.from({ length: count }, (_, at) => store.peek(`key ${at}`)).filter((held) => held === plain);
    expect(stayed.length).toBeGreaterThan(count * 0.9);
  });

  it('lets a key in that is asked for more often than the least recently used one', () => {
    const store = storeOf(100_000);
    fill(store, 3, 100_000);
    expect(ask(store, 'new', plain, 3)).toBe('passed-over');
    expect(ask(store, 'new', plain, 1)).toBe('kept');
    expect(store.peek('key 1')).toBeUndefined();
    expect(store.peek('key 0')).toBe(plain);
    expect(store.evictedCount).toBe(1);
  });

  it('counts get() and not peek() as a use', () => {
    const store = storeOf(100_000);
    fill(store, 3, 100_000);
    for (let time = 0; time < 20; time++) store.peek('new');
    expect(store.set('new', plain)).toBe('passed-over');
    for (let time = 0; time < 4; time++) store.get('new');
    expect(store.set('new', plain)).toBe('kept');
  });

  it('counts uses of a held key, so that it stays', () => {
    const store = storeOf(100_000);
    const count = fill(store, 1, 100_000);
    for (let time = 0; time < 10; time++) store.get('key 7');
    for (let at = 0; at < 3 * count; at++) ask(store, `new ${at}`, plain, 3);
    expect(store.peek('key 7')).toBe(plain);
    expect(store.peek('key 6')).toBeUndefined();
  });

  it('always replaces what is held, also by what is cheaper', () => {
    const store = storeOf(100_000);
    fill(store, 8, 100_000);
    const cheap = { bytes: 800, costMillis: 0 };
    expect(store.set('key 3', cheap)).toBe('kept');
    expect(store.peek('key 3')).toBe(cheap);
    expect([store.evictedCount, store.passedOverCount]).toEqual([0, 0]);
  });

  it('keeps an expensive small answer longer than a cheap large one that is asked for as often', () => {
    const store = storeOf(100_000);
    const expensive = { bytes: 400, costMillis: 200 };
    const cheap = { bytes: 8_000, costMillis: 1 };
    ask(store, 'expensive', expensive, 2);
    ask(store, 'cheap', cheap, 2);
    const count = fill(store, 2, 100_000);
    for (let at = 0; at < count; at++) ask(store, `new ${at}`, plain, 3);
    expect(store.evictedCount).toBeGreaterThan(0);
    expect(store.peek('expensive')).toBe(expensive);
    expect(store.peek('cheap')).toBeUndefined();
  });

  it('weighs a large answer against all that it would push out', () => {
    const store = storeOf(100_000);
    fill(store, 2, 100_000);
    const large = { bytes: 8_000, costMillis: 2 };
    // it takes the room of about eight
    expect(ask(store, 'large', large, 9)).toBe('passed-over');
    expect(store.evictedCount).toBe(0);
    expect(ask(store, 'dear', { bytes: 8_000, costMillis: 50 }, 9)).toBe('kept');
    expect(store.evictedCount).toBeGreaterThan(5);
  });

  it('lets go of an expensive answer when it has not been used for long', () => {
    const store = storeOf(100_000);
    ask(store, 'expensive', { bytes: 800, costMillis: 10_000 }, 4);
    const count = fill(store, 2, 100_000);
    for (let at = 0; at < 100 * count; at++) ask(store, `new ${at % (count * 2)}`);
    expect(store.peek('expensive')).toBeUndefined();
  });
});
