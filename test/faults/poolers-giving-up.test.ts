import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { pgbouncer } from '../../bench/proxies/pgbouncer.js';
import { pgpool } from '../../bench/proxies/pgpool.js';
import { type Kind, RunningProxy } from '../../bench/proxies/proxy.js';
import { createCluster } from '../../src/index.js';
import { startTestCluster, type TestNode } from '../../src/testing/index.js';
import { until } from '../behaviour/fixture.js';
import { query } from '../testing/query.js';
import { installed } from './installed.js';

async function start(kind: Kind, options: object = {}) {
  const servers = await startTestCluster({ replicas: 2, links: true });
  const urls = servers.nodes.map(({ connectionString }) => connectionString);
  const proxies = await Promise.all(
    urls.map((url) =>
      RunningProxy.start(kind, installed(kind) ?? '', {
        primary: url,
        replicas: urls.filter((u) => u !== url),
      }),
    ),
  );
  const [primary = '', ...replicas] = proxies.map(({ entries }) => entries.primary);
  const cluster = createCluster({ primary, replicas, ...options });
  await cluster.ready();
  await cluster.write('create table t (id int primary key, v int)');
  await cluster.write('insert into t select i, 0 from generate_series(1, 64) i');
  return {
    servers,
    cluster,
    [Symbol.asyncDispose]: async () => {
      await cluster.close();
      await Promise.all(proxies.map((proxy) => proxy.stop()));
      await servers.stop();
    },
  };
}

const sleep = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));
const SLOW = 'update t set v = v + 1 + 0 * length(pg_sleep($2)::text) where id = $1';

describe.skipIf(installed(pgbouncer) === undefined)('behind PgBouncer with transaction pooling', () => {
  it('giving up a write cancels it, and nobody else’s statement', async () => {
    await using bed = await start(pgbouncer);
    const { cluster } = bed;
    const { primary } = bed.servers;
    const victims: string[] = [];
    const running = () =>
      query(primary, "select count(*)::int from pg_stat_activity where state = 'active' and query like 'update t %'");
    const endAt = performance.now() + 2_000;
    await Promise.all([
      ...Array.from({ length: 6 }, async (_, i) => {
        while (performance.now() < endAt) {
          await cluster.write(SLOW, [i + 1, 0.02]).catch((error: Error) => victims.push(error.message));
        }
      }),
      ...Array.from({ length: 8 }, async (_, i) => {
        while (performance.now() < endAt) {
          // By itself it ends long after the test.
          await cluster.write(SLOW, [20 + i, 300], { timeoutMillis: 60 }).catch(() => undefined);
          await sleep(200);
        }
      }),
    ]);
    await until('all are cancelled', async () => (await running()) === 0);
    const committedAnyway = await query(primary, 'select count(*)::int from t where id between 20 and 27 and v <> 0');
    expect({ victims, committedAnyway }).toEqual({ victims: [], committedAnyway: 0 });
  });

  it('a session that gave up a write is on the primary until that is over, and no longer', async () => {
    await using bed = await start(pgbouncer);
    const { cluster, servers } = bed;
    const seen: { releasedAfter: number | undefined; stillRan: boolean }[] = [];
    for (let trial = 0; trial < 4; trial++) {
      // Our connections and those of the server change partners.
      const others = Array.from({ length: 9 }, (_, i) =>
        cluster.write(SLOW, [i + 1, 0.1 * Math.random()]).catch(() => undefined),
      );
      await cluster.session(
        async () => {
          await cluster.write(SLOW, [40, 0.6], { timeoutMillis: 50 }).catch(() => undefined);
          await Promise.all(others);
          const startedAt = performance.now();
          let releasedAfter: number | undefined;
          let stillRan = false;
          while (releasedAfter === undefined && performance.now() - startedAt < 2_000) {
            const held = cluster.stats().routes['floor-unknown'];
            await cluster.read('select v from t where id = 40');
            if (cluster.stats().routes['floor-unknown'] !== held) await sleep(10);
            else releasedAfter = Math.round(performance.now() - startedAt);
          }
          const client = new pg.Client({ connectionString: servers.primary.connectionString });
          await client.connect();
          const { rows } = await client.query(
            "select 1 from pg_stat_activity where state = 'active' and wait_event = 'PgSleep'",
          );
          stillRan = rows.length > 0;
          await client.end();
          seen.push({ releasedAfter, stillRan });
          await sleep(600);
        },
        { inherit: 'none' },
      );
    }
    expect(seen.filter(({ releasedAfter, stillRan }) => stillRan || releasedAfter === undefined)).toEqual([]);
  }, 60_000);

  it('named statements it cannot do fail or work, and none gets the answer of another', async () => {
    await using bed = await start(pgbouncer, { namedStatements: true, lane: false });
    const { cluster } = bed;
    let [right, wrong] = [0, 0];
    const endAt = performance.now() + 1_000;
    await Promise.all(
      Array.from({ length: 32 }, async (_, i) => {
        while (performance.now() < endAt) {
          const k = Math.floor(Math.random() * 40);
          const { rows } = await cluster.read<{ n: number }>(`select ${k} * 1000 + $1::int as n`, [i]);
          if (rows[0]?.n === k * 1000 + i) right++;
          else wrong++;
        }
      }),
    );
    expect({ isUsed: right > 0, wrong }).toEqual({ isUsed: true, wrong: 0 });
  });
});

describe.skipIf(installed(pgpool) === undefined)('behind Pgpool-II', () => {
  it.each([
    ['that has died', (node: TestNode) => node.kill()],
    ['whose connections are reset', async (node: TestNode) => node.link?.reset()],
  ])('its own words for a server %s: a read runs elsewhere, and a write is of unknown outcome', async (_, lose) => {
    await using bed = await start(pgpool);
    const { cluster, servers } = bed;
    const reads = Array.from({ length: 8 }, () => cluster.read('select pg_sleep(1)').then(() => 'read', String));
    await sleep(200);
    await lose(servers.replicas[0] as TestNode);
    const write = cluster.write(SLOW, [1, 1]).then(
      () => 'written',
      ({ code }) => code,
    );
    await sleep(200);
    await lose(servers.primary);
    expect([await write, ...new Set(await Promise.all(reads))]).toEqual(['LADDER_WRITE_OUTCOME_UNKNOWN', 'read']);
  });
});
