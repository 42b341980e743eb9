import { describe, expect, it } from 'vitest';
import { aRead, nodeOf, playedFleet, playedNode } from '../execute/played-fleet.js';

const now = () => performance.now();

describe('which replicas a read may go to', () => {
  it('are all, or the one that it names; none for the name of the primary', () => {
    const { fleet } = playedFleet([playedNode('r1', 1n), playedNode('r2', 1n)]);
    const names = (target: Parameters<typeof fleet.selection.candidates>[0]) =>
      fleet.selection.candidates(target).map(({ name }) => name);
    expect([names(undefined), names('replica'), names({ node: 'r2' }), names({ node: 'p' })]).toEqual([
      ['r1', 'r2'],
      ['r1', 'r2'],
      ['r2'],
      [],
    ]);
    expect(fleet.selection.isPrimary({ node: 'p' })).toBe(true);
  });

  it('asks at most eight of many where they stand: its own, and those that are furthest ahead', () => {
    const nodes = Array.from({ length: 20 }, (_, i) => playedNode(`r${i}`, BigInt(i)));
    const { context, fleet } = playedFleet(nodes);
    const asked = fleet.selection.likeliest(aRead(context, { readOn: 'r0' }), new Set([nodeOf(nodes[19])]));
    expect(asked.map(({ name }) => name)).toEqual(['r0', 'r18', 'r17', 'r16', 'r15', 'r14', 'r13', 'r12']);
  });

  it('are not those that are ejected, as long as another answers', () => {
    const [out, well] = [playedNode('r1', 100n, { isEjected: true }), playedNode('r2', 100n)];
    const { fleet } = playedFleet([out, well]);
    expect([fleet.selection.isInRotation(nodeOf(out)), fleet.selection.isOut(nodeOf(out))]).toEqual([false, true]);
    well.lsn = undefined;
    expect([fleet.selection.isInRotation(nodeOf(out)), fleet.selection.isOut(nodeOf(out))]).toEqual([true, false]);
  });

  it('why there are none: not yet, while one has not been asked; not any more, afterwards', () => {
    const absence = (over: object) => playedFleet([playedNode('r1', undefined, over)]).fleet.selection.absence();
    expect(absence({ wasAsked: false })).toBe('cold-start');
    expect(absence({ wasAsked: true })).toBe('no-candidate');
    expect(absence({ wasAsked: false, hasJoined: true })).toBe('no-candidate');
    expect(playedFleet([]).fleet.selection.absence()).toBe('no-candidate');
  });
});

describe('what a read asks of a replica', () => {
  const demanded = (asked: Parameters<typeof aRead>[1], over: object = {}) => {
    const { context, fleet } = playedFleet([], over);
    const demand = fleet.selection.demandOf(aRead(context, asked), 100_000);
    return typeof demand === 'string' ? demand : [demand.floor, 100_000 - demand.freshSince];
  };

  it('is its floor, and no more age than maxLagMillis, or its own bound', () => {
    expect(demanded({ floor: 50n })).toEqual([50n, 10_000]);
    expect(demanded({ maxStalenessMillis: 20 })).toEqual([0n, 20]);
  });

  it('without a primary that answers nothing can be dated: only an own bound counts then, and that tokens still live', () => {
    const vacant = { leadership: { isSettled: false } };
    expect(demanded({ floor: 50n }, vacant)).toEqual([50n, 55_000]);
    expect(demanded({ maxStalenessMillis: 20 }, vacant)).toEqual([0n, 20]);
    expect(demanded({ consistency: 'eventual' }, vacant)).toEqual([0n, Number.POSITIVE_INFINITY]);
  });

  it('never accepts an age at which tokens have expired, whatever it says', () => {
    expect(demanded({ maxStalenessMillis: 1e9 })).toEqual([0n, 55_000]);
    expect(demanded({ maxStalenessMillis: 1e9, consistency: 'eventual' })).toEqual([0n, 1e9]);
  });

  it('is a word while its floor is not known', () => {
    const { context, fleet } = playedFleet([]);
    const read = aRead(context);
    read.floor.wrote(now() + 1_000, 1);
    expect(fleet.selection.demandOf(read, now())).toBe('pending');
    read.floor.hold({ settledAt: undefined });
    expect(fleet.selection.demandOf(read, now())).toBe('unprovable');
  });

  it('is met by no replica that has not answered, and by none that proves less than it asks', () => {
    const [silent, well] = [playedNode('r1', undefined), playedNode('r2', 100n)];
    Object.assign(silent, { lsn: 100n, freshAsOf: Number.POSITIVE_INFINITY });
    const { context, fleet } = playedFleet([silent, well]);
    const read = aRead(context, { floor: 100n });
    const { selection } = fleet;
    expect([selection.meets(nodeOf(silent), read, now()), selection.meets(nodeOf(well), read, now())]).toEqual([
      false,
      true,
    ]);
    const said = nodeOf(well).observation;
    if (said === undefined) throw new Error('it has not answered');
    expect(selection.isProvenBy(said, read, now())).toBe(true);
    expect(selection.isProvenBy({ ...said, lsn: 99n }, read, now())).toBe(false);
    expect(selection.isProvenBy({ ...said, inRecovery: false }, read, now())).toBe(false);
  });
});

describe('a look at where a read would go', () => {
  it('changes nothing for the reads that follow', () => {
    const play = (looks: number) => {
      const { context, fleet } = playedFleet([playedNode('r1', 100n), playedNode('r2', 100n)]);
      const read = aRead(context);
      const names: (string | undefined)[] = [];
      for (let i = 0; i < 64; i++) {
        for (let look = 0; look < looks; look++) fleet.selection.preview(read, now());
        names.push(fleet.selection.choose(read, now()).node?.name);
      }
      return names.filter((name, i) => i > 0 && name !== names[i - 1]).length;
    };
    // A few in a row go to the same one: looks in between do not use these up.
    expect(play(0)).toBeLessThanOrEqual(64 / 8);
    expect(play(7)).toBeLessThanOrEqual(64 / 8);
  });

  it('says why none would do, without going there', () => {
    const { context, fleet } = playedFleet([playedNode('r1', 90n)]);
    expect(fleet.selection.preview(aRead(context, { floor: 100n }), now())).toMatchObject({
      node: undefined,
      why: 'behind-floor',
    });
  });
});
