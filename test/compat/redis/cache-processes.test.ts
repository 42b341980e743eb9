/** What processes tell each other of the cache: all who may still trust it have heard it, or it is said that they have not. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createClient } from 'redis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { redisCache, type SharedStore } from '../../../src/redis.js';
import { report, until } from '../../behaviour/fixture.js';
import { type CacheConnection, connectNodeRedis } from './cache-clients.js';
import { RedisServer } from './redis-server.js';

const found = findBinary('redis-server');
if (found === undefined) report('redis', { skipped: 'redis-server is not installed' });

const PRESENCE_MILLIS = 1_000;
const LIFETIME_MILLIS = 60_000;
const PROGRAM = fileURLToPath(new URL('./cache-listener.ts', import.meta.url));

interface Said {
  readonly text: string;
  readonly trustedAt: number;
}

class Listener {
  readonly said: Said[] = [];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child.on('message', (message) => this.said.push(message as Said));
  }

  static async start(port: number): Promise<Listener> {
    const execArgv = ['--import', 'tsx'];
    const listener = new Listener(fork(PROGRAM, [String(port), String(PRESENCE_MILLIS)], { execArgv }));
    await listener.hears('ready');
    return listener;
  }

  async hears(text: string): Promise<Said> {
    await until(`it has heard ${text}`, async () => this.said.some((one) => one.text === text));
    return this.said.find((one) => one.text === text) as Said;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }
}

const adminOn = async (port: number) => createClient({ url: `redis://127.0.0.1:${port}` }).connect();

describe.skipIf(found === undefined)('three processes that share a cache on Redis', () => {
  let redis: RedisServer;
  let connection: CacheConnection;
  let admin: Awaited<ReturnType<typeof adminOn>>;
  let store: SharedStore;
  let listeners: Listener[];

  beforeAll(async () => {
    redis = await RedisServer.start(found ?? '');
    connection = await connectNodeRedis(redis.port);
    admin = await adminOn(redis.port);
    store = redisCache(connection.client, { presenceMillis: PRESENCE_MILLIS });
  });
  afterAll(async () => {
    connection.close();
    admin.destroy();
    await redis.stop();
  });
  beforeEach(async () => {
    listeners = await Promise.all([1, 2, 3].map(async () => Listener.start(redis.port)));
  });
  afterEach(async () => {
    await Promise.all(listeners.map(async (one) => one.stop()));
  });

  const tell = async (text: string, timeoutMillis = 20_000) =>
    store.channel?.tell(text, LIFETIME_MILLIS, timeoutMillis);

  it('have all heard what was told when it is said that they have', async () => {
    for (let i = 0; i < 20; i++) await tell(`message ${i}`);
    for (const { said } of listeners) {
      const texts = said.map(({ text }) => text).filter((text) => text.startsWith('message'));
      expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => `message ${i}`));
    }
  });

  it('do not trust the cache before they have heard what was told while they were frozen', async () => {
    const [first, , frozen] = listeners;
    await tell('before');
    frozen?.signal('SIGSTOP');
    const failure: unknown = await tell('while it is frozen', PRESENCE_MILLIS / 4).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: 'LADDER_FORGET_INCOMPLETE',
      message: expect.stringMatching(/[1-3] of 3 processes that listen have not heard it/),
    });
    await first?.hears('while it is frozen');
    // As soon as it knows by itself that it is not current, nobody waits for it.
    await tell('while it is gone');
    const toldAt = Date.now();
    expect(frozen?.said.at(-1)?.text).toBe('before');
    frozen?.signal('SIGCONT');
    const heard = await frozen?.hears('while it is gone');
    expect(heard?.trustedAt).toBeGreaterThan(0);
    expect(heard?.trustedAt).toBeLessThan(toldAt);
    await tell('after');
    expect((await frozen?.hears('after'))?.trustedAt).toBeGreaterThan(toldAt);
  });

  it('hear it a little later when they were frozen for a moment only', async () => {
    const [, , frozen] = listeners;
    frozen?.signal('SIGSTOP');
    const told = tell('a moment');
    setTimeout(() => frozen?.signal('SIGCONT'), PRESENCE_MILLIS / 5);
    await told;
    const toldAt = Date.now();
    expect((await frozen?.hears('a moment'))?.trustedAt).toBeLessThanOrEqual(toldAt);
  });

  it('are waited for no longer than for a while when one was killed', async () => {
    listeners[1]?.signal('SIGKILL');
    const startedAt = performance.now();
    await tell('without the second');
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(PRESENCE_MILLIS);
    for (const one of [listeners[0], listeners[2]]) {
      expect(one?.said.map(({ text }) => text)).toContain('without the second');
    }
    const present = await admin.hKeys('pg-ladder:cache:{channel}:present');
    expect(present).toHaveLength(2);
  });
});
