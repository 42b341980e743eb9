/**
 * A hash of what an answer says, and its size, of rows as their caller gets them. Rows in another
 * order are the same, as for the audit. Where values cannot be told apart, there is no hash.
 */
import { sharedKey } from './key.js';

export interface ContentMark {
  /** `undefined`: nothing can be said of the content. */
  readonly hash: string | undefined;
  /** What it takes as JSON: about what travels. */
  readonly bytes: number;
}

/** Rows by which the size of an answer is estimated. */
const MEASURED_ROWS = 20;

/** @param maxBytes an answer that is larger is not hashed */
export function contentMark(rows: readonly unknown[], maxBytes: number): ContentMark {
  try {
    const first = rows.slice(0, MEASURED_ROWS).map(textOf);
    let bytes = first.reduce((sum, text) => sum + text.length, 0);
    if (rows.length > MEASURED_ROWS) bytes = Math.round((bytes / MEASURED_ROWS) * rows.length);
    if (bytes > maxBytes || rows.some(hasOpaque)) return { hash: undefined, bytes };
    const texts = rows.length > MEASURED_ROWS ? [...first, ...rows.slice(MEASURED_ROWS).map(textOf)] : first;
    return { hash: sharedKey([texts.toSorted().join('\n')]), bytes };
  } catch {
    // A value's own conversion has thrown: it may be anything.
    return { hash: undefined, bytes: 0 };
  }
}

/** To ask for each value takes several times as long: that is done for those that JSON does not have. */
function textOf(row: unknown): string {
  try {
    return JSON.stringify(row);
  } catch {
    return JSON.stringify(row, withBigInts);
  }
}

function withBigInts(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}

/** Whether a value of the row shows nothing of what it is, as an object of a user's own class may. */
function hasOpaque(row: unknown): boolean {
  for (const value of Object.values(row as object)) {
    if (typeof value === 'function' || typeof value === 'symbol') return true;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) continue;
    if (typeof (value as { toJSON?: unknown }).toJSON === 'function') continue;
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null && Object.keys(value).length === 0) return true;
  }
  return false;
}
