/**
 * The store of the shared rung on Redis. It keeps texts under keys of which those of one entry
 * share a hash tag, so that a cluster has them on one server. It is no copy that anything depends
 * on: what Redis loses is asked of PostgreSQL again.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { invalidOptions } from '../errors.js';
import { check, optionsOf } from '../options/check.js';
import {
  type IoredisClient,
  libraryOf,
  type NodeRedisClient,
  RedisScripts,
  type Script,
  wordsOf,
} from '../redis-client.js';
import type { SharedFound, SharedOrder, SharedStore } from '../shared-store.js';
import { clockIn, newClock, RedisChannel } from './redis-channel.js';
import { RedisClock } from './redis-clock.js';
import { type RedisReader, RedisReads } from './redis-reads.js';
import { LEASE, ORDER_LENGTH, RELEASE, SET, TIME } from './redis-scripts.js';

/** What a client of node-redis (5 and above) has, as far as it matters here. */
export interface NodeRedisCacheClient extends NodeRedisClient {
  get(key: string): Promise<unknown>;
  mGet(keys: string[]): Promise<unknown>;
}

/** What a client of ioredis (5 and above) has, as far as it matters here. */
export interface IoredisCacheClient extends IoredisClient {
  get(key: string): Promise<unknown>;
  mget(...keys: string[]): Promise<unknown>;
}

export interface RedisCacheOptions {
  /** How its keys in Redis begin, without braces. Default `pg-ladder:cache:`. */
  prefix?: string;
  /**
   * How long a process that listens is waited for when it does not answer any more, in
   * milliseconds, 100 to 60,000; the same for all processes. It comes three times in that time.
   * Default 3,000.
   */
  presenceMillis?: number;
}

const schema = optionsOf({
  prefix: z
    .string()
    .max(256)
    .regex(/^[^{}]*$/, 'no braces')
    .default('pg-ladder:cache:'),
  presenceMillis: z.number().min(100).max(60_000).default(3_000),
});

const UNSAFE = /[%{}]/;
const UINT32 = 2 ** 32 - 1;
const UINT64 = 2n ** 64n - 1n;
/** Ten years: Redis refuses what lies too far ahead. */
const MAX_LIFETIME_MILLIS = 10 * 365 * 24 * 60 * 60_000;

/**
 * A shared store on Redis 7 or Valkey, for all processes that use the same prefix. It opens one
 * more connection of the client's kind as soon as somebody listens.
 * @param client connected or about to be, of node-redis 5 and above or of ioredis 5 and above: of a
 * single server, a sentinel, a pool or a cluster. Opening, closing and its `error` event stay with
 * the application
 * @throws LadderError `LADDER_INVALID_OPTIONS`
 */
export function redisCache(
  client: NodeRedisCacheClient | IoredisCacheClient,
  options: RedisCacheOptions = {},
): SharedStore {
  const { prefix, presenceMillis } = check(schema, options, 'cache');
  const scripts = new RedisScripts(client, { owner: 'cache' });
  const own = `${prefix}{channel}`;
  const keys = { state: `${own}:state`, present: `${own}:present`, log: `${own}:log`, wake: `${own}:wake` };
  const user = randomUUID();
  const run = async (script: Script, scriptKeys: string[], args: string[]): Promise<unknown> => {
    try {
      return await scripts.run(script, scriptKeys, args);
    } catch (error) {
      throw isTooOld(error) ? invalidOptions('cache: client: expected Redis 7 or later, or Valkey', error) : error;
    }
  };
  const clock = new RedisClock(
    async () => clockIn(await run(TIME, [keys.state, keys.present, keys.log], [newClock()])).time,
  );
  const channel = new RedisChannel({
    client,
    keys,
    presenceMillis,
    run,
    learn: (time, sentAt, sentAtWall) => clock.learn(time, sentAt, sentAtWall),
  });
  const reads = new RedisReads<SharedFound | undefined>(readerOf(client), scripts, (text) => {
    if (text.length < ORDER_LENGTH) return undefined;
    const value = text.slice(ORDER_LENGTH);
    const time = clock.notBefore();
    return time instanceof Promise ? time.then((later) => ({ value, time: later })) : { value, time };
  });
  const keyOf = (key: string): string => `${prefix}{${tagOf(key)}}`;

  return {
    get(key) {
      clock.prepare();
      return reads.get(`${keyOf(key)}:value`);
    },
    async set(key, value, order, lifetimeMillis) {
      const text = orderOf(order) + value;
      await run(SET, [`${keyOf(key)}:value`, `${keyOf(key)}:lease`], [text, lifetimeOf(lifetimeMillis)]);
    },
    async lease(key, lifetimeMillis) {
      const lifetime = lifetimeOf(lifetimeMillis);
      clock.prepare();
      const isGranted = Number(await run(LEASE, [`${keyOf(key)}:lease`], [user, lifetime])) === 1;
      return { isGranted, time: await clock.notAfter() };
    },
    async release(key) {
      await run(RELEASE, [`${keyOf(key)}:lease`], [user]);
    },
    // Only a walk over all keys of the server would tell.
    async size() {
      return undefined;
    },
    channel,
    async close() {
      await channel.close();
    },
  };
}

/** What Redis below 7 says of the first line of our scripts, and what says that it is no Redis. */
function isTooOld(error: unknown): boolean {
  return /Error compiling script.*'#'|NORUNID/.test(wordsOf(error));
}

function readerOf(client: NodeRedisCacheClient | IoredisCacheClient): RedisReader {
  if (libraryOf(client) === 'node-redis') {
    const own = client as NodeRedisCacheClient;
    return { one: (key) => own.get(key), many: (keys) => own.mGet(keys) };
  }
  const own = client as IoredisCacheClient;
  return { one: (key) => own.get(key), many: (keys) => own.mget(...keys) };
}

/**
 * The key as far as a hash tag may be: it ends with the first brace, and is none when it is empty.
 */
function tagOf(key: string): string {
  if (key === '') return '%';
  return UNSAFE.test(key) ? key.replaceAll(/[%{}]/g, encodeURIComponent) : key;
}

/** Of a fixed length, so that Redis reads it without the value. */
function orderOf({ timeline, lsn }: SharedOrder): string {
  if (!Number.isInteger(timeline) || timeline < 1 || timeline > UINT32 || lsn < 0n || lsn > UINT64) {
    throw invalidOptions('cache: order: expected a timeline and an LSN of PostgreSQL');
  }
  return timeline.toString(16).padStart(8, '0') + lsn.toString(16).padStart(16, '0');
}

function lifetimeOf(millis: number): string {
  if (!Number.isFinite(millis) || millis <= 0) throw invalidOptions('cache: lifetimeMillis: expected a number above 0');
  return String(Math.ceil(Math.min(millis, MAX_LIFETIME_MILLIS)));
}
