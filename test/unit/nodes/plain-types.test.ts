import { describe, expect, it } from 'vitest';
import { plainTypes } from '../../../src/nodes/plain-types.js';

type Parse = (bytes: Buffer) => unknown;
const parseAs = (oid: number): Parse => plainTypes.getTypeParser(oid, 'binary') as unknown as Parse;
const ARRAYS = [1000, 1007, 1008, 1009, 1016];

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** As PostgreSQL sends an array of texts. */
const array = (...texts: (string | null)[]): Buffer =>
  Buffer.concat([
    ...[1, 0, 25, texts.length, 1].map(int),
    ...texts.flatMap((text) => (text === null ? [int(-1)] : [int(Buffer.byteLength(text)), Buffer.from(text)])),
  ]);

describe('arrays in binary', () => {
  it('are read as they are', () => {
    const parse = parseAs(1009);
    expect(parse(array('a', '', null, 'über'))).toEqual(['a', '', null, 'über']);
    expect(parse(Buffer.concat([0, 0, 25].map(int)))).toEqual([]);
  });

  it.each(ARRAYS)('of type %i hold no more than was sent, whatever they claim', (oid) => {
    const parse = parseAs(oid);
    expect(() => parse(Buffer.from('x'.repeat(50_000)))).toThrow(RangeError);
    expect(() => parse(Buffer.concat([1, 0, 25, 2 ** 31 - 1, 1].map(int)))).toThrow(RangeError);
    expect(() => parse(Buffer.concat([2 ** 31 - 1, 0, 25, 1, 1].map(int)))).toThrow(RangeError);
    expect(() => parse(Buffer.alloc(0))).toThrow(RangeError);
  });
});
