import { describe, expect, it } from 'vitest';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import { Sights } from '../../../src/freshness/sights.js';
import { UpperBound } from '../../../src/freshness/upper-bound.js';
import { at, position } from './positions.js';

const ORDERS = ['orders'];
const ITEMS = ['items'];

/** The primary stood at 50, 70, 90 and 99 when it was asked at 10, 110, 210 and 250. */
function history(): PrimaryHistory {
  const known = new PrimaryHistory();
  for (const [sentAt, lsn] of [
    [10, 50n],
    [110, 70n],
    [210, 90n],
    [250, 99n],
  ] as const)
    known.add(at(sentAt, lsn));
  return known;
}

const glimpse = (lsn: bigint | undefined, server = 'r2', askedAt = 0) => ({ lsn, server, askedAt });

describe('what a session has seen', () => {
  it('is in an answer from earlier that shows all that was written when it was seen', () => {
    const sights = new Sights('all');
    sights.read(ORDERS, 'r1', 100);
    expect(sights.areIn(glimpse(69n), ITEMS, history())).toBe(false);
    expect(sights.areIn(glimpse(70n), ITEMS, history())).toBe(true);
  });

  it('is in an answer of the same server that was asked for later', () => {
    const sights = new Sights('all');
    sights.read(ORDERS, 'r1', 100);
    expect(sights.areIn(glimpse(1n, 'r1', 100), ITEMS, history())).toBe(true);
    expect(sights.areIn(glimpse(1n, 'r1', 99), ITEMS, history())).toBe(false);
    expect(sights.areIn(glimpse(1n, 'r2', 100), ITEMS, history())).toBe(false);
  });

  it('is not known to be in anything before the primary was asked again', () => {
    const sights = new Sights('all');
    sights.read(ORDERS, 'r1', 300);
    expect(sights.areIn(glimpse(1_000n), ITEMS, history())).toBe(false);
  });

  it('stays to be seen when the session reads elsewhere, or is shown something else', () => {
    const sights = new Sights('all');
    sights.read(ORDERS, 'r1', 200);
    sights.read(ORDERS, 'r2', 100);
    expect(sights.areIn(glimpse(89n), ORDERS, history())).toBe(false);
    expect(sights.areIn(glimpse(90n), ORDERS, history())).toBe(true);
    sights.shown(ITEMS, glimpse(1n, 'r9'), 0, position(95n));
    expect(sights.areIn(glimpse(94n), ORDERS, history())).toBe(false);
    expect(sights.areIn(glimpse(95n), ORDERS, history())).toBe(true);
  });

  it('counts by table where tables are told apart, and for all where they are not known', () => {
    const sights = new Sights('tables');
    sights.shown(ORDERS, glimpse(1n, 'r9'), 0, position(80n));
    expect(sights.areIn(glimpse(60n), ITEMS, history())).toBe(true);
    expect(sights.areIn(glimpse(60n), [...ITEMS, ...ORDERS], history())).toBe(false);
    sights.shown(undefined, glimpse(1n, 'r9'), 0, position(65n));
    expect(sights.areIn(glimpse(60n), ITEMS, history())).toBe(false);
  });

  it('is where an inner session begins, and nothing of that one counts outside by itself', () => {
    const outer = new Sights('tables');
    outer.shown(ORDERS, glimpse(1n, 'r9'), 0, position(80n));
    const inner = new Sights('tables', outer);
    expect(inner.areIn(glimpse(79n), ORDERS, history())).toBe(false);
    inner.shown(ORDERS, glimpse(1n, 'r9'), 0, position(85n));
    expect(outer.areIn(glimpse(80n), ORDERS, history())).toBe(true);
  });

  it('may be shown again where it was seen last, and nothing else since', () => {
    const sights = new Sights('all');
    const first = glimpse(60n, 'r1', 90);
    sights.read(ORDERS, 'r1', 100);
    sights.recognise(ORDERS, first, 1);
    expect(sights.areIn(first, ORDERS, history())).toBe(true);
    expect(sights.areIn({ ...first }, ORDERS, history())).toBe(false);
    sights.shown(ORDERS, first, 100, position(70n));
    expect(sights.areIn(first, ORDERS, history())).toBe(true);
    sights.read(ORDERS, 'r1', 120);
    expect(sights.areIn(first, ORDERS, history())).toBe(false);
  });

  it('is not taken for the answer of an earlier read where something newer was seen since', () => {
    const sights = new Sights('all');
    const [own, newer] = [glimpse(60n, 'r1', 90), glimpse(95n, 'r1', 110)];
    sights.read(ORDERS, 'r1', 100);
    // A hit beside it is shown before what was read is recognised.
    sights.shown(ITEMS, newer, 120, position(95n));
    sights.recognise(ORDERS, own, 1);
    expect(sights.areIn(own, ORDERS, history())).toBe(false);
    sights.read(ORDERS, 'r1', 130);
    sights.recognise(ORDERS, own, 1);
    expect(sights.areIn(own, ORDERS, history())).toBe(false);
  });

  it('stays to be seen when an older answer of the same server is shown, as to an eventual read', () => {
    const sights = new Sights('all');
    sights.read(ORDERS, 'r1', 200);
    const older = glimpse(60n, 'r1', 90);
    sights.shown(ORDERS, older, 205, position(70n));
    expect(sights.areIn(older, ORDERS, history())).toBe(false);
    expect(sights.areIn(glimpse(89n), ORDERS, history())).toBe(false);
    expect(sights.areIn(glimpse(90n), ORDERS, history())).toBe(true);
  });

  it('is in no answer of which nothing is proven', () => {
    expect(new Sights('all').areIn(glimpse(undefined), ORDERS, history())).toBe(false);
  });

  it('is in an answer from earlier that reaches as far as its server says, before the primary was asked again', () => {
    const sights = new Sights('all');
    const upperBound = new UpperBound();
    sights.read(ORDERS, 'r1', 300, upperBound);
    expect(sights.areIn(glimpse(1_000n), ITEMS, history())).toBe(false);
    expect(sights.pending(ITEMS)).toBe(upperBound);
    upperBound.settle(position(120n));
    expect(sights.pending(ITEMS)).toBeUndefined();
    expect(sights.areIn(glimpse(119n), ITEMS, history())).toBe(false);
    expect(sights.areIn(glimpse(120n), ITEMS, history())).toBe(true);
  });

  it('is in none where its server says nothing, or speaks of another timeline', () => {
    for (const told of [undefined, position(120n, 2)]) {
      const sights = new Sights('all');
      const upperBound = new UpperBound();
      sights.read(ORDERS, 'r1', 300, upperBound);
      upperBound.settle(told);
      expect(sights.areIn(glimpse(1_000n), ITEMS, history())).toBe(false);
    }
  });

  it('stays within what servers have said when the session reads elsewhere', () => {
    const sights = new Sights('all');
    const [first, second] = [new UpperBound(), new UpperBound()];
    first.settle(position(150n));
    second.settle(position(120n));
    sights.read(ORDERS, 'r1', 300, first);
    const inner = new Sights('all', sights);
    inner.read(ORDERS, 'r2', 310, second);
    expect(inner.areIn(glimpse(149n), ITEMS, history())).toBe(false);
    expect(inner.areIn(glimpse(150n), ITEMS, history())).toBe(true);
    // What was within a later bound is forgotten no more than that.
    inner.read(ORDERS, 'r3', 320, second);
    const innermost = new Sights('all', inner);
    expect(innermost.areIn(glimpse(149n), ITEMS, history())).toBe(false);
    expect(innermost.areIn(glimpse(150n), ITEMS, history())).toBe(true);
  });

  it('is not known of a server that has not answered when the session reads elsewhere', () => {
    const sights = new Sights('all');
    const [first, second] = [new UpperBound(), new UpperBound()];
    sights.read(ORDERS, 'r1', 300, first);
    second.settle(position(120n));
    sights.read(ORDERS, 'r2', 310, second);
    first.settle(position(110n));
    expect(sights.areIn(glimpse(1_000n), ITEMS, history())).toBe(false);
  });

  it('is judged by the chain of timelines after a failover', () => {
    const known = history();
    const sights = new Sights('all');
    const upperBound = new UpperBound();
    upperBound.settle(position(120n));
    sights.read(ORDERS, 'r1', 300, upperBound);
    const latest = glimpse(119n, 'r9');
    sights.shown(ITEMS, latest, 0, position(50n));
    known.add({ ...at(400, 130n), timeline: 2, forkLsn: 125n });
    expect(sights.areIn(latest, ITEMS, known)).toBe(false);
    latest.lsn = 120n;
    expect(sights.areIn(latest, ITEMS, known)).toBe(true);
  });

  it('is to be seen up to the present where a failover may have lost it', () => {
    const known = history();
    const sights = new Sights('all');
    const upperBound = new UpperBound();
    upperBound.settle(position(120n));
    sights.read(ORDERS, 'r1', 300, upperBound);
    const latest = glimpse(129n, 'r9');
    sights.shown(ITEMS, latest, 0, position(50n));
    known.add({ ...at(400, 130n), timeline: 2, forkLsn: 110n });
    expect(sights.areIn(latest, ITEMS, known)).toBe(false);
    latest.lsn = 130n;
    expect(sights.areIn(latest, ITEMS, known)).toBe(true);
  });

  it('counts an answer of a server that is shown again up to where that server said', () => {
    const sights = new Sights('tables');
    const upperBound = new UpperBound();
    upperBound.settle(position(120n));
    sights.shown(ORDERS, { ...glimpse(100n, 'r1', 290), upperBound }, 300, undefined);
    expect(sights.areIn(glimpse(119n), ORDERS, history())).toBe(false);
    expect(sights.areIn(glimpse(120n), ORDERS, history())).toBe(true);
  });
});
