/**
 * Keys of rows as texts that are equal where PostgreSQL takes the values for equal. Only of types
 * where that can be told from the text: other rows are told apart by their table alone.
 */
import type { KeyColumn } from '../sql/fixed-columns.js';

const INTEGERS: ReadonlySet<string> = new Set(['20', '21', '23']);
const UUID = '2950';
/** `text` and `varchar`: the source of changes says whether their collation tells all texts apart. */
const TEXTS: ReadonlySet<string> = new Set(['25', '1043']);

const UUID_TEXT = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The key of one row. */
export function keyTextOf(values: readonly string[]): string {
  const [only] = values;
  return values.length === 1 && only !== undefined ? only : JSON.stringify(values);
}

/** Columns that a statement fixes, each with its value as PostgreSQL would write it. */
export type FixedColumns = ReadonlyMap<string, string>;

/** @returns `undefined` where no value can be told apart by its text */
export function fixedColumnsOf(key: readonly KeyColumn[], values: readonly unknown[]): FixedColumns | undefined {
  const fixed = new Map<string, string>();
  for (const { column, value, type } of key) {
    const given = 'parameter' in value ? values[value.parameter - 1] : value.constant;
    const text = canonicalText(given, type);
    if (text !== undefined) fixed.set(column, text);
  }
  return fixed.size === 0 ? undefined : fixed;
}

/** As pg writes it, a value of another kind than text, number or bigint is none that can be told apart. */
function canonicalText(value: unknown, type: string): string | undefined {
  const given = typeof value === 'number' || typeof value === 'bigint' ? String(value) : value;
  if (typeof given !== 'string') return undefined;
  if (INTEGERS.has(type)) return given.length <= 20 && /^-?\d+$/.test(given) ? String(BigInt(given)) : undefined;
  if (type === UUID) return UUID_TEXT.test(given) ? given.toLowerCase() : undefined;
  return TEXTS.has(type) ? given : undefined;
}
