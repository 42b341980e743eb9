// Who writes and reads under stumbling replay, with answers that changes keep current, is shown
// nothing that the guarantees rule out.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { definitionsSql } from '../../../src/changes/installation.js';
import type { Cluster } from '../../../src/index.js';
import type { TestCluster } from '../../../src/testing/index.js';
import { open, report, size, until } from '../../behaviour/fixture.js';
import { query } from '../../testing/query.js';
import { type Inherit, play } from '../cache/torture.js';
import { judge, type Verdict } from '../cache/torture-judge.js';
import { begin, startServers } from '../cache/torture-processes.js';

const READS = size(4_000, 200_000);
const NOTHING = { stale: 0, beyond: 0, backwards: 0, torn: 0 };
const MAX_STALENESS_MILLIS = 5_000;

let servers: TestCluster;

beforeAll(async () => {
  servers = await startServers({ wal_level: 'logical' });
  await query(servers.primary, 'create publication pg_ladder for table orders, items');
  for (const sql of definitionsSql()) await query(servers.primary, sql);
});
afterAll(() => servers.stop());

async function played(inherit: Inherit, during: (cluster: Cluster, signal: AbortSignal) => Promise<unknown>) {
  await using cluster = await open(servers, { cache: { maxStalenessMillis: MAX_STALENESS_MILLIS }, changes: {} });
  await until('changes are heard', () => cluster.changes.stats().state === 'current');
  await begin(servers, cluster);
  const over = new AbortController();
  const [logs] = await Promise.all([
    play(cluster, 'here', {
      seed: 7,
      readCount: READS,
      sessionCount: 16,
      inherit,
      maxStalenessMillis: MAX_STALENESS_MILLIS,
    }).finally(() => over.abort()),
    during(cluster, over.signal),
  ]);
  const { hits, advancedCount, misses } = cluster.cache.stats();
  const { readCount, hitShares, ...faults }: Verdict = judge(logs, 'all', MAX_STALENESS_MILLIS);
  const advanced = advancedCount / (hits.memory.session + hits.memory.eventual);
  const { beginCount } = cluster.changes.stats();
  report(`${readCount} reads, inherit ${inherit}`, { ...faults, ...hitShares, advanced, beginCount });
  report('misses', misses);
  return { faults, advancedCount, beginCount };
}

describe('reads after writes, answered by what changes keep current', () => {
  it.each<Inherit>(['none', 'process'])('miss nothing, and never go back: inherit %s', async (inherit) => {
    const { faults, advancedCount } = await played(inherit, async () => undefined);
    expect(faults).toEqual(NOTHING);
    expect(advancedCount).toBeGreaterThan(0);
  });

  it('miss nothing while the log breaks off, and definitions change', async () => {
    const blows = [
      'select pg_terminate_backend(active_pid) from pg_replication_slots where slot_type = $$logical$$',
      'alter table orders add column if not exists note text',
      'alter publication pg_ladder drop table items',
      'alter table orders drop column if exists note',
      'alter publication pg_ladder add table items',
      'grant select on items to pg_monitor',
      'create or replace function double(int) returns int immutable language sql as $$select $1 * 2$$',
      'alter role postgres set geqo_effort = 5',
      'revoke select on items from pg_monitor',
    ];
    let blowCount = 0;
    const { faults, beginCount } = await played('none', async (_, signal) => {
      while (!signal.aborted) {
        await query(servers.primary, blows[blowCount++ % blows.length] ?? '');
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    });
    expect(faults).toEqual(NOTHING);
    expect(beginCount).toBeGreaterThan(1);
  });
});
