/**
 * Thousands of random faults on servers that are played, which come and go meanwhile, in a time that is played too: the library itself is the real one. A run is told by its
 * seed: `SIMULATION_SEED=17 npx vitest run test/simulation` plays that one again. Reads of even seeds share connections.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { report, size } from '../behaviour/fixture.js';
import { Simulation } from './simulation.js';

// The library takes its clock where nobody plays with it.
vi.mock('../../src/clock.js', () => import('../played-clock.js'));
// It would be loaded in real time, of which nobody knows how much is played meanwhile.
vi.mock('../../src/sql/grammar.js', async (importOriginal) => {
  const original = await importOriginal<typeof import('../../src/sql/grammar.js')>();
  const loaded = await original.Grammar.load();
  return {
    ...original,
    Grammar: function Loaded() {
      return loaded;
    },
  };
});

const FAULTS = 120;
/** A second connection was lost under one read, and its server was still there: that read is not carried on. */
const LOST = 'Error: Connection terminated unexpectedly';

describe('a simulation of random faults', () => {
  const playTime = (): void => {
    const toFake = [
      'setTimeout',
      'clearTimeout',
      'setInterval',
      'clearInterval',
      'setImmediate',
      'clearImmediate',
    ] as const;
    vi.useFakeTimers({ toFake: [...toFake, 'Date', 'performance'] });
  };
  beforeEach(playTime);
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });

  const asked = process.env['SIMULATION_SEED'];
  const seeds = asked === undefined ? Array.from({ length: size(3, 100) }, (_, i) => i + 1) : [Number(asked)];
  const totals: Record<string, number> = { seeds: 0, faults: 0, violations: 0 };

  it.each(seeds)(
    'with seed %i: no read behind its session, off the timeline or lost by a join or a leave; each key on its own replica; nothing left of who has left',
    async (seed) => {
      const hasLanes = seed % 2 === 0;
      const simulation = new Simulation(seed, hasLanes);
      await simulation.run(FAULTS);
      const { judge, membership, traffic, violations } = simulation;
      const { LADDER_NO_PRIMARY = 0, LADDER_OVERLOADED = 0, [LOST]: lost = 0, ...others } = traffic.failures;
      const figures = {
        ...membership.figures,
        ...judge.figures,
        'no rung left': LADDER_NO_PRIMARY + LADDER_OVERLOADED,
        'lost twice': lost,
      };
      totals['seeds'] = (totals['seeds'] as number) + 1;
      totals['faults'] = (totals['faults'] as number) + simulation.faultCount;
      totals['violations'] = (totals['violations'] as number) + violations.length;
      for (const [name, count] of Object.entries(figures)) totals[name] = (totals[name] ?? 0) + count;
      expect(violations.slice(0, 10).join('\n')).toBe('');
      expect(others).toEqual({});
      expect(judge.figures['on replicas']).toBeGreaterThan(100);
      if (hasLanes) expect(judge.figures.shared).toBeGreaterThan(100);
      else expect(judge.figures.shared).toBe(0);
    },
    120_000,
  );

  it.each([false, true])('plays the same when it is played again, with shared connections: %s', async (hasLanes) => {
    const play = async (): Promise<readonly string[]> => {
      vi.useRealTimers();
      playTime();
      const simulation = new Simulation(1, hasLanes);
      await simulation.play(10);
      await simulation.close();
      return simulation.judge.answers;
    };
    const first = await play();
    expect(first.length).toBeGreaterThan(100);
    expect(await play()).toEqual(first);
  });

  it('saw many faults', () => {
    const { 'own expected': expected = 0, 'on own': own = 0 } = totals;
    report('simulation', { ...totals, 'share on own replica': expected === 0 ? 'none' : own / expected });
    expect(totals['faults']).toBe(seeds.length * FAULTS);
  });
});
