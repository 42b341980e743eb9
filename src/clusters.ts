/**
 * The clusters that requests have sessions with: one, or a list. A token that is known to be of one
 * of them goes to that one only.
 */
import type { Cluster } from './cluster.js';
import { invalidOptions } from './errors.js';
import type { SessionOptions } from './options/calls.js';
import { type CarriedSession, carriedBy } from './session/carried-session.js';
import type { CarrierTools } from './session/runner.js';
import type { Session } from './session/session.js';
import { MAX_CLUSTERS } from './token/merge.js';
import { orderOf } from './token/order.js';

/** One cluster, or up to eight that a request, or a job, works with. */
export type Clusters = Cluster | readonly Cluster[];

/** @throws LadderError `LADDER_INVALID_OPTIONS` */
export function listOf(clusters: Clusters): readonly Cluster[] {
  const list = Array.isArray(clusters) ? (clusters as readonly Cluster[]) : [clusters as Cluster];
  const names = new Set(list.map(({ name }) => name));
  if (list.length === 0 || list.length > MAX_CLUSTERS || names.size < list.length) {
    throw invalidOptions(`sessions: expected a cluster, or a list of 1 to ${MAX_CLUSTERS} of different names`);
  }
  return list;
}

export function toolsOf(cluster: Cluster): CarrierTools {
  return cluster.session(carriedBy).carrier;
}

/** Those of the tokens that may be of a cluster. */
export function tokensFor(
  own: CarrierTools,
  all: readonly CarrierTools[],
  tokens: readonly string[],
): readonly string[] {
  if (all.length === 1 || tokens.length === 0) return tokens;
  const ownId = own.clusterId();
  const otherIds = new Set(all.map((tools) => tools.clusterId()));
  return tokens.filter((token) => {
    const id = orderOf(token)?.clusterId;
    return id === ownId || !otherIds.has(id);
  });
}

/** Whether a text has the form of a token of one of these clusters. */
export function tokenTest(all: readonly CarrierTools[]): (text: unknown) => text is string {
  const [first, ...others] = all;
  if (others.length === 0 && first !== undefined) return first.isToken;
  return (text): text is string => all.some(({ isToken }) => isToken(text));
}

/** Opens a session of each, one within the other. */
export function nested<T>(
  [first, ...others]: readonly Cluster[],
  options: SessionOptions,
  fn: (sessions: readonly Session[]) => T,
): T {
  if (first === undefined) return fn([]);
  return first.session((session) => nested(others, options, (inner) => fn([session, ...inner])), options);
}

/** The sessions of the calling code, as far as there are any. */
export function currentSessions(clusters: readonly Cluster[]): readonly CarriedSession[] {
  return clusters.flatMap((cluster) => {
    const session = cluster.currentSession();
    return session === undefined ? [] : [carriedBy(session)];
  });
}

/** Runs `fn` within all of these sessions, for code that has lost its async context. */
export function withinAll<T>(sessions: readonly CarriedSession[], fn: () => T): T {
  const [first, ...others] = sessions;
  return first === undefined ? fn() : first.within(() => withinAll(others, fn));
}
