import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster, RouteEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { bestOf, open, percentile, report, runningMillis, size, until } from './fixture.js';

describe('a gate that nothing but unflushed log keeps shut', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let firstId = 0;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1, primarySettings: { fsync: true } });
    cluster = await open(servers);
    await cluster.write('create table notes (id int primary key, text text)');
    await cluster.write('create table foreign_notes (text text)');
    await servers.replicas[0]?.waitForReplay();
  });
  afterAll(async () => {
    await cluster.close();
    await servers.stop();
  });

  function recordRoutes(): RouteEvent[] {
    const routes: RouteEvent[] = [];
    cluster.events.on('route', (event) => routes.push(event));
    return routes;
  }

  // The position of a session's own write may come with that write, and so before what the other one has written. A
  // strong read asks behind both.
  it.each(['session', 'strong'] as const)(
    'opens for a %s read within milliseconds beside another session’s open transaction that writes',
    besideTransaction,
  );

  async function besideTransaction(consistency: 'session' | 'strong'): Promise<void> {
    const foreigner = new pg.Client(servers.primary.connectionString);
    await foreigner.connect();
    const routes = recordRoutes();
    const count = size(33, 333);
    let id = firstId;
    const batch = async (): Promise<{ shareOnReplica: number; millis: number }> => {
      routes.length = 0;
      const millis: number[] = [];
      for (const end = id + count; id < end; id++) {
        await foreigner.query('begin');
        await cluster.write('insert into notes values ($1, $2)', [id, 'mine']);
        await foreigner.query("insert into foreign_notes values (repeat('x', 200))");
        const startedAt = performance.now();
        const { rows } = await cluster.read('select text from notes where id = $1', [id], { consistency });
        millis.push(performance.now() - startedAt);
        expect(rows).toEqual([{ text: 'mine' }]);
        await foreigner.query('rollback');
      }
      const onReplica = routes.filter((r) => r.role === 'replica').length;
      firstId = id;
      report(`${count} ${consistency} reads beside a foreign open transaction`, {
        'p50 ms': percentile(millis, 0.5),
        'p90 ms': percentile(millis, 0.9),
        'on the replica': onReplica,
        nudges: cluster.stats().nudgeCount,
      });
      return { shareOnReplica: onReplica / count, millis: percentile(millis, 0.9) };
    };
    // Without a nudge it is 54 ms, on the primary, and so nearly none on the replica, which the short form goes by. Other work on this machine only ever
    // adds to it: the best of a few batches is what the gate itself takes.
    const isOpenSoon = ({ shareOnReplica, millis }: Awaited<ReturnType<typeof batch>>): boolean =>
      shareOnReplica > 0.9 && millis < size(500, 20);
    const best = await bestOf(size(20, 3), batch, isOpenSoon);
    await foreigner.end();
    expect(best).toSatisfy(isOpenSoon);
    if (consistency === 'strong') expect(cluster.stats().nudgeCount).toBeGreaterThan(0);
  }

  it('stands open at a page boundary on an idle primary, with nobody writing a byte to help', async () => {
    const routes = recordRoutes();
    // A replica that is held up by other work is late by itself.
    await until('the replica answers, without a nudge', async () => {
      const before = cluster.stats().nudgeCount;
      await writeUpToPageBoundary(cluster);
      expect(await runningMillis(() => cluster.read('select 1'))).toBeLessThan(1_000);
      return routes.at(-1)?.role === 'replica' && cluster.stats().nudgeCount === before;
    });
  });
});

/**
 * Leaves the primary's log ending exactly on a page, by a committed transaction: `pg_current_wal_insert_lsn()` then reads 24 bytes
 * past where any replica can get to.
 */
async function writeUpToPageBoundary(cluster: Cluster): Promise<void> {
  const page = 8192;
  // A message of n bytes and its commit take n and a constant that one trial tells, up to the 8-byte rounding of records.
  for (let attempt = 0; attempt < 200; attempt++) {
    const spent = await emit(cluster, 64);
    const here = await offsetInPage(cluster);
    const size = page - here - (spent - 64);
    if (size < 0 || size > page - 1000) continue;
    for (const slack of [0, -8, 8, -16, 16]) {
      if (size + slack < 0) continue;
      await emit(cluster, size + slack);
      const { rows } = await cluster.read<{ offset: number }>(
        "select ((pg_current_wal_insert_lsn() - '0/0') % 8192)::int as offset, ((pg_current_wal_insert_lsn() - '0/0') % 16777216)::int as in_segment",
        [],
        { target: 'primary' },
      );
      if (rows[0]?.offset === 24) return;
      break;
    }
  }
  throw new Error('could not build a page boundary');
}

/** Commits a message of that many bytes. @returns the bytes of log it took */
async function emit(cluster: Cluster, bytes: number): Promise<number> {
  const before = await insertLsn(cluster);
  await cluster.write("select pg_logical_emit_message(true, '', repeat('x', $1))", [bytes]);
  return (await insertLsn(cluster)) - before;
}

async function offsetInPage(cluster: Cluster): Promise<number> {
  return (await insertLsn(cluster)) % 8192;
}

async function insertLsn(cluster: Cluster): Promise<number> {
  const { rows } = await cluster.read<{ at: string }>("select pg_current_wal_insert_lsn() - '0/0' as at", [], {
    target: 'primary',
  });
  return Number(rows[0]?.at);
}
