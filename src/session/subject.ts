/** Whom a session's tokens are for. It is asked for when it matters, and never remembered. */
import { invalidOptions } from '../errors.js';

/** A function gives it when it is asked; `undefined`, `null` and an empty text stand for nobody. */
export type Subject = string | (() => string | null | undefined) | undefined;

const MAX_LENGTH = 1_024;

/** @throws LadderError `LADDER_INVALID_OPTIONS`, and what the function throws */
export function subjectOf(subject: Subject): string | undefined {
  const found: unknown = typeof subject === 'function' ? subject() : subject;
  if (found === undefined || found === null || found === '') return undefined;
  if (typeof found === 'string' && found.length <= MAX_LENGTH) return found;
  // It is refused; that it also rejects must not end the process.
  if (found instanceof Promise) found.catch(() => undefined);
  throw invalidOptions(
    `session: subject: expected a string of at most ${MAX_LENGTH} characters, or undefined for nobody, at once (it is asked for while a read is placed, and cannot be awaited); got ${kindOf(found)}`,
  );
}

function kindOf(found: unknown): string {
  if (found instanceof Promise) return 'a promise';
  return typeof found === 'string' ? `one of ${found.length}` : typeof found;
}
