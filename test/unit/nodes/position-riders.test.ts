import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import type { DataConnection } from '../../../src/nodes/data-connection.js';
import type { Node } from '../../../src/nodes/node.js';
import { PositionRiders } from '../../../src/nodes/position-riders.js';
import type { PositionRider } from '../../../src/postgres/position-rider.js';
import { at } from '../freshness/positions.js';

// The library takes its clock where nobody plays with it.
vi.mock('../../../src/clock.js', () => import('../../played-clock.js'));

const wal = { blockBytes: 8192n, segmentBytes: 16_777_216n };
const identity = { server: 'p@1', clusterId: '7', startedAt: '1', wal };
const observation = { identity, inRecovery: false, timeline: 1 };
const rider = {} as PositionRider;

/** @param count statements that are under way on it */
const node = (over: object = {}, count = 1) =>
  ({ observation: { ...observation, ...over }, load: { count } }) as unknown as Node;
const connection = (over: object = {}) => ({ identity: { ...identity, ...over }, rider }) as unknown as DataConnection;

/** With a primary that was seen at 0/100 a moment ago. */
function played(stickinessMillis?: number) {
  const history = new PrimaryHistory(stickinessMillis);
  history.add(at(performance.now(), 0x100n));
  return { history, riders: new PositionRiders(history) };
}

/** A write with a rider, from its start to its end. */
function ride(riders: PositionRiders, text: string | undefined, sentAt = performance.now()) {
  riders.take(node(), connection());
  return riders.over(node(), connection(), text, sentAt);
}

/** So many writes are under way that the next one to be answered tells others. */
function crowd(riders: PositionRiders): number {
  let count = 0;
  while (riders.take(node(), connection()) !== undefined) count++;
  return count;
}

describe('positions that ride behind writes', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
    vi.advanceTimersByTime(1_000);
  });
  afterEach(() => {
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });

  it('are wanted for a second after a read or a token had to ask', () => {
    const { riders } = played();
    expect(riders.areWanted(performance.now())).toBe(false);
    expect(riders.next()).toBeUndefined();
    expect(riders.areWanted(performance.now() + 999)).toBe(true);
    expect(riders.areWanted(performance.now() + 1_000)).toBe(false);
  });

  it('ride where the connection takes one, positions are tracked, and not too many are under way', () => {
    expect(played().riders.take(node(), { ...connection(), rider: undefined })).toBeUndefined();
    expect(played(1_000).riders.take(node(), connection())).toBeUndefined();
    const { riders } = played();
    expect(crowd(riders)).toBe(16);
    const busy = played().riders;
    const taken = [1, 2, 3].map(() => busy.take(node({}, 8), connection()));
    expect(taken).toEqual([rider, rider, undefined]);
    riders.over(node(), connection(), undefined, performance.now());
    expect(riders.take(node(), connection())).toBe(rider);
    expect(riders.take(node(), connection())).toBeUndefined();
  });

  it('cover their write, and tell the history where the primary stands', () => {
    const { history, riders } = played();
    vi.advanceTimersByTime(20);
    const sentAt = performance.now();
    expect(ride(riders, '0/180', sentAt)).toEqual({ clusterId: '7', timeline: 1, lsn: 0x180n });
    expect(history.highest).toBe(0x180n);
    expect(history.sentAt).toBe(sentAt);
    expect(riders.answeredCount).toBe(1);
    // 24 bytes past the start of a page nobody writes anything.
    expect(ride(riders, '0/4018')?.lsn).toBe(0x4000n);
  });

  it('prove nothing by an answer that is none, or of a place where no log can be', () => {
    const { history, riders } = played();
    for (const text of [undefined, '', 'x', '-1/0', '0/123456789', 'FFFFFFFF/FFFFFFFF'])
      expect(ride(riders, text)).toBeUndefined();
    expect(history.highest).toBe(0x100n);
    expect(riders.answeredCount).toBe(0);
  });

  it('prove nothing by the answer of another server, a replica, or another timeline or life of the primary', () => {
    const { history, riders } = played();
    const now = performance.now();
    const over = (one: Node, other: DataConnection) => riders.over(one, other, '0/180', now);
    expect(over(node(), connection({ server: 'q@1' }))).toBeUndefined();
    expect(over(node(), connection({ clusterId: '8' }))).toBeUndefined();
    expect(over(node(), connection({ startedAt: '2' }))).toBeUndefined();
    expect(over(node({ inRecovery: true }), connection())).toBeUndefined();
    expect(over(node({ timeline: 2 }), connection())).toBeUndefined();
    expect(over({ observation: undefined } as Node, connection())).toBeUndefined();
    history.add({ ...at(performance.now(), 0x200n), timeline: 2, startedAt: '3', forkLsn: 0x140n });
    expect(over(node(), connection())).toBeUndefined();
    expect(history.highest).toBe(0x200n);
  });

  it('prove nothing once the servers turn out to tell no positions: the write must keep its session on the primary', () => {
    const { history, riders } = played();
    riders.take(node(), connection());
    history.loseTrack(1_000);
    expect(riders.over(node(), connection(), '0/180', performance.now())).toBeUndefined();
  });

  it('tell those who ask while many are under way, by a write that was sent later only', async () => {
    const { riders } = played();
    ride(riders, '0/140');
    crowd(riders);
    const early = performance.now();
    vi.advanceTimersByTime(1);
    const asked = riders.next();
    const told = vi.fn();
    void asked?.then(told);
    riders.over(node(), connection(), '0/180', early);
    riders.over(node(), connection(), '0/180', performance.now());
    await vi.advanceTimersByTimeAsync(1);
    expect(told).not.toHaveBeenCalled();
    riders.take(node(), connection());
    riders.over(node(), connection(), '0/190', performance.now());
    expect(await asked).toBe(true);
  });

  it('keep no question waiting once none of them is under way', async () => {
    const { riders } = played();
    ride(riders, '0/140');
    const taken = [1, 2].map(() => riders.take(node({}, 8), connection()));
    expect(taken).toEqual([rider, rider]);
    const early = performance.now();
    vi.advanceTimersByTime(1);
    const asked = riders.next();
    riders.over(node(), connection(), '0/180', early);
    riders.over(node(), connection(), '0/180', early);
    expect(await asked).toBe(false);
  });

  it('tell nobody what their answer does not prove, and keep nobody waiting for more than 10 ms', async () => {
    const { riders } = played();
    ride(riders, '0/140');
    crowd(riders);
    const told = vi.fn();
    void riders.next()?.then(told);
    await vi.advanceTimersByTimeAsync(1);
    riders.over(node(), connection({ server: 'q@1' }), '0/180', performance.now());
    await vi.advanceTimersByTimeAsync(8);
    expect(told).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    expect(told).toHaveBeenCalledExactlyOnceWith(false);
  });

  it('are waited for only while they are being answered: all may wait for one lock', () => {
    const { riders } = played();
    ride(riders, '0/140');
    crowd(riders);
    vi.advanceTimersByTime(10);
    expect(riders.next()).toBeUndefined();
  });
});
