import { describe, expect, it } from 'vitest';
import { KeptAnswer } from '../../../src/cache/kept-answer.js';
import type { RawRow } from '../../../src/cache/raw-answer.js';
import { diffOf } from '../../../src/live/diff.js';
import { columnsOf, RAW } from '../../../src/postgres/raw-results.js';

const fields = ['id', 'name'].map((name) => ({
  name,
  tableID: 0,
  columnID: 0,
  dataTypeID: 25,
  dataTypeSize: -1,
  dataTypeModifier: -1,
  format: 'text',
}));
const answer = (...rows: RawRow[]) => new KeptAnswer('SELECT', rows.length, columnsOf(fields, RAW), rows);

describe('what is different between two answers', () => {
  it('is told apart by key, wherever rows stand', () => {
    const before = answer(['1', 'a'], ['2', 'b'], ['3', 'c']);
    const after = answer(['3', 'c'], ['4', 'd'], ['2', 'x']);
    expect(diffOf(before, after, ['id'])).toEqual({ added: [1], changed: [2], removed: [0] });
  });

  it('is all of it where there was none before', () => {
    expect(diffOf(undefined, answer(['1', 'a'], ['2', 'b']), ['id'])).toEqual({
      added: [0, 1],
      changed: [],
      removed: [],
    });
  });

  it('counts rows that share a key in their order', () => {
    const before = answer(['1', 'a'], ['1', 'b']);
    const after = answer(['1', 'a'], ['1', 'c'], ['1', 'd']);
    expect(diffOf(before, after, ['id'])).toEqual({ added: [2], changed: [1], removed: [] });
  });

  it('refuses a column that is not there', () => {
    expect(() => diffOf(undefined, answer(), ['code'])).toThrow(/diff/);
  });
});
