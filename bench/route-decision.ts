/** What it costs to decide where a read goes when all is known: a floor, three replicas, nothing to wait for. */
import { Publisher } from '../src/events.js';
import { Floor } from '../src/freshness/floor.js';
import { Fleet } from '../src/nodes/fleet.js';
import { settingsFrom } from '../src/options/cluster.js';
import type { Servers } from './contenders/access.js';

const DECISIONS = 200_000;

/** Microseconds of one decision, in each round. */
export async function routeDecisionMicros({ primary, replicas }: Servers, rounds: number): Promise<number[]> {
  const replicaUrl = replicas[0] ?? primary;
  const settings = settingsFrom({
    primary,
    replicas: ['r1', 'r2', 'r3'].map((name) => ({ name, connectionString: replicaUrl })),
  });
  const fleet = new Fleet(settings, new Publisher());
  try {
    for (const node of fleet.nodes) await node.refresh();
    const floor = new Floor();
    floor.wrote(performance.now(), fleet.trail.history.timeline);
    for (const node of fleet.nodes) await node.refresh();
    const need = {
      floor,
      requirement: settings,
      target: undefined,
      key: undefined,
      trace: undefined,
      priority: 'normal' as const,
      giveUpAt: Number.POSITIVE_INFINITY,
    };
    const micros: number[] = [];
    for (let round = 0; round <= rounds; round++) {
      const startedAt = performance.now();
      for (let i = 0; i < DECISIONS; i++) {
        if (typeof fleet.choose(need, performance.now()) === 'string')
          throw new Error('the decision must be a replica');
      }
      if (round > 0) micros.push(((performance.now() - startedAt) * 1_000) / DECISIONS);
    }
    return micros;
  } finally {
    await fleet.close();
  }
}
