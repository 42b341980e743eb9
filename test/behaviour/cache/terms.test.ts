// On what terms answers are kept: rules, sessions, ages, faults, and what is to be forgotten.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { httpSessions } from '../../../src/http/sessions.js';
import { type Cluster, type ClusterBehaviour, routeOf } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open, until } from '../fixture.js';

const BY_ID = 'select id, name from products where id = $1';

let servers: TestCluster;
let writer: pg.Client;
let clusters: Cluster[] = [];

async function cached(options: ClusterBehaviour = {}): Promise<Cluster> {
  const cluster = await open(servers, { cache: true, ...options });
  clusters.push(cluster);
  await cluster.explain('select 1');
  await until('an answer is kept', async () => (await rungOf(cluster, 'select 1 as one')) === 'memory');
  return cluster;
}

async function rungOf(
  cluster: Cluster,
  text: string,
  values: unknown[] = [],
  options = {},
): Promise<string | undefined> {
  return routeOf(await cluster.read(text, values, { cache: true, ...options }))?.rung;
}

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 2 });
  writer = new pg.Client(servers.primary.connectionString);
  await writer.connect();
  await writer.query('create table products (id int primary key, name text)');
  await writer.query('create table orders (id int primary key, product int)');
  await writer.query("insert into products select i, 'name ' || i from generate_series(1, 1000) as i");
  await writer.query(`create function outside(i int) returns text language plpgsql stable
    as $$ begin return (select name from products where id = i); end $$`);
  await writer.query('create table visits (id int, day int) partition by range (day)');
  await writer.query('create table visits_1 partition of visits for values from (1) to (2)');
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

