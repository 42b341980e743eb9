/** What a run found, for machines: one contender a line, so that a change of one figure is a change of one line. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Result, Verdict } from './bounds.js';
import type { Machine } from './machine.js';
import type { Pace } from './rounds.js';

export interface RunRecord {
  readonly machine: Machine;
  readonly plan: Pace;
  readonly bounds: readonly Verdict[];
  readonly results: readonly Result[];
}

/** Ratios to the first contender; speeds in operations per second, one for each round. */
export function recordText({ machine, plan, bounds, results }: RunRecord): string {
  const list = (items: readonly unknown[], indent: string) =>
    `[\n${items.map((item) => `${indent}  ${JSON.stringify(item, rounded)}`).join(',\n')}\n${indent}]`;
  const blocks = results.map(({ standings, ...trial }) => {
    const head = JSON.stringify(trial).slice(0, -1);
    return `    ${head},"standings":${list(standings, '    ')}}`;
  });
  return `{
  "machine": ${JSON.stringify(machine)},
  "plan": ${JSON.stringify(plan)},
  "bounds": ${list(bounds, '  ')},
  "results": [
${blocks.join(',\n')}
  ]
}
`;
}

export function writeFile(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

/** Four digits are more than any of the figures is worth. */
export function rounded(_key: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isInteger(value) || !Number.isFinite(value)) return value;
  return Math.abs(value) >= 1_000 ? Math.round(value) : Number(value.toPrecision(4));
}
