import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import type { Observation } from '../../../src/nodes/observation.js';
import { ReplicaPosition, steadied } from '../../../src/nodes/replica-position.js';

describe('a replica that says more than the primary has written', () => {
  const sample = { node: 'p', heardSince: 0, startedAt: '1', clusterId: '7', timeline: 1, forkLsn: undefined };
  const seen = (sentAt: number, lsn: bigint, server = 'r'): Observation =>
    ({
      sentAt,
      lsn,
      inRecovery: true,
      timeline: 0,
      identity: { clusterId: '7', server, isDirect: true },
    }) as Observation;

  it('has no position from when the primary was asked after it had answered, until it is started anew', () => {
    const history = new PrimaryHistory();
    const whereabouts = new ReplicaPosition(history);
    const primary = (sentAt: number, lsn: bigint): void => {
      history.add({ ...sample, sentAt, lsn });
      whereabouts.compare(sentAt, lsn);
    };
    primary(1, 100n);
    whereabouts.record(seen(2, 150n), 3);
    // The answer may be younger than the primary’s.
    primary(2.5, 140n);
    expect([whereabouts.lsn, whereabouts.hasStrayed]).toEqual([150n, false]);
    primary(3, 150n);
    expect([whereabouts.lsn, whereabouts.hasStrayed]).toEqual([150n, false]);
    whereabouts.record(seen(4, 200n), 5);
    // One that has just started stands behind a page header, which the primary’s position is told without.
    primary(6, 176n);
    expect([whereabouts.lsn, whereabouts.hasStrayed]).toEqual([200n, false]);
    primary(6, 159n);
    expect([whereabouts.lsn, whereabouts.hasStrayed, whereabouts.freshAsOf]).toEqual([
      undefined,
      true,
      Number.NEGATIVE_INFINITY,
    ]);
    // Numerically the primary passes it; what it holds is another history.
    primary(7, 500n);
    whereabouts.record(seen(8, 300n), 9);
    expect(whereabouts.lsn).toBeUndefined();
    whereabouts.record(seen(10, 300n, 'another life'), 11);
    expect(whereabouts.lsn).toBe(300n);
  });
});

describe('a replica whose connection was lost', () => {
  const sample = { node: 'p', heardSince: 0, startedAt: '1', clusterId: '7', timeline: 1, forkLsn: undefined };
  const seen = (sentAt: number, lsn: bigint): Observation =>
    ({
      sentAt,
      lsn,
      inRecovery: true,
      timeline: 1,
      identity: { clusterId: '7', server: 'r', isDirect: true },
    }) as Observation;

  it('has no position until it answers what was asked after that', () => {
    const history = new PrimaryHistory();
    const position = new ReplicaPosition(history);
    expect([position.lsn, position.freshAsOf]).toEqual([undefined, Number.NEGATIVE_INFINITY]);
    history.add({ ...sample, sentAt: 1, lsn: 100n });
    expect(position.record(seen(2, 100n), 3)).toBe(true);
    expect([position.lsn, position.freshAsOf]).toEqual([100n, 1]);
    position.void(4);
    expect([position.lsn, position.freshAsOf, position.shownTimeline]).toEqual([
      undefined,
      Number.NEGATIVE_INFINITY,
      0,
    ]);
    // Its earlier life may have answered that.
    expect(position.record(seen(3.5, 100n), 5)).toBe(false);
    expect(position.lsn).toBeUndefined();
    expect(position.record(seen(6, 100n), 7)).toBe(true);
    expect(position.lsn).toBe(100n);
  });

  it('has none while two servers write the timeline that it is on', () => {
    const history = new PrimaryHistory();
    const position = new ReplicaPosition(history);
    history.add({ ...sample, sentAt: 1, timeline: 2, lsn: 100n });
    position.record(seen(2, 100n), 3);
    expect(position.lsn).toBeUndefined();
    position.record({ ...seen(4, 100n), timeline: 2 }, 5);
    expect(position.lsn).toBe(100n);
    history.add({ ...sample, node: 'q', startedAt: '2', sentAt: 6, timeline: 2, lsn: 100n });
    expect([history.isAmbiguous, position.lsn]).toEqual([true, undefined]);
  });
});

describe('the age that decides about coming and going', () => {
  it('is above exactly those bounds that were passed and have not been met by half since', () => {
    const ages = fc.array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(ages, fc.double({ min: 0.1, max: 100, noNaN: true }), (history, bound) => {
        let isOut = true;
        let steady = Number.POSITIVE_INFINITY;
        for (const age of history) {
          if (age > bound) isOut = true;
          else if (age <= bound / 2) isOut = false;
          steady = steadied(steady, age);
          expect(steady > bound).toBe(isOut);
        }
      }),
    );
  });
});