describe('what is kept', () => {
  it('goes by the rules of the cluster, for pools too, and for no other statement', async () => {
    const cluster = await cached({ cache: { rules: [{ tables: ['products'], maxStalenessMillis: 30_000 }] } });
    const pool = cluster.pool();
    const rung = async (text: string): Promise<string | undefined> => routeOf(await pool.query(text, [5]))?.rung;
    await until('the rule is known to fit', async () => (await rung(BY_ID)) === 'memory');
    for (let i = 0; i < 3; i++) expect(await rung('select id from orders where id = $1')).toBe('replica');
    for (let i = 0; i < 3; i++)
      expect(await rung('select p.id from products p join orders o on o.product = p.id where p.id = $1')).toBe(
        'replica',
      );
    // A transaction has a snapshot of its own.
    const client = await pool.connect();
    await client.query('begin');
    expect(routeOf(await client.query(BY_ID, [5]))?.rung).not.toBe('memory');
    await client.query('commit');
    client.release();
    expect(routeOf(await cluster.query(BY_ID, [5]))?.rung).toBe('memory');
    expect(routeOf(await cluster.query(BY_ID, [5], { cache: false }))?.rung).toBe('replica');
  });

  it('is said by a session, and taken back by a read', async () => {
    const cluster = await cached();
    await cluster.session(
      async (session) => {
        await session.read(BY_ID, [6]);
        expect(routeOf(await session.read(BY_ID, [6]))?.rung).toBe('memory');
        expect(routeOf(await session.read(BY_ID, [6], { cache: false }))?.rung).toBe('replica');
        expect(routeOf(await session.read(BY_ID, [6], { consistency: 'strong' }))?.rung).not.toBe('memory');
        expect(routeOf(await session.read(BY_ID, [6], { target: 'primary' }))?.rung).toBe('primary');
      },
      { cache: true },
    );
  });

  it('is said for all requests of a server', async () => {
    const cluster = await cached();
    const sessions = httpSessions(cluster, { cache: { maxStalenessMillis: 30_000 }, allowUnsigned: true });
    const server = createServer(
      (request, response) =>
        void sessions.run(request, response, async () => {
          response.end(routeOf(await cluster.read(BY_ID, [13]))?.rung);
        }),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await until('an answer is given again', async () => (await (await fetch(url)).text()) === 'memory');
    server.close();
  });

  it('depends on a scope where it depends on more than its tables', async () => {
    const cluster = await cached();
    const text = 'select current_user as name, outside($1) as outside';
    for (let i = 0; i < 2; i++) expect(await rungOf(cluster, text, [1])).toBe('replica');
    expect((await cluster.explain(text, [1], { cache: true })).cache?.because).toMatch(/name its scope/);
    for (const scope of ['a', 'b']) {
      expect(await rungOf(cluster, text, [1], { cache: { scope } })).toBe('replica');
      expect(await rungOf(cluster, text, [1], { cache: { scope } })).toBe('memory');
    }
  });

  it('is refused where the cluster has no caches', async () => {
    const cluster = await open(servers);
    clusters.push(cluster);
    await expect(cluster.read('select 1', [], { cache: true })).rejects.toThrow(/option cache of createCluster/);
    expect(() => cluster.session(() => 1, { cache: true })).toThrow(/option cache of createCluster/);
    await cluster.read('select 1', [], { cache: false });
    await expect(cluster.transaction((client) => client.query('select 1'), { cache: true } as object)).rejects.toThrow(
      /unknown option "cache"/,
    );
  });
});

describe('how old it may be', () => {
  it('is the age of the data: where the log moves on, an answer grows old', async () => {
    const cluster = await cached();
    await rungOf(cluster, BY_ID, [7]);
    const bound = { cache: { maxStalenessMillis: 300 } };
    await writer.query('update products set name = name where id = 8');
    await until('it is too old', async () => {
      // The first that finds it too old reads it anew.
      const { cache } = await cluster.explain(BY_ID, [7], bound);
      return cache?.rung === undefined && /too old/.test(cache?.because ?? '');
    });
    expect(await rungOf(cluster, BY_ID, [7], bound)).toBe('replica');
  });

  it('does not pass where nothing is written', async () => {
    const cluster = await cached();
    await rungOf(cluster, BY_ID, [9]);
    const { position } = (await cluster.explain(BY_ID, [9], { cache: true })).cache?.entry ?? {};
    await new Promise((resolve) => setTimeout(resolve, 700));
    const result = await cluster.read(BY_ID, [9], { cache: { maxStalenessMillis: 600 } });
    expect(routeOf(result)).toMatchObject({ rung: 'memory', position });
  });

  it('is read anew in the background shortly before it is over', async () => {
    const cluster = await cached();
    const bound = { cache: { maxStalenessMillis: 2_000 } };
    await rungOf(cluster, BY_ID, [10], bound);
    const before = cluster.cache.stats().refreshedCount;
    await until('it is read anew', async () => {
      await writer.query('update products set name = name where id = 8');
      expect(await rungOf(cluster, BY_ID, [10], bound)).toBe('memory');
      return cluster.cache.stats().refreshedCount > before;
    });
  });
});

describe('what is forgotten', () => {
  it('goes by tables, tags and statements', async () => {
    const cluster = await cached();
    const { digest } = await cluster.explain(BY_ID);
    const tagged = { cache: { tags: ['eleven'] } };
    const fill = async (): Promise<void> => {
      await rungOf(cluster, BY_ID, [11], tagged);
      await rungOf(cluster, 'select count(*) from orders');
    };
    for (const forgotten of [
      { tables: ['products'] },
      { tables: ['public.products'] },
      { tags: ['eleven'] },
      { digest },
    ]) {
      await fill();
      expect(await rungOf(cluster, BY_ID, [11], tagged)).toBe('memory');
      await cluster.cache.forget(forgotten);
      expect(await rungOf(cluster, BY_ID, [11], tagged)).toBe('replica');
      expect(await rungOf(cluster, 'select count(*) from orders')).toBe('memory');
    }
    for (const [text, table] of [
      ['select count(*) from visits_1', 'visits'],
      ['select count(*) from visits', 'public.visits_1'],
    ] as const) {
      await rungOf(cluster, text);
      expect(await rungOf(cluster, text)).toBe('memory');
      await cluster.cache.forget({ tables: ['orders_of_nobody'] });
      expect(await rungOf(cluster, text)).toBe('memory');
      await cluster.cache.forget({ tables: [table] });
      expect(await rungOf(cluster, text)).toBe('replica');
    }
    await expect(cluster.cache.forget({})).rejects.toThrow(/expected tables, tags or digest/);
    await expect(cluster.cache.forget({ table: 'x' } as object)).rejects.toThrow(/tables/);
  });
});

describe('when no server answers', () => {
  it('an older answer is given where the read allows it, and it still shows what its session wrote', async () => {
    const own = await startTestCluster({ replicas: 1 });
    const cluster = await open(own, { cache: true, waitMillis: 20, primaryWaitMillis: 100 });
    try {
      await cluster.write('create table notes (id int primary key, text text)');
      await cluster.write("insert into notes values (1, 'first')");
      await own.replicas[0]?.waitForReplay();
      await cluster.explain('select 1');
      const text = 'select text from notes where id = 1';
      await until('it is kept', async () => (await rungOf(cluster, text)) === 'memory');
      await cluster.write("update notes set text = 'second' where id = 1");
      await own.replicas[0]?.waitForReplay();
      await until('the new one is kept', async () => {
        const { rows } = await cluster.read(text, [], { cache: true });
        return rows[0]?.['text'] === 'second' && (await rungOf(cluster, text)) === 'memory';
      });
      await Promise.all([own.primary.kill(), own.replicas[0]?.kill()]);
      const strict = { cache: { maxStalenessMillis: 0 }, timeoutMillis: 3_000 };
      await expect(cluster.read(text, [], strict)).rejects.toThrow();
      const lax = { cache: { maxStalenessMillis: 0, staleIfErrorMillis: 60_000 }, timeoutMillis: 3_000 };
      const given = await cluster.read(text, [], lax);
      expect(given.rows).toEqual([{ text: 'second' }]);
      expect(routeOf(given)?.rung).toBe('memory');
      expect(cluster.cache.stats().staleIfErrorCount).toBe(1);
      // What the statement itself is at fault for is no outage.
    } finally {
      await cluster.close({ timeoutMillis: 1_000 });
      await own.stop();
    }
  });
});

describe('what is noticed', () => {
  it('is a loop that asks row by row: told once, with the digest of its statement', async () => {
    const cluster = await cached();
    const warnings: { code: string; digest?: string | undefined }[] = [];
    cluster.events.on('warning', (warning) => warnings.push(warning));
    for (let round = 0; round < 2; round++)
      await cluster.session(async () => {
        for (let id = 0; id < 60; id++) await cluster.read(BY_ID, [id], { cache: true });
        for (let i = 0; i < 60; i++) await cluster.read('select count(*) from orders', [], { cache: true });
      });
    const { digest } = await cluster.explain(BY_ID);
    expect(warnings).toEqual([expect.objectContaining({ code: 'n-plus-one', digest })]);
  });

  it('is an answer that is not what a replica says', async () => {
    const cluster = await cached({ cache: { audit: 1 } });
    const warnings: string[] = [];
    cluster.events.on('warning', ({ code }) => warnings.push(code));
    await rungOf(cluster, BY_ID, [12]);
    await until('answers were compared', async () => {
      expect(await rungOf(cluster, BY_ID, [12])).toBe('memory');
      return cluster.cache.stats().audit.sameCount >= 3;
    });
    await writer.query("update products set name = 'changed' where id = 12");
    for (const replica of servers.replicas) await replica.waitForReplay();
    await until('the change was seen', async () => {
      await rungOf(cluster, BY_ID, [12]);
      return cluster.cache.stats().audit.changedCount >= 1;
    });
    expect(cluster.cache.stats().audit.wrongCount).toBe(0);
    expect(warnings).toEqual([]);
  });
});
