/** How the library reads the answers to its own questions: as PostgreSQL writes them, whatever parsers the user has set for his. */
import pg, { type QueryConfig } from 'pg';

const BOOL = 16;
const INT4 = 23;
const TEXT = 25;
const TEXT_ARRAY = 1009;

type Parser = (value: string) => unknown;

/** An element of an array as PostgreSQL writes it: quoted, with `\\` before what would end it, or bare. */
const ELEMENT = /"((?:[^"\\]|\\.)*)"|[^,{}"]+/gs;

/** One dimension. Not by pg's own parser: the application may have put its own into its place. */
function parseTexts(text: string): (string | null)[] {
  return Array.from(text.matchAll(ELEMENT), ([bare, quoted]) => {
    if (quoted !== undefined) return quoted.replace(/\\(.)/gs, '$1');
    return bare === 'NULL' ? null : bare;
  });
}

const parsers = new Map<number, Parser>([
  [BOOL, (text) => text === 't'],
  [INT4, Number],
  [TEXT_ARRAY, parseTexts],
]);

const asText: Parser = (text) => text;

/** Where the user has all values come in binary (`binary: true`, `pg.defaults.binary`). */
const binaryParsers = new Map<number, (bytes: Buffer) => unknown>([
  [BOOL, (bytes) => bytes[0] === 1],
  [INT4, (bytes) => bytes.readInt32BE(0)],
  [TEXT, String],
]);

/** Those of which pg's own parser goes through as many dimensions and elements as the server claims, without end and without a look at what is there. */
const BINARY_ARRAYS: ReadonlySet<number> = new Set([1000, 1007, 1008, TEXT_ARRAY, 1016]);
const ELEMENTS_AT = 20;

/** @throws RangeError when there is less than it claims */
function parseBinaryTexts(bytes: Buffer): (string | null)[] {
  const dimensionCount = bytes.readInt32BE(0);
  if (dimensionCount === 0) return [];
  if (dimensionCount !== 1) throw new RangeError('an array of several dimensions');
  const count = bytes.readInt32BE(12);
  const texts: (string | null)[] = [];
  for (let at = ELEMENTS_AT; texts.length < count; ) {
    const length = bytes.readInt32BE(at);
    at += 4;
    texts.push(length < 0 ? null : bytes.toString('utf8', at, at + length));
    at += Math.max(0, length);
  }
  return texts;
}

export const plainTypes = {
  getTypeParser: (oid: number, format?: string): unknown => {
    if (format !== 'binary') return parsers.get(oid) ?? asText;
    if (BINARY_ARRAYS.has(oid)) return parseBinaryTexts;
    return binaryParsers.get(oid) ?? pg.types.getTypeParser(oid, 'binary');
  },
} as NonNullable<QueryConfig['types']>;

/** A question of the library's own, as pg takes it. */
export function question(text: string, values?: unknown[], name?: string): QueryConfig {
  return {
    text,
    types: plainTypes,
    ...(values === undefined ? {} : { values }),
    ...(name === undefined ? {} : { name }),
  };
}
