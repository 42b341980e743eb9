import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { plainTypes } from '../../../src/postgres/plain-types.js';

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

describe('types of the library’s own questions', () => {
  const asText = (oid: number) => plainTypes.getTypeParser(oid, 'text') as unknown as (text: string) => unknown;

  it('are read without pg’s parsers, which the application may have replaced before or after', () => {
    const oids = [16, 20, 23, 25, 1009];
    const before = oids.map((oid) => [pg.types.getTypeParser(oid, 'text'), pg.types.getTypeParser(oid, 'binary')]);
    try {
      for (const oid of oids) {
        pg.types.setTypeParser(oid, 'text', () => 'spoilt');
        pg.types.setTypeParser(oid, 'binary', () => 'spoilt');
      }
      expect(asText(16)('t')).toBe(true);
      expect(asText(20)('9007199254740993')).toBe('9007199254740993');
      expect(asText(23)('-7')).toBe(-7);
      expect(asText(25)('text')).toBe('text');
      expect(asText(1009)('{a,b}')).toEqual(['a', 'b']);
      expect([parseAs(16)(Buffer.of(1)), parseAs(23)(int(-7)), parseAs(25)(Buffer.from('ü'))]).toEqual([true, -7, 'ü']);
    } finally {
      for (const [i, oid] of oids.entries()) {
        pg.types.setTypeParser(oid, 'text', before[i]?.[0] as never);
        pg.types.setTypeParser(oid, 'binary', before[i]?.[1] as never);
      }
    }
  });

  it('an array of texts comes as PostgreSQL writes it', () => {
    expect(asText(1009)('{}')).toEqual([]);
    expect(asText(1009)('{a,NULL,"NULL","","a b","x,y","{z}","q\\"q","b\\\\",ü}')).toEqual([
      'a',
      null,
      'NULL',
      '',
      'a b',
      'x,y',
      '{z}',
      'q"q',
      'b\\',
      'ü',
    ]);
  });
});

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
