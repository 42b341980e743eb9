/**
 * Reads the messages of PostgreSQL's output plugin `pgoutput`, protocol version 1. Of rows it reads
 * the keys and passes over everything else. It keeps nothing, and judges nothing.
 */
import type { Lsn } from '../freshness/lsn.js';

/** A relation, as it is announced before its first change. */
export interface AnnouncedRelation {
  readonly oid: number;
  readonly identity: 'default' | 'nothing' | 'full' | 'index';
  readonly columns: readonly AnnouncedColumn[];
}

export interface AnnouncedColumn {
  readonly name: string;
  readonly isKey: boolean;
  readonly type: number;
}

/** Where in a row its key stands, ascending; `undefined`: its rows cannot be told apart. */
export type KeyPositions = readonly number[] | undefined;

export type LogMessage =
  | { readonly is: 'begin'; readonly xid: number }
  | { readonly is: 'commit'; readonly end: Lsn }
  | { readonly is: 'relation'; readonly relation: AnnouncedRelation }
  | {
      readonly is: 'row';
      readonly oid: number;
      /** The key before and the key after, as far as the message has them; `undefined`: any row. */
      readonly keys: readonly (readonly string[])[] | undefined;
    }
  | { readonly is: 'emptied'; readonly oids: readonly number[] }
  | { readonly is: 'message'; readonly isTransactional: boolean; readonly prefix: string; readonly lsn: Lsn }
  | { readonly is: 'other' };

const OTHER: LogMessage = { is: 'other' };
const IDENTITIES: Readonly<Record<string, AnnouncedRelation['identity']>> = {
  d: 'default',
  n: 'nothing',
  f: 'full',
  i: 'index',
};

const [BEGIN, COMMIT, RELATION, INSERT, UPDATE, DELETE, TRUNCATE, MESSAGE, ORIGIN, TYPE] = codes('BCRIUDTMOY');
const [OLD_KEY, OLD_ROW, NEW_ROW] = codes('KON');
const [TEXT, BINARY, NULL, UNCHANGED] = codes('tbnu');

/**
 * @param bytes one message @param keyOf where the key of a relation stands
 * @throws RangeError where it is none
 */
export function readMessage(bytes: Buffer, keyOf: (oid: number) => KeyPositions): LogMessage {
  switch (bytes[0]) {
    case BEGIN:
      return { is: 'begin', xid: bytes.readUInt32BE(17) };
    case COMMIT:
      return { is: 'commit', end: bytes.readBigUInt64BE(10) };
    case RELATION:
      return { is: 'relation', relation: readRelation(bytes) };
    case INSERT:
    case UPDATE:
    case DELETE: {
      const oid = bytes.readUInt32BE(1);
      return { is: 'row', oid, keys: readKeys(bytes, keyOf(oid)) };
    }
    case TRUNCATE: {
      const count = bytes.readUInt32BE(1);
      if (bytes.length < 6 + 4 * count) throw new RangeError('a message ends too early');
      return { is: 'emptied', oids: Array.from({ length: count }, (_, i) => bytes.readUInt32BE(6 + 4 * i)) };
    }
    case MESSAGE: {
      const isTransactional = (bytes.readUInt8(1) & 1) === 1;
      return { is: 'message', isTransactional, prefix: textAt(bytes, 10).text, lsn: bytes.readBigUInt64BE(2) };
    }
    case ORIGIN:
    case TYPE:
      return OTHER;
    default:
      throw new RangeError('a message of an unknown kind');
  }
}

function readRelation(bytes: Buffer): AnnouncedRelation {
  const schema = textAt(bytes, 5);
  const name = textAt(bytes, schema.next);
  const identity = IDENTITIES[String.fromCharCode(bytes.readUInt8(name.next))];
  if (identity === undefined) throw new RangeError('a replica identity of an unknown kind');
  const count = bytes.readUInt16BE(name.next + 1);
  const columns: AnnouncedColumn[] = [];
  for (let i = 0, at = name.next + 3; i < count; i++) {
    const isKey = (bytes.readUInt8(at) & 1) === 1;
    const column = textAt(bytes, at + 1);
    columns.push({ name: column.text, isKey, type: bytes.readUInt32BE(column.next) });
    at = column.next + 8;
    if (at > bytes.length) throw new RangeError('a column ends too early');
  }
  return { oid: bytes.readUInt32BE(1), identity, columns };
}

/** The keys of its one or two rows. The row before is there only where its key is another one, or is all there is. */
function readKeys(bytes: Buffer, positions: KeyPositions): (readonly string[])[] | undefined {
  if (positions === undefined) return undefined;
  const keys: (readonly string[])[] = [];
  for (let at = 5; at < bytes.length; ) {
    const part = bytes[at];
    if (part !== OLD_KEY && part !== OLD_ROW && part !== NEW_ROW) throw new RangeError('a row of an unknown kind');
    const key: string[] = [];
    const next = readKey(bytes, at + 1, positions, key, part === NEW_ROW || bytes[0] === DELETE);
    if (key.length < positions.length) return undefined;
    keys.push(key);
    at = next;
  }
  if (keys.length === 0) throw new RangeError('a row is missing');
  return keys;
}

/** @param isLast whether no row follows: then what stands behind the key is not looked at @returns where the row ends */
function readKey(bytes: Buffer, start: number, positions: readonly number[], key: string[], isLast: boolean): number {
  const count = bytes.readUInt16BE(start);
  let at = start + 2;
  for (let position = 0, wanted = 0; position < count; position++) {
    const kind = bytes.readUInt8(at);
    at += 1;
    const isWanted = positions[wanted] === position;
    if (kind === TEXT || kind === BINARY) {
      const end = at + 4 + bytes.readUInt32BE(at);
      if (end > bytes.length) throw new RangeError('a value ends too early');
      if (isWanted && kind === TEXT) key.push(bytes.toString('utf8', at + 4, end));
      at = end;
    } else if (kind !== NULL && kind !== UNCHANGED) {
      throw new RangeError('a value of an unknown kind');
    }
    if (isWanted) wanted++;
    if (isLast && wanted === positions.length) return bytes.length;
  }
  return at;
}

/** A text that ends with a zero. */
function textAt(bytes: Buffer, at: number): { readonly text: string; readonly next: number } {
  const end = bytes.indexOf(0, at);
  if (end < 0) throw new RangeError('a text ends too early');
  return { text: bytes.toString('utf8', at, end), next: end + 1 };
}

function codes(letters: string): number[] {
  return Array.from(letters, (letter) => letter.charCodeAt(0));
}
