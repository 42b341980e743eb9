/**
 * Transactions that go on from one statement of a pool to the next: as with pg, the connection that was used last is used next. A client that its user has
 * released inside one is handed on as it is only where the pool is to be pg's own.
 */
import pg, { type Pool, type PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, createCluster, type WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from './fixture.js';

const COUNT = 'select count(*)::int as n from notes';

let servers: TestCluster;
let cluster: Cluster;
let single: Cluster;
const warnings: string[] = [];

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
  cluster = await open(servers);
  single = createCluster({ primary: servers.primary.connectionString });
  await cluster.write('create table notes (id serial primary key, body text)');
  await until('it is known to read', async () => (await cluster.explain(COUNT)).class === 'read');
  const heard = ({ code }: WarningEvent) => warnings.push(code);
  for (const each of [cluster, single]) each.events.on('warning', heard);
});
afterEach(async () => {
  warnings.length = 0;
  await cluster.write('truncate notes');
});
afterAll(async () => {
  await cluster.close();
  await single.close();
  await servers.stop();
});

const makers: Record<string, () => Pool> = {
  'a bare pg.Pool': () => new pg.Pool({ connectionString: servers.primary.connectionString }),
  'a pool that routes': () => cluster.pool(),
  'a pool for writes': () => cluster.pool({ intent: 'write' }),
  'a pool of a single server': () => single.pool(),
};
const likePg = Object.entries(makers).filter(([name]) => name !== 'a pool that routes');

const countOn = async (on: Pool | PoolClient) => (await on.query<{ n: number }>(COUNT)).rows[0]?.n;
const committed = async () => (await cluster.read<{ n: number }>(COUNT, [], { target: 'primary' })).rows[0]?.n;
const pidOf = async (on: Pool | PoolClient) =>
  (await on.query<{ pid: number }>('select pg_backend_pid() as pid from pg_notify($1, $1)', ['x'])).rows[0]?.pid;

describe.each(Object.entries(makers))('%s', (_, make) => {
  let pool: Pool;
  beforeAll(() => {
    pool = make();
  });
  afterAll(() => pool.end());

  it('rolls back what query() did between BEGIN and ROLLBACK', async () => {
    await pool.query('BEGIN');
    await pool.query('insert into notes (body) values ($1)', ['undone']);
    expect(await countOn(pool)).toBe(1);
    expect(await committed()).toBe(0);
    await pool.query('ROLLBACK');
    expect(await countOn(pool)).toBe(0);
    expect(await committed()).toBe(0);
    expect(pool.totalCount).toBe(1);
  });

  it('commits what query() did between BEGIN and COMMIT, and its session reads it', async () => {
    await pool.query('BEGIN');
    await pool.query('insert into notes (body) values ($1)', ['done']);
    expect(await committed()).toBe(0);
    await pool.query('COMMIT');
    expect(await countOn(pool)).toBe(1);
    expect(await committed()).toBe(1);
  });

  it('takes savepoints of query() back', async () => {
    for (const text of ['BEGIN', "insert into notes (body) values ('kept')", 'SAVEPOINT here']) await pool.query(text);
    for (const text of ["insert into notes (body) values ('not')", 'ROLLBACK TO here', 'COMMIT'])
      await pool.query(text);
    expect(await countOn(pool)).toBe(1);
  });

  it('ends the transaction when a statement of query() fails: its connection is closed', async () => {
    await pool.query('BEGIN');
    await pool.query("insert into notes (body) values ('lost')");
    await expect(pool.query('select 1 / 0 from pg_notify($1, $1)', ['x'])).rejects.toMatchObject({ code: '22012' });
    expect(await countOn(pool)).toBe(0);
    expect(pool.totalCount).toBeLessThanOrEqual(1);
  });
});

describe.each(likePg)('%s hands on a client as it was released', (_, make) => {
  it('in its transaction, on its backend', async () => {
    const pool = make();
    const client = await pool.connect();
    await client.query('BEGIN');
    const pid = await pidOf(client);
    await client.query("insert into notes (body) values ('open')");
    client.release();
    const again = await pool.connect();
    expect(again.getTransactionStatus()).toBe('T');
    expect(await pidOf(again)).toBe(pid);
    expect(await countOn(again)).toBe(1);
    await again.query('ROLLBACK');
    again.release();
    expect(await committed()).toBe(0);
    await pool.end();
  });
});

describe('a pool that routes', () => {
  it('tells once that query() has left a transaction open, and reads on replicas again when it is over', async () => {
    const pool = cluster.pool();
    await pool.query('BEGIN');
    for (let i = 0; i < 3; i++) await pool.query('insert into notes (body) values ($1)', ['told']);
    expect(warnings).toEqual(['released-in-transaction']);
    await pool.query('COMMIT');
    const readCount = () => nodeOf(cluster, servers.replicas[0]?.name ?? '').statementCount;
    const before = readCount();
    await until('it reads on the replica', async () => {
      expect(await countOn(pool)).toBe(3);
      return readCount() > before;
    });
    expect(warnings).toHaveLength(1);
    await pool.end();
  });

  it('keeps no replica’s transaction open: BEGIN READ ONLY of query() is over at once', async () => {
    const pool = cluster.pool();
    await pool.query('BEGIN READ ONLY');
    await pool.query('insert into notes (body) values ($1)', ['done']);
    expect(await countOn(pool)).toBe(1);
    await pool.end();
  });

  it('another session that writes in a transaction left open finds its write when that is committed', async () => {
    const pool = cluster.pool();
    await servers.replicas[0]?.pauseReplay();
    try {
      await pool.query('BEGIN');
      await cluster.session(
        async (session) => {
          await pool.query('insert into notes (body) values ($1)', ['mine']);
          await cluster.session(() => pool.query('COMMIT'), { inherit: 'none' });
          expect((await session.read(COUNT)).rows).toEqual([{ n: 1 }]);
        },
        { inherit: 'none' },
      );
    } finally {
      await servers.replicas[0]?.resumeReplay();
    }
    await pool.end();
  });
});
