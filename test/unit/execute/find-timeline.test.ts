import { describe, expect, it } from 'vitest';
import { findTimeline } from '../../../src/execute/find-timeline.js';
import { Floor } from '../../../src/freshness/floor.js';
import { PrimaryHistory } from '../../../src/freshness/primary-history.js';
import type { Fleet } from '../../../src/nodes/fleet.js';
import { TimelineLook } from '../../../src/nodes/timeline-look.js';

const LIFETIME_MILLIS = 60_000;
const HANG_MILLIS = 500;
const server = { node: 'p', clusterId: '7', startedAt: '1', heardSince: 0, forkLsn: undefined };

/** Servers that count how often they are asked, and a monitor that tells how long somebody waits for it. */
function played(answers: (history: PrimaryHistory) => void = () => undefined) {
  const history = new PrimaryHistory();
  history.add({ ...server, timeline: 1, sentAt: performance.now(), lsn: 100n });
  const counts = { asked: 0, waited: [] as number[] };
  const fleet = {
    history,
    timelineLook: new TimelineLook(LIFETIME_MILLIS),
    settings: { hangMillis: HANG_MILLIS },
    nodes: [1, 2, 3].map(() => ({
      probe: {
        refresh: async () => {
          counts.asked++;
          answers(history);
        },
      },
    })),
    monitor: {
      until: async (reached: () => boolean, millis: number) => {
        counts.waited.push(millis);
        // The monitor's own questions are answered in the end.
        if (millis > 0) history.survey.sentAt = performance.now() + 1;
        return reached();
      },
    },
  };
  return { history, counts, fleet: fleet as unknown as Fleet };
}

const claimed = (timeline: number, arrivedAt = performance.now()) => {
  const floor = new Floor();
  floor.claim({ clusterId: '7', timeline, lsn: 50n }, arrivedAt, arrivedAt + LIFETIME_MILLIS);
  return floor;
};

describe('a token of a timeline that nobody has shown', () => {
  it('makes all servers be asked once, however many such tokens come while one can live', async () => {
    const { fleet, counts, history } = played();
    for (let i = 0; i < 100; i++) {
      const floor = claimed(2 + (i % 7));
      await findTimeline(fleet, floor);
      expect(floor.resolve(history)).toBe(0n);
    }
    expect(counts.asked).toBe(3);
    expect(history.refused.ahead).toBe(100);
  });

  it('is looked for again once another timeline was found', async () => {
    const { fleet, counts, history } = played();
    await findTimeline(fleet, claimed(2));
    history.add({ ...server, timeline: 2, startedAt: '2', sentAt: performance.now(), lsn: 100n });
    await findTimeline(fleet, claimed(3));
    expect(counts.asked).toBe(6);
  });

  it('is found where it is true, and holds', async () => {
    const { fleet, history } = played((of) => {
      of.add({ ...server, node: 'q', startedAt: '2', timeline: 2, sentAt: performance.now(), lsn: 80n, forkLsn: 40n });
    });
    const floor = claimed(2);
    await findTimeline(fleet, floor);
    expect(floor.resolve(history)).toBe(50n);
  });

  it('delays its reads by hangMillis from when it came, and not again with each of them', async () => {
    const { fleet, counts } = played();
    await findTimeline(fleet, claimed(2));
    counts.waited.length = 0;
    await findTimeline(fleet, claimed(2, performance.now() - HANG_MILLIS));
    expect(counts.waited[0]).toBeLessThanOrEqual(0);
  });
});
