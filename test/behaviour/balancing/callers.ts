import { afterAll, afterEach, beforeAll } from 'vitest';
import type { Cluster, QueryEvent } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import { percentile } from '../fixture.js';

/** What callers saw of a run, and what each node had to do. */
export interface Run {
  readonly reads: number;
  readonly p50: number;
  readonly p99: number;
  /** Reads, by node. */
  readonly counts: Readonly<Record<string, number>>;
  /** Time that statements ran, in milliseconds, by node. */
  readonly work: Readonly<Record<string, number>>;
}

/** So many callers who read one after the other for a while. */
export async function run(
  cluster: Cluster,
  callers: number,
  millis: number,
  read: () => Promise<unknown>,
): Promise<Run> {
  const [counts, work]: Record<string, number>[] = [{}, {}];
  const heard = ({ node, durationMillis }: QueryEvent): void => {
    (counts as Record<string, number>)[node] = ((counts as Record<string, number>)[node] ?? 0) + 1;
    (work as Record<string, number>)[node] = ((work as Record<string, number>)[node] ?? 0) + durationMillis;
  };
  cluster.events.on('query', heard);
  const took: number[] = [];
  const giveUpAt = performance.now() + millis;
  const caller = async (): Promise<void> => {
    while (performance.now() < giveUpAt) {
      const startedAt = performance.now();
      await read();
      took.push(performance.now() - startedAt);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  cluster.events.off('query', heard);
  return {
    reads: took.length,
    p50: percentile(took, 0.5),
    p99: percentile(took, 0.99),
    counts: counts as Record<string, number>,
    work: work as Record<string, number>,
  };
}

export const shareOf = (of: Readonly<Record<string, number>>, name: string): number =>
  (of[name] ?? 0) / Object.values(of).reduce((sum, n) => sum + n, 0);

export const shares = (of: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(['r1', 'r2', 'r3'].map((name) => [name, shareOf(of, name)]));

export const READ = 'select value from items where id = $1';

export const ITEMS = 10_000;

export const anyItem = (): number => Math.floor(Math.random() * ITEMS);

export let servers: TestCluster;

export const now = {} as { cluster: Cluster };

/** Starts the servers once a file, and closes the cluster that each test opened. */
export function balancesReads(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 3, links: true });
    await query(
      servers.primary,
      `create table items as select i as id, 0 as value from generate_series(0, ${ITEMS - 1}) i`,
    );
    await query(servers.primary, 'alter table items add primary key (id)');
    await query(servers.primary, 'analyze items');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());
  afterEach(async () => {
    for (const replica of servers.replicas) replica.link?.restore();
    await now.cluster.close();
  });
}
