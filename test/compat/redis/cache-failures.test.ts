/** What redisCache does when its Redis is full, flushed, frozen, restarted, demoted, or another one. */
import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { createClient } from 'redis';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { freePort } from '../../../bench/free-port.js';
import { CallBudget } from '../../../src/cache/budget.js';
import { redisCache, type SharedStore } from '../../../src/redis.js';
import { report, until } from '../../behaviour/fixture.js';
import { connectIoredis, connectNodeRedis } from './cache-clients.js';
import { PlayedTime } from './played-time.js';
import { RedisServer } from './redis-server.js';

const found = findBinary('redis-server');
if (found === undefined) report('redis', { skipped: 'redis-server is not installed' });
const binary = found ?? '';

const playedTime = found === undefined ? undefined : PlayedTime.build();
if (playedTime === undefined) report('another time of day', { skipped: 'there is no C compiler' });
afterAll(() => playedTime?.[Symbol.dispose]());

/** A replica is not kept waiting for others that might come. */
const PROMPT_SYNC = ['--repl-diskless-sync-delay', '0'];
const LIFETIME_MILLIS = 60_000;
const at = (lsn: number) => ({ timeline: 1, lsn: BigInt(lsn) });
const nobody = { heard: () => undefined, missed: () => undefined };

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

/** Leads to the one server or the other, as a name does that follows the master. */
class Name {
  readonly port: number;
  readonly #server;
  readonly #sockets = new Set<Socket>();
  #target: number;

