/**
 * Takes steps out of a program for as long as what is left still shows a difference: halves first,
 * single steps last.
 */
import type { Program, Step } from './program.js';

/**
 * @param shows how far a program got when it showed a difference; `undefined` when it showed none
 */
export async function shrink(
  program: Program,
  shows: (candidate: Program) => Promise<number | undefined>,
): Promise<Program> {
  const first = await shows(program);
  if (first === undefined) return program;
  let steps: readonly Step[] = program.steps.slice(0, first + 1);
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = steps.length - size; at > -size; at -= size) {
      const from = Math.max(0, at);
      const left = [...steps.slice(0, from), ...steps.slice(at + size)];
      if (left.length === 0) continue;
      const difference = await shows({ ...program, steps: left });
      if (difference !== undefined) {
        steps = left.slice(0, difference + 1);
        at = Math.min(at, steps.length);
      }
    }
  }
  return { ...program, steps };
}
