// The rung in the process's memory: what it gives, and to whom.
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, type ClusterBehaviour, routeOf } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open, until } from '../fixture.js';

const BY_ID = 'select id, name, price, added, data, extra from products where id = $1';

let servers: TestCluster;
let writer: pg.Client;
let clusters: Cluster[] = [];

async function cached(options: ClusterBehaviour = {}): Promise<Cluster> {
  const cluster = await open(servers, { cache: true, ...options });
  clusters.push(cluster);
  await cluster.explain('select 1');
  await until('an answer is kept', async () => {
    await cluster.read('select 1 as one', [], { cache: true });
    return routeOf(await cluster.read('select 1 as one', [], { cache: true }))?.rung === 'memory';
  });
  return cluster;
}

const read = (cluster: Cluster, id: number, options = {}) => cluster.read(BY_ID, [id], { cache: true, ...options });

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 2 });
  writer = new pg.Client(servers.primary.connectionString);
  await writer.connect();
  await writer.query(`create table products (id int primary key, name text, price numeric, added timestamptz,
    data jsonb, extra bytea)`);
  await writer.query(`insert into products select i, 'name ' || i, i / 7.0, '2026-01-01', '{"a":[1]}', '\\x00ff'
    from generate_series(1, 1000) as i`);
  for (const replica of servers.replicas) await replica.waitForReplay();
});
afterEach(async () => {
  const closing = clusters;
  clusters = [];
  await Promise.all(closing.map((cluster) => cluster.close()));
});
afterAll(async () => {
  await writer.end();
  await servers.stop();
});

describe('the rung in memory', () => {
  it('shows no parent without what a session has seen of its partition, where tables are told apart', async () => {
    await writer.query('create table events (id int, value int) partition by list (id)');
    await writer.query('create table events_1 partition of events for values in (1)');
    await writer.query('insert into events values (1, 0)');
    for (const replica of servers.replicas) await replica.waitForReplay();
    const cluster = await cached({ cache: { monotonic: 'tables' } });
    const parent = 'select value from events where id = 1';
    const shown = async (session: Pick<Cluster, 'read'>, text: string) => {
      const result = await session.read<{ value: number }>(text, [], { cache: true });
      return [routeOf(result)?.rung, result.rows[0]?.value];
    };
    await until('the parent is kept', async () => (await shown(cluster, parent))[0] === 'memory');
    await writer.query('update events_1 set value = 1');
    for (const replica of servers.replicas) await replica.waitForReplay();
    await cluster.session(
      async (session) => {
        expect(await shown(session, 'select value from events_1')).toEqual(['replica', 1]);
        expect((await shown(session, parent))[1]).toBe(1);
      },
      { inherit: 'none' },
    );
  });

  it('gives an answer again, equal to the one of the replica, and says where it comes from', async () => {
    const cluster = await cached();
    const first = await read(cluster, 1);
    const again = await read(cluster, 1);
    const plain = await cluster.read(BY_ID, [1]);
    expect(routeOf(first)?.rung).toBe('replica');
    expect(routeOf(again)).toMatchObject({
      rung: 'memory',
      role: 'replica',
      reason: 'cache',
      node: routeOf(first)?.node,
    });
    expect(routeOf(again)?.position).toEqual(routeOf(first)?.position);
    expect(routeOf(again)?.ageMillis).toBeGreaterThan(0);
    expect(again.rows).toEqual(plain.rows);
    expect(first.rows).toEqual(plain.rows);
    expect(again.fields).toEqual(plain.fields);
    expect(Object.getPrototypeOf(again)).toBe(Object.getPrototypeOf(plain));
    expect(again.command).toBe('SELECT');
    expect(again.rowCount).toBe(1);
  });

  it('keeps what is asked for before the catalogue has been read, as soon as it has', async () => {
    const cluster = await open(servers, { cache: true });
    clusters.push(cluster);
    await read(cluster, 1);
    await until('an answer is kept', async () => routeOf(await read(cluster, 1))?.rung === 'memory');
  });

  it('gives each caller rows of its own', async () => {
    const cluster = await cached();
    const first = await read(cluster, 2);
    const row = first.rows[0] as { extra: Buffer; added: Date; data: { a: number[] }; name: string };
    row.extra[0] = 7;
    row.added.setFullYear(1970);
    row.data.a.push(2);
    row.name = 'changed';
    first.rows.push({});
    expect((await read(cluster, 2)).rows).toEqual((await cluster.read(BY_ID, [2])).rows);
  });

  it('never hides a write from its own session', async () => {
    const cluster = await cached();
    await read(cluster, 3);
    await cluster.session(async () => {
      expect(routeOf(await read(cluster, 3))?.rung).toBe('memory');
      await cluster.write('update products set name = $1 where id = 3', ['new']);
      const { rows } = await read(cluster, 3);
      expect(rows[0]?.['name']).toBe('new');
    });
    // Who has a token sees it, too; who has none may see what was.
    const token = await cluster.session((session) => session.token(), { inherit: 'process' });
    await cluster.session(
      async () => {
        expect((await read(cluster, 3)).rows[0]?.['name']).toBe('new');
      },
      { inherit: 'none', token },
    );
  });

  it('keeps nothing of what changes by itself, and says why', async () => {
    const cluster = await cached();
    for (const text of [
      'select random()',
      'select now()',
      'select current_user',
      'select id from products limit 1 for update',
    ])
      for (let i = 0; i < 2; i++) {
        const result = await cluster.query(text, [], { cache: true });
        expect(routeOf(result)?.rung).not.toBe('memory');
      }
  });

  it('tells values apart by their kinds', async () => {
    const cluster = await cached();
    const text = 'select $1::text as value';
    for (const value of ['1', '01', 'n', null, 'ä']) {
      const expected = (await cluster.read(text, [value])).rows;
      for (let i = 0; i < 2; i++) expect((await cluster.read(text, [value], { cache: true })).rows).toEqual(expected);
    }
  });

  it('is one statement for a thousand callers at once', async () => {
    const cluster = await cached();
    const before = cluster.stats().nodes.reduce((sum, node) => sum + node.statementCount, 0);
    const results = await Promise.all(Array.from({ length: 1_000 }, () => read(cluster, 4)));
    const after = cluster.stats().nodes.reduce((sum, node) => sum + node.statementCount, 0);
    expect(after - before).toBe(1);
    expect(new Set(results.map(({ rows }) => rows[0])).size).toBe(1_000);
  });
});
