import { describe, expect, it } from 'vitest';
import { Floor } from '../../../src/freshness/floor.js';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import { at, position } from './positions.js';

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

  it('is at once where a write has ended that brought its position along, as are those around it', () => {
    const history = new PrimaryHistory();
    history.add(at(10, 100n));
    const process = new Floor();
    const outer = new Floor(process, process);
    const inner = new Floor(outer, outer);
    inner.wroteUpTo(position(80n));
    inner.wroteUpTo(position(60n));
    expect([process, outer, inner].map((f) => f.resolve(history))).toEqual([80n, 80n, 80n]);
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
