/** The options of the demo: read from the command line and checked once, here. */
import { accessSync, constants } from 'node:fs';
import { dirname } from 'node:path';
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
  /** Where the pictures go, if any are wanted. */
  readonly svg: SvgFiles | undefined;
}

export interface SvgFiles {
  readonly light: string;
  readonly dark: string;
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
    svg: values.svg === undefined ? undefined : svgFiles(values.svg),
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
        seconds: { type: 'string', default: '6' },
        jitter: { type: 'string', default: '300' },
        seed: { type: 'string', default: '1' },
        json: { type: 'boolean', default: false },
        svg: { type: 'string' },
      },
    });
    return values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Refused before anything runs: who waits for a picture shall not learn at the end that there is none. */
function svgFiles(file: string): SvgFiles {
  if (!/[^/\\]\.svg$/.test(file)) throw new UsageError('--svg: expected a file name that ends in .svg');
  try {
    accessSync(dirname(file), constants.W_OK);
  } catch {
    throw new UsageError('--svg: there is no such folder, or it cannot be written to');
  }
  return { light: file, dark: file.replace(/\.svg$/, '-dark.svg') };
}

function integer(option: string, text: string, least: number, most: number): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw new UsageError(`${option}: expected a whole number from ${least} to ${most}, got ${JSON.stringify(text)}`);
}
