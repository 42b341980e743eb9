import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
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

  it('is kept without the head that it was cut out of', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const sights = new FirstSights();
    collect();
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 1_000; i++) {
      const head = `pg-ladder=${String(i).padStart(52, '0')}; other=${'x'.repeat(50_000)}`;
      sights.of(Buffer.from(head).toString().slice(10, 62), i);
    }
    collect();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(10_000_000);
    expect(sights.of('0'.repeat(52), 2_000)).toBe(0);
  });
});
