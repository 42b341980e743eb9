/**
 * Values as they travel. pg turns them into text while it is writing a statement to the connection; one that throws then leaves behind half a statement,
 * which spoils a name, or whatever shares the connection. So it is done before.
 */
import pg from 'pg';

/** pg's own way to turn a value into text. */
export const { prepareValue } = (pg as unknown as { utils: { prepareValue(this: void, value: unknown): unknown } })
  .utils;

/** The protocol counts them in 16 bits. */
const MAX_COUNT = 65_535;

/**
 * Values of which pg's writing cannot fail; the very array where they are plain.
 * @returns `undefined` for what is better left to a connection of its own
 * @throws whatever a value's own conversion throws
 */
export function writable(values: unknown[] | undefined): unknown[] | undefined {
  if (values === undefined) return [];
  if (!Array.isArray(values) || values.length > MAX_COUNT) return undefined;
  if (values.every(isPlain)) return values;
  const converted: unknown[] = [];
  for (const value of values) {
    const isWritten = isPlain(value);
    const text = isWritten ? value : prepareValue(value);
    if (!isWritten && typeof text !== 'string' && text !== null && !Buffer.isBuffer(text)) return undefined;
    converted.push(text);
  }
  return converted;
}

function isPlain(value: unknown): boolean {
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'bigint':
    case 'undefined':
      return true;
    default:
      return value === null;
  }
}
