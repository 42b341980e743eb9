import { describe, expect, it } from 'vitest';
import { Ejection, isFarSlower } from '../../../src/nodes/ejection.js';

/** Lets it come back, and be done with its probation. @returns how long it was out */
function comeBack(ejection: Ejection, now: number): number {
  const { until = now } = ejection.sentence ?? {};
  ejection.pass(until, until);
  ejection.pass(until + 5_000, until);
  return until - now;
}

describe('an ejection', () => {
  it('comes after three failures in a row, not after three in all', () => {
    const ejection = new Ejection();
    ejection.failed(0, 'lost');
    ejection.failed(0, 'lost');
    ejection.succeeded();
    ejection.failed(0, 'lost');
    ejection.failed(0, 'lost');
    expect(ejection.isOut).toBe(false);
    ejection.failed(0, 'lost');
    expect(ejection.sentence).toMatchObject({ cause: 'lost', until: 1_000 });
  });

  it('is not prepared for by failures while it lasts', () => {
    const ejection = new Ejection();
    ejection.eject(0, 'it hangs');
    for (const at of [100, 200, 300]) ejection.failed(at, 'lost');
    comeBack(ejection, 1_000);
    ejection.failed(20_000, 'lost');
    expect(ejection.isOut).toBe(false);
  });

  it('ends on probation, once its time is over and the node has answered since', () => {
    const ejection = new Ejection();
    ejection.eject(100, 'it hangs');
    ejection.pass(900, 800);
    expect(ejection.isOut).toBe(true);
    ejection.pass(2_000, 99);
    expect(ejection.isOut).toBe(true);
    ejection.pass(2_000, 1_900);
    expect([ejection.isOut, ejection.share(2_000)]).toEqual([false, 0.1]);
    expect(ejection.share(4_500)).toBeCloseTo(0.55);
    ejection.pass(7_000, 6_900);
    expect(ejection.share(7_000)).toBe(1);
  });

  it('lasts twice as long each time the node fails soon after its return, and 4 s at most', () => {
    const ejection = new Ejection();
    const lasted: number[] = [];
    for (let now = 0; lasted.length < 6; now += 15_000) {
      ejection.eject(now, 'it hangs');
      lasted.push(comeBack(ejection, now));
    }
    expect(lasted).toEqual([1_000, 2_000, 4_000, 4_000, 4_000, 4_000]);
    expect(ejection.count).toBe(6);
  });

  it('is forgiven after 10 s of service', () => {
    const ejection = new Ejection();
    for (const now of [0, 10_000]) {
      ejection.eject(now, 'it hangs');
      comeBack(ejection, now);
    }
    ejection.eject(60_000, 'it hangs');
    expect(comeBack(ejection, 60_000)).toBe(1_000);
  });

  it('comes back at the first failure on probation', () => {
    const ejection = new Ejection();
    ejection.eject(0, 'it hangs');
    ejection.pass(1_000, 900);
    ejection.failed(1_100, 'lost');
    expect(ejection.sentence).toMatchObject({ until: 3_100 });
  });

  it('is no matter for a server that was merely started anew: it has a slow start', () => {
    const ejection = new Ejection();
    ejection.restarted(0);
    expect([ejection.isOut, ejection.share(0), ejection.count]).toEqual([false, 0.1, 0]);
  });
});

describe('a node is far slower than its peers', () => {
  it.each([
    ['beyond five times their median', { recent: 200, best: 1 }, [1, 30, 300], true],
    ['not below five times their median', { recent: 140, best: 1 }, [1, 30, 300], false],
    ['not below 100 ms, however quick they are', { recent: 90, best: 1 }, [1, 1, 1], false],
    ['with one peer alone, too', { recent: 200, best: 1 }, [2], true],
    ['not when there is nobody to compare with', { recent: 9_000, best: 1 }, [], false],
    ['not when it is just as far away as it ever was', { recent: 200, best: 180 }, [1, 1], false],
  ])('%s', (_, own, peers, expected) => {
    expect(isFarSlower(own, peers)).toBe(expected);
  });
});
