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
