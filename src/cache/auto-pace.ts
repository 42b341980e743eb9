/**
 * How fast `auto` looks at reads, learns and decides, and how much of each it does. In one place, so
 * that tests can let its time pass faster.
 */
export interface Pace {
  /** What was learnt is weighed so often, and fades. */
  readonly periodMillis: number;
  /** How many reads are looked at, about, in a second. */
  readonly samplesPerSecond: number;
  /** How many texts are read with PostgreSQL's grammar in a second, at most. */
  readonly textsPerSecond: number;
  /** How much of answers is hashed in a second, at most, in characters of JSON. */
  readonly hashedPerSecond: number;
}

export const PACE: Pace = {
  periodMillis: 10_000,
  samplesPerSecond: 200,
  textsPerSecond: 20,
  hashedPerSecond: 2 ** 20,
};
