/** A fault that could be made: what it breaks, and which tests must find it. `npm run mutate` plants each. */
export interface Mutation {
  /** What a user would suffer from. */
  readonly name: string;
  /** `rule 5` of the rules that must never break, or `issue 18.1`. */
  readonly breaks: string;
  /** Below the root. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly find: string;
  readonly replace: string;
  /** Those that should find it, the quickest first; one is enough. */
  readonly tests: readonly string[];
}
