import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ClusterBehaviour } from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { open } from './fixture.js';

// The test's own: while it plays with the time, it waits in the real one.
const { setTimeout: later } = globalThis;
const pause = (millis: number) => new Promise((resolve) => later(resolve, millis));

let servers: TestCluster;
let replica: TestNode;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
  replica = servers.replicas[0] as TestNode;
  await using cluster = await open(servers);
  await cluster.write('create table t (id int primary key, v int not null)');
  await cluster.write('insert into t values (1, 0)');
  await replica.waitForReplay();
});
afterAll(() => servers.stop());
beforeEach(() => replica.resumeReplay());
afterEach(async () => {
  vi.useRealTimers();
  vi.resetModules();
});

/** As an application's test gets it, whose set-up may have faked the time before. */
async function opened(options: ClusterBehaviour = {}): Promise<Awaited<ReturnType<typeof open>>> {
  const { createCluster } = await import('../../src/index.js');
  const cluster = createCluster({
    primary: servers.primary.connectionString,
    replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
    ...(process.env['LANE'] === 'off' ? { lane: false, namedStatements: false } : {}),
    ...options,
  });
  await cluster.ready();
  return cluster;
}

/** With replay paused for longer than the bound, a read with one shows what was written since. */
async function expectBoundKept(cluster: Awaited<ReturnType<typeof opened>>): Promise<void> {
  await replica.pauseReplay();
  await cluster.write('update t set v = v + 1 where id = $1', [1]);
  const { rows } = await cluster.read<{ v: number }>('select v from t', [], { target: 'primary' });
  await pause(400);
  const options = { consistency: 'eventual', maxStalenessMillis: 300 } as const;
  expect((await cluster.read('select v from t where id = $1', [1], options)).rows).toEqual(rows);
}

describe.each(['after the library was loaded', 'before the library was loaded'])(
  'with a time that was faked %s',
  (when) => {
    async function faked(options?: ClusterBehaviour): ReturnType<typeof opened> {
      if (when.startsWith('before')) vi.useFakeTimers();
      const cluster = await opened(options);
      for (let i = 0; i < 100; i++) await cluster.read('select v from t where id = $1', [1]);
      if (when.startsWith('after')) vi.useFakeTimers();
      return cluster;
    }

    it('a read after a write never shows the old row while replay is paused', async () => {
      const cluster = await faked();
      await replica.pauseReplay();
      const stale: number[] = [];
      for (let i = 1; i <= 30; i++) {
        await cluster.session(async () => {
          await cluster.write('update t set v = v + 1 where id = $1', [1]);
          const written = (await cluster.read<{ v: number }>('select v from t', [], { target: 'primary' })).rows[0]?.v;
          const seen = (await cluster.read<{ v: number }>('select v from t where id = $1', [1])).rows[0]?.v;
          if (seen !== written) stale.push(i);
        });
      }
      expect(stale).toEqual([]);
      await cluster.close();
    });

    it('a read with maxStalenessMillis never shows what is older', async () => {
      const cluster = await faked();
      await expectBoundKept(cluster);
      await cluster.close();
    });

    it('a clock that is moved on between a write and a read keeps neither the read nor its replica away', async () => {
      const cluster = await faked({ waitMillis: 10_000 });
      await cluster.session(async (session) => {
        for (let i = 0; i < 5; i++) {
          const { rows } = await cluster.write<{ v: number }>('update t set v = v + 1 where id = 1 returning v');
          vi.advanceTimersByTime(10_000);
          expect((await cluster.read('select v from t where id = 1')).rows).toEqual(rows);
          expect((await cluster.read('select v from t where id = 1', [], { target: 'replica' })).rows).toEqual(rows);
          vi.advanceTimersByTime(100_000);
          const next = { token: await session.token(), inherit: 'none' } as const;
          vi.setSystemTime(0);
          const read = () => cluster.read('select v from t where id = 1', [], { target: 'replica' });
          expect((await cluster.session(read, next)).rows).toEqual(rows);
        }
      });
      expect(cluster.stats().tokens).toMatchObject({ expired: 0 });
      await cluster.close();
    });

    it('reads side by side, statements with a timeout, transactions and close() come to their end', async () => {
      const cluster = await faked();
      const answers = await Promise.all(Array.from({ length: 50 }, () => cluster.read('select 1 as one', [])));
      expect(answers.map(({ rows }) => rows)).toEqual(Array.from({ length: 50 }, () => [{ one: 1 }]));
      await Promise.all(Array.from({ length: 20 }, () => cluster.read('select v from t where id = $1', [1])));
      await cluster.transaction((client) => client.query('update t set v = v where id = 1'));
      await expect(cluster.read('select pg_sleep(5)', [], { timeoutMillis: 100 })).rejects.toMatchObject({
        code: 'LADDER_TIMEOUT',
      });
      await cluster.query('select v from t');
      const pool = cluster.pool();
      await Promise.all([pool.query('select v from t'), pool.query('update t set v = v')]);
      const client = await pool.connect();
      await client.query('select v from t');
      client.release();
      await pool.end();
      await cluster.close();
    });
  },
);

describe('with a clock of Node’s own that somebody has replaced before the library was loaded', () => {
  it('a read with maxStalenessMillis never shows what is older', async () => {
    const now = vi.spyOn(performance, 'now').mockReturnValue(17);
    try {
      vi.resetModules();
      const cluster = await opened();
      await expectBoundKept(cluster);
      await cluster.close();
    } finally {
      now.mockRestore();
    }
  });
});
