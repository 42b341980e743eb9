/**
 * Which of the nodes is the primary, by what they say of themselves. Pure: it sends nothing, promotes no server, and would rather name none than
 * the wrong one. Who cannot be believed, and why, is found out elsewhere.
 */
import type { Observation } from './observation.js';

/** What to do about two servers that both take writes: believe the later timeline, or none of them. */
export type OnTwoPrimaries = 'highestTimeline' | 'refuse';

/** What the election must know of a node. */
export interface Voter {
  readonly name: string;
  /** What it last said; `undefined` while it does not answer. */
  readonly observation: Observation | undefined;
  readonly probe: {
    /** Whether its first question has been settled, with an answer or without. */
    readonly wasAsked: boolean;
  };
  readonly claim: {
    /** Why its claim to take writes is not believed; `undefined` when it is. */
    readonly doubt: string | undefined;
    /** Whether it repeated that claim on a second connection, or need not. */
    readonly isConfirmed: boolean;
  };
}

/** What is known of the cluster so far. */
export interface Known<V> {
  /** The primary so far, or the first guess. */
  readonly primary: V;
  /** `undefined` before any primary was found. */
  readonly clusterId: string | undefined;
  /** The newest timeline on which a primary was seen. */
  readonly timeline: number;
  /** Whether nothing waits any longer for nodes that have not answered yet. */
  readonly isOverdue: boolean;
}

/**
 * `settled`: that one takes writes. `contested`: more than one does, and none of them can be told to be right. `vacant`: none does, as far as
 * the nodes that answer say. `open`: not everybody has been heard yet.
 */
export type Verdict<V> =
  | { readonly is: 'settled'; readonly primary: V }
  | { readonly is: 'contested'; readonly between: readonly V[] }
  | { readonly is: 'vacant' }
  | { readonly is: 'open' };

export function elect<V extends Voter>(voters: readonly V[], known: Known<V>, policy: OnTwoPrimaries): Verdict<V> {
  const isFirst = known.clusterId === undefined;
  // A zombie may answer before the primary does: the first choice waits until everybody had his say.
  if (isFirst && !known.isOverdue && voters.some((voter) => !voter.probe.wasAsked)) return { is: 'open' };

  const claimants = voters.filter(({ observation }) => observation !== undefined && !observation.inRecovery);
  const own = claimants.filter(
    (voter) =>
      voter.claim.doubt === undefined &&
      (isFirst ? isOfGuessedCluster(voter, voters, known.primary) : clusterOf(voter) === known.clusterId),
  );
  const newest = own.reduce(
    (max, voter) => (voter.claim.isConfirmed ? Math.max(max, timelineOf(voter)) : max),
    known.timeline,
  );
  // One that is left on an older timeline has missed a promotion, even while the promoted server does not answer.
  const eligible = own.filter((voter) => timelineOf(voter) === newest);
  const rivals = distinct(policy === 'refuse' ? own : eligible, known.primary);
  if (rivals.length > 1) return { is: 'contested', between: rivals };
  const [primary] = distinct(eligible, known.primary);
  return primary?.claim.isConfirmed === true ? { is: 'settled', primary } : { is: 'vacant' };
}

/** Before any primary was found: of the cluster of the first guess; where that one is silent, the answering nodes must agree with each other. */
function isOfGuessedCluster<V extends Voter>(voter: V, voters: readonly V[], guess: V): boolean {
  if (guess.observation !== undefined) return clusterOf(voter) === clusterOf(guess);
  return voters.every((other) => other.observation === undefined || clusterOf(other) === clusterOf(voter));
}

/** One node for each server: two names may lead to the same one. The present primary stands for its server. */
function distinct<V extends Voter>(voters: readonly V[], present: V): V[] {
  const byServer = new Map<string | undefined, V>();
  for (const voter of voters) {
    const server = voter.observation?.identity.server;
    if (!byServer.has(server) || voter === present) byServer.set(server, voter);
  }
  return [...byServer.values()];
}

function clusterOf({ observation }: Voter): string | undefined {
  return observation?.identity.clusterId;
}

function timelineOf({ observation }: Voter): number {
  return observation?.timeline ?? 0;
}
