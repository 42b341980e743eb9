import { describe, expect, it } from 'vitest';
import { readOnLane } from '../../../src/execute/read-on-lane.js';
import { routeOf } from '../../../src/execute/route.js';
import { LaneEvicted } from '../../../src/nodes/lane-connection.js';
import { at } from '../freshness/positions.js';
import { aRead, nodeOf, type PlayedNode, playedFleet, playedNode } from './played-fleet.js';

type Answer = (error: Error | null, result: object | undefined, now: number) => void;

/** A read on a shared connection to a replica that says how far it is, and then answers. */
function reading(said: bigint | undefined, failure: Error | null = null, peers: readonly PlayedNode[] = []) {
  const order: string[] = [];
  const passedOver: unknown[] = [];
  const replica = playedNode('r1', 90n, {
    recordGate: (_: unknown, isProven: boolean) => order.push(isProven ? 'proven' : 'not proven'),
    gateOn(this: PlayedNode, _: unknown, located: (observation: unknown) => void) {
      order.push('position');
      located(said === undefined ? undefined : { ...this.observation, lsn: said });
    },
  });
  const lane = {
    client: replica.client,
    identity: replica.connection.identity,
    send: (_: unknown, __: unknown, answer: Answer) => {
      order.push('data');
      queueMicrotask(() => answer(failure, failure === null ? { rowCount: 1 } : undefined, performance.now()));
    },
  };
  const { context, fleet } = playedFleet([replica, ...peers]);
  const request = aRead(context, { floor: 100n, readOn: 'r1' });
  const run = (isGated: boolean) =>
    readOnLane(
      request as never,
      { node: nodeOf(replica), lane: lane as never, reason: isGated ? 'gated' : 'affinity', isGated },
      { statement: {} as never, profile: {} as never },
      async (_, __, nodes) => {
        passedOver.push(...(nodes ?? []));
        return 'elsewhere' as never;
      },
      async (_, __, error) => {
        throw error;
      },
    );
  return { run, order, passedOver, request, replica, fleet };
}

describe('a read on a shared connection', () => {
  it('asks for the position before the data, and counts only when that has reached its floor', async () => {
    const { run, order, fleet } = reading(100n);
    expect(await run(true)).toEqual({ rowCount: 1 });
    expect(order).toEqual(['position', 'data', 'proven']);
    expect(fleet.counts.byReason.gated).toBe(1);
  });

  it('says of its answer how far the replica was when the read ran there, and not how far it is by now', async () => {
    const { run, replica, fleet } = reading(100n);
    const answered = run(true);
    replica.lsn = 300n;
    const route = routeOf((await answered) as never);
    expect(route).toMatchObject({ node: 'r1', reason: 'gated', position: { timeline: 1, lsn: '0/64' } });
    expect(route?.waitedMillis).toBeGreaterThan(0);
    replica.lsn = 90n;
    const atOnce = reading(undefined);
    const known = atOnce.run(false);
    atOnce.replica.lsn = 300n;
    atOnce.fleet.history.add({ ...at(performance.now(), 500n), timeline: 2, forkLsn: 80n, startedAt: '2' });
    // It was placed on the timeline before.
    expect(routeOf((await known) as never)?.position).toEqual({ timeline: 1, lsn: '0/5A' });
    expect(fleet.counts.byReason.gated).toBe(1);
  });

  it.each([99n, undefined])('runs elsewhere when the replica says %s', async (said) => {
    const { run, order, replica, request, fleet } = reading(said);
    const before = request.trace?.endedAt;
    expect(await run(true)).toBe('elsewhere');
    expect(order).toEqual(['position', 'data', 'not proven']);
    expect([replica.load.count, fleet.counts.byReason.gated, request.trace?.endedAt]).toEqual([0, 0, before]);
  });

  it('does not believe an error, either, of a replica that is behind', async () => {
    const missing = Object.assign(new Error('no such table'), { code: '42P01', severity: 'ERROR' });
    expect(await reading(99n, missing).run(true)).toBe('elsewhere');
    await expect(reading(100n, missing).run(true)).rejects.toBe(missing);
  });

  it('needs no position of a replica that is known to be fresh enough', async () => {
    const { run, order } = reading(undefined);
    expect(await run(false)).toEqual({ rowCount: 1 });
    expect(order).toEqual(['data']);
  });

  it('runs elsewhere, and that is no loss and no second run, when its neighbours hold it up', async () => {
    const { run, passedOver, request, replica } = reading(100n, new LaneEvicted(), [playedNode('r2', 100n)]);
    expect(await run(false)).toBe('elsewhere');
    expect(passedOver).toEqual([replica]);
    expect([request.lostOn?.size, request.rerunCount, replica.load.readCount]).toEqual([0, 0, 0]);
    const alone = reading(100n, new LaneEvicted());
    await alone.run(false);
    expect([alone.passedOver, alone.request.lostOn]).toEqual([[], undefined]);
  });

  it('fails with its own error while the budget for reads that run again is empty', async () => {
    const loss = Object.assign(new Error('conflict with recovery'), { code: '40001', severity: 'ERROR' });
    const { run, request, passedOver } = reading(100n, loss);
    for (let isLeft = true; isLeft; ) isLeft = request.context.retries.draw(true);
    await expect(run(false)).rejects.toBe(loss);
    expect(loss.message).toMatch(/budget is empty\)$/);
    expect([request.lostOn, request.rerunCount, passedOver]).toEqual([undefined, 0, []]);
  });

  it('runs once more elsewhere when its server is lost under it', async () => {
    const { run, request, replica } = reading(100n, new Error('Connection terminated unexpectedly'));
    Object.assign(replica.client, { _queryable: false });
    expect(await run(false)).toBe('elsewhere');
    expect([request.lostOn, request.rerunCount, replica.load.readCount]).toEqual([new Set([replica]), 1, 0]);
  });
});
