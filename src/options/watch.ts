/** The options of `cluster.watch`: documented for users, and checked before anything runs. */
import { z } from 'zod';
import { isSignal } from '../signals.js';
import { check, millis, optionsOf, positiveMillis } from './check.js';

/** Options of `cluster.watch`. */
export interface WatchOptions<Row = Record<string, unknown>> {
  /** Ends the watch when it aborts: the loop is over, without an error. */
  signal?: AbortSignal | undefined;
  /** How far runs are apart at least, in milliseconds, 0 and above. Default 100. */
  minIntervalMillis?: number | undefined;
  /**
   * How old a state may be, in milliseconds, above 0. The query runs again that often wherever
   * changes do not show that its state still holds. Default 5,000.
   */
  maxStalenessMillis?: number | undefined;
  /** The columns by which rows are told apart: then each state says what has changed since the last one. */
  diff?: (keyof Row & string) | readonly (keyof Row & string)[] | undefined;
  /**
   * The `id` of a state that the reader has, of this process or another one. The first state shows
   * all that was known to be in that, and says in `missed` whether it is another one. What is no id
   * of the same text and values counts as absent.
   */
  since?: string | undefined;
  /** Tables on which it depends where that cannot be told, as behind some functions. */
  tables?: readonly string[] | undefined;
}

const schema = optionsOf({
  signal: z.custom<AbortSignal>(isSignal, 'expected an AbortSignal').optional(),
  minIntervalMillis: millis.default(100),
  maxStalenessMillis: positiveMillis.optional(),
  diff: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)], 'expected names of columns').optional(),
  since: z.unknown().optional(),
  tables: z.array(z.string().min(1).max(1_024)).max(1_000).default([]),
});

/** What a watch goes by. */
export interface WatchSettings {
  readonly signal: AbortSignal | undefined;
  readonly minIntervalMillis: number;
  /** `undefined`: nobody asked for a bound on what servers show. */
  readonly maxStalenessMillis: number | undefined;
  readonly diff: readonly string[] | undefined;
  readonly since: string | undefined;
  readonly tables: readonly string[];
}

/** @throws LadderError `LADDER_INVALID_OPTIONS` */
export function watchSettings(given: object): WatchSettings {
  const { signal, minIntervalMillis, maxStalenessMillis, diff, since, tables } = check(schema, given, 'watch');
  return {
    signal,
    minIntervalMillis,
    maxStalenessMillis,
    diff: typeof diff === 'string' ? [diff] : diff,
    since: typeof since === 'string' ? since : undefined,
    tables,
  };
}
