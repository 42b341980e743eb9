import { describe, expect, it } from 'vitest';
import { FirstSights } from '../../../src/freshness/first-sights.js';

describe('a token that comes again', () => {
  it('is as old as when it came first', () => {
    const sights = new FirstSights();
    expect([sights.of('a', 1), sights.of('b', 2), sights.of('a', 3)]).toEqual([1, 2, 1]);
  });

  it('is forgotten after a thousand others', () => {
    const sights = new FirstSights();
    sights.of('a', 1);
    for (let i = 0; i < 1_000; i++) sights.of(`other ${i}`, 2);
    expect([sights.of('a', 3), sights.of('other 999', 3)]).toEqual([3, 2]);
  });
});
