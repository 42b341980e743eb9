/** What it costs to decide where a read goes when all is known: a floor, some replicas, nothing to wait for. */

import { Floor } from '../src/freshness/floor.js';
import { ReadTrace } from '../src/freshness/read-trace.js';
import { Fleet } from '../src/nodes/fleet.js';
import type { ReadTerms, Selection } from '../src/nodes/selection.js';
import { settingsFrom } from '../src/options/cluster.js';
import { Publisher } from '../src/publisher.js';
import { hashOf } from '../src/routing/partition.js';
import type { Servers } from './contenders/access.js';

const DECISIONS = 100_000;

/** How a read is placed. */
export type Placing = 'without a key' | 'in a session' | 'by key' | 'by a hot key';

/** Microseconds and bytes of one decision, in each round. */
export interface Decision {
  readonly micros: number[];
  readonly bytes: number[];
}

/** @param count replicas: many names of one server, since nothing is sent there */
export async function routeDecision(
  { primary, replicas }: Servers,
  count: number,
  placing: Placing,
  rounds: number,
): Promise<Decision> {
  const connectionString = replicas[0] ?? primary;
  const names = Array.from({ length: count }, (_, i) => `r${i + 1}`);
  const settings = settingsFrom({ primary, replicas: names.map((name) => ({ name, connectionString })) });
  const fleet = new Fleet(settings, new Publisher('shop'));
  try {
    for (const node of fleet.nodes) await node.probe.refresh();
    const floor = new Floor();
    floor.wrote(performance.now(), fleet.history.timelines.timeline);
    for (const node of fleet.nodes) await node.probe.refresh();
    const trace = new ReadTrace(floor);
    if (placing === 'in a session') trace.ended(fleet.replicas[0]?.observation?.identity.server ?? '', 0);
    const keys = Array.from({ length: 10_000 }, (_, i) => hashOf(`user:${i}`));
    const terms = {
      floor,
      requirement: settings,
      target: undefined,
      key: undefined as number | undefined,
      trace: placing === 'in a session' ? trace : undefined,
    };
    const decide = decider(fleet.selection, terms, placing, keys);
    const found: Decision = { micros: [], bytes: [] };
    for (let round = -1; round < rounds; round++) {
      for (const node of fleet.nodes) await node.probe.refresh();
      const heapBefore = process.memoryUsage().heapUsed;
      const startedAt = performance.now();
      for (let i = 0; i < DECISIONS; i++) if (!decide(i)) throw new Error('the decision must be a replica');
      if (round < 0) continue;
      found.micros.push(((performance.now() - startedAt) * 1_000) / DECISIONS);
      found.bytes.push((process.memoryUsage().heapUsed - heapBefore) / DECISIONS);
    }
    return found;
  } finally {
    await fleet.close();
  }
}

function decider(
  selection: Selection,
  terms: { -readonly [K in keyof ReadTerms]: ReadTerms[K] },
  placing: Placing,
  keys: readonly number[],
): (i: number) => boolean {
  if (placing === 'without a key') return () => selection.choose(terms, performance.now()).node !== undefined;
  if (placing === 'in a session') {
    return () => {
      const home = selection.homeOf(terms);
      return home !== undefined && selection.keeps(home, terms, performance.now());
    };
  }
  return (i) => {
    const now = performance.now();
    const isHot = placing === 'by a hot key' && i % 2 === 0;
    terms.key = isHot ? 42 : (keys[i % keys.length] as number);
    selection.recordUse(terms, now);
    return selection.choose(terms, now).node !== undefined;
  };
}

/** Of the usual case: three replicas, no key. */
export async function routeDecisionMicros(servers: Servers, rounds: number): Promise<number[]> {
  return (await routeDecision(servers, 3, 'without a key', rounds)).micros;
}
