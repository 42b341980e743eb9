/**
 * Under which key an answer is kept: whatever could make it another one is part of it. Values count
 * as pg writes them, each with its kind and length, so that no two lists of values look alike.
 */
import crypto from 'node:crypto';
import { mayMove } from '../sql/unsteady.js';

/** In characters. Answers to longer lists of values do not come again. */
const MAX_LENGTH = 16_384;

/**
 * @param values as `writable` gives them
 * @returns `undefined` for values whose answer is not kept: too long, or such as `'today'`
 */
export function valuesKey(values: readonly unknown[]): string | undefined {
  let key = '';
  for (const value of values) {
    if (value === null || value === undefined) key += 'n';
    else if (Buffer.isBuffer(value)) {
      if (value.length > MAX_LENGTH / 2) return undefined;
      key += `b${value.length}:${value.toString('hex')}`;
    } else {
      const isText = typeof value === 'string';
      const text = isText ? value : String(value as number | boolean | bigint);
      if (text.length > MAX_LENGTH || (isText && mayMove(text))) return undefined;
      key += `s${text.length}:${text}`;
    }
    if (key.length > MAX_LENGTH) return undefined;
  }
  return key;
}

/** In a store that several processes share: neither text nor values can be told from it. */
export function sharedKey(parts: readonly string[]): string {
  // As one text: each piece by itself takes as long as all.
  let text = '';
  for (const part of parts) text += `${Buffer.byteLength(part)}:${part}`;
  // Not in the first releases of Node 20.
  const once = crypto.hash as typeof crypto.hash | undefined;
  return once === undefined
    ? crypto.createHash('sha256').update(text).digest('base64url')
    : once('sha256', text, 'base64url');
}
