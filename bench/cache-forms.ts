/**
 * `npm run bench:cache-forms`: in which form an answer is best kept: what a hit costs and what an entry holds, as a table for the
 * docs. Each hit is one that its caller may change: where it may not, the table says so.
 */
import { deserialize, serialize, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pg from 'pg';
import { columnsOf, resultOf } from '../src/postgres/raw-results.js';
import { interruptible } from './interruption.js';
import { count } from './options.js';
import { installPeers, loadPeer } from './peers.js';
import { type Interval, intervalOfMedian, median } from './rounds.js';

type Row = Record<string, unknown>;

interface Form {
  readonly name: string;
  /** Of what pg would have given; text `raw` as it travelled. */
  keep(raw: readonly (readonly (string | null)[])[], rows: readonly Row[]): unknown;
  give(kept: never): unknown;
  /** In which way the answer is not the one that pg gives; empty where it is. */
  readonly flaw: string;
}

const ROW_COUNTS = [1, 10, 100];
const ROUND_MILLIS = 40;
/** So many entries are made to see what one holds. */
const ENTRIES: Readonly<Record<number, number>> = { 1: 4_000, 10: 1_000, 100: 100 };

/** The columns that were measured: int, bigint, text, text, numeric, timestamptz, boolean, float8, jsonb, bytea. */
const OIDS = [23, 20, 25, 25, 1700, 1184, 16, 701, 3802, 17];
const NAMES = ['id', 'code', 'name', 'note', 'price', 'added', 'is_new', 'share', 'extra', 'data'];
const fields = NAMES.map((name, i) => ({ name, dataTypeID: OIDS[i] as number, format: 'text' }));
const columns = columnsOf(fields, pg.types as unknown as Parameters<typeof columnsOf>[1]);

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

process.exitCode = await interruptible(async (signal) => {
  await installPeers((text) => process.stderr.write(`${text}\n`), signal);
  const rounds = count('rounds', process.argv[2] ?? '15', 1, 1_000);
  const forms = formsOf(loadPeer<MessagePack>('msgpackr'));
  const heads = ROW_COUNTS.map((rowCount) => `${rowCount} row${rowCount === 1 ? '' : 's'}`);
  console.log(`| kept as | ${heads.join(' | ')} | bytes held, ${heads.join(' / ')} | what is lost |`);
  console.log(`| --- | ${heads.map(() => '---:').join(' | ')} | --- | --- |`);
  const micros = new Map<string, string[]>();
  for (const rowCount of ROW_COUNTS)
    for (const [form, figure] of compared(forms, rowCount, rounds))
      micros.set(form, [...(micros.get(form) ?? []), figure]);
  for (const form of forms) {
    const bytes = ROW_COUNTS.map((rowCount) => Math.round(heldBytes(form, rowCount)).toLocaleString('en'));
    console.log(`| ${form.name} | ${micros.get(form.name)?.join(' | ')} | ${bytes.join(' / ')} | ${form.flaw} |`);
  }
  console.log(
    `\nµs a hit: median of ${rounds} interleaved rounds, and its 95 % interval. Node ${process.versions.node}.`,
  );
  return 0;
});

interface MessagePack {
  readonly pack: (value: unknown) => Buffer;
  readonly unpack: (bytes: Buffer) => unknown;
}

function formsOf({ pack, unpack }: MessagePack): Form[] {
  return [
    {
      name: 'raw field strings, parsed for each hit',
      keep: (raw) => raw,
      give: (kept: readonly (readonly (string | null)[])[]) =>
        resultOf(columns, { command: 'SELECT', rowCount: kept.length, rows: kept }, undefined).rows,
      flaw: 'nothing',
    },
    {
      name: 'frozen rows, shared by all',
      keep: (_, rows) => Object.freeze(rows.map((row) => Object.freeze(row))),
      give: (kept: readonly Row[]) => [...kept],
      flaw: 'one caller’s change of a Date, Buffer or JSON value is seen by all; others throw',
    },
    {
      name: 'rows, Date and Buffer and JSON values copied',
      keep: (_, rows) => rows,
      give: (kept: readonly Row[]) => kept.map(copyOf),
      flaw: 'values of custom parsers are shared',
    },
    {
      name: 'structuredClone',
      keep: (_, rows) => rows,
      give: (kept: readonly Row[]) => structuredClone(kept),
      flaw: 'custom classes; Buffers become Uint8Arrays',
    },
    {
      name: 'msgpackr',
      keep: (_, rows) => pack(rows),
      give: (kept: Buffer) => unpack(kept),
      flaw: 'custom classes; Buffers share memory between hits',
    },
    {
      name: 'v8.serialize',
      keep: (_, rows) => serialize(rows),
      give: (kept: Buffer) => deserialize(kept),
      flaw: 'custom classes; Buffers share memory between hits; bound to a version of V8',
    },
    {
      name: 'JSON',
      keep: (_, rows) => JSON.stringify(rows),
      give: (kept: string) => JSON.parse(kept) as unknown,
      flaw: 'Dates become texts, Buffers lists of numbers, custom classes plain objects',
    },
  ];
}

function copyOf(row: Row): Row {
  const copy: Row = {};
  for (const name in row) {
    const value = row[name];
    copy[name] = typeof value !== 'object' || value === null ? value : copyOfValue(value);
  }
  return copy;
}

function copyOfValue(value: object): unknown {
  if (value instanceof Date) return new Date(value);
  return Buffer.isBuffer(value) ? Buffer.from(value) : structuredClone(value);
}

function compared(forms: readonly Form[], rowCount: number, rounds: number): Map<string, string> {
  const kept = forms.map((form) => form.keep(rawRows(rowCount, 0), parsed(rawRows(rowCount, 0))) as never);
  const found = forms.map(() => [] as number[]);
  for (let round = -2; round < rounds; round++)
    for (let i = 0; i < forms.length; i++) {
      const at = (i + Math.max(0, round)) % forms.length;
      const micros = microsOf(forms[at] as Form, kept[at] as never);
      if (round >= 0) found[at]?.push(micros);
    }
  return new Map(forms.map(({ name }, i) => [name, figureOf(found[i] ?? [])]));
}

/** By the process's own time: on a shared machine the clock tells of others, too. */
function microsOf(form: Form, kept: never): number {
  const until = performance.now() + ROUND_MILLIS;
  const before = process.cpuUsage();
  let hits = 0;
  while (performance.now() < until) for (let i = 0; i < 20; i++, hits++) form.give(kept);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / hits;
}

function figureOf(micros: readonly number[]): string {
  const interval: Interval = intervalOfMedian(micros);
  const text = (value: number): string => (value < 10 ? value.toFixed(1) : value.toFixed(0));
  return `${text(median(micros))} [${interval.map(text).join(', ')}]`;
}

function heldBytes(form: Form, rowCount: number): number {
  const entryCount = ENTRIES[rowCount] as number;
  const before = usedBytes();
  const entries = Array.from({ length: entryCount }, (_, i) => {
    const raw = rawRows(rowCount, i);
    return form.keep(raw, parsed(raw));
  });
  const bytes = (usedBytes() - before) / entryCount;
  if (entries.length !== entryCount) throw new Error('an entry is missing');
  return bytes;
}

function usedBytes(): number {
  collectGarbage();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** As they come off a socket: each text a string of its own. */
function rawRows(rowCount: number, seed: number): string[][] {
  return Array.from({ length: rowCount }, (_, row) => {
    const id = seed * 1_000 + row + 1;
    const texts = [
      `${id}`,
      `${id}000`,
      `item number ${id}`,
      `a longer text of some forty characters ${id}`,
      `${id}.5000000000`,
      `2026-01-01 00:00:${String(id % 60).padStart(2, '0')}+00`,
      id % 2 === 0 ? 't' : 'f',
      `${id / 3}`,
      '{"tags": ["a", "b"], "size": 4}',
      '\\x00ff00ff00ff00ff',
    ];
    return texts.map((text) => Buffer.from(text).toString());
  });
}

function parsed(raw: readonly (readonly (string | null)[])[]): Row[] {
  return resultOf(columns, { command: 'SELECT', rowCount: raw.length, rows: raw }, undefined).rows as Row[];
}
