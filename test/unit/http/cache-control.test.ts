import { describe, expect, it } from 'vitest';
import { type CacheControlOptions, headersOf, type KnownFreshness } from '../../../src/http/cache-control.js';

const known = (over: Partial<KnownFreshness> = {}): KnownFreshness => ({
  ageMillis: 1_500,
  remainingMillis: 8_500,
  tables: ['orders', 'products'],
  tokenLifetimeMillis: 600_000,
  ...over,
});
const controlOf = (options: CacheControlOptions, over: Partial<KnownFreshness> = {}) =>
  headersOf([known(over)], options)['Cache-Control'];

describe('the headers for caches', () => {
  it.each<[string, string, CacheControlOptions, Partial<KnownFreshness>?]>([
    ['what the bounds of its reads leave', 'private, max-age=8', {}],
    ['the same for everybody, where that is asked for', 'public, max-age=8', { public: true }],
    ['what the page’s own bound leaves', 'private, max-age=2', { maxAgeMillis: 4_000 }],
    ['no more than the bounds of the reads', 'private, max-age=8', { maxAgeMillis: 60_000 }],
    [
      'the page’s bound where reads have none',
      'private, max-age=58',
      { maxAgeMillis: 60_000 },
      { remainingMillis: undefined },
    ],
    ['nothing where nobody has set a bound', 'private, no-cache', {}, { remainingMillis: undefined }],
    [
      'nothing where the age is not known',
      'public, no-cache',
      { public: true, maxAgeMillis: 9_000 },
      { ageMillis: undefined },
    ],
    ['nothing more where it is too old already', 'private, max-age=0', { maxAgeMillis: 1_000 }],
    [
      'a while more',
      'public, max-age=8, stale-while-revalidate=30',
      { public: true, staleWhileRevalidateMillis: 30_999 },
    ],
    ['nothing less than a second', 'private, max-age=0', { staleWhileRevalidateMillis: 999 }, { remainingMillis: 999 }],
    [
      'less than a token lives',
      'private, max-age=53',
      { maxAgeMillis: 3_600_000 },
      { remainingMillis: undefined, tokenLifetimeMillis: 60_000 },
    ],
    [
      'less than a token lives, with the while',
      'private, max-age=8, stale-while-revalidate=45',
      { staleWhileRevalidateMillis: 3_600_000 },
      { tokenLifetimeMillis: 60_000 },
    ],
  ])('give it %s', (_what, expected, options, over) => {
    expect(controlOf(options, over)).toBe(expected);
  });

  it('go by the worst of several sessions', () => {
    const both = [known(), known({ remainingMillis: 3_000, tables: ['invoices'] })];
    expect(headersOf(both, { public: true })).toEqual({
      'Cache-Control': 'public, max-age=3',
      'Surrogate-Key': 'orders products invoices',
      'Cache-Tag': 'orders,products,invoices',
    });
    expect(headersOf([known(), known({ ageMillis: undefined })], {})['Cache-Control']).toBe('private, no-cache');
  });

  it('name the tables to purge by, where all are known and the response is public', () => {
    const keys = (options: CacheControlOptions, over?: Partial<KnownFreshness>) =>
      headersOf([known(over)], { public: true, ...options })['Surrogate-Key'];
    expect(keys({})).toBe('orders products');
    expect(keys({ surrogateKeys: ['a b', 'c,d', 'orders'] })).toBe('orders products a%20b c%2Cd');
    expect(keys({ surrogateKeys: ['page'] }, { tables: undefined })).toBe('page');
    expect(keys({ surrogateKeys: false })).toBeUndefined();
    expect(keys({}, { tables: undefined })).toBeUndefined();
    expect(keys({ public: false })).toBeUndefined();
  });

  it('tell bodies apart, and know equal ones, by a weak tag', () => {
    const tag = (body: string | Uint8Array) => headersOf([known()], { body })['ETag'];
    expect(tag('a')).toMatch(/^W\/"[\w-]{27}"$/);
    expect(tag('a')).toBe(tag(Buffer.from('a')));
    expect(tag('a')).not.toBe(tag('b'));
    expect(tag('')).toBeDefined();
    expect(headersOf([known()], {})['ETag']).toBeUndefined();
  });
});
