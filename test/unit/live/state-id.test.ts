import { describe, expect, it } from 'vitest';
import type { RawAnswer, RawRow } from '../../../src/cache/raw-answer.js';
import { digestOf, formatId, parseId, queryTagOf } from '../../../src/live/state-id.js';

const field = (name: string) => ({
  name,
  tableID: 0,
  columnID: 0,
  dataTypeID: 23,
  dataTypeSize: 4,
  dataTypeModifier: -1,
  format: 'text',
});
const answer = (...rows: RawRow[]): RawAnswer => ({
  command: 'SELECT',
  rowCount: rows.length,
  fields: [field('a'), field('b')],
  rows,
});

describe('the id of a state', () => {
  it('is read back as it was written', () => {
    const digest = digestOf(answer(['1', '2']));
    const query = queryTagOf('select 1');
    expect(queryTagOf('select 2')).not.toBe(query);
    const place = { timeline: 2 ** 32 - 1, lsn: 2n ** 64n - 1n };
    const id = formatId({ query, place, digest });
    expect(id).toMatch(/^[\w.-]{1,64}$/);
    expect(parseId(id)).toEqual({ query, place, digest });
    expect(parseId(formatId({ query, place: undefined, digest }))).toEqual({ query, place: undefined, digest });
  });

  it.each([
    '',
    'x',
    '1.2.3',
    '1.g.0123456789abcdef01234567',
    '9999999999.1.0123456789abcdef01234567',
    '1.1.0123456789abcdef0123456\n',
  ])('is not taken from %j', (text) => expect(parseId(text)).toBeUndefined());

  it('differs with what is shown', () => {
    const digests = [
      digestOf(answer(['1', '2'])),
      digestOf(answer(['12', ''])),
      digestOf(answer(['1', null])),
      digestOf(answer(['1', 'null'])),
      digestOf(answer(['1', '2'], ['3', '4'])),
      digestOf(answer()),
    ];
    expect(new Set(digests).size).toBe(digests.length);
    expect(digestOf(answer(['1', '2']))).toBe(digests[0]);
  });
});
