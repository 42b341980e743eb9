import { describe, expect, it } from 'vitest';
import { seekTimeline } from '../../../src/execute/seek-timeline.js';
import { Floor } from '../../../src/freshness/floor.js';
import { PrimaryTrail } from '../../../src/freshness/primary-trail.js';
import type { Fleet } from '../../../src/nodes/fleet.js';
import { TimelineLook } from '../../../src/nodes/timeline-look.js';

const LIFETIME_MILLIS = 60_000;
const HANG_MILLIS = 500;
const server = { node: 'p', clusterId: '7', startedAt: '1', heardSince: 0, forkLsn: undefined };

/** Servers that count how often they are asked, and a monitor that tells how long somebody waits for it. */
function played(answers: (trail: PrimaryTrail) => void = () => undefined) {
  const trail = new PrimaryTrail();
  trail.add({ ...server, timeline: 1, sentAt: performance.now(), lsn: 100n });
  const counts = { asked: 0, waited: [] as number[] };
  const fleet = {
    trail,
    timelineLook: new TimelineLook(LIFETIME_MILLIS),
    settings: { hangMillis: HANG_MILLIS },
    nodes: [1, 2, 3].map(() => ({
      refresh: async () => {
        counts.asked++;
        answers(trail);
      },
    })),
    monitor: {
      until: async (reached: () => boolean, millis: number) => {
        counts.waited.push(millis);
        // The monitor's own questions are answered in the end.
        if (millis > 0) trail.surveyedAt = performance.now() + 1;
        return reached();
      },
    },
  };
  return { trail, counts, fleet: fleet as unknown as Fleet };
}

const claimed = (timeline: number, arrivedAt = performance.now()) => {
  const floor = new Floor();
  floor.claim({ clusterId: '7', timeline, lsn: 50n }, arrivedAt, arrivedAt + LIFETIME_MILLIS);
  return floor;
};

describe('a token of a timeline that nobody has shown', () => {
  it('makes all servers be asked once, however many such tokens come while one can live', async () => {
    const { fleet, counts, trail } = played();
    for (let i = 0; i < 100; i++) {
      const floor = claimed(2 + (i % 7));
      await seekTimeline(fleet, floor);
      expect(floor.resolve(trail)).toBe(0n);
    }
    expect(counts.asked).toBe(3);
    expect(trail.refused.ahead).toBe(100);
  });

  it('is looked for again once another timeline was found', async () => {
    const { fleet, counts, trail } = played();
    await seekTimeline(fleet, claimed(2));
    trail.add({ ...server, timeline: 2, startedAt: '2', sentAt: performance.now(), lsn: 100n });
    await seekTimeline(fleet, claimed(3));
    expect(counts.asked).toBe(6);
  });

  it('is found where it is true, and holds', async () => {
    const { fleet, trail } = played((of) => {
      of.add({ ...server, node: 'q', startedAt: '2', timeline: 2, sentAt: performance.now(), lsn: 80n, forkLsn: 40n });
    });
    const floor = claimed(2);
    await seekTimeline(fleet, floor);
    expect(floor.resolve(trail)).toBe(50n);
  });

  it('delays its reads by hangMillis from when it came, and not again with each of them', async () => {
    const { fleet, counts } = played();
    await seekTimeline(fleet, claimed(2));
    counts.waited.length = 0;
    await seekTimeline(fleet, claimed(2, performance.now() - HANG_MILLIS));
    expect(counts.waited[0]).toBeLessThanOrEqual(0);
  });
});
