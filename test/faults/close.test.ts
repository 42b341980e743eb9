import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cluster, createCluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, runningMillis, signal, until } from '../behaviour/fixture.js';

describe('a cluster that is closed while servers hang', () => {
  it('closes all the same, and soon', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    const cluster = await open(servers);
    await Promise.all(Array.from({ length: 10 }, () => cluster.write('select pg_sleep(0.01)')));
    await Promise.all([servers.primary.freeze(), servers.replicas[0]?.freeze()]);
    // More than the pool holds: when the hung connections are ended, it opens new ones for those that still wait in its queue.
    const read = () => cluster.read('select 1', [], { target: { node: 'r1' }, consistency: 'eventual' });
    await Promise.all(Array.from({ length: 40 }, () => read().catch(() => undefined)));
    await until('it opens new ones', () => nodeOf(cluster, 'r1').pool.totalCount > 0);
    expect(await runningMillis(() => cluster.close())).toBeLessThan(5_000);
  });
});

describe('close({ timeoutMillis })', () => {
  const SLOW = 'select pg_sleep(60)';
  let servers: TestCluster;
  let cluster: Cluster;
  let observer: pg.Client;
  const warnings: string[] = [];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    observer = new pg.Client(servers.primary.connectionString);
    await observer.connect();
    await observer.query('create table t (v int)');
  });
  afterAll(async () => {
    await observer.end();
    await servers.stop();
  });
  beforeEach(async () => {
    cluster = await open(servers, { waitMillis: 10_000 });
    warnings.length = 0;
    cluster.events.on('warning', ({ code, message }) => code === 'closed-under-way' && warnings.push(message));
  });
  afterEach(() => cluster.close({ timeoutMillis: 0 }));

  const running = async (text: string): Promise<number> => {
    const found = `select 1 from pg_stat_activity where query = $1 and state = 'active'`;
    return (await observer.query(found, [text])).rowCount ?? 0;
  };

  it('is not waited for when what is under way ends sooner, and tells nothing then', async () => {
    const answer = cluster.write('select pg_sleep(0.2)');
    expect(await runningMillis(() => cluster.close({ timeoutMillis: 60_000 }))).toBeLessThan(30_000);
    expect((await answer).rowCount).toBe(1);
    expect(warnings).toEqual([]);
  });

  it('cancels what runs: reads, writes and pools have pg’s error, and nothing goes on running', async () => {
    const calls = [
      cluster.write(SLOW),
      cluster.query(SLOW),
      cluster.read(SLOW, [], { target: 'primary' }),
      cluster.read(SLOW),
      cluster.pool().query(SLOW),
      cluster.transaction((client) => client.query(SLOW)),
      cluster.connection((client) => client.query(SLOW)),
      cluster.stream(SLOW, [], { target: 'primary' }).next(),
    ].map((call) =>
      call.then(
        () => undefined,
        (error: { code?: string }) => error.code,
      ),
    );
    await until('they run', async () => (await running(SLOW)) === 7);
    await cluster.close({ timeoutMillis: 50 });
    expect(await Promise.all(calls)).toEqual(calls.map(() => '57014'));
    expect(await running(SLOW)).toBe(0);
    expect(warnings).toEqual([
      expect.stringMatching(/^close\(\) has waited \d+ ms, .*: 7 calls and 1 client of pools$/),
    ]);
  }, 60_000);

  it('takes the connections of transactions, streams and clients that do not end, and does not wait for them', async () => {
    const stop = signal();
    const began: string[] = [];
    const held = cluster.transaction(async (client) => {
      await client.query('insert into t values (1)');
      began.push('transaction');
      await stop.given;
      return client.query('select 1');
    });
    const rows = cluster.stream('select generate_series(1, 100000) as n', [], { batchRows: 1 });
    await rows.next();
    const listening = cluster.connection(async (client) => {
      await client.query('listen news');
      began.push('connection');
      await stop.given;
      return client.query('select 1');
    });
    const pool = cluster.pool();
    const client = await pool.connect();
    await client.query('begin');
    await client.query('insert into t values (2)');
    client.on('error', () => undefined);
    await until('all have begun', () => began.length === 2);
    const outcomes = [held, listening].map((one) =>
      one.then(
        () => 'done',
        () => 'failed',
      ),
    );
    await cluster.close({ timeoutMillis: 50 });
    expect(warnings).toHaveLength(1);
    await until('no transaction is open', async () => {
      const { rowCount } = await observer.query(`select 1 from pg_stat_activity where state like 'idle in tr%'`);
      return rowCount === 0;
    });
    stop.give();
    expect(await Promise.all(outcomes)).toEqual(['failed', 'failed']);
    await expect(client.query('commit')).rejects.toThrow();
    client.release(true);
    await expect(
      (async () => {
        for await (const _ of rows);
      })(),
    ).rejects.toThrow();
    expect((await observer.query('select v from t')).rows).toEqual([]);
  });

  it('rejects what waits with LADDER_CLOSED: for the primary, for a connection, for a turn', async () => {
    const gone = createCluster({ primary: 'postgres://127.0.0.1:1/x', replicas: ['postgres://127.0.0.1:2/x'] });
    const waiting = [
      gone.write('select 1'),
      gone.read('select 1'),
      gone.transaction(() => 1),
      gone.pool().query('select 1'),
    ];
    const outcomes = waiting.map((one) =>
      one.then(
        () => 'done',
        ({ code }: { code: string }) => code,
      ),
    );
    await gone.close({ timeoutMillis: 100 });
    expect(await Promise.all(outcomes)).toEqual(waiting.map(() => 'LADDER_CLOSED'));

    const busy = Array.from({ length: 15 }, () =>
      cluster.write(SLOW).then(
        () => 'done',
        ({ code }) => code as string,
      ),
    );
    await until('the pool is full', async () => (await running(SLOW)) === 10);
    await cluster.close({ timeoutMillis: 50 });
    const codes = (await Promise.all(busy)).sort();
    expect(codes).toEqual([...Array(10).fill('57014'), ...Array(5).fill('LADDER_CLOSED')]);
  });

  it('may be set later, when closing takes too long', async () => {
    const late = cluster.write(SLOW).then(
      () => 'done',
      ({ code }) => code as string,
    );
    await until('it runs', async () => (await running(SLOW)) === 1);
    const closing = cluster.close();
    await cluster.close({ timeoutMillis: 20 });
    await closing;
    expect(await late).toBe('57014');
  });

  it('ends, too, where a server hangs: its write has an unknown outcome', async () => {
    await using frozen = await startTestCluster({ replicas: 0 });
    const hung = createCluster(frozen.primary.connectionString, { name: 'hung' });
    await hung.ready();
    const write = hung.write(SLOW).then(
      () => 'done',
      ({ code }) => code as string,
    );
    const found = `select 1 from pg_stat_activity where query = $1 and state = 'active'`;
    await until('it runs', async () => (await hung.read(found, [SLOW])).rows.length === 1);
    await frozen.primary.freeze();
    expect(await runningMillis(() => hung.close({ timeoutMillis: 50 }))).toBeLessThan(10_000);
    expect(await write).toBe('LADDER_WRITE_OUTCOME_UNKNOWN');
    await frozen.primary.thaw();
  });

  it('says of a read that hung servers did not answer that it has no answer, and of a write that waited that it was not sent', async () => {
    await using frozen = await startTestCluster({ replicas: 1 });
    const hung = await open(frozen, { name: 'hung' });
    const told = (call: Promise<unknown>) => call.then(String, ({ code, message }) => `${code}: ${message}`);
    const read = told(hung.read(SLOW, [], { target: 'replica' }));
    await until('it runs', () => nodeOf(hung, 'r1').inFlight === 1);
    const writes = Array.from({ length: 11 }, () => told(hung.write(SLOW)));
    await until('the pool is full', () => nodeOf(hung, 'primary').pool.waitingCount > 0);
    await Promise.all(frozen.nodes.map((node) => node.freeze()));
    await hung.close({ timeoutMillis: 50 });
    expect(await read).toMatch(/^LADDER_CLOSED: .* has no answer/);
    for (const outcome of await Promise.all(writes)) {
      expect(outcome).toMatch(/^LADDER_(CLOSED: .* was not sent|WRITE_OUTCOME_UNKNOWN)/);
    }
    await Promise.all(frozen.nodes.map((node) => node.thaw()));
  });

  it('leaves a pool of yours, and what you run on it, alone', async () => {
    const pool = new pg.Pool({ connectionString: servers.primary.connectionString });
    const guest = createCluster({ primary: { pool } });
    await Promise.all(Array.from({ length: 5 }, () => guest.write('select pg_sleep(0.05)')));
    const own = await pool.connect();
    const yours = own.query('select pg_sleep(1), 1 as one');
    const ours = guest.write(SLOW).then(
      () => 'done',
      ({ code }) => code as string,
    );
    await until('it runs', async () => (await running(SLOW)) === 1);
    await guest.close({ timeoutMillis: 20 });
    expect(await ours).toBe('57014');
    expect((await yours).rows).toMatchObject([{ one: 1 }]);
    own.release();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await pool.end();
  });

  it('must be a time, and is refused else', async () => {
    await expect(cluster.close({ timeoutMillis: -1 })).rejects.toMatchObject({ code: 'LADDER_INVALID_OPTIONS' });
    await expect(cluster.close({ timeout: 1 } as never)).rejects.toThrow('did you mean "timeoutMillis"?');
    expect((await cluster.read('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });
});
