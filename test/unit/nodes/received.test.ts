import { describe, expect, it } from 'vitest';
import { Timelines } from '../../../src/freshness/position.js';
import { isStreaming, type ReceivedRow, upperBoundFrom } from '../../../src/nodes/received.js';

/** A replica on timeline 2 that has received up to 0/500, and replayed up to 0/400. */
const row: ReceivedRow = {
  status: 'streaming',
  timeline: 2,
  received_lsn: '0/500',
  replay_lsn: '0/400',
  in_recovery: true,
};
const known = { clusterId: '7', timelines: new Timelines(2), isAmbiguous: false };
const boundOf = (over: ReceivedRow, history: Partial<typeof known> = {}) =>
  upperBoundFrom({ ...row, ...over }, { clusterId: '7' }, { ...known, ...history });

describe('what a replica has received', () => {
  it('bounds what it shows, as long as it streams', () => {
    expect(boundOf({})).toEqual({ clusterId: '7', timeline: 2, lsn: 0x500n });
    expect(boundOf({ replay_lsn: '0/500' })).toEqual({ clusterId: '7', timeline: 2, lsn: 0x500n });
  });

  it.each(['waiting', 'starting', 'restarting', 'stopping', 'connecting', 'stopped', null])(
    'bounds nothing while its receiver is %s: the log may come from elsewhere',
    (status) => {
      expect(boundOf({ status })).toBeUndefined();
      expect(isStreaming({ ...row, status })).toBe(false);
    },
  );

  it('bounds nothing where it has replayed more: that came from elsewhere', () => {
    expect(boundOf({ replay_lsn: '0/501' })).toBeUndefined();
  });

  it('bounds nothing on another timeline than the one that changes are heard of', () => {
    expect(boundOf({ timeline: 1 })).toBeUndefined();
    expect(boundOf({ timeline: 3 })).toBeUndefined();
    expect(boundOf({}, { timelines: new Timelines(3) })).toBeUndefined();
  });

  it('bounds nothing where two servers write that timeline, or it is of another cluster', () => {
    expect(boundOf({}, { isAmbiguous: true })).toBeUndefined();
    expect(boundOf({}, { clusterId: '8' })).toBeUndefined();
  });

  it('bounds nothing on a server that was promoted', () => {
    expect(boundOf({ in_recovery: false })).toBeUndefined();
  });

  it.each([{}, { received_lsn: '' }, { received_lsn: 5 }, { replay_lsn: null }, { received_lsn: 'x/1' }])(
    'bounds nothing where a server answers what is none: %j',
    (over) => {
      const given = Object.keys(over).length === 0 ? {} : { ...row, ...over };
      expect(upperBoundFrom(given, { clusterId: '7' }, known)).toBeUndefined();
    },
  );

  it('is not shown where there is no answer', () => {
    expect(isStreaming(undefined)).toBe(false);
  });
});
