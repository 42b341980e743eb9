import { describe, expect, it } from 'vitest';
import { Grammar } from '../../../src/sql/grammar.js';
import { factsOf } from '../../../src/sql/walk.js';

const grammar = await Grammar.load();

describe('a text in which nothing can be seen to write', () => {
  it.each(['', ' ', ';', ' ; ;', '-- select 1', '/* select 1 */'])(
    'is a write when it has no statement: %j',
    (text) => {
      expect(factsOf(grammar.parse(text)).class).toBe('write');
    },
  );
});
