/** What a run found, as text. */
import { callersOf, type Result, type Verdict } from './bounds.js';
import type { Pace, Standing } from './rounds.js';
import { titles } from './works.js';

/** Where its readers must see their writes, a library without replicas has one server to go to. */
export const MIXED_NOTE = 'pg.Pool and postgres.js do all of it on the primary: elsewhere they would be stale';

const HEAD = ['', 'per second', 'ratio', '95 %', 'CPU µs', 'servers µs', 'held kB', 'grown kB', 'stale'];

export function tableOf({ work, callers, replicas, standings }: Result, pace: Pace): string {
  const where = `${callersOf(callers)}, ${replicas} replica${replicas === 1 ? '' : 's'}`;
  const note = work === 'mixed' ? [`  (${MIXED_NOTE})`] : [];
  return [standingsTable(`${titles[work]}: ${where}`, standings, pace), ...note].join('\n');
}

export function standingsTable(heading: string, standings: readonly Standing[], { rounds, roundMillis }: Pace): string {
  const how = `ratio to ${standings[0]?.name}, ${rounds} round${rounds === 1 ? '' : 's'} of ${roundMillis} ms`;
  return [`\n${heading}; ${how}`, ...aligned([HEAD, ...standings.map(cells)]), ...errors(standings)].join('\n');
}

export function boundsTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(({ what, bound, found, interval, isMet }) => [
    what,
    bound,
    interval === undefined ? figure(found) : `${decimal(found)} ${range(interval)}`,
    isMet ? 'met' : 'MISSED',
  ]);
  return ['\nbounds', ...aligned(rows)].join('\n');
}

function figure(found: number): string {
  return Number.isInteger(found) || found >= 1_000 ? whole(found) : decimal(found);
}

function cells(standing: Standing): string[] {
  const { name, perSecond, ratio, interval, cpuMicros, serverMicros, heap, checkedCount, staleCount } = standing;
  return [
    name,
    whole(perSecond),
    decimal(ratio),
    range(interval),
    cpuMicros === undefined ? '' : cpuMicros.toFixed(1),
    serverMicros === undefined ? '' : serverMicros.toFixed(1),
    heap === undefined ? '' : whole(heap.heldBytes / 1_024),
    heap === undefined ? '' : whole(heap.grownBytes / 1_024),
    checkedCount === 0 ? '' : `${whole(staleCount)} of ${whole(checkedCount)}`,
  ];
}

function errors(standings: readonly Standing[]): string[] {
  return standings
    .filter(({ errorCount }) => errorCount > 0)
    .map(({ name, errorCount, firstError }) => `  ${name}: ${whole(errorCount)} failed: ${firstError}`);
}

/** The first column to the left, the others to the right. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? `  ${cell.padEnd(widths[0] ?? 0)}` : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

export function whole(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en') : '–';
}

export function decimal(value: number): string {
  return Number.isFinite(value) ? value.toFixed(2) : '–';
}

export function range([low, high]: readonly [number, number]): string {
  return `[${decimal(low)}, ${decimal(high)}]`;
}
