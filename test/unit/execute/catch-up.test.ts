import { describe, expect, it } from 'vitest';
import { catchUp } from '../../../src/execute/catch-up.js';
import { at } from '../freshness/positions.js';
import { aRead, nodeOf, type PlayedNode, playedFleet, playedNode } from './played-fleet.js';

/** A replica that says at the next question that it has come as far as that. */
function comingTo(name: string, lsn: bigint, over: object = {}): PlayedNode {
  const node = playedNode(name, 90n, over);
  node.refresh = async () => {
    node.log.push('asked');
    node.lsn = lsn;
  };
  return node;
}

const route = async (nodes: readonly PlayedNode[], asked: Parameters<typeof aRead>[1], over = {}) => {
  const world = playedFleet(nodes, over);
  const request = aRead(world.context, asked);
  const { node, why } = await catchUp(request, request, undefined);
  return { name: node?.name, why, ...world };
};

describe('a read that no replica is known to be fresh enough for', () => {
  it('goes to one that has become so when it is asked', async () => {
    expect(await route([comingTo('r1', 100n)], { floor: 100n })).toMatchObject({ name: 'r1', why: 'gated' });
  });

  it('does not wait for one that hangs while another will do', async () => {
    const hanging = playedNode('r1', 90n, { refresh: () => new Promise<void>(() => undefined) });
    expect(await route([hanging, comingTo('r2', 100n)], { floor: 100n })).toMatchObject({ name: 'r2' });
  });

  it('goes to the primary with the reason, and waits for nobody where waitMillis is 0', async () => {
    const { name, why, waits } = await route([comingTo('r1', 99n)], { floor: 100n });
    expect([name, why, waits]).toEqual([undefined, 'behind-floor', []]);
  });

  it('waits for the replicas that were asked, for waitMillis', async () => {
    const replica = comingTo('r1', 99n);
    const monitor = {
      until: async (reached: () => boolean, millis: number, wanted: unknown) => {
        expect([millis, wanted]).toEqual([7, [replica]]);
        replica.lsn = 100n;
        return reached();
      },
    };
    const found = await route([replica], { floor: 100n }, { monitor, settings: { waitMillis: 7 } });
    expect(found).toMatchObject({ name: 'r1', why: 'waited' });
  });

  it('asks the primary first where the floor is not known', async () => {
    const { context, primary, history } = playedFleet([playedNode('r1', 100n)]);
    const read = aRead(context);
    read.floor.wrote(performance.now(), 1);
    primary.refresh = async () => history.add(at(performance.now() + 1, 100n));
    expect(await catchUp(read, read, undefined)).toMatchObject({ node: { name: 'r1' }, why: 'gated' });
  });

  it('goes to the primary when that does not tell where a write has ended', async () => {
    const { context } = playedFleet([playedNode('r1', 100n)]);
    const read = aRead(context);
    read.floor.wrote(performance.now() + 1_000, 1);
    expect(await catchUp(read, read, undefined)).toEqual({ node: undefined, why: 'floor-unknown' });
  });

  it('is not sent to a replica of which nothing is known', async () => {
    expect(await route([playedNode('r1', undefined)], {})).toMatchObject({ name: undefined, why: 'no-candidate' });
    const cold = playedNode('r1', undefined, { wasAsked: false });
    const { name, why, waits } = await route([cold], {});
    expect([name, why, waits]).toEqual([undefined, 'cold-start', ['anything']]);
  });

  it('asks the others anew when one was lost: what befell one may have befallen all', async () => {
    const [lost, other] = [playedNode('r1', 100n), comingTo('r2', 100n)];
    other.lsn = 100n;
    const { context } = playedFleet([lost, other]);
    const read = aRead(context);
    expect(await catchUp(read, read, new Set([nodeOf(lost)]))).toMatchObject({ node: { name: 'r2' } });
    expect([lost.log, other.log]).toEqual([[], ['asked']]);
  });
});
