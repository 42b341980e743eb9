import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cluster, type ClusterBehaviour, createCluster, type WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, until } from './fixture.js';

/** What a statement may raise, and what a server also says when it takes its connection away. */
const STATES = [
  'EMAIL',
  'ECONN',
  '08000',
  '08003',
  '08006',
  '08P01',
  '57P01',
  '57P02',
  '57P03',
  '57P05',
  '25P03',
  '57014',
  '40001',
  'XX000',
];

const IN_TRANSACTION = "select count(*)::int as n from pg_stat_activity where state like 'idle in transaction%'";
const PID = 'select pg_backend_pid() as pid';

let servers: TestCluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 2 });
  await using cluster = await open(servers);
  await cluster.write('create table t (v int primary key); create sequence runs; select nextval($$runs$$)');
  await cluster.write(`
    create function raised(state text) returns int language plpgsql stable as $$
    begin raise exception using errcode = state, message = 'raised ' || state; end $$`);
  await cluster.write(`
    create function raised_once(state text) returns int language plpgsql volatile as $$
    begin perform nextval('runs'); return raised(state); end $$`);
  await cluster.write(`
    create function refuse() returns trigger language plpgsql as $$ begin perform raised('08006'); return null; end $$`);
  await cluster.write('create table late (v int)');
  await cluster.write(
    'create constraint trigger refuse after insert on late deferrable initially deferred for each row execute function refuse()',
  );
  for (const replica of servers.replicas) await replica.waitForReplay();
});
afterAll(() => servers.stop());

