/** Plays faults in an order by seed, and holds what follows against what is promised. */
import { expect } from 'vitest';
import { definitionsSql } from '../../../src/changes/installation.js';
import { report, size } from '../../behaviour/fixture.js';
import { randomOf } from '../cache/torture.js';
import { judge } from '../cache/torture-judge.js';
import { type FaultedOptions, FaultedPlay, MAX_STALENESS_MILLIS } from './faulted-play.js';
import type { Fault } from './faults.js';

/** What each fault may cost, by a clock that runs while the test does; where others keep the machine busy, it ends all the same. */
const MOST_MILLIS = size(Number.POSITIVE_INFINITY, 10_000);

/** @param hasTriggers whether event triggers tell of definitions */
export async function playFaults(
  options: FaultedOptions,
  hasTriggers: boolean,
  faults: readonly Fault[],
): Promise<void> {
  await using play = await FaultedPlay.begin(options, hasTriggers ? definitionsSql() : []);
  for (const fault of shuffled(faults, options.seed)) await fault(play);
  const logs = await play.end();
  const { hitShares, ...wrong } = judge(logs, 'all', MAX_STALENESS_MILLIS);
  report(`seed ${options.seed}`, { ...wrong, ...hitShares, ...play.shares(), ...play.errors() });
  expect(wrong).toMatchObject({ stale: 0, beyond: 0, backwards: 0, torn: 0 });
  for (const [what, millis] of play.figures) expect(millis, what).toBeLessThan(MOST_MILLIS);
  expect(await play.leftovers()).toEqual([]);
}

function shuffled<T>(all: readonly T[], seed: number): T[] {
  const random = randomOf(seed);
  return all
    .map((one) => ({ one, place: random() }))
    .sort((a, b) => a.place - b.place)
    .map(({ one }) => one);
}
