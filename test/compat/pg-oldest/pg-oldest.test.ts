/** The oldest pg that the library takes does not tell whether a client is in a transaction: clients of `cluster.pool()` leave their replicas all the same. */
import pg, { type Pool, type PoolClient } from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DiscreetPool } from '../../../src/options/discreet-pool.js';
import { until } from '../../behaviour/fixture.js';
import { openStage, type Stage } from '../workload.js';

/** By its path: in this folder the name means the oldest one. */
vi.mock('../../../node_modules/pg/esm/index.mjs', () => import('./node_modules/pg/lib/index.js' as string));

const READ = 'select age from people where id = 0';

describe('cluster.pool() on pg 8.16', () => {
  let stage: Stage;
  let pool: Pool;

  beforeAll(async () => {
    stage = await openStage();
    pool = stage.pool;
    await until('it is known to read', async () => (await stage.cluster.explain(READ)).class === 'read');
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  const isReplica = async (client: PoolClient) =>
    (await client.query<{ is: boolean }>('select pg_is_in_recovery() as is')).rows[0]?.is;

  it('everything is made by that pg', () => {
    expect(Object.getPrototypeOf(DiscreetPool)).toBe(pg.Pool);
    expect('getTransactionStatus' in pg.Client.prototype).toBe(false);
  });

  it('a client writes and reads its write after BEGIN READ ONLY … COMMIT on a replica', async () => {
    for (let age = 1; age <= 3; age++) {
      const client = await pool.connect();
      await client.query('begin read only');
      expect(await isReplica(client)).toBe(true);
      expect(client.getTransactionStatus()).toBe('T');
      await client.query('commit');
      expect(client.getTransactionStatus()).toBe('I');
      await client.query('update people set age = $1 where id = 0', [age]);
      expect((await client.query(READ)).rows).toEqual([{ age }]);
      client.release();
      await Promise.all(stage.servers.replicas.map((replica) => replica.waitForReplay()));
    }
  });

  it('so it does when the replica’s transaction has failed and was rolled back', async () => {
    const client = await pool.connect();
    await client.query('begin read only');
    await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' });
    await until('it knows', () => client.getTransactionStatus() === 'E');
    await client.query('rollback');
    expect(client.getTransactionStatus()).toBe('I');
    await client.query('update people set age = 7 where id = 0');
    expect((await client.query(READ)).rows).toEqual([{ age: 7 }]);
    client.release();
  });

  it('a client that is released inside a transaction is handed to nobody', async () => {
    const warnings: string[] = [];
    stage.cluster.events.on('warning', ({ code }) => warnings.push(code));
    const client = await pool.connect();
    await client.query('begin');
    await client.query('update people set age = 99 where id = 1');
    client.release();
    expect(warnings).toEqual(['released-in-transaction']);
    const { rows } = await stage.cluster.write('select age from people where id = 1 for update');
    expect(rows).toEqual([{ age: 0 }]);
  });

  it('a transaction of pool.query is one, as with pg', async () => {
    await pool.query('begin');
    await pool.query('update people set age = 99 where id = 2');
    expect((await pool.query('select age from people where id = 2')).rows).toEqual([{ age: 99 }]);
    await pool.query('rollback');
    expect((await pool.query('select age from people where id = 2')).rows).toEqual([{ age: 0 }]);
  });

  it.each([undefined, 'write'] as const)('a pg.Query with a callback is answered, with intent %s', async (intent) => {
    const own = stage.cluster.pool({ intent });
    const client = await own.connect();
    const ask = client.query as unknown as (
      query: object,
      answer: (error: unknown, result: pg.QueryResult) => void,
    ) => void;
    const rows = await new Promise((resolve) =>
      ask.call(client, new pg.Query('select 4 as n'), (_, result) => resolve(result.rows)),
    );
    expect(rows).toEqual([{ n: 4 }]);
    client.release();
    await own.end();
  });

  it('a statement that fails costs no connection', async () => {
    await stage.cluster.write('select 1');
    const { totalCount } = stage.cluster.stats().nodes[0]?.pool ?? {};
    for (let i = 0; i < 3; i++) {
      await expect(stage.cluster.write('select 1/0')).rejects.toMatchObject({ code: '22012' });
      expect(stage.cluster.stats().nodes[0]?.pool.totalCount).toBe(totalCount);
    }
  });

  it.each([
    ['frozen', () => Object.freeze({ text: 'select $1::int as n', values: Object.freeze([1]) })],
    ['of getters', () => Object.create({ text: 'select $1::int as n', values: [1] }) as object],
  ])('a query object that is %s gives its rows, and stays as it is', async (_, make) => {
    for (let i = 0; i < 3; i++) {
      const query = make() as pg.QueryConfig;
      const client = await pool.connect();
      const answers = [stage.cluster.read(query), stage.cluster.write(query), pool.query(query), client.query(query)];
      for (const { rows } of await Promise.all(answers)) expect(rows).toEqual([{ n: 1 }]);
      client.release();
      expect(Object.keys(query)).toEqual(Object.keys(make()));
    }
  });
});
