import { describe, expect, it } from 'vitest';
import { TextCache } from '../../../src/statements/text-cache.js';

describe('the memory of texts', () => {
  it('tells texts apart that differ in one digit', () => {
    const cache = new TextCache<string>();
    cache.set('select 1', 'one');
    expect([cache.get('select 1'), cache.get('select 2')]).toEqual(['one', undefined]);
    const long = `select ${'x'.repeat(20_000)}`;
    cache.set(`${long}1`, 'long one');
    expect([cache.get(`${long}1`), cache.get(`${long}2`)]).toEqual(['long one', undefined]);
  });

  it('holds two generations, and keeps what is in use', () => {
    const cache = new TextCache<number>(100);
    cache.set('kept', 0);
    for (let i = 0; i < 1_000; i++) {
      cache.set(`text ${i}`, i);
      expect(cache.get('kept')).toBe(0);
      expect(cache.size).toBeLessThanOrEqual(202);
    }
    expect(cache.get('text 0')).toBeUndefined();
    expect(cache.get('text 999')).toBe(999);
  });

  it('is bounded by bytes, too', () => {
    const cache = new TextCache<number>(1_000_000, 100_000);
    for (let i = 0; i < 1_000; i++) cache.set(`${'y'.repeat(5_000)}${i}`, i);
    expect(cache.size).toBeLessThan(25);
  });

  it('keeps long texts by their digest alone', () => {
    const cache = new TextCache<number>(1_000_000, 100_000);
    for (let i = 0; i < 200; i++) cache.set(`${'z'.repeat(50_000)}${i}`, i);
    expect(cache.size).toBe(200);
  });
});
