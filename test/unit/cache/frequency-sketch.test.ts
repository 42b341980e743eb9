import { describe, expect, it } from 'vitest';
import { FrequencySketch } from '../../../src/cache/frequency-sketch.js';

const sketchFor = (entryCount: number): FrequencySketch => {
  const sketch = new FrequencySketch();
  sketch.suit(entryCount);
  return sketch;
};

function use(sketch: FrequencySketch, key: string, times = 1): void {
  for (let time = 0; time < times; time++) sketch.recordUse(sketch.hashOf(key));
}

const frequency = (sketch: FrequencySketch, key: string): number => sketch.frequencyOf(sketch.hashOf(key));

describe('the frequency sketch', () => {
  it('counts the uses of a key, up to 16', () => {
    const sketch = sketchFor(300);
    for (const times of [0, 1, 2, 7, 15, 16, 40]) {
      use(sketch, `key ${times}`, times);
      expect(frequency(sketch, `key ${times}`)).toBe(Math.min(16, times));
    }
  });

  it('never says less than was counted lately, and seldom more', () => {
    const sketch = sketchFor(1_000);
    const times = (key: number): number => 1 + (key % 5);
    for (let key = 0; key < 1_000; key++) use(sketch, `key ${key}`, times(key));
    const excess = Array.from({ length: 1_000 }, (_, key) => frequency(sketch, `key ${key}`) - times(key));
    expect(Math.min(...excess)).toBe(0);
    expect(excess.filter((more) => more > 0).length).toBeLessThan(50);
  });

  it('halves all counts after ten uses an entry', () => {
    const sketch = sketchFor(300);
    // the first use of a key goes into the doorkeeper only
    use(sketch, 'popular', 13);
    use(sketch, 'others', 10 * 300 - 11);
    expect(frequency(sketch, 'popular')).toBe(6);
    use(sketch, 'others', 10 * 300);
    expect(frequency(sketch, 'popular')).toBe(3);
  });

  it('forgets a key that is not used any more', () => {
    const sketch = sketchFor(300);
    use(sketch, 'once popular', 16);
    use(sketch, 'others', 5 * 10 * 300);
    expect(frequency(sketch, 'once popular')).toBe(0);
  });

  it('ages nothing for keys that are used once, however many', () => {
    const sketch = sketchFor(1_000);
    use(sketch, 'popular', 16);
    for (let key = 0; key < 100_000; key++) use(sketch, `scanned ${key}`);
    expect(frequency(sketch, 'popular')).toBeGreaterThanOrEqual(15);
  });

  it('keeps what it knows when it grows', () => {
    const sketch = new FrequencySketch();
    for (let key = 0; key < 200; key++) use(sketch, `key ${key}`, 1 + (key % 4));
    const before = Array.from({ length: 200 }, (_, key) => frequency(sketch, `key ${key}`));
    sketch.suit(50_000);
    expect(Array.from({ length: 200 }, (_, key) => frequency(sketch, `key ${key}`))).toEqual(before);
  });
});

describe('the hash of a key', () => {
  const sketch = new FrequencySketch();
  const distinct = (keys: readonly string[]): number => new Set(keys.map((key) => sketch.hashOf(key))).size;

  it('is the same for the same key, whatever was hashed in between', () => {
    const hash = sketch.hashOf('key');
    sketch.hashOf('a longer key than that');
    expect(sketch.hashOf('key')).toBe(hash);
  });

  it('depends on each character, its place and the length', () => {
    expect(distinct(['', '\0', '\0\0', '\0\0\0', 'ab', 'ba', 'abc', 'acb', 'bac', 'abcd', 'abdc', 'cdab'])).toBe(12);
  });

  it('tells characters apart that differ only in their high byte', () => {
    expect(distinct(['a', 'š', 'ɡ', '慡', '愀', 'xa', 'xš', 'xɡ'])).toBe(8);
  });

  it('depends on each place of a long key', () => {
    for (const length of [2_047, 2_048, 2_049, 4_096, 10_001]) {
      const places = [0, 1, 1_000, 2_046, length - 2, length - 1];
      const keys = places.map((place) => `${'x'.repeat(place)}ж${'x'.repeat(length - place - 1)}`);
      expect(distinct([...keys, 'x'.repeat(length)])).toBe(new Set(places).size + 1);
    }
  });

  it('spreads keys that differ in a number', () => {
    const keys = Array.from({ length: 50_000 }, (_, key) => `select * from t where id = $1;${key}`);
    // by chance, one of 50,000 pairs has the same 32 bits about once in three
    expect(distinct(keys)).toBeGreaterThan(49_990);
  });
});
