/** Transactions that are held open for too long: told, and ended where that is wanted, by `transaction()` and by clients of a pool. */
import type { Pool, PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster, ClusterBehaviour, WarningEvent } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { bestOf, open, signal, until, withClient } from '../fixture.js';

const INSERT = 'insert into held (id) values ($1)';
const TOO_LONG = { name: 'LadderError', code: 'LADDER_TRANSACTION_TOO_LONG' };
const LONG = { maxTransactionMillis: 300, onTransactionLimit: 'end' } as const;
const IDLE = { idleInTransactionMillis: 150, onTransactionLimit: 'end' } as const;

let servers: TestCluster;
let plain: Cluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
  plain = await open(servers);
  await plain.write('create table held (id int)');
  await plain.write(`create table slow (id int);
    create function pause() returns trigger language plpgsql as $$ begin perform pg_sleep(0.6); return null; end $$;
    create constraint trigger slowly after insert on slow deferrable initially deferred for each row execute function pause()`);
  await servers.replicas[0]?.waitForReplay();
});
beforeEach(async () => {
  await plain.write('truncate held, slow');
});
afterAll(async () => {
  await plain.close();
  await servers.stop();
});

const ids = async (table = 'held') =>
  (await plain.read<{ id: number }>(`select id from ${table} order by id`, [], { target: 'primary' })).rows.map(
    ({ id }) => id,
  );
/** Of one connection each: who comes next has to wait until that is free. */
const small = (behaviour: ClusterBehaviour): Promise<Cluster> => {
  const pool = ({ connectionString }: { connectionString: string }) => ({ connectionString, max: 1 });
  const [replica] = servers.replicas;
  if (replica === undefined) throw new Error('there is no replica');
  return open(servers, { primary: pool(servers.primary), replicas: [{ name: 'r1', ...pool(replica) }], ...behaviour });
};
/** Its COMMIT takes longer than the transaction may; all before it does, too, where the machine has other work: then again. */
const committing = (run: () => Promise<unknown>) =>
  bestOf(
    6,
    () =>
      run().then(
        () => 'committed',
        (error: { code?: string }) => error.code,
      ),
    (outcome) => outcome === 'committed',
  );
const nextWarning = (cluster: Cluster) =>
  new Promise<WarningEvent>((resolve) => cluster.events.once('warning', resolve));
