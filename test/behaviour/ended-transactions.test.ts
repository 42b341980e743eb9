/** Sessions that the server ends before COMMIT is sent, clients that are released within, and what cannot join. */
import type { PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster, TransactionOptions } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from './fixture.js';

const PID = 'select pg_backend_pid() as pid';

describe('a transaction whose session the server ends before COMMIT is sent', () => {
  let servers: TestCluster;
  let cluster: Cluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    await servers.replicas[0]?.configure({ max_standby_streaming_delay: '0' });
    await using setUp = await open(servers);
    await setUp.write('create table items (id int, v int); create unlogged table jobs (v int)');
    await servers.replicas[0]?.waitForReplay();
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    cluster = await open(servers);
    await cluster.write('truncate items');
    return () => cluster.close();
  });

  const count = async () => (await cluster.write<{ n: number }>('select count(*)::int as n from items')).rows[0]?.n;
  /** pg has heard of it by then: whoever is told later may have sent COMMIT. */
  const lossOf = (client: PoolClient) => new Promise<void>((resolve) => client.once('end', resolve));
  const kill = (pid: number | undefined) =>
    cluster.outsideTransaction(() => cluster.write('select pg_terminate_backend($1)', [pid]));

  /** @param end has the server end the session while nothing is under way there */
  const interrupted = async (
    options: TransactionOptions,
    end: (pid: number | undefined, setTimeouts: (text: string) => Promise<unknown>) => Promise<unknown>,
    after: () => Promise<unknown> = async () => undefined,
  ) => {
    let runs = 0;
    const attempt = cluster.transaction(async (client) => {
      const isFirst = ++runs === 1;
      const { rows } = await client.query<{ pid: number }>(PID);
      await client.query('insert into items values ($1, $1)', [runs]);
      if (!isFirst) return 'done';
      const lost = lossOf(client);
      await end(rows[0]?.pid, (text) => client.query(text));
      await lost;
      await after();
      return 'in vain';
    }, options);
    const outcome = await attempt.then(
      (result) => ({ result }),
      (error: Error & { code?: string }) => ({ code: error.code, message: error.message }),
    );
    return { ...outcome, runs };
  };
  const idle = (_: unknown, set: (text: string) => Promise<unknown>) =>
    set("set local idle_in_transaction_session_timeout = '1ms'");

  it.each([
    ['has nothing more to do', undefined],
    ['has one more statement', () => cluster.write('insert into items values (9, 9)')],
    ['catches what it is told', () => cluster.write('insert into items values (9, 9)').catch(() => undefined)],
    ['is in a nested one', () => cluster.transaction(() => cluster.write('insert into items values (9, 9)'))],
  ])('for being idle, when fn %s: nothing is committed, and the error says so with its code', async (_, after) => {
    expect(await interrupted({}, idle, after)).toEqual({
      code: '25P03',
      message: expect.stringMatching(/^terminating connection .*rolled back: its COMMIT had not been sent$/),
      runs: 1,
    });
    expect(await count()).toBe(0);
    // Its session is not kept on the primary for it.
    expect((await cluster.read('select 1', [], { target: 'replica' })).rowCount).toBe(1);
    expect(nodeOf(cluster, 'primary').inFlight).toBe(0);
  });

  it('for being idle: it runs again where retries says so', async () => {
    expect(await interrupted({ retries: 1 }, idle)).toEqual({ result: 'done', runs: 2 });
    expect(await count()).toBe(1);
  });

  it('for taking too long in all (transaction_timeout, from 17 on), and by its administrator', async () => {
    const long = (_: unknown, set: (text: string) => Promise<unknown>) => set("set local transaction_timeout = '1ms'");
    const { rows } = await cluster.write("select 1 from pg_settings where name = 'transaction_timeout'");
    if (rows.length > 0) expect(await interrupted({}, long)).toMatchObject({ code: '25P04', runs: 1 });
    expect(await interrupted({}, kill)).toMatchObject({
      code: '57P01',
      message: expect.stringContaining('rolled back'),
    });
    expect(await interrupted({ retries: 1 }, kill)).toEqual({ result: 'done', runs: 2 });
    expect(await count()).toBe(1);
  });

  it('what fn throws by itself stays its own, and is not run again', async () => {
    const mistake = new Error('of another');
    const attempt = cluster.transaction(
      async (client) => {
        const { rows } = await client.query<{ pid: number }>(PID);
        const lost = lossOf(client);
        await kill(rows[0]?.pid);
        await lost;
        throw mistake;
      },
      { retries: 3 },
    );
    await expect(attempt).rejects.toBe(mistake);
    expect(mistake.message).toBe('of another');
  });

  it('what fn has committed by itself is not called rolled back', async () => {
    const attempt = cluster.transaction(
      async (client) => {
        const { rows } = await client.query<{ pid: number }>(PID);
        await client.query('insert into items values (1, 1)');
        await client.query('commit');
        const lost = lossOf(client);
        await kill(rows[0]?.pid);
        await lost;
      },
      { retries: 3 },
    );
    await expect(attempt).rejects.toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
    expect(await count()).toBe(1);
  });

  it('by a recovery conflict while a read-only one is idle: it has its code, and retries apply', async () => {
    const conflicting = async (retries: number) => {
      await until('the replica is known', () => cluster.stats().nodes.every(({ state }) => state === 'live'));
      let runs = 0;
      const attempt = cluster.transaction(
        async (client) => {
          const lost = lossOf(client);
          const { rows } = await client.query('select pg_is_in_recovery() as v, count(*) from items');
          if (++runs > 1) return;
          expect(rows[0]?.v).toBe(true);
          await cluster.outsideTransaction(() => cluster.write('truncate items'));
          await lost;
          await client.query('select count(*) from items');
        },
        { readOnly: true, isolation: 'repeatable read', consistency: 'eventual', retries },
      );
      return attempt.then(
        () => ({ runs }),
        ({ code }: { code?: string }) => ({ runs, code }),
      );
    };
    expect(await conflicting(0)).toEqual({ runs: 1, code: '40001' });
    expect(await conflicting(2)).toEqual({ runs: 2 });
  });

  it('a read-only one of what replicas cannot read is run again on the primary, where retries says so', async () => {
    const reading = (retries: number) =>
      cluster.transaction((client) => client.query('select v from jobs'), { readOnly: true, retries });
    await expect(reading(0)).rejects.toMatchObject({ code: '0A000' });
    expect((await reading(1)).rows).toEqual([]);
    expect(cluster.stats().routes.misrouted).toBe(1);
    const writing = cluster.transaction(
      async (client) => {
        await client.query('select v from jobs');
        await client.query('insert into items values (1, 1)');
      },
      { readOnly: true, retries: 1 },
    );
    await expect(writing).rejects.toMatchObject({ code: '25006' });
  });

  it.each([[undefined], [true]])(
    'a client that fn releases (%s) is still its own: all is committed',
    async (destroy) => {
      const { pool } = nodeOf(cluster, 'primary');
      for (let i = 0; i < 3; i++) {
        const result = await cluster.transaction(async (client) => {
          await client.query('insert into items values (1, 1)');
          client.release(destroy);
          // Whoever waits for a connection must not come into the middle of this.
          await Promise.all(Array.from({ length: 12 }, () => cluster.outsideTransaction(() => cluster.write(PID))));
          expect((await cluster.read('select 1 from items')).rowCount).toBe(i + 1);
          expect(await cluster.outsideTransaction(count)).toBe(i);
          return i;
        });
        expect(result).toBe(i);
      }
      expect(await count()).toBe(3);
      expect(await cluster.connection(async (client) => client.release())).toBe(undefined);
      await cluster.transaction((client) => client.release(), { readOnly: true });
      expect(pool.totalCount).toBeLessThan(11);
      const now = nodeOf(cluster, 'primary').pool;
      expect(now.totalCount).toBe(now.idleCount);
    },
  );

  it('a stream is refused within, and after its end, and runs outside of it', async () => {
    const rows = async () => {
      const found: unknown[] = [];
      for await (const row of cluster.stream('select v from items')) found.push(row);
      return found;
    };
    let late: Promise<unknown> = Promise.resolve();
    await cluster.transaction(async () => {
      await cluster.write('insert into items values (1, 1)');
      await expect(rows()).rejects.toMatchObject({
        code: 'LADDER_INVALID_OPTIONS',
        message: expect.stringContaining('outsideTransaction()'),
      });
      expect(await cluster.outsideTransaction(rows)).toEqual([]);
      late = new Promise((resolve) => setTimeout(resolve, 20)).then(rows);
      late.catch(() => undefined);
    });
    await expect(late).rejects.toMatchObject({ code: 'LADDER_TRANSACTION_ENDED' });
    expect(await rows()).toEqual([{ v: 1 }]);
  });
});
