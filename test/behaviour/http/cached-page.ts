/** A cluster with caches, a page that is read through them, and what its response tells other caches. */
import { type Cluster, routeOf } from '../../../src/index.js';
import { until } from '../fixture.js';
import { openOne } from './served.js';

export const BOUND_MILLIS = 20_000;
export const PAGE = 'select name from names where id = 1';
export const OPEN = { public: true } as const;

/** Whose answers are kept already, and what it warns of. */
export async function cached() {
  const cluster = await openOne({ cache: { maxStalenessMillis: BOUND_MILLIS } });
  await cluster.explain('select 1');
  await until('answers are kept', async () => {
    const kept = await cluster.read('select 1 as one', [], { cache: true });
    return routeOf(kept)?.rung === 'memory';
  });
  const warned: string[] = [];
  cluster.events.on('warning', ({ code, message }) => code === 'not-public' && warned.push(message));
  return { cluster, warned };
}

export const page = async (cluster: Cluster) =>
  (await cluster.read<{ name: string }>(PAGE, [], { cache: true })).rows[0]?.name ?? '';
