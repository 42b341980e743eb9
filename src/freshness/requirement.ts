/** What a read asks for: its own options over its session's over the cluster's. Pure. */

/**
 * `session`: never older than what the session wrote, was handed or has seen. `strong`: never older than any write, by anyone,
 * that had returned when the read began. `eventual`: any healthy replica.
 */
export type Consistency = 'session' | 'strong' | 'eventual';

/** Where a read must run: nowhere else, so that a fault is an error and not another rung. */
export type Target = 'primary' | 'replica' | { readonly node: string };

/** The part of the options that decides what is fresh enough. */
export interface FreshnessOptions {
  /**
   * `session` (default): the read sees every write of its session, every position handed to it, and nothing older than an earlier
   * read. `strong`: it also sees everybody's writes that had returned. `eventual`: it may miss them all.
   */
  consistency?: Consistency | undefined;
  /**
   * The oldest data the read accepts, in milliseconds, counted when its statement is sent; 0 and above.
   * Without it a replica may be `maxLagMillis` old, and older while the primary cannot be reached.
   */
  maxStalenessMillis?: number | undefined;
}

export interface Requirement {
  readonly consistency: Consistency;
  /** `undefined`: no bound was asked for. */
  readonly maxStalenessMillis: number | undefined;
}

/** Lays `options` over `base`; returns `base` itself where they change nothing. */
export function requirementOf(options: FreshnessOptions | undefined, base: Requirement): Requirement {
  if (options?.consistency === undefined && options?.maxStalenessMillis === undefined) return base;
  return {
    consistency: options.consistency ?? base.consistency,
    maxStalenessMillis: options.maxStalenessMillis ?? base.maxStalenessMillis,
  };
}
