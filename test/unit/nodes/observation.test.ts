import { describe, expect, it } from 'vitest';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import {
  identityFrom,
  isDirect,
  observationFrom,
  replayedLsn,
  shownTimelineFrom,
} from '../../../src/nodes/observation.js';
import { InvalidAnswer } from '../../../src/postgres/errors.js';

const identityRow = {
  cluster_id: '7',
  started_at: '1000',
  version: '180004',
  block_bytes: '8192',
  segment_bytes: 16 * 1024 * 1024,
  pid: 1,
};
const identity = identityFrom(identityRow, { processID: 1 });
const standby = { in_recovery: true, replay_lsn: '0/5000100', insert_lsn: null, flush_lsn: null, wal_file: null };
const primary = {
  in_recovery: false,
  replay_lsn: '',
  insert_lsn: '0/5000200',
  flush_lsn: '0/5000100',
  wal_file: '000000030000000000000005',
};

function trailOn(timeline: number, clusterId = '7'): PrimaryHistory {
  const history = new PrimaryHistory();
  history.add({
    node: 'p',
    heardSince: 0,
    sentAt: 1,
    startedAt: '1',
    clusterId,
    timeline,
    lsn: 0x5000200n,
    forkLsn: undefined,
  });
  return history;
}

describe('what a server says of itself', () => {
  it('gives a primary its insert LSN, its timeline and the fork that it came from', () => {
    const seen = observationFrom({ ...primary, replay_lsn: '0/4000000' }, identity, 5, 0, false);
    expect(seen).toMatchObject({ inRecovery: false, lsn: 0x5000200n, timeline: 3, forkLsn: 0x4000000n, sentAt: 5 });
    expect(observationFrom(primary, identity, 5, 0, true)).toMatchObject({ lsn: 0x5000100n });
  });

  it('is nothing for a replica that has replayed nothing', () => {
    expect(observationFrom({ ...standby, replay_lsn: null }, identity, 5, 0, false)).toBeUndefined();
  });

  it('is another server where another port is listened on, though both began in one microsecond', () => {
    const [one, other, same] = ['5432', '5433', '5432'].map(
      (port) => identityFrom({ ...identityRow, port, pid: 2 }, {}).server,
    );
    expect(one).not.toBe(other);
    expect(one).toBe(same);
  });

  it.each([
    ['no number for its cluster', { cluster_id: null }],
    ['a cluster that is longer than any', { cluster_id: '9'.repeat(10_000_000) }],
    ['a cluster out of range', { cluster_id: '18446744073709551616' }],
    ['a start that is no number', { started_at: 'NaN' }],
    ['a start before there were any', { started_at: '-1' }],
    ['a port that is no number', { port: 'x'.repeat(10) }],
    ['a version as a number', { version: 180004 }],
    ['an absurd version', { version: '99999999' }],
    ['a block of no bytes', { block_bytes: '0' }],
    ['a block that is no power of two', { block_bytes: '8191' }],
    ['a segment of no bytes', { segment_bytes: 0 }],
    ['a segment larger than any', { segment_bytes: 2 ** 40 }],
    ['a segment that is no number', { segment_bytes: Number.NaN }],
    ['a process of a negative number', { pid: -5 }],
    ['no process', { pid: undefined }],
  ])('is not believed when it says who it is with %s', (_, lie) => {
    expect(() => identityFrom({ ...identityRow, ...lie }, {})).toThrow(InvalidAnswer);
  });

  it.each([
    ['no role', { ...standby, in_recovery: null }],
    ['a role that is text', { ...standby, in_recovery: 't' }],
    ['a position that is no LSN', { ...standby, replay_lsn: 'x' }],
    ['a position of any length', { ...standby, replay_lsn: '0'.repeat(10_000_000) }],
    ['writes and no position', { ...primary, insert_lsn: null }],
    ['a position that is a number', { ...primary, insert_lsn: 5 }],
    ['no log file', { ...primary, wal_file: null }],
    ['a log file of wrong digits', { ...primary, wal_file: '0000000G0000000000000005' }],
    ['a log file of a negative timeline', { ...primary, wal_file: '-00000010000000000000005' }],
    ['the timeline 0', { ...primary, wal_file: '000000000000000000000005' }],
    ['nothing at all', undefined],
  ])('is not believed when it says where it stands with %s', (_, row) => {
    expect(() => observationFrom(row, identity, 5, 0, false)).toThrow(InvalidAnswer);
  });

  it('shows the timeline of a replica, or none', () => {
    expect([
      shownTimelineFrom({ timeline: 3 }),
      shownTimelineFrom({ timeline: null }),
      shownTimelineFrom(undefined),
    ]).toEqual([3, 0, 0]);
    for (const timeline of [-1, 1.5, '3', Number.NaN, 2 ** 32]) {
      expect(() => shownTimelineFrom({ timeline })).toThrow(InvalidAnswer);
    }
  });

  it('is no replica’s position when the primary cannot have written so much yet', () => {
    const ahead = observationFrom({ ...standby, replay_lsn: 'FFFFFFFF/FFFFFFFF' }, identity, 5, 0, false);
    expect(replayedLsn(ahead, trailOn(1))).toBeUndefined();
  });

  it.each([
    ['on the first timeline, where nothing can have diverged', standby, 0, 1, '7', 0x5000100n],
    ['on a later timeline that it is shown to be on', standby, 3, 3, '7', 0x5000100n],
    ['on a later timeline without a proof', standby, 0, 3, '7', undefined],
    ['still on the timeline that the primary has left', standby, 2, 3, '7', undefined],
    ['of another cluster', standby, 1, 1, '8', undefined],
    ['that was promoted: its replay LSN is frozen', { ...primary, replay_lsn: '0/5000100' }, 0, 1, '7', undefined],
  ])('counts as replayed log of a replica %s', (_, row, shown, timeline, clusterId, expected) => {
    const seen = observationFrom(row, identity, 5, shown, false);
    expect(replayedLsn(seen, trailOn(timeline, clusterId))).toBe(expected);
  });

  it.each([
    [{ processID: identity.pid }, true],
    [{ processID: identity.pid + 1 }, false],
    [{ processID: null }, false],
    [{}, false],
  ])('shows whether a pooler stands between: the client was told %o, directly: %s', (client, isSo) => {
    expect(isDirect(client, identity)).toBe(isSo);
  });
});
