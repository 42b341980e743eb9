import { describe, expect, it } from 'vitest';
import { PrimaryTrail } from '../../../src/freshness/primary-trail.js';
import { identityFrom, isDirect, observationFrom, replayedLsn } from '../../../src/nodes/observation.js';

const identity = identityFrom({
  cluster_id: '7',
  started_at: '1000',
  version: '180004',
  block_bytes: '8192',
  segment_bytes: 16 * 1024 * 1024,
  pid: 1,
});
const standby = { in_recovery: true, replay_lsn: '0/5000100', insert_lsn: null, flush_lsn: null, wal_file: null };
const primary = {
  in_recovery: false,
  replay_lsn: '',
  insert_lsn: '0/5000200',
  flush_lsn: '0/5000100',
  wal_file: '000000030000000000000005',
};

function trailOn(timeline: number, clusterId = '7'): PrimaryTrail {
  const trail = new PrimaryTrail();
  trail.add({
    node: 'p',
    heardSince: 0,
    sentAt: 1,
    startedAt: '1',
    clusterId,
    timeline,
    lsn: 0x5000200n,
    forkLsn: undefined,
  });
  return trail;
}

describe('what a server says of itself', () => {
  it('gives a primary its insert LSN, its timeline and the fork that it came from', () => {
    const seen = observationFrom({ ...primary, replay_lsn: '0/4000000' }, identity, 5, 0, false);
    expect(seen).toMatchObject({ inRecovery: false, lsn: 0x5000200n, timeline: 3, forkLsn: 0x4000000n, sentAt: 5 });
    expect(observationFrom(primary, identity, 5, 0, true)).toMatchObject({ lsn: 0x5000100n });
  });

  it('is nothing for a replica that has replayed nothing, or text that is no LSN', () => {
    expect(observationFrom({ ...standby, replay_lsn: null }, identity, 5, 0, false)).toBeUndefined();
    expect(observationFrom({ ...standby, replay_lsn: 'x' }, identity, 5, 0, false)).toBeUndefined();
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
