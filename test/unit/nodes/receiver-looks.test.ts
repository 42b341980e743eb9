import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import { type LaneConnection, LaneEvicted, type Settle } from '../../../src/nodes/lane-connection.js';
import type { Node } from '../../../src/nodes/node.js';
import { ReceiverLooks } from '../../../src/nodes/receiver-looks.js';
import { at } from '../freshness/positions.js';

// The library takes its clock where nobody plays with it.
vi.mock('../../../src/clock.js', () => import('../../played-clock.js'));

const identity = { server: 'r@1', clusterId: '7', isDirect: true };
const node = (over: object = {}) => ({ lsn: 0x400n, observation: { identity }, ...over }) as unknown as Node;
const streaming = { status: 'streaming', timeline: 1, received_lsn: '0/500', replay_lsn: '0/400', in_recovery: true };
const endOfTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A connection that keeps what is sent, and answers when it is told to. */
function connection(over: object = {}) {
  const sent: Settle[] = [];
  const lane = {
    identity: { ...identity, ...over },
    send: (_: unknown, __: unknown, settle: Settle) => sent.push(settle),
  };
  const answer = (row: object | undefined, error: Error | null = null) =>
    sent.shift()?.(error, row === undefined ? undefined : ({ rows: [row] } as never), performance.now());
  return { lane: lane as unknown as LaneConnection, sent, answer };
}

function played() {
  const history = new PrimaryHistory();
  history.add(at(performance.now(), 0x100n));
  const looks = new ReceiverLooks(history);
  looks.want();
  return { looks, history };
}

describe('looks at how far reads can have seen', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
    vi.advanceTimersByTime(1_000);
  });
  afterEach(() => void vi.useRealTimers());

  it('ask only while kept answers are compared with what was seen', () => {
    const { lane } = connection();
    const looks = new ReceiverLooks(new PrimaryHistory());
    expect(looks.behind(node(), lane)).toBeUndefined();
    looks.want();
    expect(looks.behind(node(), lane)).toBeDefined();
    vi.advanceTimersByTime(1_001);
    expect(looks.behind(node(), connection().lane)).toBeUndefined();
  });

  it('ask nothing through a pooler, which may lead to another server', () => {
    expect(played().looks.behind(node(), connection({ isDirect: false }).lane)).toBeUndefined();
  });

  it('are sent behind all reads of one turn, once for each connection', async () => {
    const { looks } = played();
    const [one, other] = [connection(), connection()];
    const first = looks.behind(node(), one.lane);
    const second = looks.behind(node(), one.lane);
    const elsewhere = looks.behind(node(), other.lane);
    expect([one.sent.length, other.sent.length]).toEqual([0, 0]);
    expect(second).toBe(first);
    expect(elsewhere).not.toBe(first);
    await endOfTurn();
    expect([one.sent.length, other.sent.length]).toEqual([1, 1]);
    // What is sent from now on lies behind that question.
    expect(looks.behind(node(), one.lane)).not.toBe(first);
    await endOfTurn();
    expect(one.sent.length).toBe(2);
  });

  it('say how far reads can have seen, once the server has answered', async () => {
    const { looks } = played();
    const { lane, answer } = connection();
    const upperBound = looks.behind(node(), lane);
    await endOfTurn();
    expect(upperBound).toMatchObject({ isPending: true, position: undefined });
    answer(streaming);
    expect(upperBound).toMatchObject({ isPending: false, position: { clusterId: '7', timeline: 1, lsn: 0x500n } });
    await upperBound?.settled;
  });

  it.each([
    ['has strayed, or is not known to follow the primary', { lsn: undefined }],
    ['is another by now', { observation: { identity: { server: 'r@2' } } }],
    ['is not known any more', { observation: undefined }],
  ])('say nothing of a server that %s', async (_, over) => {
    const { looks } = played();
    const { lane, answer } = connection();
    const upperBound = looks.behind(node(over), lane);
    const settled = upperBound?.settled;
    await endOfTurn();
    answer(streaming);
    expect(upperBound).toMatchObject({ isPending: false, position: undefined });
    await settled;
  });

  it('leave a server alone for a while that does not show what it receives, and longer where it refuses', async () => {
    const { looks } = played();
    const hidden = node();
    const { lane, answer } = connection();
    looks.behind(hidden, lane);
    await endOfTurn();
    answer({ ...streaming, status: null, timeline: null, received_lsn: '' });
    expect(looks.behind(hidden, lane)).toBeUndefined();
    expect(looks.behind(node(), connection().lane)).toBeDefined();
    vi.advanceTimersByTime(1_000);
    looks.want();
    expect(looks.behind(hidden, lane)).toBeDefined();
    await endOfTurn();
    answer(undefined, Object.assign(new Error('permission denied'), { code: '42501', severity: 'ERROR' }));
    vi.advanceTimersByTime(59_000);
    looks.want();
    expect(looks.behind(hidden, lane)).toBeUndefined();
    vi.advanceTimersByTime(1_000);
    looks.want();
    expect(looks.behind(hidden, lane)).toBeDefined();
  });

  it('are asked anew at once where only the connection gave no answer', async () => {
    const { looks } = played();
    const { lane, answer } = connection();
    const replica = node();
    const upperBound = looks.behind(replica, lane);
    await endOfTurn();
    answer(undefined, new LaneEvicted('the statement before it takes too long'));
    expect(upperBound).toMatchObject({ isPending: false, position: undefined });
    expect(looks.behind(replica, lane)).toBeDefined();
  });
});
