/**
 * How far what a replica has shown can reach, by what it says of the log that it receives. Parsing and
 * judging only: it asks nobody.
 *
 * While a receiver streams, the server replays from what the receiver has flushed, and from nowhere
 * else: it stops the receiver before it turns to an archive or to files of its own. So a record that is
 * being replayed, and may be visible before the replay position tells, ends where the receiver has
 * flushed, or before. A server that has begun to stream may have replayed more before that, from
 * elsewhere: then the replay position lies beyond, and nothing is claimed.
 *
 * A receiver that only exists proves nothing: one that waits at the end of a timeline goes on living
 * while its server replays from files, of the next timeline, too. So its status and its timeline must
 * be seen, which takes `pg_read_all_stats`.
 */
import { parseLsn } from '../freshness/lsn.js';
import type { Position } from '../freshness/position.js';
import type { PrimaryHistory } from '../freshness/primary-history.js';
import type { Identity } from './observation.js';

/** As PostgreSQL answers; a server may answer anything. */
export type ReceivedRow = Partial<
  Record<'status' | 'timeline' | 'received_lsn' | 'replay_lsn' | 'in_recovery', unknown>
>;

/** Whether it receives, and shows it. */
export function isStreaming(row: ReceivedRow | undefined): row is ReceivedRow {
  return row?.status === 'streaming' && row.in_recovery === true;
}

/** Nothing beyond was visible there when it was asked; `undefined` where the answer does not prove it. */
export function upperBoundFrom(
  row: ReceivedRow,
  { clusterId }: Pick<Identity, 'clusterId'>,
  history: Pick<PrimaryHistory, 'clusterId' | 'timelines' | 'isAmbiguous'>,
): Position | undefined {
  if (!isStreaming(row) || clusterId !== history.clusterId || history.isAmbiguous) return undefined;
  const { timeline } = history.timelines;
  // What lies on a later timeline, at whatever place, is not in the log that changes are heard of.
  if (row.timeline !== timeline) return undefined;
  const received = lsnOf(row.received_lsn);
  const replayed = lsnOf(row.replay_lsn);
  if (received === undefined || replayed === undefined || received < replayed) return undefined;
  return { clusterId, timeline, lsn: received };
}

function lsnOf(text: unknown): bigint | undefined {
  return typeof text === 'string' ? parseLsn(text) : undefined;
}
