/**
 * What a server said about itself, once: who it is, and where it stands. Immutable; parsing only. It believes no answer that PostgreSQL could not have given: a server may be
 * listed, or found, and be anybody's.
 */
import { type Lsn, normaliseLsn, parseLsn, type WalLayout } from '../freshness/lsn.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import { InvalidAnswer } from '../postgres/errors.js';
import { backendKeyOf } from '../postgres/internals.js';

/** Who answers on a connection; fixed for as long as the connection lives. */
export interface Identity {
  /** The system identifier, in decimal: equal for a primary and its replicas. */
  readonly clusterId: string;
  /** The server's start, in microseconds since 1970: another one means that another server, or another life of it, answers. */
  readonly startedAt: string;
  /**
   * Cluster, start and the port that it listens on: which server answers, and in which of its lives. Servers that are
   * started together on one machine can have started in the same microsecond; their ports differ.
   */
  readonly server: string;
  /** `server_version_num`. */
  readonly version: number;
  readonly wal: WalLayout;
  /** The backend's process id. */
  readonly pid: number;
  /** Whether no pooler stands between, so that it is this server for as long as the connection lives. */
  readonly isDirect: boolean;
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

/** As PostgreSQL answers; a server may answer anything. */
export type IdentityRow = Partial<
  Record<'cluster_id' | 'started_at' | 'port' | 'version' | 'block_bytes' | 'segment_bytes' | 'pid', unknown>
>;

/** As PostgreSQL answers; a server may answer anything. */
export type ProbeRow = Partial<Record<'in_recovery' | 'replay_lsn' | 'insert_lsn' | 'flush_lsn' | 'wal_file', unknown>>;

const MOST_CLUSTER_ID = 2n ** 64n - 1n;
/** 8 to 99: which of them will do is not asked here. */
const VERSIONS = [80_000, 1_000_000] as const;
/** What configure and initdb allow. */
const BLOCK_BYTES = [1024, 65_536] as const;
const SEGMENT_BYTES = [2 ** 20, 2 ** 30] as const;
const MOST_TIMELINE = 2 ** 32 - 1;

/** Whether no pooler stands between: one does not tell which backend will answer. */
export function isDirect(client: object, { pid }: Pick<Identity, 'pid'>): boolean {
  return backendKeyOf(client).processId === pid;
}

/** @param client pg's, on which it was asked @throws InvalidAnswer */
export function identityFrom(row: IdentityRow | undefined, client: object): Identity {
  if (row === undefined) throw new InvalidAnswer('it does not say who it is');
  const clusterId = digits(row.cluster_id, 'the system identifier');
  if (BigInt(clusterId) > MOST_CLUSTER_ID) throw new InvalidAnswer('the system identifier is out of range');
  const startedAt = digits(row.started_at, 'the time of its start');
  // What only speaks the protocol may have no such setting.
  const port = digits(row.port ?? '0', 'its port');
  const pid = integer(row.pid, [1, 2 ** 31 - 1], 'the process id');
  return {
    clusterId,
    startedAt,
    server: `${clusterId}@${startedAt}:${port}`,
    version: integer(Number(digits(row.version, 'the version')), VERSIONS, 'the version'),
    wal: {
      blockBytes: size(Number(digits(row.block_bytes, 'wal_block_size')), BLOCK_BYTES, 'wal_block_size'),
      segmentBytes: size(row.segment_bytes, SEGMENT_BYTES, 'wal_segment_size'),
    },
    pid,
    isDirect: isDirect(client, { pid }),
  };
}

/**
 * @param shownTimeline a replica's, 0 where it was not asked for
 * @returns `undefined` when the server told no position: a replica that has replayed nothing yet
 * @throws InvalidAnswer
 */
export function observationFrom(
  row: ProbeRow | undefined,
  identity: Identity,
  sentAt: number,
  shownTimeline: number,
  assumeSynchronousCommit: boolean,
): Observation | undefined {
  if (typeof row?.in_recovery !== 'boolean') throw new InvalidAnswer('it does not say whether it is in recovery');
  const replayLsn = lsnOf(row.replay_lsn, 'the replay position');
  if (row.in_recovery) {
    if (replayLsn === undefined) return undefined;
    return { identity, sentAt, inRecovery: true, lsn: replayLsn, timeline: shownTimeline, forkLsn: undefined };
  }
  const lsn = assumeSynchronousCommit
    ? lsnOf(row.flush_lsn, 'the flush position')
    : lsnOf(row.insert_lsn, 'the insert position');
  if (lsn === undefined) throw new InvalidAnswer('it takes writes, and tells no position');
  return {
    identity,
    sentAt,
    inRecovery: false,
    lsn: normaliseLsn(lsn, identity.wal),
    timeline: timelineOfWalFile(row.wal_file),
    forkLsn: replayLsn,
  };
}

/** The timeline that a replica says it is on, 0 where it says none. @throws InvalidAnswer */
export function shownTimelineFrom(row: { readonly timeline?: unknown } | undefined): number {
  const timeline = row?.timeline ?? 0;
  return integer(timeline, [0, MOST_TIMELINE], 'the timeline');
}

/** Whether a replica is proven to follow the primary's own history, as far as its position can be believed. */
export function isFollower(observation: Observation | undefined, history: PrimaryHistory): observation is Observation {
  if (observation === undefined || !observation.inRecovery || observation.identity.clusterId !== history.clusterId)
    return false;
  if (history.isAmbiguous) return false;
  // After a failover a replica may have replayed past the fork on the old timeline. On the first one nothing can have diverged.
  const { timeline } = history.timelines;
  return timeline === 1 || observation.timeline === timeline;
}

/** How far a replica has replayed the primary's own history; `undefined` where it is not proven that it follows it. */
export function replayedLsn(observation: Observation | undefined, history: PrimaryHistory): Lsn | undefined {
  if (!isFollower(observation, history)) return undefined;
  const { lsn, sentAt } = observation;
  // What the primary cannot have written yet, no replica has replayed.
  return lsn > history.highest && lsn > history.ceilingAt(sentAt) ? undefined : lsn;
}

function digits(value: unknown, what: string): string {
  // The length comes first: the text may be of any size.
  if (typeof value !== 'string' || value.length > 20 || !/^[0-9]+$/.test(value))
    throw new InvalidAnswer(`${what} is no number`);
  return value;
}

function integer(value: unknown, [least, most]: readonly [number, number], what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw new InvalidAnswer(`${what} is no integer`);
  if (value < least || value > most) throw new InvalidAnswer(`${what} is out of range`);
  return value;
}

/** A power of two: what is divided by it must be. */
function size(value: unknown, range: readonly [number, number], what: string): bigint {
  const bytes = BigInt(integer(value, range, what));
  if ((bytes & (bytes - 1n)) !== 0n) throw new InvalidAnswer(`${what} is no power of two`);
  return bytes;
}

function lsnOf(text: unknown, what: string): Lsn | undefined {
  // `concat` makes an empty text of what is not there.
  if (text === null || text === '') return undefined;
  const lsn = typeof text === 'string' ? parseLsn(text) : undefined;
  if (lsn === undefined) throw new InvalidAnswer(`${what} is no LSN`);
  return lsn;
}

/** Its first eight digits; of servers that tell no positions, these alone. */
function timelineOfWalFile(name: unknown): number {
  const isName = typeof name === 'string' && name.length <= 24 && /^[0-9A-F]{8}(?:[0-9A-F]{16})?$/i.test(name);
  const timeline = isName ? Number.parseInt(name.slice(0, 8), 16) : 0;
  if (timeline === 0) throw new InvalidAnswer('the name of its log file is none');
  return timeline;
}
