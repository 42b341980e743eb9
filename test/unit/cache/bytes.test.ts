import { describe, expect, it } from 'vitest';
import { bytesOf, bytesOfFields, bytesOfString } from '../../../src/cache/bytes.js';
import type { AnswerGrowth } from './heap-growth.js';
import { heapGrowth } from './run-heap-growth.js';

const nothing = { command: 'SELECT', rowCount: 0, fields: [], rows: [] };

describe('what an answer holds', () => {
  it('is estimated within a tenth of what it takes on the heap, with 1, 10 and 100 rows of ten columns', async () => {
    const all = await heapGrowth<AnswerGrowth[]>('answers', 1, 10, 100);
    expect(all.map(({ rowCount }) => rowCount)).toEqual([1, 10, 100]);
    for (const { grownBytes, estimatedBytes, grownFieldBytes, estimatedFieldBytes } of all) {
      expect(estimatedBytes / grownBytes).toBeGreaterThan(0.9);
      expect(estimatedBytes / grownBytes).toBeLessThan(1.1);
      expect(estimatedFieldBytes / grownFieldBytes).toBeGreaterThan(0.9);
      expect(estimatedFieldBytes / grownFieldBytes).toBeLessThan(1.1);
    }
  });

  it('counts two bytes for each character of a text with one above U+00FF', () => {
    expect(bytesOfString('x'.repeat(80))).toBe(16 + 80);
    expect(bytesOfString('ÿ'.repeat(80))).toBe(16 + 80);
    expect(bytesOfString(`${'x'.repeat(79)}Ā`)).toBe(16 + 160);
    expect(bytesOfString('😀')).toBe(16 + 8);
  });

  it('rounds texts up to eight bytes, and takes nothing for those that V8 has anyway', () => {
    expect(bytesOfString('123456789')).toBe(16 + 16);
    expect(bytesOfString('12')).toBe(16 + 8);
    expect(bytesOfString('t')).toBe(0);
    expect(bytesOfString('')).toBe(0);
    expect(bytesOfString('ж')).toBe(16 + 8);
  });

  it('takes nothing for NULL but its place in the row', () => {
    const one = bytesOf({ ...nothing, rows: [[null]] });
    expect(bytesOf({ ...nothing, rows: [[null, null]] })).toBe(one + 8);
    expect(bytesOf({ ...nothing, rows: [['x'.repeat(8)]] })).toBe(one + 24);
  });

  it('contains the field descriptions, which can be counted alone where entries share them', () => {
    const field = { tableID: 1, columnID: 1, dataTypeID: 25, dataTypeSize: -1, dataTypeModifier: -1, format: 'text' };
    const fields = [
      { ...field, name: 'id' },
      { ...field, name: 'größe' },
    ];
    expect(bytesOf({ ...nothing, fields }) - bytesOfFields(fields)).toBe(bytesOf(nothing) - bytesOfFields([]));
    expect(bytesOfFields(fields)).toBeGreaterThan(bytesOfFields(fields.slice(1)));
  });
});