describe('an error of a statement, whatever it says', () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await open(servers);
    await until('it is known', async () => (await cluster.explain(`select raised('a')`)).class === 'read');
    return () => cluster.close();
  });

  const runs = async (): Promise<number> => {
    const { rows } = await cluster.write<{ n: number }>('select last_value::int as n from runs');
    return rows[0]?.n ?? 0;
  };

  it.each(STATES)('%s of a write reaches its caller, and says nothing of the connection', async (state) => {
    const before = await runs();
    await cluster.session(async () => {
      await expect(cluster.write('select raised_once($1)', [state])).rejects.toMatchObject({ code: state });
      // Its outcome is known: the session is free to read from replicas.
      expect((await cluster.read('select 1 as one', [], { target: 'replica' })).rows).toEqual([{ one: 1 }]);
    });
    expect(await runs()).toBe(before + 1);
  });

  it.each(STATES)('%s of a read reaches its caller, runs once, and takes no replica out', async (state) => {
    const failures = (text: string, count: number): Promise<unknown>[] =>
      Array.from({ length: count }, () => cluster.query(text, [state]));
    // Alone, then on shared connections, then beside others.
    for (let i = 0; i < 4; i++) {
      await expect(cluster.query('select raised($1)', [state])).rejects.toMatchObject({ code: state });
    }
    for (const { status, reason } of (await Promise.allSettled(
      failures('select raised($1)', 12),
    )) as PromiseRejectedResult[]) {
      expect(status).toBe('rejected');
      expect(reason).toMatchObject({ code: state });
    }
    await expect(async () => {
      for await (const row of cluster.stream(`select raised('${state}')`)) expect(row).toBeUndefined();
    }).rejects.toMatchObject({ code: state });
    const { nodes, routes } = cluster.stats();
    expect(nodes.map(({ ejectionCount }) => ejectionCount)).toEqual([0, 0, 0]);
    expect(routes.retried).toBe(0);
  });

  it.each(['EMAIL', '57P01', '08006'])('%s is the same within a transaction and on a client', async (state) => {
    const raise = `select raised_once('${state}')`;
    await expect(cluster.transaction(() => cluster.query(raise))).rejects.toMatchObject({ code: state });
    await expect(cluster.transaction((client) => client.query(raise))).rejects.toMatchObject({ code: state });
    await expect(
      cluster.transaction(() => cluster.query(`select raised('${state}')`), { readOnly: true }),
    ).rejects.toMatchObject({ code: state });
    await expect(cluster.connection((client) => client.query(raise))).rejects.toMatchObject({ code: state });
    const client = await cluster.pool().connect();
    await expect(client.query(raise)).rejects.toMatchObject({ code: state });
    const { rows } = await client.query(PID);
    await client.query('begin read only');
    await expect(client.query(`select raised('${state}')`)).rejects.toMatchObject({ code: state });
    await client.query('rollback');
    expect((await client.query(PID)).rows).toEqual(rows);
    client.release();
    expect(cluster.stats().nodes.map(({ ejectionCount }) => ejectionCount)).toEqual([0, 0, 0]);
  });

  it('a COMMIT that is refused with words of a lost connection has committed nothing, and says so', async () => {
    await expect(cluster.transaction((client) => client.query('insert into late values (1)'))).rejects.toMatchObject({
      code: '08006',
    });
    expect((await cluster.write('select 1 from late')).rows).toEqual([]);
  });

  it('a wrong number of values is told as pg tells it', async () => {
    await expect(cluster.write('select $1::int', [1, 2])).rejects.toMatchObject({ code: '08P01' });
    await expect(cluster.read('select $1::int', [1, 2])).rejects.toMatchObject({ code: '08P01' });
    expect(cluster.stats().routes.retried).toBe(0);
  });

  it('a message like pg’s own is a message', async () => {
    await expect(cluster.write(`do $$ begin raise exception 'Query read timeout'; end $$`)).rejects.toMatchObject({
      code: 'P0001',
    });
  });

  it('what a value throws while it is written is its own, also when a file is missing', async () => {
    const error = Object.assign(new Error('no such file'), { code: 'ENOENT', errno: -2, syscall: 'open' });
    const value = {
      toPostgres: () => {
        throw error;
      },
    };
    await expect(cluster.write('select $1::text', [value])).rejects.toBe(error);
    await expect(cluster.transaction(() => cluster.query('select $1::text', [value]))).rejects.toBe(error);
    expect(cluster.stats().nodes.map(({ ejectionCount }) => ejectionCount)).toEqual([0, 0, 0]);
  });

  it('a connection that is taken away is still a loss', async () => {
    const outcome = { code: 'LADDER_WRITE_OUTCOME_UNKNOWN' };
    const kill = 'select pg_terminate_backend(pg_backend_pid())';
    await using other = await open(servers);
    await expect(other.write(kill)).rejects.toMatchObject(outcome);
    await expect(other.connection((client) => client.query(kill))).rejects.toMatchObject(outcome);
    await expect(other.read(kill)).rejects.toMatchObject({ code: '57P01' });
    expect(other.stats().routes.retried).toBe(1);
  });

  it('a read that ends its own connection runs twice, and no third time, where only the primary is fresh', async () => {
    const kill = 'select pg_terminate_backend(pg_backend_pid())';
    const drain = async (c: Cluster) => {
      for await (const row of c.stream(kill)) expect(row).toBeUndefined();
    };
    const runs = [(c: Cluster) => c.read(kill), (c: Cluster) => c.pool({ intent: 'read' }).query(kill), drain];
    await using other = await open(servers, { waitMillis: 10 });
    for (const replica of servers.replicas) await replica.pauseReplay();
    try {
      for (const run of runs) {
        await other.session(async () => {
          await other.write('select pg_current_xact_id()');
          const { retried } = other.stats().routes;
          const told = run(other).catch(({ code }: { code?: string }) => code);
          const isEndless = new Promise((resolve) => setTimeout(resolve, 20_000, 'it runs on and on').unref());
          expect(await Promise.race([told, isEndless])).toBe('57P01');
          expect(other.stats().routes.retried - retried).toBe(1);
        });
      }
    } finally {
      for (const replica of servers.replicas) await replica.resumeReplay();
    }
  });
});

