import { describe, expect, it } from 'vitest';
import { justBehind, knownRoute } from '../../../src/execute/known-route.js';
import { laneSlotFor } from '../../../src/execute/lane-slot.js';
import { aRead, PRIMARY_LSN, playedFleet, playedNode } from './played-fleet.js';

const now = () => performance.now();
const fresh = () => playedNode('r1', 100n);
const behind = () => playedNode('r2', 90n);

describe('where a read goes by what is known', () => {
  it('is a replica that has reached its floor; one that has not is asked again', () => {
    const [one, other] = [fresh(), behind()];
    const { context, fleet, waits } = playedFleet([one, other]);
    // Every eighth read draws anew: 50 times.
    const routes = Array.from({ length: 400 }, () => knownRoute(fleet, aRead(context, { floor: 100n }), now()));
    expect(new Set(routes.map((route) => route?.node.name))).toEqual(new Set(['r1']));
    expect(waits).toContain('refresh');
  });

  it('is not known when none has, nor when the floor is not', () => {
    const { context, fleet } = playedFleet([behind()]);
    expect(knownRoute(fleet, aRead(context, { floor: 100n }), now())).toBeUndefined();
    const read = aRead(context);
    read.floor.wrote(now() + 1_000, 1);
    expect(knownRoute(fleet, read, now())).toBeUndefined();
  });

  it('is the replica where the session has read, and no other, however fresh that is', () => {
    const { context, fleet } = playedFleet([fresh(), behind()]);
    expect(knownRoute(fleet, aRead(context, { readOn: 'r2' }), now())).toMatchObject({
      node: { name: 'r2' },
      why: 'affinity',
    });
    expect(knownRoute(fleet, aRead(context, { readOn: 'r2', floor: 100n }), now())).toBeUndefined();
    expect(knownRoute(fleet, aRead(context, { readOn: 'gone' }), now())).toBeUndefined();
  });

  it('may be any for an eventual read, wherever its session has read', () => {
    const { context, fleet } = playedFleet([fresh(), playedNode('r2', 90n, { inFlight: 9 })]);
    const read = aRead(context, { readOn: 'r2', consistency: 'eventual' });
    expect(knownRoute(fleet, read, now())?.node.name).toBe('r1');
  });

  it('is the primary for a hot key, where that is wanted', () => {
    const hotKeys = { target: 'primary', share: 0.1 };
    const { context, fleet } = playedFleet([fresh()], { settings: { hotKeys } });
    const read = aRead(context, { partitionKey: 'celebrity' });
    expect(knownRoute(fleet, read, now())?.node.name).toBe('r1');
    for (let i = 0; i < 10_000; i++) fleet.selection.recordUse(read, now());
    expect(knownRoute(fleet, read, now())).toBeUndefined();
  });
});

describe('a replica that was behind, and may have come forward', () => {
  it('is the foremost of those that may have moved', () => {
    const nodes = [playedNode('r1', 80n), playedNode('r2', 95n), playedNode('r3', 99n, { mayHaveMoved: () => false })];
    const { context, fleet } = playedFleet(nodes);
    expect(justBehind(fleet, aRead(context, { floor: 100n }), now())?.name).toBe('r2');
  });

  it('is none that is out, nor one that is fresh enough and was not wanted', () => {
    const { context, fleet } = playedFleet([playedNode('r1', 90n, { isEjected: true }), fresh()]);
    expect(justBehind(fleet, aRead(context, { floor: 100n }), now())).toBeUndefined();
  });

  it('is only the own one for a session that has read', () => {
    const { context, fleet } = playedFleet([playedNode('r1', 95n), behind()]);
    expect(justBehind(fleet, aRead(context, { readOn: 'r2', floor: 100n }), now())?.name).toBe('r2');
    expect(justBehind(fleet, aRead(context, { readOn: 'gone', floor: 100n }), now())).toBeUndefined();
  });

  it('is none while the floor is not known', () => {
    const { context, fleet } = playedFleet([behind()]);
    const read = aRead(context);
    read.floor.wrote(now() + 1_000, 1);
    expect(justBehind(fleet, read, now())).toBeUndefined();
  });
});

describe('a place on a shared connection', () => {
  it('is on the known replica, without a look at its position', () => {
    const { context, fleet } = playedFleet([fresh()]);
    expect(laneSlotFor(fleet, aRead(context, { floor: 100n }), now())).toMatchObject({
      node: { name: 'r1' },
      lane: { of: 'r1' },
      reason: 'balanced',
      isGated: false,
    });
    const hinted = aRead(context, { target: { node: 'r1' } });
    expect(laneSlotFor(fleet, hinted, now())).toMatchObject({ reason: 'hint', isGated: false });
  });

  it('is on one that was behind only with a look at its position', () => {
    const { context, fleet } = playedFleet([behind()]);
    expect(laneSlotFor(fleet, aRead(context, { floor: 100n }), now())).toMatchObject({
      node: { name: 'r2' },
      reason: 'gated',
      isGated: true,
    });
  });

  it('is none where the connection is full, or the read wants the primary', () => {
    const full = playedFleet([playedNode('r1', 100n, { takeLane: () => undefined })]);
    expect(laneSlotFor(full.fleet, aRead(full.context), now())).toBeUndefined();
    const { context, fleet } = playedFleet([fresh()]);
    expect(laneSlotFor(fleet, aRead(context, { target: 'primary' }), now())).toBeUndefined();
  });

  it('is on the primary where there are no replicas, unless nobody knows who that is', () => {
    const { context, fleet } = playedFleet([]);
    expect(laneSlotFor(fleet, aRead(context, { floor: PRIMARY_LSN }), now())).toMatchObject({
      node: { name: 'p' },
      reason: 'no-candidate',
    });
    expect(laneSlotFor(fleet, aRead(context, { target: 'replica' }), now())).toBeUndefined();
    const unsettled = playedFleet([], { leadership: { isSettled: false } });
    expect(laneSlotFor(unsettled.fleet, aRead(unsettled.context), now())).toBeUndefined();
  });
});
