import { describe, expect, it } from 'vitest';
import type { RawAnswer, RawRow } from '../../../src/cache/raw-answer.js';
import { digestOf, formatId, parseId } from '../../../src/live/state-id.js';

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
    const digest = digestOf('q', answer(['1', '2']));
    const place = { timeline: 2 ** 32 - 1, lsn: 2n ** 64n - 1n };
    const id = formatId({ place, digest });
    expect(id).toMatch(/^[\w.-]{1,64}$/);
    expect(parseId(id)).toEqual({ place, digest });
    expect(parseId(formatId({ place: undefined, digest }))).toEqual({ place: undefined, digest });
  });

  it.each(['', 'x', '1.2.3', '1.g.0123456789abcdef', '9999999999.1.0123456789abcdef', '1.1.0123456789abcde\n'])(
    'is not taken from %j',
    (text) => expect(parseId(text)).toBeUndefined(),
  );

  it('differs with what is shown, and by query', () => {
    const digests = [
      digestOf('q', answer(['1', '2'])),
      digestOf('q', answer(['12', ''])),
      digestOf('q', answer(['1', null])),
      digestOf('q', answer(['1', 'null'])),
      digestOf('q', answer(['1', '2'], ['3', '4'])),
      digestOf('q', answer()),
      digestOf('r', answer(['1', '2'])),
    ];
    expect(new Set(digests).size).toBe(digests.length);
    expect(digestOf('q', answer(['1', '2']))).toBe(digests[0]);
  });
});
