import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { bestOf, nodeOf, open, percentile, RunningClock, report, size, until } from '../behaviour/fixture.js';

const POINT = 'select v from t where id = $1';
const ROWS = 500;

describe('shared connections, when things go wrong', () => {
  let servers: TestCluster;
  let cluster: Cluster;

  beforeEach(async () => {
    servers = await startTestCluster({ replicas: 2 });
    cluster = await open(servers);
    await cluster.write('create table t (id int primary key, v int)');
    await cluster.write('insert into t select i, i * 7 from generate_series(0, $1) i', [ROWS - 1]);
    for (const replica of servers.replicas) await replica.waitForReplay();
    await until('both replicas share connections', async () => {
      await Promise.all(Array.from({ length: 8 }, (_, i) => cluster.read(POINT, [i])));
      return ['r1', 'r2'].every((name) => nodeOf(cluster, name).lane.statementCount > 200);
    });
  });
  afterEach(async () => {
    await cluster.close();
    await servers.stop();
  });

  /** Sends all reads at once, lets `harm` be done while they are under way, and looks at what has come of them. */
  async function underWay(harm: () => Promise<unknown>): Promise<{ slowestMillis: number }> {
    const deliveries = Array.from({ length: ROWS }, () => 0);
    const wrong: unknown[] = [];
    let slowestMillis = 0;
    const clock = new RunningClock();
    const reads = Array.from({ length: ROWS }, async (_, id) => {
      const { rows } = await cluster.read<{ v: number }>(POINT, [id]);
      deliveries[id] = (deliveries[id] ?? 0) + 1;
      if (rows[0]?.v !== id * 7) wrong.push({ id, rows });
      slowestMillis = Math.max(slowestMillis, clock.now());
    });
    await harm();
    await Promise.all(reads);
    clock.stop();
    expect(wrong).toEqual([]);
    expect(deliveries).toEqual(Array.from({ length: ROWS }, () => 1));
    return { slowestMillis };
  }

  it('500 reads under way outlast their backend being terminated', async () => {
    const client = new pg.Client({ connectionString: servers.replicas[0]?.connectionString ?? '' });
    await client.connect();
    let shared = 0;
    for (let round = 0; round < size(2, 20); round++) {
      // A loss takes r1 out of rotation for seconds: without it a round would show nothing.
      const isBack = async (): Promise<boolean> => {
        await Promise.all(Array.from({ length: 8 }, (_, i) => cluster.read(POINT, [i])));
        return nodeOf(cluster, 'r1').lane.connectionCount > 0;
      };
      await until('r1 shares connections again', isBack, 20_000);
      const before = nodeOf(cluster, 'r1').lane.statementCount;
      await underWay(() =>
        client.query(
          'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = $1',
          ['client backend'],
        ),
      );
      if (nodeOf(cluster, 'r1').lane.statementCount > before) shared++;
    }
    await client.end();
    expect(shared).toBe(size(2, 20));
  });

  it('a read that took too long for a shared connection outlasts the loss of the one that it has then', async () => {
    await cluster.write(
      'create function slowly(s float) returns int stable language plpgsql as $$ begin return (select 1 from pg_sleep(s)); end $$',
    );
    for (const replica of servers.replicas) await replica.waitForReplay();
    const monitors = await Promise.all(
      servers.replicas.map(async ({ connectionString }) => {
        const client = new pg.Client({ connectionString });
        await client.connect();
        return client;
      }),
    );
    // On a shared connection it would have been stopped by then.
    const terminate = `select pg_terminate_backend(pid) from pg_stat_activity where state = 'active'
      and query like 'select slowly%' and query_start < clock_timestamp() - interval '0.4 s'`;
    const laneCount = (): number =>
      nodeOf(cluster, 'r1').lane.statementCount + nodeOf(cluster, 'r2').lane.statementCount;
    let attempts = 0;
    const isLostThen = async (): Promise<boolean> => {
      // Of another name each time: a text that was slow just now shares no connection.
      const text = `select slowly($1) as nap_${attempts++}`;
      await cluster.explain(text);
      for (let i = 0; i < 10; i++) await cluster.read(text, [0]);
      const before = laneCount();
      const lasting = cluster.read(text, [1.5]);
      const wasShared = laneCount() > before;
      let terminatedCount = 0;
      for (let i = 0; i < 50 && wasShared && terminatedCount === 0; i++) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        const answers = await Promise.all(monitors.map((monitor) => monitor.query(terminate)));
        terminatedCount = answers.reduce((sum, { rowCount }) => sum + (rowCount ?? 0), 0);
      }
      expect((await lasting).rowCount).toBe(1);
      return terminatedCount > 0;
    };
    await until('one was lost where it went on', isLostThen, 20_000);
    for (const monitor of monitors) await monitor.end();
  });

  it('500 reads under way outlast their server being killed', async () => {
    const { slowestMillis } = await underWay(async () => servers.replicas[0]?.kill());
    expect(slowestMillis).toBeLessThan(5_000);
  });

  it('500 reads under way outlast their server being frozen, most of them without waiting for the hang bound', async () => {
    await servers.replicas[0]?.freeze();
    const { slowestMillis } = await underWay(async () => undefined);
    expect(slowestMillis).toBeLessThan(5_000);
    await servers.replicas[0]?.thaw();
    await until('r1 is live again', () => nodeOf(cluster, 'r1').state === 'live');
  });

  it('point reads keep their pace beside floods of slow statements, as if those had a pool of their own', async () => {
    await cluster.write(
      "create function burn(millis int, salt int) returns int stable language plpgsql as $$ declare until timestamptz := clock_timestamp() + millis * interval '1 ms'; begin while clock_timestamp() < until loop end loop; return salt; end $$",
    );
    for (const replica of servers.replicas) await replica.waitForReplay();
    const apart = new pg.Pool({ connectionString: servers.replicas[0]?.connectionString ?? '' });
    const floods: Record<string, (i: number, run: (text: string) => Promise<unknown>) => Promise<unknown>> = {
      sleeping: (_, run) => run('select pg_sleep(0.2)'),
      burning: (i, run) => run(`select burn(200, ${i})`),
    };
    const paced = async (flood: (typeof floods)[string]): Promise<{ apart: number; beside: number }> => {
      const p99 = { apart: 0, beside: 0 };
      for (const [way, run] of [
        ['apart', (text: string) => apart.query(text)],
        ['beside', (text: string) => cluster.read(text)],
      ] as const) {
        const millis: number[] = [];
        let isOver = false;
        let count = 0;
        const flooding = Array.from({ length: 4 }, async () => {
          while (!isOver) await flood(count++, run);
        });
        const until = performance.now() + size(1_000, 10_000);
        await Promise.all(
          Array.from({ length: 4 }, async () => {
            while (performance.now() < until) {
              const startedAt = performance.now();
              await cluster.read(POINT, [count % ROWS]);
              millis.push(performance.now() - startedAt);
              await new Promise((resolve) => setTimeout(resolve, 1));
            }
          }),
        );
        isOver = true;
        await Promise.all(flooding);
        p99[way] = percentile(millis, 0.99);
      }
      return p99;
    };
    // Far above what a busy machine adds, far below what one slow statement ahead would; standstills come to either by chance.
    const most = ({ apart: p99 }: { apart: number }): number => Math.max(120, 3 * p99);
    for (const [name, flood] of Object.entries(floods)) {
      const p99 = await bestOf(
        size(4, 1),
        () => paced(flood),
        (each) => each.beside < most(each),
      );
      report(`point reads beside a ${name} flood`, { 'p99 apart ms': p99.apart, 'p99 beside ms': p99.beside });
      expect(p99.beside).toBeLessThan(most(p99));
    }
    await apart.end();
  });

  it('nothing piles up over many reads', async () => {
    const heapOf = (): number => {
      global.gc?.();
      return process.memoryUsage().heapUsed;
    };
    const read = async (n: number): Promise<void> => {
      let left = n;
      await Promise.all(
        Array.from({ length: 64 }, async () => {
          while (left-- > 0) await cluster.read(POINT, [left % ROWS]);
        }),
      );
    };
    await read(5_000);
    const before = heapOf();
    await read(size(15_000, 1_000_000));
    const grown = (heapOf() - before) / 1024 / 1024;
    report('heap over many reads', { 'grown MB': grown, 'is collected': String(global.gc !== undefined) });
    expect(grown).toBeLessThan(global.gc === undefined ? 200 : 10);
    for (const { inFlight, lane } of cluster.stats().nodes) expect([inFlight, lane.inFlight]).toEqual([0, 0]);
  });
});
