import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeEntry, encodeEntry, type SharedEntry } from '../../../src/cache/entry-codec.js';
import type { RawField } from '../../../src/cache/raw-answer.js';

const field = (name: string): RawField => ({
  name,
  tableID: 16_384,
  columnID: 1,
  dataTypeID: 25,
  dataTypeSize: -1,
  dataTypeModifier: -1,
  format: 'text',
});

const entry: SharedEntry = {
  timeline: 3,
  validFrom: (1n << 63n) + 5n,
  seenUpTo: (1n << 63n) + 7n,
  node: 'r2',
  server: '7/1',
  tags: ['a'],
  named: [],
  clock: 'abc',
  freshAsOfMillis: 1_796_072_797_500.25,
  askedAtMillis: 1_796_072_797_499,
  costMillis: 1.5,
  answer: {
    command: 'SELECT',
    rowCount: 2,
    fields: [field('id'), field('name')],
    rows: [
      ['1', 'Ada'],
      ['2', null],
    ],
  },
};

const text = encodeEntry(entry);
/** The place of its columns, which are a text of their own. */
const COLUMNS = 13;
const parts = (): unknown[] => JSON.parse(text) as unknown[];
const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const uint64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const anyText = fc.string({ unit: 'binary', maxLength: 40 });

const entries: fc.Arbitrary<SharedEntry> = fc
  .record({
    timeline: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    lsns: fc.tuple(uint64, uint64).map(([a, b]) => (a < b ? [a, b] : [b, a])),
    node: fc.string({ unit: 'binary', minLength: 1, maxLength: 32 }),
    server: fc.string({ unit: 'binary', minLength: 1, maxLength: 32 }),
    tags: fc.array(fc.string({ unit: 'binary', minLength: 1, maxLength: 32 }), { maxLength: 3 }),
    named: fc.array(fc.string({ unit: 'binary', minLength: 1, maxLength: 32 }), { maxLength: 3 }),
    clock: fc.string({ unit: 'binary', minLength: 1, maxLength: 32 }),
    freshAsOfMillis: finite,
    askedAtMillis: finite,
    costMillis: finite.map(Math.abs),
    command: anyText,
    fields: fc.array(
      fc.record({
        name: anyText,
        tableID: fc.nat(),
        columnID: fc.integer({ min: -32_768, max: 32_767 }),
        dataTypeID: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        dataTypeSize: fc.integer({ min: -32_768, max: 32_767 }),
        dataTypeModifier: fc.integer(),
        format: fc.constant('text'),
      }),
      { maxLength: 5 },
    ),
    rowCount: fc.nat({ max: 5 }),
    hasCount: fc.boolean(),
    seed: fc.array(fc.option(anyText, { nil: null }), { minLength: 1, maxLength: 25 }),
  })
  .map(({ lsns, command, fields, rowCount, hasCount, seed, ...rest }) => ({
    ...rest,
    validFrom: lsns[0] as bigint,
    seenUpTo: lsns[1] as bigint,
    answer: {
      command,
      rowCount: hasCount ? rowCount : null,
      fields,
      rows: Array.from({ length: rowCount }, (_, row) =>
        fields.map((_field, column) => seed[(row * 5 + column) % seed.length] ?? null),
      ),
    },
  }));

/** What JSON can say, with what may be mistaken for something else. */
const hostileValue = fc.oneof(
  fc.constantFrom<unknown>(null, true, -1, 0, 0.5, 2 ** 32, 1e300, '', '1', [], [[]], {}, { __proto__: [] }, [null]),
  fc.jsonValue(),
  fc.constant('x'.repeat(1_000)),
);

