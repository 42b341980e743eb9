/** What an answer says of who gave it, and what events say of a statement: the same in every door. */
import { deepStrictEqual } from 'node:assert';
import pg, { type QueryResult } from 'pg';
import Cursor from 'pg-cursor';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cluster, type QueryEvent, type RouteEvent, routeOf } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, until } from './fixture.js';

let servers: TestCluster;
let cluster: Cluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
  await using setUp = await open(servers);
  await setUp.write('create table items (id int primary key); insert into items select generate_series(1, 10)');
  await servers.replicas[0]?.waitForReplay();
});
afterAll(() => servers.stop());
beforeEach(async () => {
  cluster = await open(servers);
  // Waits for the catalogue: without it, a pool takes the read for a write.
  await cluster.explain(READ);
});
afterEach(() => cluster.close());

const READ = 'select id from items where id = $1';
const WRITE = 'update items set id = id where id = $1';

describe('an answer says who gave it', () => {
  it('of a read: the replica, why, and up to where it was known to have replayed', async () => {
    const route = routeOf(await cluster.read(READ, [1]));
    expect(route).toEqual({
      rung: 'replica',
      node: 'r1',
      role: 'replica',
      reason: 'balanced',
      waitedMillis: expect.any(Number),
      rerunCount: 0,
      position: { timeline: 1, lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) },
    });
    expect(Object.isFrozen(route) || route?.node === 'r1').toBe(true);
  });

  it('and that position is one that the replica has replayed', async () => {
    await cluster.write(WRITE, [1]);
    const known = routeOf(await cluster.read(READ, [1]))?.position?.lsn;
    const isReplayed = 'select $1::pg_lsn <= pg_last_wal_replay_lsn() as v';
    expect((await cluster.read(isReplayed, [known], { target: 'replica' })).rows).toEqual([{ v: true }]);
  });

  it.each<[string, (cluster: Cluster) => Promise<QueryResult>, object]>([
    ['write', (c) => c.write(WRITE, [1]), { rung: 'primary', reason: 'write', position: undefined }],
    ['query of a write', (c) => c.query(WRITE, [1]), { rung: 'primary', reason: 'write' }],
    ['read on the primary', (c) => c.read(READ, [1], { target: 'primary' }), { rung: 'primary', reason: 'hint' }],
    ['a statement that joined', (c) => c.transaction(() => c.write(WRITE, [1])), { reason: 'transaction' }],
    ["a transaction's client", (c) => c.transaction((client) => client.query(READ, [1])), { reason: 'transaction' }],
    ['a pool', (c) => c.pool().query(WRITE, [1]), { rung: 'primary', node: 'primary' }],
    ["a read of a pool's client", (c) => onClient(c, (client) => client.query(READ, [1])), { rung: 'replica' }],
    ["a write of a pool's client", (c) => onClient(c, (client) => client.query(WRITE, [1])), { rung: 'primary' }],
  ])('of %s', async (_, run, expected) => {
    expect(routeOf(await run(cluster))).toMatchObject(expected);
  });

  it('of several statements in one text', async () => {
    const results = (await cluster.write('select 1; select 2')) as unknown as QueryResult[];
    expect(results.map(({ rows }) => rows.length)).toEqual([1, 1]);
    expect(routeOf(results)).toMatchObject({ rung: 'primary' });
  });

  it('and nothing but routeOf sees it: neither JSON, nor a copy, nor a comparison', async () => {
    const bare = new pg.Pool({ connectionString: servers.primary.connectionString });
    const plain = await bare.query(READ, [1]);
    await bare.end();
    const result = await cluster.read(READ, [1]);
    deepStrictEqual(result.rows, plain.rows);
    expect(Object.keys(result)).toEqual(Object.keys(plain));
    expect(Object.getOwnPropertySymbols({ ...result })).toEqual([]);
    expect(JSON.stringify(result)).not.toContain('r1');
    expect(routeOf({ ...result })).toBeUndefined();
    expect(routeOf(plain)).toBeUndefined();
    const [symbol] = Object.getOwnPropertySymbols(result);
    expect(symbol).toBe(Symbol.for('pg-ladder.route'));
  });
});

async function onClient<T>(c: Cluster, run: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const pool = c.pool();
  // The grammar and the catalogue are there by then.
  await c.explain(READ);
  const client = await pool.connect();
  try {
    return await run(client);
  } finally {
    client.release();
  }
}

describe('the events of a statement', () => {
  let routes: RouteEvent[];
  let queries: QueryEvent[];

  beforeEach(async () => {
    // The grammar and the catalogue are there by then.
    await cluster.explain(READ);
    await cluster.query(READ, [1]);
    [routes, queries] = [[], []];
    cluster.events.on('route', (event) => routes.push(event));
    cluster.events.on('query', (event) => queries.push(event));
  });

  const ids = () => ({ routes: routes.map(({ id }) => id), queries: queries.map(({ id }) => id) });

  it('of read, write and query carry one number, and each statement has its own', async () => {
    await cluster.read(READ, [1]);
    await cluster.write(WRITE, [1]);
    await cluster.query(READ, [1]);
    const seen = ids();
    expect(seen.routes).toEqual(seen.queries);
    expect(new Set(seen.routes).size).toBe(3);
  });

  it('of a transaction: BEGIN, what joins, what its client runs, and COMMIT, all with its number', async () => {
    await cluster.transaction(async (client) => {
      await client.query(READ, [1]);
      await cluster.write(WRITE, [1]);
      await cluster.transaction(() => cluster.write(WRITE, [2]));
    });
    expect(routes).toHaveLength(1);
    // BEGIN, two statements, SAVEPOINT, one, RELEASE, COMMIT.
    expect(queries).toHaveLength(7);
    expect(new Set(queries.map(({ id }) => id))).toEqual(new Set(routes.map(({ id }) => id)));
  });

  it('of a stream, and of a cursor in a transaction', async () => {
    const rows = [];
    for await (const row of cluster.stream('select id from items')) rows.push(row);
    expect(rows).toHaveLength(10);
    expect(queries).toMatchObject([{ node: 'r1', rowCount: 10, errorCode: undefined }]);
    expect(ids().queries).toEqual(ids().routes);
    queries.length = 0;
    await cluster.transaction(async (client) => {
      const cursor = client.query(new Cursor('select id from items'));
      expect(await cursor.read(100)).toHaveLength(10);
      await cursor.close();
    });
    // BEGIN, the cursor, COMMIT.
    await until('the cursor is told', () => queries.length === 3);
  });

  it("of a pool's READ ONLY transaction: BEGIN, what it reads, and COMMIT", async () => {
    const client = await cluster.pool().connect();
    try {
      await client.query('begin read only');
      await client.query(READ, [1]);
      await client.query('commit');
    } finally {
      client.release();
    }
    expect(queries.map(({ node }) => node)).toEqual(['r1', 'r1', 'r1']);
  });
});
