import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Heartbeat } from '../../../src/nodes/heartbeat.js';

const time = vi.hoisted(() => ({ now: 0, wall: 0, beat: undefined as (() => void) | undefined }));

vi.mock('../../../src/clock.js', () => ({
  performance: { now: () => time.now },
  wallMillis: () => time.wall,
  setInterval: (beat: () => void) => {
    time.beat = beat;
    return { unref: () => 1 };
  },
  clearInterval: () => {
    time.beat = undefined;
  },
}));

const BEAT_MILLIS = 500;

/** A cluster that is in use, and what it was told. */
function beating(isOnDemand = false, isBusy = false) {
  const told: string[] = [];
  const heartbeat = new Heartbeat(isOnDemand, {
    paused: () => told.push('paused'),
    mistimed: () => told.push('mistimed'),
    beat: () => isBusy,
  });
  return { heartbeat, told };
}

function pass(millis: number): void {
  time.now += millis;
  time.wall += millis;
}

function run(millis: number): void {
  for (let t = 0; t < millis; t += BEAT_MILLIS) {
    pass(BEAT_MILLIS);
    time.beat?.();
  }
}

beforeEach(() => Object.assign(time, { now: 1_000, wall: 1e12, beat: undefined }));

describe('a process that did not run for a while', () => {
  it('is noticed by the next use or beat, once; one that is held up by mere work is not', () => {
    const { heartbeat, told } = beating();
    heartbeat.start();
    run(5_000);
    pass(900);
    heartbeat.used(time.now);
    expect(told).toEqual([]);
    pass(30_000);
    heartbeat.used(time.now);
    expect(told).toEqual(['paused']);
    run(5_000);
    expect(told).toEqual(['paused']);
    pass(30_000);
    time.beat?.();
    expect(told).toEqual(['paused', 'paused']);
  });

  it('has that time not counted against anybody who waits', () => {
    const { heartbeat } = beating();
    heartbeat.start();
    run(2_000);
    const before = heartbeat.awake(time.now);
    run(2_000);
    expect(heartbeat.awake(time.now) - before).toBe(2_000);
    pass(30_000);
    // Who asks is the first to notice, and a beat's own time is counted.
    expect(heartbeat.awake(time.now) - before).toBe(2_000 + BEAT_MILLIS);
    run(2_000);
    expect(heartbeat.awake(time.now) - before).toBe(4_000 + BEAT_MILLIS);
  });

  it('is suspected at the first use after it rested, where it beats on demand only', () => {
    const { heartbeat, told } = beating(true);
    heartbeat.used(time.now);
    expect(told).toEqual(['paused']);
    run(10_000);
    expect(time.beat).toBeDefined();
    run(1_000);
    expect(time.beat).toBeUndefined();
    // How long it slept, nobody has seen: nobody waited.
    pass(30_000);
    heartbeat.used(time.now);
    expect([told, heartbeat.awake(time.now)]).toEqual([['paused', 'paused'], time.now]);
  });

  it('goes on beating on demand while something is under way', () => {
    const { heartbeat } = beating(true, true);
    heartbeat.used(time.now);
    run(60_000);
    expect(time.beat).toBeDefined();
    heartbeat.stop();
    heartbeat.used(time.now);
    expect(time.beat).toBeUndefined();
  });
});

describe('a clock that is wrong', () => {
  it('is noticed when it stands still while the time of day goes on, also slowly', () => {
    const { heartbeat, told } = beating();
    heartbeat.start();
    for (let t = 0; t < 4; t++) {
      time.wall += 300;
      heartbeat.used(time.now);
    }
    expect(told).toEqual(['mistimed', 'paused']);
  });

  it('is noticed when it goes back', () => {
    const { heartbeat, told } = beating();
    heartbeat.start();
    run(1_000);
    time.now -= 100;
    heartbeat.used(time.now);
    expect(told).toEqual(['mistimed', 'paused']);
  });

  it('is right when the time of day is set back, or is corrected a little', () => {
    const { heartbeat, told } = beating();
    heartbeat.start();
    time.wall -= 3_600_000;
    run(2_000);
    time.wall += 900;
    run(2_000);
    expect(told).toEqual([]);
  });
});