describe('a shared entry as a text', () => {
  it('is read back as it was', () => {
    fc.assert(
      fc.property(entries, (any) => {
        expect(decodeEntry(encodeEntry(any))).toEqual({ ...any, columns: expect.any(String) });
      }),
      { numRuns: 500 },
    );
  });

  it('has the very columns of an entry before it that had the same, and reads others anew', () => {
    const first = decodeEntry(text);
    const known = { text: first?.columns as string, fields: first?.answer.fields as RawField[] };
    const later = encodeEntry({ ...entry, validFrom: 1n << 63n, answer: { ...entry.answer, rowCount: 0, rows: [] } });
    expect(decodeEntry(later, known)?.answer.fields).toBe(known.fields);
    const other = { ...entry.answer, fields: [field('id'), field('nom')] };
    expect(decodeEntry(encodeEntry({ ...entry, answer: other }), known)?.answer).toEqual(other);
    const narrow = { ...entry.answer, rows: [['1'], ['2']] };
    expect(decodeEntry(encodeEntry({ ...entry, answer: narrow }), known)).toBeUndefined();
  });

  it('keeps an empty answer, and one without columns', () => {
    for (const answer of [
      { ...entry.answer, rowCount: 0, rows: [] },
      { ...entry.answer, fields: [], rows: [[], []] },
      { ...entry.answer, rowCount: null },
    ]) {
      expect(decodeEntry(encodeEntry({ ...entry, answer }))?.answer).toEqual(answer);
    }
  });

  it('cuts the name of a replica that is too long', () => {
    expect(decodeEntry(encodeEntry({ ...entry, node: 'n'.repeat(70) }))?.node).toBe('n'.repeat(64));
  });

  it.each<[string, SharedEntry]>([
    ['no age', { ...entry, freshAsOfMillis: Number.NEGATIVE_INFINITY }],
    ['no time', { ...entry, askedAtMillis: Number.NaN }],
    ['a timeline of 0', { ...entry, timeline: 0 }],
    ['no clock', { ...entry, clock: '' }],
    [
      'a column in binary',
      { ...entry, answer: { ...entry.answer, fields: [field('id'), { ...field('x'), format: 'binary' }] } },
    ],
    ['positions that go back', { ...entry, validFrom: 2n, seenUpTo: 1n }],
  ])('is not read back with %s', (_what, wrong) => {
    expect(decodeEntry(encodeEntry(wrong))).toBeUndefined();
  });

  it.each([
    ['nothing', ''],
    ['another format', text.replace('pgl2', 'pgl1')],
    ['a longer format', text.replace('pgl2', 'pgl20')],
    ['no array', `{"0":${text}}`],
    ['more than it has', `${text.slice(0, -1)},1]`],
    ['something behind it', `${text}x`],
    ['an infinite number', text.replace('1796072797499', '1e999')],
    ['a negative cost', text.replace(',1.5,', ',-1.5,')],
    ['a row that is too wide', text.replace('["2",null]', '["2",null,"3"]')],
    ['a row that is too narrow', text.replace('["2",null]', '["2"]')],
    ['a row that is an object', text.replace('["2",null]', '{"length":2,"0":"2","1":null}')],
    ['a row with __proto__', text.replace('["2",null]', '{"__proto__":["2",null]}')],
    ['a number for a field', text.replace('["2",null]', '[2,null]')],
    ['another number of rows', text.replace(',2,"[', ',3,"[')],
    ['columns that are cut', text.replace('\\"id\\",16384', '\\"id\\"')],
    ['nested arrays without end', `["pgl2",${'['.repeat(1_000_000)}`],
    ['more than an entry may have', `["pgl2",${' '.repeat(2 ** 24)}${text.slice(8)}`],
  ])('is none when it says %s', (_what, hostile) => {
    expect(hostile).not.toBe(text);
    expect(decodeEntry(hostile)).toBeUndefined();
  });

  it('is none when it is cut anywhere', () => {
    for (let at = 0; at < text.length; at++) expect(decodeEntry(text.slice(0, at))).toBeUndefined();
  });

  it('is none, or a whole entry, whatever stands in any of its places', () => {
    fc.assert(
      fc.property(fc.nat({ max: 14 }), hostileValue, fc.nat({ max: 3 }), (at, value, depth) => {
        const all = parts();
        const part = all[at];
        if (at === COLUMNS && depth > 0) {
          const columns = JSON.parse(part as string) as unknown[];
          columns[depth] = value;
          all[at] = JSON.stringify(columns);
        } else if (Array.isArray(part) && depth > 0) part[depth % (part.length || 1)] = value;
        else all[at] = value;
        expectWhole(JSON.stringify(all));
      }),
      { numRuns: 3_000 },
    );
  });

  it('is none, or a whole entry, whatever is written over any of its letters', () => {
    const anyLetter = fc.string({
      unit: fc.constantFrom(...Array.from('0123456789eE+-.,"[]{}:\\nul\u0000 \ud800')),
      maxLength: 4,
    });
    fc.assert(
      fc.property(fc.nat({ max: text.length }), anyLetter, fc.nat({ max: 6 }), (at, letters, gone) => {
        expectWhole(text.slice(0, at) + letters + text.slice(at + gone));
      }),
      { numRuns: 5_000 },
    );
    fc.assert(
      fc.property(anyText, (any) => {
        expect(decodeEntry(any)).toBeUndefined();
      }),
    );
    fc.assert(
      fc.property(anyText, (any) => {
        expect(decodeEntry(`["pgl2",${any}`)).toBeUndefined();
      }),
    );
  });
});

/** Nothing was read, or something that says the same when it is written and read once more. */
function expectWhole(hostile: string): void {
  const read = decodeEntry(hostile);
  if (read === undefined) return;
  // As text, in which there is no negative zero.
  const again = decodeEntry(encodeEntry(read));
  expect(again === undefined ? undefined : encodeEntry(again)).toBe(encodeEntry(read));
  expect(Object.keys(read).sort()).toEqual([...Object.keys(entry), 'columns'].sort());
  expect(read.seenUpTo >= read.validFrom && read.timeline >= 1).toBe(true);
  for (const row of read.answer.rows) {
    expect(Object.getPrototypeOf(row)).toBe(Array.prototype);
    expect(row).toHaveLength(read.answer.fields.length);
  }
}
