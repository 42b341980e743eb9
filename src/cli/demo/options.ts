/** The options of the demo: read from the command line and checked once, here. */
import { parseArgs } from 'node:util';
import { UsageError } from '../usage.js';

export interface DemoOptions {
  readonly replicas: number;
  /** How long each strategy runs. */
  readonly seconds: number;
  /** The longest pause of replay; 0: replay is left alone. */
  readonly jitterMillis: number;
  readonly seed: number;
  /** Figures as JSON instead of a table. */
  readonly json: boolean;
}

/** @throws UsageError */
export function demoOptions(args: readonly string[]): DemoOptions {
  const values = parse(args);
  return {
    replicas: integer('--replicas', values.replicas, 1, 8),
    seconds: integer('--seconds', values.seconds, 1, 60),
    jitterMillis: integer('--jitter', values.jitter, 0, 5_000),
    seed: integer('--seed', values.seed, 0, 2 ** 31 - 1),
    json: values.json,
  };
}

function parse(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        replicas: { type: 'string', default: '2' },
        seconds: { type: 'string', default: '8' },
        jitter: { type: 'string', default: '300' },
        seed: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
      },
    });
    return values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function integer(option: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(`${option}: expected a whole number from ${least} to ${most}, got ${JSON.stringify(text)}`);
}
