/** What the tests of live queries share: servers that tell changes of `items`, and ways to take states. */
import type { Watch, WatchedState } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';

export interface Item extends Record<string, unknown> {
  readonly id: number;
  readonly name: string;
}

export const ALL = 'select id, name from items order by id';
export const ONE = 'select id, name from items where id = $1';

/** With five items, and a table of which no changes are told. */
export async function startWatched(): Promise<TestCluster> {
  const servers = await startTestCluster({ replicas: 2, settings: { wal_level: 'logical' } });
  const { primary } = servers;
  await query(primary, 'create table items (id int primary key, name text)');
  await query(primary, 'create table rest (id int primary key, name text)');
  await query(primary, "insert into items select i, 'a' from generate_series(1, 5) as i");
  await query(primary, "insert into rest values (1, 'a')");
  await query(primary, 'create publication pg_ladder for table items');
  for (const replica of servers.replicas) await replica.waitForReplay();
  return servers;
}

export async function take<Row extends Record<string, unknown>>(watch: Watch<Row>): Promise<WatchedState<Row>> {
  const { value } = await watch.next();
  if (value === undefined) throw new Error('it is over');
  return value;
}

/** Takes states until one holds. */
export async function takeUntil<Row extends Record<string, unknown>>(
  watch: Watch<Row>,
  holds: (rows: readonly Row[]) => boolean,
): Promise<WatchedState<Row>> {
  for (;;) {
    const state = await take(watch);
    if (holds(state.rows)) return state;
  }
}
