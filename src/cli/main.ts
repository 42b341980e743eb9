#!/usr/bin/env node
/**
 * The `pg-ladder` command: finds out what is asked for, runs it, and turns how it ended into an
 * exit code.
 */
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { printableLines } from '../printable.js';
import { changes, type Outcome } from './changes.js';
import { changesOptions } from './changes-options.js';
import { demoOptions } from './demo/options.js';
import { demo } from './demo.js';
import { explain, explainOptions } from './explain.js';
import { UsageError, usage } from './usage.js';

/** Exit codes; a signal's is 128 plus its number, as shells have it. */
const FAILED = 1;
const WRONG_USAGE = 2;

process.exitCode = await main(process.argv.slice(2)).catch(failure);

async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  if (args.includes('--help') || args.includes('-h')) return print(usage);
  if (command === '--version') return print(`${version()}\n`);
  if (command === 'demo') return interruptible((signal) => demo(demoOptions(rest), signal));
  if (command === 'explain') {
    const options = explainOptions(rest, process.env);
    return interruptible((signal) => explain(options, signal));
  }
  if (command === 'changes') {
    const options = changesOptions(rest, process.env);
    return interruptible((signal) => changes(options, signal));
  }
  process.stderr.write(command === undefined ? usage : `pg-ladder: unknown command${named(command)}\n\n${usage}`);
  return WRONG_USAGE;
}

/** What is no word may be an address, with its password: logs of builds keep it. */
function named(command: string): string {
  return /^[\w-]{1,64}$/.test(command) ? ` "${command}"` : '';
}

/**
 * Runs a task that SIGINT and SIGTERM end in good order; the second signal ends the process at
 * once.
 */
async function interruptible(task: (signal: AbortSignal) => Promise<string | Outcome>): Promise<number> {
  const interruption = new AbortController();
  let code = 0;
  const interrupt = (signal: 'SIGINT' | 'SIGTERM') => {
    if (code !== 0) process.exit(code);
    code = 128 + constants.signals[signal];
    interruption.abort();
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  try {
    const output = await task(interruption.signal);
    if (code !== 0) return code;
    if (typeof output === 'string') return print(output);
    print(output.output);
    return output.code;
  } catch (error) {
    if (code === 0) throw error;
    return code; // what fails while everything is being stopped fails because of that
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

function failure(error: unknown): number {
  const { message, code } = error as Error & { code?: unknown };
  // pg's errors are the server's words.
  process.stderr.write(`pg-ladder: ${printableLines(String(message))}\n`);
  if (error instanceof UsageError) process.stderr.write('See pg-ladder --help.\n');
  return error instanceof UsageError || code === 'LADDER_TEST_BACKEND_MISSING' ? WRONG_USAGE : FAILED;
}

function print(text: string): 0 {
  process.stdout.write(text);
  return 0;
}

function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
