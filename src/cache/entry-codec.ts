/**
 * An entry as a text, for stores that several processes share. What is read back may be anybody's
 * text: whatever is not an entry of exactly this format is none, and nothing throws. It decides
 * nothing about an entry, not even whether it is fresh.
 */
import type { Lsn } from '../freshness/lsn.js';
import type { RawAnswer, RawField, RawRow } from './raw-answer.js';

export interface SharedEntry {
  /** 1 to 2^32 − 1. */
  readonly timeline: number;
  /** The position of the replica before the snapshot. */
  readonly validFrom: Lsn;
  /** Its position after the snapshot, not below `validFrom`. */
  readonly seenUpTo: Lsn;
  /** What the filler calls the replica: 1 to 64 characters, the rest is not kept. */
  readonly node: string;
  /** The replica's server, in the life that it had then: 1 to 128 characters. */
  readonly server: string;
  /** Whose time the next two are in: 1 to 128 characters. */
  readonly clock: string;
  /** Up to when all that was committed is in it. */
  readonly freshAsOfMillis: number;
  /** Before the statement was sent. */
  readonly askedAtMillis: number;
  /** How long the statement took. */
  readonly costMillis: number;
  /** Of the filler's call: tags, and tables that it named. At most 1,000 each. */
  readonly tags: readonly string[];
  readonly named: readonly string[];
  /** Its columns are in text format: others are not read back. */
  readonly answer: RawAnswer;
}

/** Columns that were read before, and the text that they were read from. */
export interface KnownColumns {
  readonly text: string;
  readonly fields: readonly RawField[];
}

/** An entry that was read back. */
export interface ReadEntry extends SharedEntry {
  /** Its columns as they travelled: a later entry with the very text needs not have them read again. */
  readonly columns: string;
}

/** In characters: longer texts are no entries. */
export const MAX_ENTRY_LENGTH = 2 ** 24;

/** Each format has another one. */
const VERSION = 'pgl2';
const BEGIN = `["${VERSION}",`;
const PART_COUNT = 18;
const COLUMN_PARTS = 6;
const MAX_NODE_LENGTH = 64;
const MAX_CLOCK_LENGTH = 128;
const MAX_SERVER_LENGTH = 128;
const MAX_NAMES = 1_000;
const MAX_TAG_LENGTH = 1_024;
const MAX_COMMAND_LENGTH = 64;
/** PostgreSQL's own bounds. */
const MAX_COLUMN_COUNT = 1_664;
const MAX_NAME_LENGTH = 256;
const UINT32 = 2 ** 32 - 1;
const HALF = 32n;
const LOWER = 0xffff_ffffn;

export function encodeEntry(entry: SharedEntry): string {
  const { timeline, validFrom, seenUpTo, node, clock, freshAsOfMillis, askedAtMillis, costMillis, answer } = entry;
  const { server, tags, named } = entry;
  const { command, rowCount, fields, rows } = answer;
  const columns: unknown[] = [];
  let isReadable = true;
  for (const field of fields) {
    const { name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier, format } = field;
    columns.push(name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier);
    isReadable &&= format === 'text';
  }
  return JSON.stringify([
    isReadable ? VERSION : 'not text',
    timeline,
    Number(validFrom >> HALF),
    Number(validFrom & LOWER),
    Number(seenUpTo >> HALF),
    Number(seenUpTo & LOWER),
    node.slice(0, MAX_NODE_LENGTH),
    clock,
    freshAsOfMillis,
    askedAtMillis,
    costMillis,
    command,
    rowCount,
    // A text of its own: entries of one statement have the same, which is compared and not read.
    JSON.stringify(columns),
    rows,
    server,
    tags,
    named,
  ]);
}

/**
 * The entry that the text says, or `undefined` if it says none.
 * @param known columns that an entry before it had: where these are the same, the entry has these
 */
export function decodeEntry(text: string, known?: KnownColumns): ReadEntry | undefined {
  if (text.length > MAX_ENTRY_LENGTH || !text.startsWith(BEGIN)) return undefined;
  const parts = arrayIn(text);
  return parts?.length === PART_COUNT ? entryOf(parts, known) : undefined;
}