describe('a text that does not end its transaction', () => {
  let cluster: Cluster;
  let warnings: WarningEvent[];

  /** One connection for each server, so that everything meets it. */
  beforeEach(async () => {
    const at = (connectionString: string) => ({ connectionString, max: 1 });
    const behaviour: ClusterBehaviour = process.env['LANE'] === 'off' ? { lane: false, namedStatements: false } : {};
    cluster = createCluster({
      primary: at(servers.primary.connectionString),
      replicas: servers.replicas.map(({ connectionString }) => at(connectionString)),
      ...behaviour,
    });
    await cluster.ready();
    warnings = [];
    cluster.events.on('warning', (warning) => warnings.push(warning));
    return () => cluster.close();
  });

  const pid = async (): Promise<unknown> => (await cluster.write(PID)).rows[0];
  const openCount = async (): Promise<unknown> => (await cluster.write(IN_TRANSACTION)).rows[0];

  it('and fails within: it is rolled back, and the next one finds its connection idle', async () => {
    const before = await pid();
    const failing = cluster.write('begin; insert into t values (1); select 1/0; commit');
    await expect(failing).rejects.toMatchObject({ code: '22012' });
    expect((await cluster.write('insert into t values (2) returning v')).rows).toEqual([{ v: 2 }]);
    expect((await cluster.write('select v from t')).rows).toEqual([{ v: 2 }]);
    expect(await pid()).toEqual(before);
    expect(warnings).toEqual([
      {
        code: 'transaction-left-open',
        message: expect.any(String),
        digest: expect.stringMatching(/^18:[0-9a-f]{16}$/),
        cluster: 'postgres',
      },
    ]);
    await cluster.write('delete from t');
  });

  it.each([
    ['write', {}],
    ['query', {}],
    ['read', { target: 'primary' }],
    ['read', { target: 'replica' }],
  ] as const)('and succeeds: %s with %j rejects, and nobody else writes into it', async (call, options) => {
    const text = call === 'read' ? 'begin; select 1' : 'begin; insert into t values (3)';
    await expect(cluster[call](text, [], options as object)).rejects.toMatchObject({
      code: 'LADDER_TRANSACTION_LEFT_OPEN',
    });
    await cluster.write('insert into t values (4)');
    await using other = await open(servers);
    expect((await other.write('select v from t')).rows).toEqual([{ v: 4 }]);
    expect(await openCount()).toEqual({ n: 0 });
    expect(warnings.filter(({ code }) => code === 'transaction-left-open')).toHaveLength(1);
    await cluster.write('delete from t');
  });

  it('keeps what it had committed before', async () => {
    const text = 'begin; insert into t values (5); commit; begin; insert into t values (6)';
    await expect(cluster.write(text)).rejects.toMatchObject({ code: 'LADDER_TRANSACTION_LEFT_OPEN' });
    expect((await cluster.read('select v from t')).rows).toEqual([{ v: 5 }]);
    await cluster.write('delete from t');
  });

  it('is refused by a stream, too', async () => {
    await expect(async () => {
      for await (const row of cluster.stream('begin', [], { target: 'primary' })) expect(row).toBeUndefined();
    }).rejects.toMatchObject({ code: 'LADDER_TRANSACTION_LEFT_OPEN' });
    expect(await openCount()).toEqual({ n: 0 });
  });

  it('leaves nothing open in a transaction() that ends and begins by itself', async () => {
    const before = await pid();
    await cluster.transaction((client) => client.query('commit; begin; insert into t values (7)'));
    await cluster.transaction((client) => client.query('rollback'));
    await expect(cluster.transaction((client) => client.query('commit; begin; select 1/0'))).rejects.toMatchObject({
      code: '22012',
    });
    await expect(cluster.transaction((client) => client.query('insert into late values (1)'))).rejects.toThrow();
    expect((await cluster.write('delete from t returning v')).rows).toEqual([{ v: 7 }]);
    expect(await openCount()).toEqual({ n: 0 });
    expect(await pid()).toEqual(before);
  });

  it('is not handed on by a client of a pool', async () => {
    const pool = cluster.pool();
    for (let i = 0; i < 5; i++) {
      const client = await pool.connect();
      await expect(client.query('begin; select 1/0')).rejects.toMatchObject({ code: '22012' });
      client.release();
      await pool.query('insert into t values (8)');
      expect((await cluster.write('delete from t returning v')).rows).toEqual([{ v: 8 }]);
    }
    expect(warnings.map(({ code }) => code)).toEqual(Array(5).fill('released-in-transaction'));
  });
});
