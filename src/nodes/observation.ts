/** What a server said about itself, once: who it is, and where it stands. Immutable; parsing only. */

import { type Lsn, normaliseLsn, parseLsn, type WalLayout } from '../freshness/lsn.js';
import type { PrimaryTrail } from '../freshness/primary-trail.js';
import { printable } from '../printable.js';

/** Far above the 20 digits that there can be. */
const MAX_ID_LENGTH = 64;

/** Who answers on a connection; fixed for as long as the connection lives. */
export interface Identity {
  /** The system identifier, in decimal: equal for a primary and its replicas. */
  readonly clusterId: string;
  /** The server's start, in microseconds since 1970: another one means that another server, or another life of it, answers. */
  readonly startedAt: string;
  /** Cluster and start together: which server answers, and in which of its lives. */
  readonly server: string;
  /** `server_version_num`. */
  readonly version: number;
  readonly wal: WalLayout;
  /** The backend's process id. */
  readonly pid: number;
}

export interface Observation {
  readonly identity: Identity;
  /** Our monotonic clock before the question was sent, in milliseconds. */
  readonly sentAt: number;
  readonly inRecovery: boolean;
  /** A replica's replay LSN, a primary's normalised insert LSN (or flush LSN, where that was chosen). */
  readonly lsn: Lsn;
  /** A primary's own timeline; a replica's as far as it is shown, 0 where it was not asked for. */
  readonly timeline: number;
  /** Where a promoted server left the timeline before its own. */
  readonly forkLsn: Lsn | undefined;
}

export interface IdentityRow {
  cluster_id: string;
  started_at: string;
  version: string;
  block_bytes: string;
  segment_bytes: number;
  pid: number;
}

export interface ProbeRow {
  in_recovery: boolean;
  /** Empty or `null` where nothing was replayed. */
  replay_lsn: string | null;
  insert_lsn: string | null;
  flush_lsn: string | null;
  wal_file: string | null;
}

/** Whether no pooler stands between: one does not tell which backend will answer. */
export function isDirect(client: object, { pid }: Identity): boolean {
  return (client as { processID?: unknown }).processID === pid;
}

export function identityFrom(row: IdentityRow): Identity {
  return {
    // It is shown in stats and errors, and a server may say anything.
    clusterId: printable(row.cluster_id, MAX_ID_LENGTH),
    startedAt: row.started_at,
    server: `${row.cluster_id}@${row.started_at}`,
    version: Number(row.version),
    wal: { blockBytes: BigInt(row.block_bytes), segmentBytes: BigInt(row.segment_bytes) },
    pid: row.pid,
  };
}

/**
 * @param shownTimeline a replica's, 0 where it was not asked for
 * @returns `undefined` when the server told no position: a replica that has replayed nothing yet
 */
export function observationFrom(
  row: ProbeRow,
  identity: Identity,
  sentAt: number,
  shownTimeline: number,
  assumeSynchronousCommit: boolean,
): Observation | undefined {
  const replayLsn = row.replay_lsn === null ? undefined : parseLsn(row.replay_lsn);
  if (row.in_recovery) {
    if (replayLsn === undefined) return undefined;
    return { identity, sentAt, inRecovery: true, lsn: replayLsn, timeline: shownTimeline, forkLsn: undefined };
  }
  const text = assumeSynchronousCommit ? row.flush_lsn : row.insert_lsn;
  const lsn = text === null ? undefined : parseLsn(text);
  if (lsn === undefined || row.wal_file === null) return undefined;
  return {
    identity,
    sentAt,
    inRecovery: false,
    lsn: normaliseLsn(lsn, identity.wal),
    timeline: Number.parseInt(row.wal_file.slice(0, 8), 16),
    forkLsn: replayLsn,
  };
}

/** How far a replica has replayed the primary's own history; `undefined` where it is not proven that it follows it. */
export function replayedLsn(observation: Observation | undefined, trail: PrimaryTrail): Lsn | undefined {
  if (observation === undefined || !observation.inRecovery || observation.identity.clusterId !== trail.clusterId)
    return undefined;
  if (trail.isAmbiguous) return undefined;
  // After a failover a replica may have replayed past the fork on the old timeline. On the first one nothing can have diverged.
  const { timeline } = trail.history;
  return timeline === 1 || observation.timeline === timeline ? observation.lsn : undefined;
}
