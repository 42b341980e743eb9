/**
 * Run in a process of its own, with `--expose-gc`: how much the heap grows under answers, and under
 * a store of them. Writes what it measured as JSON.
 *
 *     node --expose-gc --import tsx heap-growth.ts answers ROWS...
 *     node --expose-gc --import tsx heap-growth.ts store KEYS MAX_BYTES ROWS
 */
import { bytesOf, bytesOfFields } from '../../../src/cache/bytes.js';
import { MemoryStore, type Weighed } from '../../../src/cache/memory-store.js';
import type { RawAnswer, RawField } from '../../../src/cache/raw-answer.js';
import { seeded } from './trace.js';

export interface AnswerGrowth {
  readonly rowCount: number;
  /** Of one answer, measured and estimated. */
  readonly grownBytes: number;
  readonly estimatedBytes: number;
  /** The same of its field descriptions. */
  readonly grownFieldBytes: number;
  readonly estimatedFieldBytes: number;
}

export interface StoreGrowth {
  readonly grownBytes: number;
  readonly byteCount: number;
  readonly entryCount: number;
  readonly evictedCount: number;
  readonly passedOverCount: number;
}

const random = seeded(24);

/** As it comes off the wire: a string of its own, in one piece. */
function received(text: string): string {
  return Buffer.from(text).toString('utf8');
}

function textOf(length: number, letter: string): string {
  return received(String(Math.floor(random() * 1e9)).padEnd(length, letter));
}

/** Ten columns of many kinds. */
function rowOf(): (string | null)[] {
  const row = Array.from<unknown, string | null>({ length: 10 }, () => null);
  row[0] = textOf(9, '0');
  row[1] = textOf(24, 'x');
  row[2] = textOf(60, 'y');
  row[3] = received('2026-11-21 12:34:56.789012+00');
  row[4] = received(random() < 0.5 ? 't' : 'f');
  row[5] = null;
  row[6] = textOf(14, '1');
  row[7] = textOf(20, 'ü');
  row[8] = textOf(20, 'ж');
  row[9] = received('');
  return row;
}

function fieldsOf(): RawField[] {
  return Array.from({ length: 10 }, (_, at) => ({
    name: received(`column_${at}`),
    tableID: 16_384,
    columnID: at,
    dataTypeID: 25,
    dataTypeSize: -1,
    dataTypeModifier: -1,
    format: 'text',
  })).slice();
}

function answerOf(rowCount: number, fields: readonly RawField[]): RawAnswer {
  const rows = Array.from({ length: rowCount }, rowOf).slice();
  return { command: received('SELECT'), rowCount, fields, rows };
}

function heldBytes(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** What one of many takes that are made. */
function grownBy<T>(count: number, make: () => T): number {
  const all = Array.from<unknown, T | undefined>({ length: count }, () => undefined);
  // So that all code is compiled before it is measured.
  for (let at = 0; at < 1_000; at++) make();
  const before = heldBytes();
  for (let at = 0; at < count; at++) all[at] = make();
  const grown = heldBytes() - before;
  return all.length === count ? grown / count : 0;
}

function measureAnswers(rowCount: number): AnswerGrowth {
  const fields = fieldsOf();
  // 12 MB and more of each, beside which other growth of the process is nothing.
  const count = Math.ceil(25_000 / rowCount);
  return {
    rowCount,
    grownBytes: grownBy(count, () => answerOf(rowCount, fields)),
    estimatedBytes: bytesOf(answerOf(rowCount, fields)) - bytesOfFields(fields),
    grownFieldBytes: grownBy(10_000, fieldsOf),
    estimatedFieldBytes: bytesOfFields(fields),
  };
}

interface Held extends Weighed {
  readonly answer: RawAnswer;
}

/** Distinct keys only. Each is asked for and set; and every third so often that it pushes others out. */
function measureStore(keyCount: number, maxBytes: number, rowCount: number): StoreGrowth {
  const fields = fieldsOf();
  const sharedBytes = bytesOfFields(fields);
  const ask = (store: MemoryStore<Held>, at: number): void => {
    const key = received(`select * from products where id = $1;${at};public;UTC;app`);
    const useCount = at % 3 === 0 ? 1 + Math.floor(random() * 12) : 1;
    for (let use = 0; use < useCount; use++) store.get(key);
    const answer = answerOf(rowCount, fields);
    store.set(key, { bytes: 24 + 3 * 8 + bytesOf(answer) - sharedBytes, costMillis: 1, answer });
  };
  // So that all code is compiled before it is measured.
  const other = new MemoryStore<Held>({ maxBytes: 1e6 });
  for (let at = 0; at < 5_000; at++) ask(other, at);
  other.clear();
  const before = heldBytes();
  const store = new MemoryStore<Held>({ maxBytes });
  for (let at = 0; at < keyCount; at++) ask(store, at);
  const grownBytes = heldBytes() - before;
  const { byteCount, entryCount, evictedCount, passedOverCount } = store;
  return { grownBytes, byteCount, entryCount, evictedCount, passedOverCount };
}

const [what, ...numbers] = process.argv.slice(2);
const [first = 0, second = 0, third = 0] = numbers.map(Number);
const measured = what === 'answers' ? numbers.map(Number).map(measureAnswers) : measureStore(first, second, third);
process.stdout.write(JSON.stringify(measured));
