import { describe, expect, it } from 'vitest';
import { fallBack } from '../../../src/execute/fall-back.js';
import { aRead, type PlayedNode, playedFleet, playedNode } from './played-fleet.js';

const behind = () => playedNode('r1', 90n);

/** A read that no replica serves, on its way to the primary. */
function falling(nodes: readonly PlayedNode[] = [behind()], over: Parameters<typeof playedFleet>[1] = {}) {
  const world = playedFleet(nodes, over);
  const go = (asked: Parameters<typeof aRead>[1] = {}, why: 'behind-floor' | 'cold-start' = 'behind-floor') => {
    const request = aRead(world.context, { floor: 100n, ...asked });
    return fallBack(request, { why, reason: why, except: undefined, terms: request });
  };
  return { ...world, go };
}

describe('a read that falls back on the primary', () => {
  it('takes a turn under the budget, and gives it back when it is over', async () => {
    const { go, limiter } = falling();
    const placement = await go();
    expect([placement?.attempt.node.name, limiter.stats.inUse]).toEqual(['p', 1]);
    placement?.attempt.leave();
    expect(limiter.stats.inUse).toBe(0);
  });

  it.each([
    ['at a cold start', [behind()], 'cold-start'],
    ['without replicas', [], 'behind-floor'],
  ] as const)('needs no turn %s', async (_, nodes, why) => {
    const { go, limiter } = falling(nodes);
    await go({}, why);
    expect(await go({}, why)).toBeDefined();
    expect(limiter.stats.admitted).toBe(0);
  });

  it('waits for a turn, in the order of the queue', async () => {
    const never = { until: () => new Promise<boolean>(() => undefined) };
    const { go, limiter } = falling([behind()], { monitor: never });
    const first = await go();
    const second = go({ timeoutMillis: 60_000 });
    expect(limiter.stats).toMatchObject({ inUse: 1, waiting: 1 });
    first?.attempt.leave();
    expect((await second)?.attempt.node.name).toBe('p');
    expect(limiter.stats).toMatchObject({ inUse: 1, waiting: 0, queued: 1 });
  });

  it('goes to a replica that has become fresh enough before its turn comes', async () => {
    const replica = behind();
    const catching = {
      until: async (reached: () => boolean) => {
        replica.lsn = 100n;
        return reached();
      },
    };
    const { go, limiter } = falling([replica], { monitor: catching });
    await go();
    expect(await go({ timeoutMillis: 60_000 })).toBeUndefined();
    expect(limiter.stats).toMatchObject({ inUse: 1, waiting: 0 });
  });

  it('is told when so many wait that it cannot, and how long to stay away', async () => {
    const never = { until: () => new Promise<boolean>(() => undefined) };
    const { go, limiter } = falling([behind()], { monitor: never, maxWaiting: 1 });
    const first = await go();
    const second = go({ timeoutMillis: 60_000 });
    await expect(go()).rejects.toMatchObject({
      code: 'LADDER_OVERLOADED',
      retryAfterMillis: expect.any(Number),
      message: expect.stringContaining('behind-floor'),
    });
    expect(limiter.stats.refused).toBe(1);
    first?.attempt.leave();
    await second;
  });

  it('is told when its time is over before its turn has come', async () => {
    const { go, limiter } = falling([behind()], {
      monitor: { until: () => new Promise<boolean>(() => undefined) },
      // It has been asked for long ago.
      fleet: { awakeMillis: 5_000 },
    });
    await go();
    await expect(go({ timeoutMillis: 1_000 })).rejects.toMatchObject({ code: 'LADDER_OVERLOADED' });
    expect(limiter.stats).toMatchObject({ waiting: 0, refused: 1 });
  });

  it('gives its turn back when the primary has no connection for it', async () => {
    const { go, limiter, primary } = falling();
    const refused = Object.assign(new Error('too many'), { code: '53300' });
    primary.checkout = (_, taken) => taken(refused);
    await expect(go()).rejects.toBe(refused);
    expect([limiter.stats.inUse, primary.load.count]).toEqual([0, 0]);
  });

  it('rejects with the reason of whoever gives it up while it waits', async () => {
    const { go } = falling([behind()], { monitor: { until: () => new Promise<boolean>(() => undefined) } });
    await go();
    const controller = new AbortController();
    const waiting = go({ signal: controller.signal, timeoutMillis: 60_000 });
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });

  it('looks at the replicas once more while nobody is the primary, and says so at last', async () => {
    const vacancy = new Error('no node takes writes');
    const vacant = { isSettled: false, canTry: false, vacancy };
    const replica = behind();
    const { go, waits } = falling([replica], { leadership: vacant });
    await expect(go()).rejects.toBe(vacancy);
    expect(waits).toEqual(['primary']);
    replica.lsn = 100n;
    expect(await go()).toBeUndefined();
  });
});
