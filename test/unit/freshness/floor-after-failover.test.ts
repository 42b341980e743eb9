import { describe, expect, it } from 'vitest';
import { Floor } from '../../../src/freshness/floor.js';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import { at, position } from './positions.js';

describe('a session’s floor', () => {
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
    history.survey.sentAt = 30;
    expect(floor.resolve(history)).toBe(0n);
    expect(history.refused.ahead).toBe(1);
  });

  it('takes a token of a later timeline up again when a server turns up on that after all', () => {
    const history = new PrimaryHistory();
    history.add(at(10, 100n));
    const floor = new Floor();
    floor.claim(position(50n, 2), 11);
    history.survey.sentAt = 30;
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
      history.survey.sentAt = 40;
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
});
