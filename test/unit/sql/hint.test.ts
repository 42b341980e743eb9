import { describe, expect, it } from 'vitest';
import { hintOf } from '../../../src/sql/hint.js';

describe('a leading comment', () => {
  it.each([
    ['/* primary */ select 1', { target: 'primary' }],
    ['  /*replica*/select 1', { target: 'replica' }],
    [
      '/* ladder: max_staleness=5s, partition=user:42, consistency=strong */ select 1',
      { maxStalenessMillis: 5_000, partitionKey: 'user:42', consistency: 'strong' },
    ],
    ['/* ladder: max_staleness=250ms, replica */ select 1', { maxStalenessMillis: 250, target: 'replica' }],
    ['/* ladder: max_staleness=1.5min */ select 1', { maxStalenessMillis: 90_000 }],
  ])('%s asks for something', (text, expected) => {
    expect(hintOf(text)).toEqual(expected);
  });

  it.each([
    'select 1',
    'select 1 /* primary */',
    "select '/* primary */'",
    '-- primary\nselect 1',
    '/* the primary key */ select 1',
    '/* controller:users */ select 1',
    '/* primary select 1',
  ])('%s asks for nothing', (text) => {
    expect(hintOf(text)).toBeUndefined();
  });

  it.each([
    ['/* ladder: max_staleness=5 */', /duration/],
    ['/* ladder: max_staleness=-5s */', /duration/],
    [`/* ladder: max_staleness=${'9'.repeat(400)}s */`, /duration/],
    [`/* ladder: ${'primary, '.repeat(1_000)}primary */`, /at most 4,096/],
    ['/* ladder: consistency=linearizable */', /eventual, session or strong/],
    [`/* ladder: partition=${'k'.repeat(1_025)} */`, /at most 1,024/],
    ['/* ladder: primary=yes */', /no value/],
    ['/* ladder: secret word */', /expected primary, replica/],
    ['/* ladder: */', /expected primary, replica/],
  ])('%s is refused, and not quoted', (text, message) => {
    expect(() => hintOf(text)).toThrow(message);
    expect(() => hintOf(text)).not.toThrow(/secret/);
  });
});
