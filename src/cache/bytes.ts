/**
 * What an answer holds on the heap of V8, by estimate: within a tenth of what was measured on
 * Node 20 to 26. Arrays are taken to have no spare room, so `slice()` one that has grown by `push`.
 */
import type { RawAnswer, RawField } from './raw-answer.js';

const POINTER_BYTES = 8;
/** Map, properties and elements; the own properties follow. */
const OBJECT_HEADER_BYTES = 3 * POINTER_BYTES;
/** The array, with its length, and the head of its elements. */
const ARRAY_HEADER_BYTES = 6 * POINTER_BYTES;
/** Map, hash and length. */
const STRING_HEADER_BYTES = 16;
const TWO_BYTE = /[\u0100-\uffff]/;

const ANSWER_BYTES = OBJECT_HEADER_BYTES + 4 * POINTER_BYTES;
const FIELD_BYTES = OBJECT_HEADER_BYTES + 7 * POINTER_BYTES;

/** All of it: texts, rows and field descriptions. Where entries share these, take {@link bytesOfFields} off. */
export function bytesOf({ command, rows, fields }: RawAnswer): number {
  let bytes = ANSWER_BYTES + bytesOfString(command) + bytesOfArray(rows.length) + bytesOfFields(fields);
  for (const row of rows) {
    bytes += bytesOfArray(row.length);
    for (const text of row) if (text !== null) bytes += bytesOfString(text);
  }
  return bytes;
}

/** The format is one of two constants. */
export function bytesOfFields(fields: readonly RawField[]): number {
  let bytes = bytesOfArray(fields.length);
  for (const { name } of fields) bytes += FIELD_BYTES + bytesOfString(name);
  return bytes;
}

/** Of a character above U+00FF all take two bytes. V8 has those of one such byte, and the empty one, only once. */
export function bytesOfString(text: string): number {
  const { length } = text;
  // The expression needs no look at a text of one byte a character: nothing there can match.
  if (TWO_BYTE.test(text)) return STRING_HEADER_BYTES + Math.ceil((length * 2) / 8) * 8;
  return length < 2 ? 0 : STRING_HEADER_BYTES + Math.ceil(length / 8) * 8;
}

function bytesOfArray(length: number): number {
  return ARRAY_HEADER_BYTES + length * POINTER_BYTES;
}