const pidOf = async (client: PoolClient) =>
  (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
const isGone = async (pid: number | undefined) =>
  (await plain.write('select from pg_stat_activity where pid = $1', [pid])).rowCount === 0;

describe('transaction()', () => {
  it('is told once when it has no statement for too long, by whom it was begun, and goes on', async () => {
    await using cluster = await open(servers, { idleInTransactionMillis: 50 });
    const codes: string[] = [];
    cluster.events.on('warning', ({ code }) => codes.push(code));
    const warned = nextWarning(cluster);
    const warning = await (function theCulprit() {
      return cluster.transaction(async (client) => {
        await client.query(INSERT, [4711]);
        const told = await warned;
        // Idle for as long again, and more.
        await new Promise((resolve) => setTimeout(resolve, 150));
        return told;
      });
    })();
    expect(warning).toMatchObject({ code: 'idle-in-transaction', node: 'primary', cluster: cluster.name });
    expect(warning.millis).toBeGreaterThanOrEqual(50);
    expect(warning.digest).toBe((await cluster.explain(INSERT)).digest);
    expect(warning.stack).toContain('theCulprit');
    expect(warning.stack?.split('\n')[0]).toMatch(/^\s*at /);
    expect(JSON.stringify(warning)).not.toContain('4711');
    expect(codes).toEqual(['idle-in-transaction']);
    expect(await ids()).toEqual([4711]);
    expect(cluster.stats().transactions).toEqual({ open: 0, idleCount: 1, longCount: 0, endedCount: 0 });
  });

  it('is ended when it has no statement for too long: its caller hears at once, its function with the next statement', async () => {
    await using cluster = await small(IDLE);
    const caught = signal();
    const goOn = signal();
    const later: unknown[] = [];
    let pid: number | undefined;
    const running = cluster.transaction(async (client) => {
      pid = await pidOf(client);
      await client.query(INSERT, [1]);
      await caught.given;
      for (const next of [
        () => client.query('select 1'),
        () => cluster.write(INSERT, [2]),
        () => cluster.transaction(() => cluster.write(INSERT, [3])),
      ])
        later.push(await next().catch((error: unknown) => error));
      goOn.give();
    });
    const next = cluster.transaction(() => cluster.write(INSERT, [9]));
    const error = (await running.catch((failure: unknown) => failure)) as Error;
    expect(error).toMatchObject(TOO_LONG);
    expect(error.message).toMatch(
      /node "primary" was open without a statement for \d+ ms \(idleInTransactionMillis: 150\)/,
    );
    // The only connection is free for who has waited for it, while the function is still at work.
    await next;
    caught.give();
    await goOn.given;
    expect(later).toEqual([0, 1, 2].map(() => expect.objectContaining(TOO_LONG)));
    expect(await ids()).toEqual([9]);
    await until('its backend is gone', () => isGone(pid));
    expect(cluster.stats().transactions).toEqual({ open: 0, idleCount: 1, longCount: 0, endedCount: 1 });
  });

  it('is not idle while a statement runs', async () => {
    await using cluster = await open(servers, IDLE);
    await cluster.transaction(async (client) => {
      await client.query('select pg_sleep(0.6)');
      await client.query(INSERT, [1]);
    });
    expect(await ids()).toEqual([1]);
    expect(cluster.stats().transactions).toMatchObject({ idleCount: 0, endedCount: 0 });
  });

  it('is ended in the middle of a statement when it is open for too long, and the statement with it', async () => {
    await using cluster = await open(servers, LONG);
    let pid: number | undefined;
    let inner: unknown;
    const running = cluster.transaction(async (client) => {
      try {
        pid = await pidOf(client);
        await client.query(INSERT, [1]);
        await cluster.write('select pg_sleep(60)');
      } catch (error) {
        inner = error;
      }
    });
    await expect(running).rejects.toMatchObject({
      ...TOO_LONG,
      message: expect.stringContaining('maxTransactionMillis'),
    });
    await until('the statement has failed, too', () => inner !== undefined);
    expect(inner).toMatchObject(TOO_LONG);
    await until('its backend is gone', () => isGone(pid));
    expect(await ids()).toEqual([]);
    // It was closed here, which says nothing of the server.
    expect(cluster.stats().nodes.map(({ state }) => state)).toEqual(['live', 'live']);
  });

  it('commits for as long as that takes', async () => {
    await using cluster = await open(servers, LONG);
    await committing(() => cluster.transaction(() => cluster.write('insert into slow values (1)')));
    expect(await ids('slow')).toEqual([1]);
  });
});

describe('a client of a pool', () => {
  const held = async (pool: Pool, begin: string) => {
    const client = await pool.connect();
    await client.query(begin);
    return { client, pid: await pidOf(client) };
  };

  it.each([
    ['on the primary', 'begin', 'primary'],
    ['on a replica', 'begin read only', 'r1'],
  ])(
    'is ended in a transaction %s that has no statement for too long, and leaves room for others',
    async (_, begin, node) => {
      await using cluster = await small(IDLE);
      await until('it is known to read', async () => (await cluster.explain('select 1')).class === 'read');
      const pool = cluster.pool();
      const warned = nextWarning(cluster);
      const { client, pid } = await held(pool, begin);
      if (node === 'primary') await client.query(INSERT, [1]);
      const next = pool.connect();
      const warning = await warned;
      expect(warning).toMatchObject({ code: 'idle-in-transaction', node });
      expect(warning.stack).toContain('held-open.test');
      const other = await next;
      await other.query(INSERT, [9]);
      other.release();
      await expect(client.query('select 1')).rejects.toMatchObject(TOO_LONG);
      await expect(client.query('commit')).rejects.toMatchObject(TOO_LONG);
      client.release();
      expect(await ids()).toEqual([9]);
      await until('its backend is gone', () => isGone(pid));
      expect((await pool.query('select 1')).rowCount).toBe(1);
      expect(pool.totalCount).toBeLessThanOrEqual(1);
    },
  );

  it('is ended in the middle of a statement when it is open for too long, and its server is as well as before', async () => {
    await using cluster = await open(servers, LONG);
    const pool = cluster.pool();
    const client = await pool.connect();
    let pid: number | undefined;
    const running = async () => {
      await client.query('begin');
      pid = await pidOf(client);
      await client.query('select pg_sleep(60) from pg_notify($1, $1)', ['x']);
    };
    await expect(running()).rejects.toMatchObject(TOO_LONG);
    client.release();
    await until('its backend is gone', () => isGone(pid));
    expect(cluster.stats().nodes.map(({ state }) => state)).toEqual(['live', 'live']);
  });

  it('gets the error in callbacks, and may have put its own release in front', async () => {
    await using cluster = await small(IDLE);
    const pool = cluster.pool();
    const { client } = await held(pool, 'begin');
    const release = client.release.bind(client);
    let released = 0;
    client.release = (destroy) => {
      released++;
      release(destroy);
    };
    await until('it is ended', () => cluster.stats().transactions?.endedCount === 1);
    const error = await new Promise((resolve) => client.query('select 1', resolve));
    expect(error).toMatchObject(TOO_LONG);
    client.release();
    expect(released).toBe(1);
    await until('it has left the pool', () => pool.totalCount === 0);
  });

  it('is closed where query() of the pool has left a transaction open', async () => {
    await using cluster = await small(IDLE);
    const pool = cluster.pool({ intent: 'write' });
    const failed = new Promise<Error>((resolve) => pool.once('error', resolve));
    await pool.query('begin');
    await pool.query(INSERT, [1]);
    expect(await failed).toMatchObject(TOO_LONG);
    await pool.query(INSERT, [2]);
    expect(await ids()).toEqual([2]);
  });

  it('is not ended while its COMMIT is under way', async () => {
    await using cluster = await open(servers, LONG);
    const pool = cluster.pool();
    await committing(() =>
      withClient(pool, async (client) => {
        for (const text of ['begin', 'insert into slow values (1)', 'commit']) await client.query(text);
      }),
    );
    expect(await ids('slow')).toEqual([1]);
  });
});

describe('what is not seen', () => {
  it('is the raw client of connection(), and everything without the options', async () => {
    await using cluster = await open(servers, { ...IDLE, idleInTransactionMillis: 10 });
    await cluster.connection(async (client) => {
      await client.query('begin');
      await client.query(INSERT, [1]);
      await new Promise((resolve) => setTimeout(resolve, 100));
      await client.query('commit');
    });
    expect(await ids()).toEqual([1]);
    expect(cluster.stats().transactions).toMatchObject({ open: 0, idleCount: 0 });
    expect(plain.stats().transactions).toBeUndefined();
  });
});
