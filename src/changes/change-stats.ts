/** How changes are heard. A snapshot that never changes. */
export interface ChangeStats {
  /**
   * - `starting`: the source has not begun yet.
   * - `current`: all changes are heard.
   * - `broken`: something may have been missed. Nothing counts as unchanged until the source begins
   *   anew, which it tries by itself.
   */
  readonly state: 'starting' | 'current' | 'broken';
  /** Why it is not `current`, or why kept answers do not stay current all the same. */
  readonly problem: string | undefined;
  /** All changes up to there are known; `undefined` while it is not `current`. */
  readonly position: { readonly timeline: number; readonly lsn: string } | undefined;
  /** How long ago the primary's log ended there, in milliseconds; `undefined` where that is not known. */
  readonly delayMillis: number | undefined;
  /**
   * For how long the position has stood still although there is more to be heard, in milliseconds,
   * to the second; 0 where it moves, or the primary is idle. From 5 s on, `problem` says why, where
   * that is known.
   */
  readonly stillMillis: number;
  /** The tables that it hears of, as `schema.name`. */
  readonly tables: readonly string[];
  /**
   * Whether it is known what tables, views, functions and rights are now: what is kept while it is
   * not, only grows old. It becomes known a moment after they have changed.
   */
  readonly areDefinitionsKnown: boolean;
  /** How many changed rows it remembers. */
  readonly keyCount: number;
  /** How many commits it has heard of, and how often it began anew. */
  readonly commitCount: number;
  readonly beginCount: number;
}
