import { describe, expect, it } from 'vitest';
import { CacheEntry, type Origin } from '../../../src/cache/entry.js';
import { KeptAnswer } from '../../../src/cache/kept-answer.js';
import type { Particulars } from '../../../src/cache/particulars.js';
import type { CachedText } from '../../../src/cache/texts.js';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import { at, position } from '../freshness/positions.js';

const ANSWER = new KeptAnswer('SELECT', 0, { fields: [], parsers: [], prebuilt: {}, rowMaker: undefined }, []);
const PARTICULARS: Particulars = {
  text: {} as CachedText,
  tags: [],
  named: [],
  costMillis: 1,
  isTimed: false,
  dependence: undefined,
};

/** Read at 100 to 110, at 60, while the primary was at 90. */
function entryIn(history: PrimaryHistory, over: Partial<Origin> = {}, particulars: Partial<Particulars> = {}) {
  const origin: Origin = {
    node: 'r1',
    server: 'r1@1',
    clusterId: '7',
    timeline: 1,
    validFrom: 60n,
    seenUpTo: undefined,
    upperBound: undefined,
    askedAt: 100,
    endedAt: 110,
    freshAsOf: history.clock.freshAsOf(60n),
    ...over,
  };
  return new CacheEntry(ANSWER, origin, { ...PARTICULARS, ...particulars }, history);
}

function known(): PrimaryHistory {
  const history = new PrimaryHistory();
  history.add(at(50, 60n));
  history.add(at(95, 90n));
  return history;
}

describe('an answer that is kept', () => {
  it('is as old as the last look at the primary that it shows all of', () => {
    const history = known();
    const entry = entryIn(history);
    expect([entry.lsn, entry.freshAsOf]).toEqual([60n, 50]);
    history.add(at(200, 90n));
    entry.redate();
    expect(entry.freshAsOf).toBe(50);
  });

  it('gets no older while nothing is written, unless it tells the time', () => {
    const history = new PrimaryHistory();
    history.add(at(50, 60n));
    const [entry, timed] = [entryIn(history), entryIn(history, {}, { isTimed: true })];
    history.add(at(200, 60n));
    for (const one of [entry, timed]) one.redate();
    expect([entry.freshAsOf, timed.freshAsOf]).toEqual([200, 50]);
  });

  it('shows nothing beyond what the primary had when it was asked later, and until then nobody knows', () => {
    const history = known();
    const entry = entryIn(history);
    expect(entry.upTo).toBeUndefined();
    history.add(at(109, 95n));
    expect(entry.upTo).toBeUndefined();
    history.add(at(111, 97n));
    expect(entry.upTo).toEqual(position(97n));
  });

  it('is not given where another process has read it beyond what is known of the primary here', () => {
    const history = known();
    const entry = entryIn(history, { seenUpTo: 95n, endedAt: Number.NEGATIVE_INFINITY });
    expect(entry.lsn).toBeUndefined();
    history.add(at(200, 95n));
    expect([entry.lsn, entry.upTo]).toEqual([60n, position(95n)]);
  });

  it('is judged anew after a failover: what the new primary never had is gone, and what may show such', () => {
    const history = known();
    history.add(at(115, 95n));
    const [kept, lost] = [entryIn(history), entryIn(history, { validFrom: 90n })];
    // It may show what was written behind its position, by 150; of the third nobody knows how much it may show.
    const beyond = entryIn(history, { endedAt: 140 });
    history.add(at(150, 120n));
    const unknown = entryIn(history, { endedAt: 160 });
    expect([kept, lost, beyond, unknown].map(({ lsn }) => lsn)).toEqual([60n, 90n, 60n, 60n]);
    history.add({ ...at(200, 130n), timeline: 2, startedAt: '2', forkLsn: 97n });
    expect([kept, lost, beyond, unknown].map(({ lsn }) => lsn)).toEqual([60n, 90n, undefined, undefined]);
    const age = kept.freshAsOf;
    kept.redate();
    expect(kept.freshAsOf).toBe(age);
  });

  it('is gone with its position', () => {
    const history = known();
    const entry = entryIn(history, { validFrom: 80n });
    history.add({ ...at(200, 100n), timeline: 2, startedAt: '2', forkLsn: 70n });
    expect(entry.lsn).toBeUndefined();
  });

  it('is worth nothing where nobody saw the fork, and in another cluster', () => {
    const forked = known();
    const [one, other] = [entryIn(forked), entryIn(forked)];
    forked.add({ ...at(200, 100n), timeline: 3, startedAt: '2' });
    expect(one.lsn).toBeUndefined();
    forked.add({ ...at(300, 100n), clusterId: '8' });
    expect(other.lsn).toBeUndefined();
  });

  it('is worth nothing once two servers were seen to write its timeline, also when a later one is clear again', () => {
    const history = new PrimaryHistory();
    history.add({ ...at(50, 60n), timeline: 2, forkLsn: 40n });
    const entry = entryIn(history, { timeline: 2, validFrom: 60n });
    expect(entry.lsn).toBe(60n);
    history.add({ ...at(200, 50n), node: 'another', timeline: 2, startedAt: '2', heardSince: 0, forkLsn: 40n });
    expect(history.isAmbiguous).toBe(true);
    expect(entry.lsn).toBeUndefined();
    history.add({ ...at(300, 90n), node: 'another', timeline: 3, startedAt: '3', forkLsn: 80n });
    expect(entry.lsn).toBeUndefined();
  });

  it('is worth nothing once the clock was found to stand still, since its age is not known then', () => {
    const history = known();
    const entry = entryIn(history);
    history.forgetTimes(120);
    expect(entry.lsn).toBeUndefined();
    history.add(at(200, 90n));
    expect(entryIn(history, { validFrom: 90n }).lsn).toBe(90n);
  });
});
