/** How options are checked, and how a mistake is reported. */
import { z } from 'zod';
import { invalidOptions } from '../errors.js';
import { didYouMean } from '../nearest.js';

/** What Node's timers take. */
export const MOST_MILLIS = 2 ** 31 - 1;
export const millis = z.number().min(0).max(MOST_MILLIS);
export const positiveMillis = millis.gt(0);
// A host's name may serve as a node's.
export const label = z.string().min(1).max(255);
export const freshness = {
  consistency: z.enum(['session', 'eventual', 'strong']).optional(),
  maxStalenessMillis: millis.optional(),
};

/** A schema that refuses unknown options; the error names the option that was probably meant. */
export function optionsOf<Shape extends z.ZodRawShape>(shape: Shape) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) => {
      if (issue.code !== 'unrecognized_keys') return undefined;
      return issue.keys.map((key) => `unknown option "${named(key)}"${didYouMean(key, known)}`).join('; ');
    },
  });
}

/** Without what is left open in it, so that it can be laid over something else. */
export function withoutUndefined<T extends object>(options: T): { [Name in keyof T]?: NonNullable<T[Name]> } {
  const entries = Object.entries(options).filter(([, value]) => value !== undefined && value !== null);
  return Object.fromEntries(entries) as { [Name in keyof T]?: NonNullable<T[Name]> };
}

/** @throws LadderError `LADDER_INVALID_OPTIONS` */
export function check<S extends z.ZodType>(schema: S, options: unknown, where: string): z.infer<S> {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  // Only the place and the kind of the mistake: a value, or a key that is none of ours, may be a
  // connection string.
  const issues = result.error.issues.flatMap(closest);
  const told = issues.map(({ path, message }) => `${path.map(named).join('.') || 'options'}: ${message}`);
  throw invalidOptions(`${where}: ${told.join('; ')}`);
}

/** A key as far as it is a name. */
function named(key: PropertyKey): string {
  const text = String(key);
  return typeof key === 'number' || /^[\w-]{1,64}$/.test(text) ? text : '…';
}

type Mistake = Pick<z.core.$ZodIssue, 'path' | 'message'>;

/**
 * Where several shapes are allowed, what is wrong by the one that was meant: one that fits as a
 * whole, but for what is in it.
 */
function closest(issue: z.core.$ZodIssue): Mistake[] {
  if (issue.code !== 'invalid_union') return [issue];
  const isMeant = (one: z.core.$ZodIssue): boolean => one.path.length > 0 || one.code === 'unrecognized_keys';
  const [meant] = issue.errors.filter((issues) => issues.every(isMeant)).toSorted((a, b) => a.length - b.length);
  if (meant === undefined) return [issue];
  return meant.flatMap(closest).map(({ path, message }) => ({ path: [...issue.path, ...path], message }));
}
