/**
 * Names of tables and of anything else, as they are written in SQL and on a command line. It knows no
 * server, and decides nothing about what a name means.
 */
import { PRINTABLE } from '../printable.js';

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** Where a name has no schema. */
const DEFAULT_SCHEMA = 'public';
/** PostgreSQL cuts off what is longer, and would then mean another name. */
const MOST_NAME_BYTES = 63;
/** A name in quotes, with doubled ones within, or one without dots, commas and quotes. */
const PART = /\s*(?:"((?:[^"]|"")+)"|([^\s",.](?:[^",.]*[^\s",.])?))\s*([.,]|$)/y;

/**
 * Reads `products,shop.orders,"a.b"."C"`. A name is taken as it stands, without folding to lower
 * case, as in the option `tables`; quotes are for what holds a dot, a comma, a quote or outer spaces.
 * @throws RangeError for what is no such list
 */
export function tableNames(list: string): TableName[] {
  const found = new Map<string, TableName>();
  let parts: string[] = [];
  PART.lastIndex = 0;
  for (let isOpen = true; isOpen; ) {
    const [, quoted, plain = '', end] = PART.exec(list) ?? [];
    if (end === undefined) throw new RangeError('expected names such as products,shop.orders');
    parts.push(checkedName(quoted?.replaceAll('""', '"') ?? plain));
    isOpen = end !== '';
    if (end === '.') continue;
    const [schema, name, ...more] = parts.length === 1 ? [DEFAULT_SCHEMA, ...parts] : parts;
    if (schema === undefined || name === undefined || more.length > 0) {
      throw new RangeError('a table has a name, and at most a schema before it');
    }
    found.set(JSON.stringify([schema, name]), { schema, name });
    parts = [];
  }
  return [...found.values()];
}

/** @throws RangeError for what can be no name in PostgreSQL */
export function checkedName(name: string): string {
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > MOST_NAME_BYTES || /[\0\p{Cs}]/u.test(name)) {
    throw new RangeError(`a name has 1 to ${MOST_NAME_BYTES} bytes of UTF-8`);
  }
  return name;
}

/** In quotes, always. What a terminal would obey or hide is written by its number. */
export function quotedIdentifier(name: string): string {
  const doubled = name.replaceAll('"', '""');
  if (PRINTABLE.test(name)) return `"${doubled}"`;
  const shown = Array.from(doubled, (character) => {
    if (character === '\\') return '\\\\';
    if (PRINTABLE.test(character)) return character;
    return `\\+${(character.codePointAt(0) ?? 0).toString(16).padStart(6, '0')}`;
  });
  return `U&"${shown.join('')}"`;
}

export function quotedTable({ schema, name }: TableName): string {
  return `${quotedIdentifier(schema)}.${quotedIdentifier(name)}`;
}
