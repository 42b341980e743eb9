import { describe, expect, it } from 'vitest';
import { Floor } from '../../../src/freshness/floor.js';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';

const server = { node: 'p', clusterId: '7', startedAt: '1', heardSince: 0, timeline: 1, forkLsn: undefined };
const at = (sentAt: number, lsn: bigint) => ({ ...server, sentAt, lsn });
const position = (lsn: bigint, timeline = 1, clusterId = '7') => ({ clusterId, timeline, lsn });

describe('a session’s floor', () => {
  it('asks for nothing before the first write', () => {
    expect(new Floor().resolve(new PrimaryHistory())).toBe(0n);
  });

  it('is pending after a write, until an answer of the primary that was asked for after the write returned', () => {
    const history = new PrimaryHistory();
    history.add(at(10, 100n));
    const floor = new Floor();
    floor.wrote(10, 1);
    expect(floor.resolve(history)).toBe('pending');
    history.add(at(20, 150n));
    history.add(at(30, 500n));
    expect(floor.resolve(history)).toBe(150n);
  });

  it('folds into the floors around it, and a new session starts from them', () => {
    const history = new PrimaryHistory();
    const process = new Floor();
    const outer = new Floor(process, process);
    const inner = new Floor(outer, outer);
    inner.wrote(10, 1);
    history.add(at(20, 100n));
    expect([process, outer, inner].map((f) => f.resolve(history))).toEqual([100n, 100n, 100n]);
    expect(new Floor(process, process).resolve(history)).toBe(100n);
    expect(new Floor(process).resolve(history)).toBe(0n);
  });

  it('folds what comes from outside into the sessions around it, and not into the process', () => {
    const history = new PrimaryHistory();
    history.add(at(20, 100n));
    const process = new Floor();
    const outer = new Floor(process, process);
    const inner = new Floor(outer);
    inner.claim(position(50n), 10);
    expect([process, outer, inner].map((f) => f.resolve(history))).toEqual([0n, 50n, 50n]);
    inner.pin();
    expect([process, outer, inner].map((f) => f.resolve(history))).toEqual([0n, 'unprovable', 'unprovable']);
  });

  it('lets only the primary answer while a write that was cut off may still commit', () => {
    const history = new PrimaryHistory();
    const floor = new Floor();
    const write = { settledAt: undefined as number | undefined };
    floor.hold(write);
    history.add(at(20, 100n));
    expect(floor.resolve(history)).toBe('unprovable');
    write.settledAt = 25;
    expect(floor.resolve(history)).toBe('pending');
    history.add(at(30, 200n));
    expect(floor.resolve(history)).toBe(200n);
  });

  it('hands a cut-off write that is over to new sessions as one that returned', () => {
    const history = new PrimaryHistory();
    const process = new Floor();
    process.hold({ settledAt: 25 });
    process.hold({ settledAt: 15 });
    const session = new Floor(process, process);
    history.add(at(20, 100n));
    expect(session.resolve(history)).toBe('pending');
    history.add(at(30, 200n));
    expect([session.resolve(history), process.resolve(history)]).toEqual([200n, 200n]);
  });

  it('takes a token’s position once the primary was seen there, and merges by maximum', () => {
    const history = new PrimaryHistory();
    history.add(at(10, 100n));
    const floor = new Floor();
    floor.claim(position(90n), 11);
    floor.claim(position(50n), 12);
    expect(floor.resolve(history)).toBe(90n);
    expect(floor.position(history)).toEqual(position(90n));
  });

  it('drops a forged position after one look at the primary, and keeps the honest one beside it', () => {
    const history = new PrimaryHistory();
    history.add(at(10, 100n));
    const floor = new Floor();
    floor.claim(position(80n), 11);
    floor.claim(position(2n ** 64n - 1n), 12);
    expect(floor.resolve(history)).toBe('pending');
    history.add(at(20, 100n));
    expect(floor.resolve(history)).toBe(80n);
    expect(history.refused.ahead).toBe(1);
  });

  it('drops a position of another cluster', () => {
    const history = new PrimaryHistory();
    history.add(at(10, 100n));
    const floor = new Floor();
    floor.claim(position(1n, 1, '8'), 11);
    expect(floor.resolve(history)).toBe(0n);
    expect(history.refused.foreign).toBe(1);
  });

  it('gives up a lost write’s position after a failover, and asks for what the new primary has instead', () => {
    const history = new PrimaryHistory();
    const floor = new Floor();
    floor.wrote(5, 1);
    history.add(at(10, 150n));
    expect(floor.resolve(history)).toBe(150n);
    history.add({ ...at(20, 120n), timeline: 2, startedAt: '2', forkLsn: 100n });
    expect(floor.resolve(history)).toBe(120n);
    expect(history.refused.lost).toBe(1);
  });

  it('reports a lost write also when nobody asked for its position before the failover', () => {
    const history = new PrimaryHistory();
    const floor = new Floor();
    floor.wrote(5, 1);
    history.add(at(10, 150n));
    history.add({ ...at(20, 120n), timeline: 2, startedAt: '2', forkLsn: 100n });
    expect(floor.resolve(history)).toBe(120n);
    expect(history.refused.lost).toBe(1);
  });

  it('keeps asking for what the new primary has in every floor that shares a lost token', () => {
    const history = new PrimaryHistory();
    history.add({ ...at(10, 500n), timeline: 2, forkLsn: 100n });
    const floor = new Floor();
    floor.claim(position(150n), 11);
    const copy = new Floor(undefined, floor);
    expect([copy.resolve(history), floor.resolve(history)]).toEqual([500n, 500n]);
    expect(history.refused.lost).toBe(1);
  });

  it('keeps a token of a later timeline until every node has answered a question asked after it came', () => {
    const history = new PrimaryHistory();
    history.add(at(10, 100n));
    const floor = new Floor();
    floor.claim(position(50n, 2), 11);
    history.add(at(20, 110n));
    expect([floor.resolve(history), floor.outruns(history)]).toEqual(['pending', true]);
    history.surveyedAt = 30;
    expect(floor.resolve(history)).toBe(0n);
    expect(history.refused.ahead).toBe(1);
  });

  it('takes a token of a later timeline up again when a server turns up on that after all', () => {
    const history = new PrimaryHistory();
    history.add(at(10, 100n));
    const floor = new Floor();
    floor.claim(position(50n, 2), 11);
    history.surveyedAt = 30;
    expect([floor.resolve(history), floor.resolve(history), floor.outruns(history)]).toEqual([0n, 0n, false]);
    history.add({ ...at(40, 60n), timeline: 2, startedAt: '2', forkLsn: 40n });
    expect(floor.resolve(history)).toBe(50n);
    expect(history.refused.ahead).toBe(1);
  });

  it('keeps reads on the primary for a later timeline no longer than its token lives, whichever node is silent', () => {
    const history = new PrimaryHistory();
    history.add(at(10, 100n));
    const floor = new Floor();
    floor.claim(position(50n, 2), performance.now(), performance.now() - 1);
    expect(floor.resolve(history)).toBe(0n);
    expect(history.refused.ahead).toBe(1);
    floor.claim(position(50n, 2), performance.now(), performance.now() + 60_000);
    expect(floor.resolve(history)).toBe('pending');
  });

  it('starts from what its client holds without a move, and without those around it', () => {
    const history = new PrimaryHistory();
    history.add(at(20, 100n));
    let moves = 0;
    const outer = new Floor(new Floor());
    const floor = new Floor(outer);
    for (const one of [outer, floor]) one.whenMoved(() => moves++);
    floor.startFrom({ position: position(50n), arrivedAt: 1, until: 2, isRefused: false });
    expect([floor, outer].map((one) => one.resolve(history))).toEqual([50n, 0n]);
    floor.startFrom(undefined);
    expect([floor.isPinned, outer.isPinned, moves]).toEqual([true, false, 0]);
  });

  it('keeps a surviving write’s position after a failover', () => {
    const history = new PrimaryHistory();
    const floor = new Floor();
    floor.wrote(5, 1);
    history.add(at(10, 90n));
    expect(floor.resolve(history)).toBe(90n);
    history.add({ ...at(20, 120n), timeline: 2, startedAt: '2', forkLsn: 100n });
    expect(floor.resolve(history)).toBe(90n);
  });

  it('asks for what the primary has now where nobody saw at which place an older timeline was left', () => {
    const history = new PrimaryHistory();
    history.add({ ...at(10, 500n), timeline: 3 });
    const floor = new Floor();
    floor.claim(position(1n, 1), 11);
    expect(floor.resolve(history)).toBe(500n);
    const writer = new Floor();
    writer.wrote(5, 1);
    expect(writer.resolve(history)).toBe(500n);
    expect(history.refused).toMatchObject({ lost: 0, uncertain: 1 });
  });

  it('gives up what an unclean restart of the primary took with it', () => {
    const history = new PrimaryHistory();
    const floor = new Floor();
    floor.wrote(5, 1);
    history.add(at(10, 150n));
    expect(floor.resolve(history)).toBe(150n);
    history.add({ ...at(20, 120n), startedAt: '2' });
    expect(floor.resolve(history)).toBe(120n);
    expect(history.refused.lost).toBe(1);
  });

  it('takes a server for the last one at another address, where nobody can have been promoted and it goes on behind its end', () => {
    const history = new PrimaryHistory();
    history.add(at(10, 100n));
    history.add({ ...at(20, 120n), node: 'elsewhere', startedAt: '2', heardSince: 15 });
    expect(history.isAmbiguous).toBe(false);
    history.add({ ...at(30, 119n), node: 'restored from a copy', startedAt: '3', heardSince: 25 });
    expect(history.isAmbiguous).toBe(true);
    history.add({ ...at(40, 130n), node: 'there before', startedAt: '4', heardSince: 29 });
    expect(history.isAmbiguous).toBe(true);
  });

  it('believes no replica when two servers have written one timeline', () => {
    const history = new PrimaryHistory();
    history.add({ ...at(10, 100n), timeline: 2, forkLsn: 50n });
    history.add({ ...at(20, 120n), timeline: 2, startedAt: '2', forkLsn: 110n });
    expect(history.isAmbiguous).toBe(false); // the same node after a crash, which tells how far it had to replay
    history.add({ ...at(30, 90n), timeline: 2, node: 'q', startedAt: '3', forkLsn: 60n });
    expect(history.isAmbiguous).toBe(true);
    history.add({ ...at(40, 90n), timeline: 3, node: 'q', startedAt: '3', forkLsn: 90n });
    expect(history.isAmbiguous).toBe(false);
  });

  describe('when a server was taken for the primary that was none, and is disowned', () => {
    const liar = { timeline: 2, startedAt: 'liar', node: 'liar', forkLsn: 90n };

    it('goes by what the primary has, where its position was the liar’s word, and tells that the write is lost', () => {
      const history = new PrimaryHistory();
      history.add(at(10, 100n));
      const floor = new Floor();
      const token = new Floor();
      floor.wrote(15, 2);
      history.add({ ...at(20, 5n), ...liar });
      expect(floor.resolve(history)).toBe(5n);
      history.disown(1);
      expect([history.timelines.timeline, history.highest, history.startedAt]).toEqual([1, 100n, '1']);
      history.add(at(30, 120n));
      expect([floor.resolve(history), history.refused.lost, history.isAmbiguous]).toEqual([120n, 1, false]);
      // One that comes from outside is honest, for all that its bearer knows: what he wrote before lies below what there is.
      token.claim(position(5n, 2), 31);
      history.surveyedAt = 40;
      expect(token.resolve(history)).toBe(120n);
    });

    it('tells of a write that the liar took before anybody asked for its position', () => {
      const history = new PrimaryHistory();
      history.add(at(10, 100n));
      history.add({ ...at(20, 5n), ...liar });
      const floor = new Floor();
      floor.wrote(25, 2);
      history.disown(1);
      history.add(at(30, 120n));
      expect([floor.resolve(history), history.refused.uncertain]).toEqual([120n, 1]);
    });

    it('never takes the liar’s positions for those of a server that begins that timeline in truth', () => {
      const history = new PrimaryHistory();
      history.add(at(10, 100n));
      history.add({ ...at(20, 5n), ...liar });
      history.disown(1);
      history.add(at(30, 120n));
      history.add({ ...at(40, 130n), timeline: 2, node: 'heir', startedAt: '3', forkLsn: 110n });
      const floor = new Floor();
      floor.claim(position(5n, 2), 41);
      // Below the fork a replica on the new timeline need not have what was written on the old one.
      expect(floor.resolve(history)).toBe(130n);
      const honest = new Floor();
      honest.claim(position(125n, 2), 41);
      expect(honest.resolve(history)).toBe(125n);
    });

    it('goes back to where the first of several liars began, and nowhere once a replica has followed', () => {
      const history = new PrimaryHistory();
      history.add(at(10, 100n));
      for (let timeline = 2; timeline < 50; timeline++)
        history.add({ ...at(20, 5n), ...liar, timeline, startedAt: `${timeline}` });
      history.disown(1);
      expect([history.timelines.timeline, history.startedAt]).toEqual([1, '1']);
      history.add({ ...at(40, 130n), ...liar });
      history.keepTimeline();
      expect(history.unconfirmed).toEqual([]);
      history.disown(1);
      expect(history.timelines.timeline).toBe(2);
    });
  });

  it('can be pinned to the primary, as those that start from it are, and those around it are not', () => {
    const history = new PrimaryHistory();
    const process = new Floor();
    const session = new Floor(process, process);
    session.pin();
    expect([session, new Floor(session, session), process].map((floor) => floor.resolve(history))).toEqual([
      'unprovable',
      'unprovable',
      0n,
    ]);
    expect(session.unpinned().resolve(history)).toBe(0n);
  });

  it('tells of each move', () => {
    let moves = 0;
    const floor = new Floor(new Floor());
    floor.whenMoved(() => moves++);
    floor.wrote(1, 1);
    floor.hold({ settledAt: undefined });
    new Floor(floor, floor).wrote(2, 1);
    floor.claim(position(5n), 1);
    expect(moves).toBe(4);
  });

  it('counts writes that are under way, its own and those of sessions within, from when somebody asks', async () => {
    const outer = new Floor(new Floor());
    const inner = new Floor(outer, outer);
    let finish = (): void => undefined;
    const writing = new Promise<void>((resolve) => {
      finish = resolve;
    });
    expect(inner.counting(writing)).toBe(writing);
    expect(outer.underWayCount).toBe(0);
    void inner.counting(writing);
    void outer.counting(Promise.reject(new Error('it failed'))).catch(() => undefined);
    expect(outer.underWayCount).toBe(2);
    finish();
    await new Promise((resolve) => setImmediate(resolve));
    expect(outer.underWayCount).toBe(0);
  });
});
