/**
 * Draws and plays programs, several at once, until enough statements were sent or two worlds
 * differ; then plays the one that did alone, and makes it small.
 */
import { inspect } from 'node:util';
import { drawProgram } from './grammar.js';
import { type Difference, play } from './play.js';
import type { ProcessWatch } from './process-watch.js';
import { type Program, printProgram } from './program.js';
import type { Pair } from './servers.js';
import { shrink } from './shrink.js';
import type { Switch } from './switches.js';

export interface FuzzOptions {
  /** The first program's seed; the others count on from it. */
  readonly seed: number;
  /** Ends after so many statements, or milliseconds, whatever comes first. */
  readonly statements: number;
  readonly millis?: number;
  /** Steps of a program. */
  readonly length: number;
  readonly switches: ReadonlySet<Switch>;
  /** Told after each program. */
  readonly progress?: (seed: number, programCount: number, statementCount: number) => void;
}

export interface Find {
  readonly program: Program;
  readonly difference: Difference;
  /** Whether it also shows alone: only then is the program made small. */
  readonly isRepeatable: boolean;
}

export interface FuzzReport {
  readonly programCount: number;
  readonly statementCount: number;
  readonly statementsPerSecond: number;
  readonly documented: Readonly<Record<string, number>>;
  readonly find: Find | undefined;
}

/** A program that differed among others is played alone that often. */
const TRIALS = 3;

/** @param pairs one program at a time on each */
export async function fuzz(pairs: readonly Pair[], watch: ProcessWatch, options: FuzzOptions): Promise<FuzzReport> {
  const { statements, millis = Number.POSITIVE_INFINITY, length, switches } = options;
  const startedAt = performance.now();
  const documented: Record<string, number> = {};
  const finds: { program: Program; difference: Difference }[] = [];
  let [seed, programCount, statementCount] = [options.seed, 0, 0];
  const goesOn = (): boolean =>
    finds.length === 0 && statementCount < statements && performance.now() - startedAt < millis;
  const runner = async (pair: Pair): Promise<void> => {
    while (goesOn()) {
      const program = drawProgram(seed++, switches, length);
      const verdict = await play(pair, watch, program);
      programCount++;
      statementCount += verdict.statementCount;
      options.progress?.(program.seed, programCount, statementCount);
      for (const [name, count] of Object.entries(verdict.documented))
        documented[name] = (documented[name] ?? 0) + count;
      if (verdict.difference !== undefined) finds.push({ program, difference: verdict.difference });
    }
  };
  await Promise.all(pairs.map(runner));
  const statementsPerSecond = (statementCount / (performance.now() - startedAt)) * 1_000;
  const first = await confirmed(pairs[0] as Pair, watch, finds);
  return { programCount, statementCount, statementsPerSecond, documented, find: first };
}

async function confirmed(
  pair: Pair,
  watch: ProcessWatch,
  finds: readonly { program: Program; difference: Difference }[],
): Promise<Find | undefined> {
  for (const { program } of finds) {
    for (let trial = 0; trial < TRIALS; trial++) {
      const { difference } = await play(pair, watch, program);
      if (difference === undefined) continue;
      const smallest = await shrink(program, async (smaller) => {
        const found = (await play(pair, watch, smaller)).difference;
        return found?.what === difference.what ? found.at : undefined;
      });
      const again = (await play(pair, watch, smallest)).difference;
      return { program: smallest, difference: again ?? difference, isRepeatable: true };
    }
  }
  const [first] = finds;
  return first === undefined ? undefined : { ...first, isRepeatable: false };
}

export function printFind({ program, difference, isRepeatable }: Find): string {
  const { at, what, bare, ladder } = difference;
  const { steps } = program;
  const shown = isRepeatable ? program : { ...program, steps: steps.slice(Math.max(0, at - 30), at + 1) };
  const show = (outcome: unknown): string => inspect(outcome, { depth: 6, breakLength: 120 });
  return [
    `${what}, at step ${at + 1} of ${steps.length}${isRepeatable ? '' : ' (not when it was played alone; the last steps)'}`,
    printProgram(shown),
    `bare pg: ${show(bare)}`,
    `pg-ladder: ${show(ladder)}`,
  ].join('\n');
}
