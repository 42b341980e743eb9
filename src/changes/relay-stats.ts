/** What is counted of the messages that go over a relay. */

/**
 * `waiting`: for a leader, or until it may try. `trying`: to become the leader. `following`: it
 * hears one.
 */
export type RelayRole = 'waiting' | 'trying' | 'leading' | 'following';

export interface RelayStats {
  readonly role: RelayRole;
  /** Messages that are none, or are too long. */
  readonly malformedCount: number;
  /** Of another cluster, database or publication. */
  readonly foreignCount: number;
  /** Of leaders that were replaced. */
  readonly staleCount: number;
  /** That came a second time. */
  readonly repeatedCount: number;
  /** How often messages were missing. */
  readonly gapCount: number;
}

/** Before anybody has subscribed. */
export const NOBODY: RelayStats = {
  role: 'waiting',
  malformedCount: 0,
  foreignCount: 0,
  staleCount: 0,
  repeatedCount: 0,
  gapCount: 0,
};
