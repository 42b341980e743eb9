import { describe, expect, it } from 'vitest';
import type { Observation } from '../../../src/nodes/observation.js';
import { Past } from '../../../src/nodes/past.js';

function said(sentAt: number, what: Partial<Observation>, server = 'a', isDirect = true): Observation {
  return { sentAt, inRecovery: true, lsn: 100n, timeline: 0, identity: { server, isDirect }, ...what } as Observation;
}

const writing = { inRecovery: false, timeline: 2 };

describe('what a server has said in its life', () => {
  it('is how far it had replayed, and what it was shown to follow', () => {
    const past = new Past();
    past.heard(said(1, { lsn: 200n, timeline: 1 }), 2);
    past.heard(said(0, { lsn: 150n }), 3);
    expect([past.followedLsn, past.followedTimeline]).toEqual([200n, 1]);
    past.heard(said(4, {}, 'another life'), 5);
    expect([past.followedLsn, past.followedTimeline]).toEqual([100n, 0]);
  });

  it.each([
    ['a replica once more', { inRecovery: true }],
    ['the primary of another timeline', { inRecovery: false, timeline: 3 }],
  ])('cannot be taken back: it is %s, and believed nothing more until it is another server', (_, what) => {
    const past = new Past();
    past.heard(said(1, writing), 2);
    expect(() => past.heard(said(3, what), 4)).toThrow('was not restarted');
    expect(() => past.heard(said(5, writing), 6)).toThrow('was not restarted');
    past.heard(said(7, what, 'another life'), 8);
  });

  it('may come in another order than it was said in', () => {
    const past = new Past();
    past.heard(said(1, writing), 10);
    expect(() => past.heard(said(9, {}), 11)).not.toThrow();
  });

  it('says nothing where a pooler stands between, which may lead to another server each time', () => {
    const past = new Past();
    past.heard(said(1, writing, 'a', false), 2);
    expect(() => past.heard(said(3, {}, 'a', false), 4)).not.toThrow();
    expect(past.followedLsn).toBeUndefined();
  });
});