function arrayIn(text: string): readonly unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function entryOf(parts: readonly unknown[], known: KnownColumns | undefined): ReadEntry | undefined {
  const timeline = parts[1];
  const validFrom = lsnOf(parts[2], parts[3]);
  const seenUpTo = lsnOf(parts[4], parts[5]);
  if (!isWithin(timeline, 1, UINT32) || validFrom === undefined || seenUpTo === undefined) return undefined;
  if (seenUpTo < validFrom) return undefined;
  const node = parts[6];
  const clock = parts[7];
  if (!isText(node, 1, MAX_NODE_LENGTH) || !isText(clock, 1, MAX_CLOCK_LENGTH)) return undefined;
  const freshAsOfMillis = parts[8];
  const askedAtMillis = parts[9];
  const costMillis = parts[10];
  if (!isNumber(freshAsOfMillis) || !isNumber(askedAtMillis) || !isNumber(costMillis) || costMillis < 0) {
    return undefined;
  }
  const columns = parts[13];
  if (typeof columns !== 'string') return undefined;
  const fields = columns === known?.text ? known.fields : fieldsOf(arrayIn(columns));
  const answer = answerOf(parts[11], parts[12], fields, parts[14]);
  const server = parts[15];
  const tags = parts[16];
  const named = parts[17];
  if (answer === undefined || !isText(server, 1, MAX_SERVER_LENGTH) || !areNames(tags) || !areNames(named)) {
    return undefined;
  }
  // Named one by one: to spread an object takes longer than to read one.
  return {
    timeline,
    validFrom,
    seenUpTo,
    node,
    server,
    tags,
    named,
    clock,
    freshAsOfMillis,
    askedAtMillis,
    costMillis,
    answer,
    columns,
  };
}

function answerOf(
  command: unknown,
  rowCount: unknown,
  fields: readonly RawField[] | undefined,
  rows: unknown,
): RawAnswer | undefined {
  if (!isText(command, 0, MAX_COMMAND_LENGTH)) return undefined;
  if (fields === undefined || !areRows(rows, fields.length)) return undefined;
  // `null` where the server named no number, as after SHOW.
  if (rowCount !== null && rowCount !== rows.length) return undefined;
  return { command, rowCount: rowCount as number | null, fields, rows };
}

function fieldsOf(columns: readonly unknown[] | undefined): RawField[] | undefined {
  if (columns === undefined) return undefined;
  const count = columns.length / COLUMN_PARTS;
  if (!Number.isInteger(count) || count > MAX_COLUMN_COUNT) return undefined;
  const fields: RawField[] = [];
  for (let at = 0; at < columns.length; at += COLUMN_PARTS) {
    const name: unknown = columns[at];
    const tableID: unknown = columns[at + 1];
    const columnID: unknown = columns[at + 2];
    const dataTypeID: unknown = columns[at + 3];
    const dataTypeSize: unknown = columns[at + 4];
    const dataTypeModifier: unknown = columns[at + 5];
    if (
      !isText(name, 0, MAX_NAME_LENGTH) ||
      !isWithin(tableID, -UINT32, UINT32) ||
      !isWithin(columnID, -UINT32, UINT32) ||
      !isWithin(dataTypeID, -UINT32, UINT32) ||
      !isWithin(dataTypeSize, -UINT32, UINT32) ||
      !isWithin(dataTypeModifier, -UINT32, UINT32)
    ) {
      return undefined;
    }
    fields.push({ name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier, format: 'text' });
  }
  return fields;
}

function areRows(rows: unknown, width: number): rows is RawRow[] {
  if (!Array.isArray(rows)) return false;
  for (let at = 0; at < rows.length; at++) {
    const row: unknown = rows[at];
    if (!Array.isArray(row) || row.length !== width) return false;
    for (let column = 0; column < width; column++) {
      const value: unknown = row[column];
      if (value !== null && typeof value !== 'string') return false;
    }
  }
  return true;
}

function areNames(names: unknown): names is string[] {
  return Array.isArray(names) && names.length <= MAX_NAMES && names.every((name) => isText(name, 1, MAX_TAG_LENGTH));
}

function lsnOf(high: unknown, low: unknown): Lsn | undefined {
  if (!isWithin(high, 0, UINT32) || !isWithin(low, 0, UINT32)) return undefined;
  return (BigInt(high) << HALF) | BigInt(low);
}

function isWithin(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

function isNumber(value: unknown): value is number {
  return Number.isFinite(value);
}

function isText(value: unknown, least: number, most: number): value is string {
  return typeof value === 'string' && value.length >= least && value.length <= most;
}
