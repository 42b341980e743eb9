// Which names of clusters are taken in a process, and when they are free again.
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, vi } from 'vitest';
import { isTaken, NameClaim } from '../../src/open-clusters.js';

const given = (name: string, ...places: string[]) => ({ name, isGiven: true, places });
const byDefault = (name: string, ...places: string[]) => ({ name, isGiven: false, places });
const somewhere = (name: string) => ({ name, isGiven: false, places: undefined });

describe('the name of a cluster', () => {
  it.each([
    ['a name that another one was given', given('shop', 'h1'), given('shop', 'h1'), true],
    ['the same but for its case', given('Shop', 'h1'), given('shop', 'h2'), true],
    ['another name', given('shop', 'h1'), given('billing', 'h1'), false],
    ['a given name that is another database’s', given('shop', 'h1'), byDefault('shop', 'h2'), true],
    ['a database’s name that was given', byDefault('shop', 'h1'), given('shop', 'h1'), true],
    ['the name of two databases', byDefault('shop', 'h1', 'h2'), byDefault('shop', 'h3'), true],
    ['the name of one database, opened twice', byDefault('shop', 'h1', 'h2'), byDefault('shop', 'h2', 'h3'), false],
    ['the name of what may be one database', byDefault('shop', 'h1'), somewhere('shop'), false],
  ])('is judged: %s', (_, asked, open, expected) => {
    expect(isTaken(asked, open)).toBe(expected);
    expect(isTaken(open, asked)).toBe(expected);
  });

  it('is free when its cluster gives it up, and no sooner', () => {
    const first = new NameClaim(given('shop'));
    expect(() => new NameClaim(given('shop'))).toThrow(/createCluster: name: .*"shop".*choose another name/);
    expect(() => new NameClaim(byDefault('shop', 'h1'))).toThrow(/createCluster: name: .*"shop".*a name of its own/);
    first.release();
    const second = new NameClaim(given('shop'));
    // Closing twice frees nobody else's name.
    first.release();
    expect(() => new NameClaim(given('shop'))).toThrow('shop');
    second.release();
  });

  it('is known to other copies of the library, which number calls together', async () => {
    const claim = new NameClaim(given('shop'));
    vi.resetModules();
    const copy = await import('../../src/open-clusters.js');
    expect(copy.NameClaim).not.toBe(NameClaim);
    expect(() => new copy.NameClaim(given('shop'))).toThrow('shop');
    claim.release();
    const other = new copy.NameClaim(given('shop'));
    expect(other.calls).toBe(claim.calls);
    other.release();
    expect(Object.keys(globalThis)).not.toContain(Symbol.for('pg-ladder.clusters'));
  });

  it('is free when nothing holds its cluster any more', async () => {
    setFlagsFromString('--expose-gc');
    const collect: () => void = runInNewContext('gc');
    const lose = (): void => void new NameClaim(given('lost'));
    lose();
    const taken = (): boolean => {
      try {
        new NameClaim(given('lost')).release();
        return false;
      } catch {
        return true;
      }
    };
    do {
      await setImmediate();
      collect();
    } while (taken());
  });
});
