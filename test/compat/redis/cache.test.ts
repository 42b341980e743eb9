/** What redisCache promises, on a real Redis and a real cluster, with the clients that people have. */
import { createClient } from 'redis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { freePort } from '../../../bench/free-port.js';
import { checkSharedStore, redisCache, type SharedStore } from '../../../src/redis.js';
import { report, until } from '../../behaviour/fixture.js';
import { type CacheClient, clusters, connectIoredis, connectNodeRedis, singles } from './cache-clients.js';
import { RedisServer } from './redis-server.js';

const found = findBinary('redis-server');
if (found === undefined) report('redis', { skipped: 'redis-server is not installed' });
const binary = found ?? '';

const LIFETIME_MILLIS = 60_000;
const at = (lsn: number) => ({ timeline: 1, lsn: BigInt(lsn) });

/** Nobody is waited for long. */
const PROMPT = { presenceMillis: 300 };

describe.skipIf(found === undefined)('redisCache', () => {
  let redis: RedisServer;
  let admin: ReturnType<typeof createClient>;

  beforeAll(async () => {
    redis = await RedisServer.start(binary);
    admin = createClient({ url: `redis://127.0.0.1:${redis.port}` });
    await admin.connect();
  });
  afterAll(async () => {
    admin.destroy();
    await redis.stop();
  });
  beforeEach(async () => {
    await admin.flushAll();
  });

  it.each(singles)('does with %s what a shared store has to', async (_name, connect) => {
    const { client, close } = await connect(redis.port);
    try {
      await checkSharedStore(() => redisCache(client, PROMPT));
    } finally {
      close();
    }
  });

  describe('on a single server', () => {
    let client: CacheClient;
    let store: SharedStore;
    let close: () => void;

    beforeAll(async () => {
      ({ client, close } = await connectNodeRedis(redis.port));
      store = redisCache(client);
    });
    afterAll(() => close());

    const callCount = async (command: string) => {
      const stats = await admin.info('commandstats');
      return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(stats)?.[1] ?? 0);
    };

    it('has all its keys below its prefix, those of an entry in one slot, and each with a lifetime', async () => {
      const own = redisCache(client, { prefix: 'shop/' });
      await own.set('a{b}c', 'text', at(1), LIFETIME_MILLIS);
      await own.set('other', 'text', at(1), LIFETIME_MILLIS);
      await own.lease('a{b}c', LIFETIME_MILLIS);
      const subscription = own.channel?.listen({ heard: () => undefined, missed: () => undefined });
      await subscription?.ready;
      await own.channel?.tell('forget', LIFETIME_MILLIS, 10_000);
      const keys = (await admin.keys('*')).sort();
      expect(keys).toEqual([
        'shop/{a%7Bb%7Dc}:lease',
        'shop/{a%7Bb%7Dc}:value',
        'shop/{channel}:log',
        'shop/{channel}:present',
        'shop/{channel}:state',
        'shop/{other}:value',
      ]);
      for (const key of keys) expect(await admin.pTTL(key)).toBeGreaterThan(0);
      await own.close();
      expect(await admin.exists('shop/{channel}:present')).toBe(0);
    });

    it('reads with one command what is asked for in one tick, and asks for the time once a second', async () => {
      for (let i = 0; i < 150; i++) await store.set(`key ${i}`, `text ${i}`, at(1), LIFETIME_MILLIS);
      await store.get('key 0');
      await admin.configResetStat();
      const answers = await Promise.all(Array.from({ length: 150 }, (_, i) => store.get(`key ${i}`)));
      expect(answers.map((one) => one?.value)).toEqual(answers.map((_, i) => `text ${i}`));
      expect(await callCount('mget')).toBe(2);
      await store.get('key 1');
      expect([await callCount('get'), await callCount('mget')]).toEqual([1, 2]);
      expect(await callCount('evalsha')).toBeLessThanOrEqual(1);
    });

    it('takes what others keep under its keys for nothing, and writes over it', async () => {
      for (const [key, put] of [
        ['a list', () => admin.lPush('pg-ladder:cache:{a list}:value', 'x')],
        ['too short', () => admin.set('pg-ladder:cache:{too short}:value', 'x')],
        ['no order', () => admin.set('pg-ladder:cache:{no order}:value', 'ffffffffffffffffffffffg and more')],
      ] as const) {
        await put();
        expect((await store.get(key))?.value.length ?? 0).toBeLessThan(10);
        const together = await Promise.all([store.get(key), store.get('none')]);
        expect(together[1]).toBeUndefined();
        await store.set(key, 'ours', at(1), LIFETIME_MILLIS);
        expect((await store.get(key))?.value).toBe('ours');
      }
    });

    it('refuses orders and lifetimes that are none', async () => {
      const refused = { code: 'LADDER_INVALID_OPTIONS' };
      for (const order of [
        at(-1),
        { timeline: 0, lsn: 1n },
        { timeline: 2 ** 32, lsn: 1n },
        { timeline: 1, lsn: 1n << 64n },
      ]) {
        await expect(store.set('key', 'text', order, 1_000)).rejects.toMatchObject(refused);
      }
      for (const millis of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
        await expect(store.set('key', 'text', at(1), millis)).rejects.toMatchObject(refused);
        await expect(store.lease('key', millis)).rejects.toMatchObject(refused);
      }
      await store.set('key', 'text', at(1), Number.MAX_VALUE);
      expect((await store.get('key'))?.value).toBe('text');
    });

    it('goes on when Redis has forgotten its scripts', async () => {
      await store.set('key', 'text', at(1), LIFETIME_MILLIS);
      await admin.scriptFlush();
      await store.set('key', 'lower', at(0), LIFETIME_MILLIS);
      expect((await store.get('key'))?.value).toBe('text');
      expect((await store.lease('key', 1_000)).isGranted).toBe(true);
    });

    it('has another clock when Redis has lost everything', async () => {
      const { time: before } = await store.lease('key', 1);
      await admin.flushAll();
      await until('another clock', async () => (await store.lease('key', 1)).time.clock !== before.clock);
    });

    it('tells no client from another by anything but what it calls', () => {
      for (const nothing of [undefined, null, {}, { eval: () => undefined }, 'redis']) {
        expect(() => redisCache(nothing as never)).toThrow(expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS' }));
      }
      for (const options of [{ prefix: '{a}' }, { presenceMillis: 1 }, { prefix: 1 }, { other: 1 }]) {
        expect(() => redisCache(client, options as never)).toThrow(/cache: /);
      }
    });

    it('keeps what it was asked to write out of its errors', async () => {
      await using odd = await RedisServer.start(binary, ['--rename-command', 'EVALSHA', '']);
      for (const connect of [connectNodeRedis, connectIoredis]) {
        const connection = await connect(odd.port);
        const failure: unknown = await redisCache(connection.client)
          .set('key', 'a secret of somebody', at(1), LIFETIME_MILLIS)
          .catch((error: unknown) => error);
        connection.close();
        expect(String(failure)).toMatch(/^Error: cache: .*unknown command/i);
        expect(JSON.stringify(failure) + String((failure as Error).stack)).not.toContain('secret');
      }
    });
  });

  describe('on a Redis Cluster of two servers', () => {
    let nodes: RedisServer[] = [];

    beforeAll(async () => {
      const args = ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'];
      for (let i = 0; i < 2; i++) {
        // Each takes a second port, 10,000 above.
        let port = await freePort();
        while (port > 55_000) port = await freePort();
        nodes.push(await RedisServer.start(binary, args, port));
      }
      const admins = await Promise.all(
        nodes.map(async ({ port }) => createClient({ url: `redis://127.0.0.1:${port}` }).connect()),
      );
      const slots = Array.from({ length: 16_384 }, (_, slot) => slot);
      await admins[0]?.clusterAddSlots(slots.slice(0, 8_192));
      await admins[1]?.clusterAddSlots(slots.slice(8_192));
      await admins[0]?.clusterMeet('127.0.0.1', nodes[1]?.port ?? 0);
      for (const one of admins) {
        await until('the slots are served', async () => String(await one.clusterInfo()).includes('cluster_state:ok'));
        one.destroy();
      }
    });
    afterAll(async () => {
      await Promise.all(nodes.map((node) => node.stop()));
      nodes = [];
    });

    it.each(clusters)('does with %s what a shared store has to, with one clock', async (_name, connect) => {
      const { client, close } = await connect(nodes[0]?.port ?? 0);
      try {
        await checkSharedStore(() => redisCache(client, PROMPT));
        const store = redisCache(client);
        const keys = Array.from({ length: 40 }, (_, i) => `key ${i}`);
        for (const key of keys) await store.set(key, key, at(1), LIFETIME_MILLIS);
        const answers = await Promise.all(keys.map((key) => store.get(key)));
        expect(answers.map((one) => one?.value)).toEqual(keys);
        expect(new Set(answers.map((one) => one?.time.clock)).size).toBe(1);
      } finally {
        close();
      }
    });
  });
});
