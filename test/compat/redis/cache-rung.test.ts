// The rung that processes share, on a real Redis and a real cluster: two clusters of ours stand for two processes.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { type Cluster, type ClusterBehaviour, routeOf } from '../../../src/index.js';
import { redisCache } from '../../../src/redis.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open, report, until } from '../../behaviour/fixture.js';
import { type CacheConnection, connectIoredis, connectNodeRedis } from './cache-clients.js';
import { RedisServer } from './redis-server.js';

const BY_ID = 'select id, name, price, added, data, extra from products where id = $1';

const binary = findBinary('redis-server');
if (binary === undefined) report('redis', { skipped: 'redis-server is not installed' });

describe.skipIf(binary === undefined)('the rung that processes share', () => {
  let servers: TestCluster;
  let redis: RedisServer;
  const connections: CacheConnection[] = [];
  const clusters: Cluster[] = [];

  async function cached(name: string, options: ClusterBehaviour = {}, connect = connectNodeRedis): Promise<Cluster> {
    const connection = await connect(redis.port);
    connections.push(connection);
    const cache = { shared: redisCache(connection.client, { presenceMillis: 1_000 }), sharedTimeoutMillis: 100 };
    const cluster = await open(servers, { name, ...options, cache: { ...cache, ...(options.cache as object) } });
    clusters.push(cluster);
    await cluster.explain('select 1');
    await until('it keeps answers', async () => (await rungOf(cluster, 'select 1 as one')) === 'memory');
    return cluster;
  }

  async function rungOf(cluster: Cluster, text: string, values: unknown[] = []): Promise<string | undefined> {
    return routeOf(await cluster.read(text, values, { cache: true }))?.rung;
  }

  /** Filled by the first, and known to be there. */
  async function filled(first: Cluster, id: number): Promise<void> {
    await rungOf(first, BY_ID, [id]);
  }

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    redis = await RedisServer.start(binary as string);
    const setUp = await open(servers);
    await setUp.write(`create table products (id int primary key, name text, price numeric, added timestamptz,
      data jsonb, extra bytea)`);
    await setUp.write(`insert into products select i, 'näme ' || i, i / 7.0, '2026-01-01', '{"a":[1]}', '\\x00ff'
      from generate_series(1, 1000) as i`);
    await setUp.write('update products set name = null, price = null where id = 2');
    for (const replica of servers.replicas) await replica.waitForReplay();
    await setUp.close();
  });
  afterAll(async () => {
    await Promise.all(clusters.map((cluster) => cluster.close({ timeoutMillis: 2_000 })));
    for (const { close } of connections) close();
    await redis?.stop();
    await servers?.stop();
  });

  it('gives what another process has read, equal in every type, and says so', async () => {
    const first = await cached('first');
    const second = await cached('second', {}, connectIoredis);
    for (const id of [1, 2, 999_999]) {
      await filled(first, id);
      await until('the other finds it', async () => {
        // What was late for Redis is kept there when it is read once more.
        await first.cache.forget({ tables: ['products'] }).catch(() => undefined);
        await filled(first, id);
        await new Promise((resolve) => setTimeout(resolve, 30));
        const result = await second.read(BY_ID, [id], { cache: true });
        const rung = routeOf(result)?.rung;
        if (rung !== 'shared') return false;
        expect(result.rows).toEqual((await second.read(BY_ID, [id])).rows);
        expect(routeOf(result)).toMatchObject({ reason: 'cache', role: 'replica' });
        expect(routeOf(result)?.ageMillis).toBeGreaterThanOrEqual(0);
        return true;
      });
      expect(await rungOf(second, BY_ID, [id])).toBe('memory');
    }
    expect(second.cache.stats().hits.shared.session).toBeGreaterThanOrEqual(3);
  });

  it('never hides a write from a session, whichever process made it', async () => {
    const first = await cached('writer');
    const second = await cached('reader');
    await filled(first, 10);
    for (let round = 1; round <= 20; round++) {
      const token = await first.session(async (session) => {
        await session.write('update products set name = $1 where id = 10', [`round ${round}`]);
        expect((await session.read(BY_ID, [10], { cache: true })).rows[0]?.['name']).toBe(`round ${round}`);
        return session.token();
      });
      await second.session(
        async (session) => {
          for (let i = 0; i < 3; i++)
            expect((await session.read(BY_ID, [10], { cache: true })).rows[0]?.['name']).toBe(`round ${round}`);
        },
        { inherit: 'none', token },
      );
    }
  });

  it('forgets in all processes, and says when one was not told', async () => {
    const first = await cached('one');
    const second = await cached('other');
    await filled(first, 20);
    await until('the other has it', async () => (await rungOf(second, BY_ID, [20])) === 'memory');
    await first.cache.forget({ tables: ['products'] });
    expect(await rungOf(second, BY_ID, [20])).toBe('replica');
    const gone = await cached('alone');
    redis.hang();
    await expect(gone.cache.forget({ tables: ['products'] })).rejects.toMatchObject({
      code: 'LADDER_FORGET_INCOMPLETE',
    });
    redis.goOn();
  });

  it('costs no truth and no patience while Redis is frozen, flushed or full of what is none of ours', async () => {
    const cluster = await cached('patient', { cache: { sharedTimeoutMillis: 5 } });
    const admin = await connectNodeRedis(redis.port);
    connections.push(admin);
    const client = admin.client as unknown as {
      keys(pattern: string): Promise<string[]>;
      flushAll(): Promise<unknown>;
      set(key: string, value: string): Promise<unknown>;
      get(key: string): Promise<string | null>;
    };
    await filled(cluster, 30);
    await until('it is there', async () => (await client.keys('*:value')).length > 0);
    for (const key of await client.keys('*:value')) {
      const kept = (await client.get(key)) ?? '';
      for (const bad of ['', 'x', `${kept.slice(0, 24)}nothing`, `${kept.slice(0, 24)}["pgl9",1]`, kept.slice(0, -5)]) {
        await client.set(key, bad);
        await cluster.cache.forget({ tags: ['nothing'] });
      }
    }
    const { rows } = await cluster.read(BY_ID, [30], { cache: true });
    expect(rows).toEqual((await cluster.read(BY_ID, [30])).rows);
    await client.flushAll();
    expect(await rungOf(cluster, BY_ID, [31])).toBe('replica');
    redis.hang();
    for (let id = 100; id < 200; id++) expect((await cluster.read(BY_ID, [id], { cache: true })).rows).toHaveLength(1);
    const { shared } = cluster.cache.stats();
    expect(shared?.state).not.toBe('closed');
    // Each late call costs its budget, and after a few none is made.
    expect(shared?.lateCount).toBeLessThan(30);
    redis.goOn();
    await until('it is asked again', async () => {
      await rungOf(cluster, BY_ID, [Math.ceil(Math.random() * 900)]);
      return cluster.cache.stats().shared?.state === 'closed';
    });
  });
});
