import { describe, expect, it } from 'vitest';
import { place } from '../../../src/execute/place.js';
import { lostAgain } from '../../../src/execute/rerun.js';
import { routeOf } from '../../../src/execute/route.js';
import { aRead, nodeOf, type PlayedNode, playedFleet, playedNode } from './played-fleet.js';

const fresh = (name = 'r1', over: object = {}) => playedNode(name, 100n, over);
const anotherServer = {
  checkout: (_: boolean, taken: (error: unknown, connection?: unknown) => void) => taken(undefined, other),
};
const other = playedNode('other', 100n).connection;
const refusing = (error: unknown) => ({
  checkout: (_: boolean, taken: (error: unknown) => void) => taken(error),
});

/** A read on its way: where it ends, and what was counted. */
async function placed(nodes: readonly PlayedNode[], asked: Parameters<typeof aRead>[1] = {}, over = {}) {
  const world = playedFleet(nodes, over);
  const request = aRead(world.context, asked);
  const { attempt, connection } = await place(request);
  const { node, reason } = attempt;
  return { ...world, request, attempt, connection, node, reason };
}

describe('a read that is placed', () => {
  it('goes to the replica that is known to be fresh enough', async () => {
    const { node, reason, fleet } = await placed([fresh()], { floor: 100n });
    expect([node.name, reason, node.load.count, fleet.counts.byReason.balanced]).toEqual(['r1', 'balanced', 1, 1]);
  });

  it('goes on to the next where one gives no connection, which a full pool is not blamed for', async () => {
    const full = fresh('r1', refusing(new Error('timeout exceeded when trying to connect')));
    const gone = fresh('r2', refusing(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })));
    const { node, reason } = await placed([full, gone]);
    expect([node.name, reason]).toEqual(['p', 'no-candidate']);
    expect([full.log, gone.log]).toEqual([expect.not.arrayContaining(['lost']), expect.arrayContaining(['lost'])]);
    expect([full.load.count, gone.load.count]).toEqual([0, 0]);
  });

  it('runs on no other server than the one that was looked at, unless that proves itself on the very connection', async () => {
    const strange = fresh('r1', anotherServer);
    expect((await placed([strange])).node.name).toBe('p');
    expect(strange.log).toContain('void');
    const proof = { ...fresh('r1').observation, identity: other.identity };
    const proven = fresh('r1', { ...anotherServer, observeOn: async () => proof });
    expect((await placed([proven], { floor: 100n })).node.name).toBe('r1');
    // What the node is known for is another server's position.
    const { attempt } = await placed([fresh('r1', { ...anotherServer, lsn: 300n, observeOn: async () => proof })]);
    const answer = {};
    attempt.mark(answer);
    expect(routeOf(answer as never)?.position?.lsn).toBe('0/64');
    const tooOld = fresh('r1', { ...anotherServer, observeOn: async () => ({ ...proof, lsn: 99n }) });
    expect((await placed([tooOld], { floor: 100n })).node.name).toBe('p');
  });

  it('insists on a replica where it is told to, and says why there is none', async () => {
    const behind = playedNode('r1', 90n);
    const refused = { code: 'LADDER_NO_CANDIDATE', message: expect.stringContaining('behind-floor') };
    await expect(placed([behind], { floor: 100n, target: 'replica' })).rejects.toMatchObject(refused);
    const named = { code: 'LADDER_NO_CANDIDATE', message: expect.stringContaining('node "r1"') };
    await expect(placed([behind], { floor: 100n, target: { node: 'r1' } })).rejects.toMatchObject(named);
  });

  it('must have what the session had seen when it moves to another replica', async () => {
    const [home, next] = [fresh('r1', { isEjected: true }), fresh('r2')];
    const { node, reason } = await placed([home, next], { readOn: 'r1' });
    // No answer of the primary covers the session's last read yet.
    expect([node.name, reason]).toEqual(['p', 'floor-unknown']);
  });

  it('is counted as a move only from one replica to another', async () => {
    const { fleet, node } = await placed([fresh()], { readOn: 'r1' });
    expect([node.name, fleet.counts.moveCount]).toEqual(['r1', 0]);
    const eventual = await placed([fresh()], { readOn: 'r9', consistency: 'eventual' });
    expect(eventual.fleet.counts.moveCount).toBe(1);
  });

  it('of a hot key goes to the primary within the budget, and where it would else go beyond that', async () => {
    const hotKeys = { target: 'primary', share: 0.1 };
    const { context, fleet, limiter } = playedFleet([fresh()], { settings: { hotKeys } });
    const read = () => aRead(context, { partitionKey: 'celebrity' });
    for (let i = 0; i < 10_000; i++) fleet.selection.recordUse(read(), performance.now());
    const first = await place(read());
    expect([first.attempt.node.name, first.attempt.reason, limiter.stats.inUse]).toEqual(['p', 'hot-key', 1]);
    const second = await place(read());
    expect(second.attempt.node.name).toBe('r1');
    first.attempt.leave();
    expect(limiter.stats.inUse).toBe(0);
  });

  it('knows of every server that is lost under it, also where it had fallen back on the primary', async () => {
    const { request, attempt } = await placed([playedNode('r1', 90n)], { floor: 100n });
    expect(attempt.node.name).toBe('p');
    expect(attempt.request).toBe(request);
    attempt.leave();
    const lost = { isLost: true, wasGivenUp: false, identity: { server: 'p@1' } };
    expect(await lostAgain(attempt, lost as never, new Error('Connection terminated unexpectedly'))).toBe(true);
    expect([request.lostOn, request.rerunCount]).toEqual([new Set([attempt.node]), 1]);
    const again = await place(request);
    expect([again.attempt.node.name, again.attempt.reason]).toEqual(['p', 'retried']);
    expect(await lostAgain(again.attempt, lost as never, new Error('Connection terminated unexpectedly'))).toBe(false);
  });

  it('is not placed where it was lost before', async () => {
    const [first, second] = [fresh('r1'), fresh('r2')];
    const { context } = playedFleet([first, second]);
    const request = aRead(context);
    request.lostOn = new Set([nodeOf(first)]);
    const { attempt } = await place(request);
    expect([attempt.node.name, attempt.reason]).toEqual(['r2', 'retried']);
  });

  it('leaves nothing behind when the cluster closes, or its caller gives up', async () => {
    await expect(placed([fresh()], {}, { fleet: { isClosed: true } })).rejects.toMatchObject({ code: 'LADDER_CLOSED' });
    const hanging = fresh('r1', { checkout: () => undefined });
    const controller = new AbortController();
    const placing = placed([hanging], { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(placing).rejects.toThrow('enough');
    expect(hanging.load.count).toBe(0);
  });
});
