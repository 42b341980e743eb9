/** The options of `cluster.listen`: documented for users, and checked before anything runs. */
import { z } from 'zod';
import { isSignal } from '../signals.js';
import { check, optionsOf } from './check.js';

/** Options of `cluster.listen`. */
export interface ListenOptions {
  /** Ends the listening when it aborts: a loop over it ends, without an error. */
  signal?: AbortSignal | undefined;
  /**
   * How many notifications wait for a loop that is busy, 1 to 100,000. Beyond that, newer ones are
   * dropped, and a `gap` takes their place. One is at most 8,000 bytes. Default 1,000.
   */
  bufferSize?: number | undefined;
}

export interface ListenSettings {
  readonly signal?: AbortSignal | undefined;
  readonly bufferSize: number;
}

const schema = optionsOf({
  signal: z.custom<AbortSignal>(isSignal, 'expected an AbortSignal').optional(),
  bufferSize: z.int().min(1).max(100_000).default(1_000),
});

/** @throws LadderError `LADDER_INVALID_OPTIONS` */
export function listenSettings(options: ListenOptions): ListenSettings {
  return check(schema, options, 'listen');
}
