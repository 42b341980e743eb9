/**
 * What is handed to pg: a plain object of the library's own, made when the call comes in. The caller's may be frozen, a draft that is revoked a moment later, or
 * a class whose getters answer anew each time; pg writes into what it is given, and those who instrument pg spread it. It decides nothing about the statement.
 */
import { types as kinds } from 'node:util';
import type { QueryConfig } from 'pg';

declare const isPrepared: unique symbol;

/** A config that is ours alone, and that has neither getters nor a class. */
export interface PreparedConfig extends QueryConfig {
  readonly [isPrepared]: true;
}

/** A statement of which pg can read all it needs, at any time. Made by {@link preparedQuery} alone. */
export type PreparedQuery = string | PreparedConfig;

/** Everything that pg reads of a config, wherever its class has it. */
const KEYS = [
  'text',
  'values',
  'name',
  'rowMode',
  'types',
  'rows',
  'binary',
  'queryMode',
  'portal',
  'query_timeout',
  'callback',
] as const;
/** The protocol writes a number of rows in 32 bits. */
const MAX_ROWS = 2 ** 32 - 1;

/**
 * Reads each property once. Keys that are not there are not made up: to instrumentations it matters whether there is a `name`.
 * @throws whatever a getter throws; TypeError for what pg could only stumble over while it writes the statement, which would leave its connection stuck
 */
export function preparedQuery(query: string | QueryConfig): PreparedQuery {
  if (typeof query !== 'object' || query === null) return query;
  const plain: Record<string, unknown> = { ...query };
  for (const key of KEYS) {
    if (key in plain) continue;
    // What a class inherits, and what is hidden from enumeration.
    const value = (query as unknown as Record<string, unknown>)[key];
    if (value !== undefined) plain[key] = value;
  }
  const { name, text, portal, rows, values, types } = plain;
  if (name && typeof text !== 'string' && text !== undefined && text !== null) refuse('text', 'a string');
  if (name && typeof name !== 'string') refuse('name', 'a string');
  if (portal && typeof portal !== 'string') refuse('portal', 'a string');
  if (rows && !isRowCount(rows)) refuse('rows', 'a number of rows');
  if (values) plain['values'] = preparedValues(values as unknown[]);
  if (types && !Array.isArray(types)) plain['types'] = guarded(types as ParserSource);
  return plain as unknown as PreparedConfig;
}

/** The very values, but for those of a proxy, such as a draft: that may be revoked before they are written. */
export function preparedValues<V extends readonly unknown[] | undefined>(values: V): V {
  return kinds.isProxy(values) && Array.isArray(values) ? ([...values] as unknown as V) : values;
}

/** The statement with some of its keys set anew. */
export function preparedWith(query: PreparedQuery, own: Partial<QueryConfig>): PreparedConfig {
  return (typeof query === 'string' ? { text: query, ...own } : { ...query, ...own }) as PreparedConfig;
}

/** Where pg looks for the parser of a type. */
export interface ParserSource {
  getTypeParser?(oid: number, format: string): unknown;
}

/** pg asks for parsers while it reads from the socket, where an error would end the process: it becomes that of the first value. */
function guarded(types: ParserSource): ParserSource {
  return {
    getTypeParser(oid, format) {
      try {
        return (types as Required<ParserSource>).getTypeParser(oid, format);
      } catch (error) {
        return () => {
          throw error;
        };
      }
    },
  };
}

function isRowCount(rows: unknown): boolean {
  return typeof rows === 'number' && rows >= 0 && rows <= MAX_ROWS;
}

function refuse(key: string, wanted: string): never {
  throw new TypeError(`Query ${key} must be ${wanted}`);
}
