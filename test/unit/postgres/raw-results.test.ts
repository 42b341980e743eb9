// Results made of fields as they travelled are pg's own, however often they are made.
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { columnsOf, resultOf } from '../../../src/postgres/raw-results.js';

const Result = (pg as unknown as { Result: new () => pg.QueryResult & Record<string, (...args: unknown[]) => unknown> })
  .Result;

/** Often enough that rows are made by a function of their own. */
const TIMES = 10;

function fieldsOf(names: readonly string[], oids: readonly number[] = [], format = 'text') {
  return names.map((name, i) => ({ name, dataTypeID: oids[i] ?? 25, format }));
}

function ofPg(fields: ReturnType<typeof fieldsOf>, rows: readonly (readonly unknown[])[]): pg.QueryResult {
  const result = new Result();
  result['addFields']?.(fields);
  for (const row of rows) result.rows.push(result['parseRow']?.(row) as never);
  return result;
}

const types = pg.types as unknown as Parameters<typeof columnsOf>[1];

describe('a result made of raw fields', () => {
  it.each([
    [
      'of plain columns',
      ['id', 'name', 'added'],
      [23, 25, 1184],
      [
        ['1', 'a', '2026-01-01 00:00:00+00'],
        ['2', null, null],
      ],
    ],
    [
      'of columns with odd names',
      ['?column?', 'a "b"', "c'd\\", '\u2028', '', '7'],
      [],
      [['1', '2', '3', '4', '5', '6']],
    ],
    ['of two columns of one name', ['a', 'b', 'a'], [23, 23, 25], [['1', '2', 'x']]],
    [
      'of columns named like what objects have',
      ['__proto__', 'constructor', 'toString'],
      [25, 23, 25],
      [['x', '1', null]],
    ],
    ['of no columns', [], [], [[]]],
  ] as const)('%s has the rows of pg', (_, names, oids, rows) => {
    const fields = fieldsOf(names, oids);
    const columns = columnsOf(fields, types);
    const expected = ofPg(fields, rows).rows as object[];
    for (let i = 0; i < TIMES; i++) {
      const given = resultOf(columns, { command: 'SELECT', rowCount: rows.length, rows }, undefined).rows as object[];
      expect(given.map((row) => Object.entries(row))).toEqual(expected.map((row) => Object.entries(row)));
      expect(given.map((row) => Object.getPrototypeOf(row))).toEqual(expected.map((row) => Object.getPrototypeOf(row)));
    }
  });

  it('throws what a parser throws, each time', () => {
    const broken = {
      getTypeParser: () => () => {
        throw new RangeError('no date');
      },
    };
    const columns = columnsOf(fieldsOf(['added']), broken);
    const kept = { command: 'SELECT', rowCount: 1, rows: [['x']] };
    for (let i = 0; i < TIMES; i++) expect(() => resultOf(columns, kept, undefined)).toThrow(RangeError);
  });

  it('has rows as arrays where the caller wants them', () => {
    const columns = columnsOf(fieldsOf(['a', 'a'], [23, 25]), types);
    const kept = { command: 'SELECT', rowCount: 1, rows: [['1', null]] };
    for (let i = 0; i < TIMES; i++) expect(resultOf(columns, kept, 'array').rows).toEqual([[1, null]]);
  });

  it('leaves binary fields to pg', () => {
    const columns = columnsOf(fieldsOf(['data'], [17], 'binary'), { getTypeParser: () => (raw: unknown) => raw });
    const raw = Buffer.from([1, 2]);
    for (let i = 0; i < TIMES; i++) {
      const { rows } = resultOf(columns, { command: 'SELECT', rowCount: 1, rows: [[raw]] }, undefined);
      expect((rows[0] as { data: Buffer }).data).not.toBe(raw);
      expect(rows).toEqual([{ data: raw }]);
    }
  });
});