  private constructor(port: number, target: number) {
    this.port = port;
    this.#target = target;
    this.#server = createServer((socket) => {
      const other = connectSocket(this.#target, '127.0.0.1');
      for (const [from, to] of [
        [socket, other],
        [other, socket],
      ] as const) {
        this.#sockets.add(from);
        from
          .on('error', () => undefined)
          .on('close', () => to.destroy())
          .pipe(to);
      }
    }).listen(port, '127.0.0.1');
  }

  static async of(target: RedisServer): Promise<Name> {
    const name = new Name(await freePort(), target.port);
    opened.push(name);
    return name;
  }

  leadTo(target: RedisServer): void {
    this.#target = target.port;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

async function storeOn(port: number, connect = connectNodeRedis): Promise<SharedStore> {
  const connection = await connect(port);
  const store = redisCache(connection.client, { presenceMillis: 300 });
  opened.push(connection, store);
  return store;
}

async function adminOf(server: RedisServer) {
  const admin = await createClient({ url: `redis://127.0.0.1:${server.port}` })
    .on('error', () => undefined)
    .connect();
  opened.push({ close: () => admin.destroy() });
  return admin;
}

async function replicaOf(server: RedisServer, env?: Readonly<Record<string, string>>): Promise<RedisServer> {
  const replica = await RedisServer.start(binary, ['--replicaof', '127.0.0.1', String(server.port)], undefined, env);
  const admin = await adminOf(replica);
  await until('the replica has all', async () => (await admin.info('replication')).includes('master_link_status:up'));
  return replica;
}

describe.skipIf(found === undefined)('redisCache, when Redis', () => {
  it('is full and evicts nothing: reads, releases and tells; stores nothing', async () => {
    await using redis = await RedisServer.start(binary);
    const admin = await adminOf(redis);
    const store = await storeOn(redis.port);
    await store.set('key', 'text', at(1), LIFETIME_MILLIS);
    expect((await store.lease('other', LIFETIME_MILLIS)).isGranted).toBe(true);
    await admin.configSet({ 'maxmemory-policy': 'noeviction', maxmemory: '1' });
    const fresh = await storeOn(redis.port);
    expect((await fresh.get('key'))?.value).toBe('text');
    await expect(store.set('key', 'newer', at(2), LIFETIME_MILLIS)).rejects.toThrow(/OOM/);
    await expect(store.lease('third', LIFETIME_MILLIS)).rejects.toThrow(/OOM/);
    await store.release('other');
    const heard: string[] = [];
    await fresh.channel?.listen({ ...nobody, heard: (text) => heard.push(text) }).ready;
    await store.channel?.tell('forget', LIFETIME_MILLIS, 10_000);
    expect(heard).toEqual(['forget']);
    await admin.configSet('maxmemory', '0');
    expect((await store.lease('other', LIFETIME_MILLIS)).isGranted).toBe(true);
    expect((await store.get('key'))?.value).toBe('text');
  });

  it('is frozen: nobody waits for it, nor trusts what it may have said; and it goes on when Redis does', async () => {
    await using redis = await RedisServer.start(binary);
    const store = await storeOn(redis.port);
    const budget = new CallBudget({ budgetMillis: 20 });
    await store.set('key', 'text', at(1), LIFETIME_MILLIS);
    const subscription = store.channel?.listen(nobody);
    await subscription?.ready;
    redis.hang();
    try {
      const startedAt = performance.now();
      for (let i = 0; i < 1_000; i++) expect(await budget.run(() => store.get('key'))).toBeUndefined();
      expect(performance.now() - startedAt).toBeLessThan(2_000);
      expect(budget.stats).toMatchObject({ state: 'open', lateCount: expect.any(Number) });
      expect(budget.stats.refusedCount).toBeGreaterThan(900);
      await until('it is not current', async () => subscription?.isCurrent() === false);
      await expect(store.channel?.tell('forget', 1_000, 50)).rejects.toMatchObject({
        code: 'LADDER_FORGET_INCOMPLETE',
      });
    } finally {
      redis.goOn();
    }
    await until('it is read again', async () => (await budget.run(() => store.get('key')))?.value === 'text');
    await until('it is current again', async () => subscription?.isCurrent() === true);
  });

  it.each([
    ['node-redis', connectNodeRedis],
    ['ioredis', connectIoredis],
  ])(
    'is restarted, or flushed: %s has another clock, listens again, and takes all for missed',
    async (_name, connect) => {
      let redis = await RedisServer.start(binary);
      try {
        const store = await storeOn(redis.port, connect);
        const log: string[] = [];
        const subscription = store.channel?.listen({
          heard: (text) => log.push(text),
          missed: ({ clock }) => log.push(`missed by ${clock}`),
        });
        await subscription?.ready;
        await store.channel?.tell('one', LIFETIME_MILLIS, 10_000);
        const before = (await store.lease('key', 1)).time.clock;
        const { port } = redis;
        await redis.stop();
        redis = await RedisServer.start(binary, [], port);
        const clockNow = async () => (await store.lease('key', 1).catch(() => undefined))?.time.clock;
        await until('another clock', async () => ![before, undefined].includes(await clockNow()));
        const after = await clockNow();
        await until('it is current again', async () => subscription?.isCurrent() === true && log.length > 2);
        expect(log).toEqual([`missed by ${before}`, 'one', `missed by ${after}`]);
        await store.channel?.tell('two', LIFETIME_MILLIS, 10_000);
        const admin = await adminOf(redis);
        await admin.flushAll();
        await until('it has missed all again', async () => log.length > 4);
        await store.channel?.tell('three', LIFETIME_MILLIS, 10_000);
        expect(log.slice(3, 6)).toEqual(['two', expect.stringMatching(/^missed/), 'three']);
      } finally {
        await redis.stop();
      }
    },
  );

  it('is a replica: it is told no time and stores nothing', async () => {
    await using redis = await RedisServer.start(binary, PROMPT_SYNC);
    await (await storeOn(redis.port)).set('key', 'text', at(1), LIFETIME_MILLIS);
    await using replica = await replicaOf(redis);
    const store = await storeOn(replica.port);
    await expect(store.get('key')).rejects.toThrow(/READONLY/);
    await expect(store.set('key', 'newer', at(2), LIFETIME_MILLIS)).rejects.toThrow(/READONLY/);
    await expect(store.lease('key', 1_000)).rejects.toThrow(/READONLY/);
    await expect(store.channel?.tell('forget', 1_000, 1_000)).rejects.toMatchObject({
      code: 'LADDER_FORGET_INCOMPLETE',
    });
  });

  it('becomes a replica: nothing is stored, and nobody stays current', async () => {
    await using redis = await RedisServer.start(binary);
    await using other = await RedisServer.start(binary);
    const store = await storeOn(redis.port);
    await store.set('key', 'text', at(1), LIFETIME_MILLIS);
    const subscription = store.channel?.listen(nobody);
    await subscription?.ready;
    const admin = await adminOf(redis);
    await admin.replicaOf('127.0.0.1', other.port);
    await expect(store.set('key', 'newer', at(2), LIFETIME_MILLIS)).rejects.toThrow(/READONLY/);
    await until('it is not current', async () => subscription?.isCurrent() === false);
  });

  it.each([
    ['as late as the old one', 0],
    ['10 s behind', -10_000],
    ['10 s ahead', 10_000],
  ])('fails over to a server whose clock is %s: what was kept has another clock’s time', async (_how, shift) => {
    if (shift !== 0 && playedTime === undefined) return;
    playedTime?.set(shift / 1_000);
    await using redis = await RedisServer.start(binary, PROMPT_SYNC);
    await using replica = await replicaOf(redis, playedTime?.env);
    const name = await Name.of(redis);
    const store = await storeOn(name.port);
    const { time: before } = await store.lease('key', LIFETIME_MILLIS);
    await store.set('key', 'text', at(1), LIFETIME_MILLIS);
    const log: string[] = [];
    const subscription = store.channel?.listen({ ...nobody, missed: ({ clock }) => log.push(clock) });
    await subscription?.ready;
    const replicaAdmin = await adminOf(replica);
    await until('it is replicated', async () => (await replicaAdmin.exists('pg-ladder:cache:{key}:value')) === 1);
    await replicaAdmin.replicaOf('NO', 'ONE');
    name.leadTo(replica);
    await redis.stop();

    // Until it has noticed, the old server's time goes on by our own clock: never back, never younger.
    await until('another clock', async () => {
      const answer = await store.get('key').catch(() => undefined);
      if (answer === undefined) return false;
      expect(answer.value).toBe('text');
      if (answer.time.clock !== before.clock) return true;
      expect(answer.time.millis).toBeGreaterThanOrEqual(before.millis);
      return false;
    });
    const { time: after } = await store.lease('other', LIFETIME_MILLIS);
    expect(Math.abs(after.millis - Date.now() - shift)).toBeLessThan(5_000);
    await until('it is current again', async () => subscription?.isCurrent() === true && log.length === 2);
    expect(log).toEqual([before.clock, after.clock]);
    await store.set('key', 'lower', at(0), LIFETIME_MILLIS);
    expect((await store.get('key'))?.value).toBe('text');
  });

  it.skipIf(playedTime === undefined)('has its clock set back: it counts as another clock from then on', async () => {
    playedTime?.set(0);
    await using redis = await RedisServer.start(binary, [], undefined, playedTime?.env);
    const store = await storeOn(redis.port);
    const { time: before } = await store.lease('key', 1_000);
    await store.set('key', 'text', at(1), LIFETIME_MILLIS);
    playedTime?.set(-10);
    await until('another clock', async () => {
      const time = (await store.get('key'))?.time;
      if (time?.clock !== before.clock) return true;
      expect(time.millis).toBeGreaterThanOrEqual(before.millis);
      return false;
    });
    const { time } = await store.lease('other', 1_000);
    expect(time.millis).toBeLessThan(before.millis);
  });

  it('is older than 7, or does not say which run it is of: it is refused, with the reason', async () => {
    const words = "ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'";
    for (const message of [words, 'NORUNID this server does not tell which run of which server it is']) {
      const old = {
        get: async () => 'x'.repeat(30),
        mGet: async () => [],
        evalSha: async () => {
          throw new Error(message);
        },
        eval: async () => undefined,
      };
      const refused = { code: 'LADDER_INVALID_OPTIONS', message: expect.stringContaining('expected Redis 7 or later') };
      await expect(redisCache(old).get('key')).rejects.toMatchObject(refused);
      await expect(redisCache(old).set('key', 'text', at(1), 1_000)).rejects.toMatchObject(refused);
    }
  });
});
