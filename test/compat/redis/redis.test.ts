/** What redisTokenStore promises, on a real Redis and with the clients that people have: what one process wrote, the user's next request sees on another. */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { inspect } from 'node:util';
import { Redis as Ioredis6, Cluster as IoredisCluster } from 'ioredis';
import { Redis as Ioredis5 } from 'ioredis-5';
import { createClient as createClient6, createCluster as createRedisCluster, RESP_TYPES } from 'redis';
import { createClient as createClient4 } from 'redis-4';
import { createClient as createClient5 } from 'redis-5';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { freePort } from '../../../bench/free-port.js';
import { httpSessions } from '../../../src/http/sessions.js';
import type { Cluster, RouteEvent, WarningEvent } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { TokenCodec } from '../../../src/token/codec.js';
import { type IoredisClient, type NodeRedisClient, redisTokenStore } from '../../../src/token/redis-store.js';
import type { TokenStore } from '../../../src/token/store.js';
import { open, report, until } from '../../behaviour/fixture.js';
import { Random } from '../../simulation/random.js';
import { RedisServer } from './redis-server.js';

const found = findBinary('redis-server');
if (found === undefined)
  report('redis', { skipped: 'redis-server is not installed (Debian: apt-get install redis-server)' });
const binary = found ?? '';

interface Connection {
  readonly client: NodeRedisClient | IoredisClient;
  readonly close: () => void;
}

/** Each as applications open it, with its own settings for queues, tries and timeouts. */
const clients: [name: string, connect: (port: number) => Promise<Connection>][] = [
  [
    'node-redis 6',
    async (port) => {
      const client = createClient6({ url: `redis://127.0.0.1:${port}` }).on('error', () => {});
      await client.connect();
      return { client, close: () => client.destroy() };
    },
  ],
  [
    'node-redis 5',
    async (port) => {
      const client = createClient5({ url: `redis://127.0.0.1:${port}` }).on('error', () => {});
      await client.connect();
      return { client, close: () => client.destroy() };
    },
  ],
  [
    'node-redis 4',
    async (port) => {
      const client = createClient4({ url: `redis://127.0.0.1:${port}` }).on('error', () => {});
      await client.connect();
      return { client, close: () => void client.disconnect() };
    },
  ],
  [
    'ioredis 6',
    async (port) => {
      const client = new Ioredis6(port, '127.0.0.1').on('error', () => {});
      await client.ping();
      return { client, close: () => client.disconnect() };
    },
  ],
  [
    'ioredis 5',
    async (port) => {
      const client = new Ioredis5(port, '127.0.0.1').on('error', () => {});
      await client.ping();
      return { client, close: () => client.disconnect() };
    },
  ],
];

/** For what is about something else than time: this machine may be slow. */
const PATIENT = { timeoutMillis: 10_000 };
const LIFETIME_MILLIS = 60_000;
const codec = new TokenCodec(['a secret of sixteen'], LIFETIME_MILLIS, 2);

function at(timeline: number, lsn: bigint, issuedAt = 1_000): string {
  return codec.encode({ clusterId: '7345678901234567890', timeline, lsn }, issuedAt);
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, place: random.next() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

async function failureOf(asking: Promise<unknown>): Promise<Error> {
  const failure = await asking.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(Error);
  return failure as Error;
}

describe.skipIf(found === undefined)('redisTokenStore', () => {
  let redis: RedisServer;
  let admin: ReturnType<typeof createClient6>;

  beforeAll(async () => {
    redis = await RedisServer.start(binary);
    admin = createClient6({ url: `redis://127.0.0.1:${redis.port}` });
    await admin.connect();
  });
  afterAll(async () => {
    admin.destroy();
    await redis.stop();
  });
  beforeEach(async () => {
    await admin.flushAll();
  });

  describe.each(clients)('with %s', (_name, connect) => {
    let connection: Connection;
    let store: TokenStore;

    beforeAll(async () => {
      connection = await connect(redis.port);
      store = redisTokenStore(connection.client, PATIENT);
    });
    afterAll(() => connection.close());

    it('gives back what was put, to whoever asks for that key', async () => {
      await store.put('ada', at(1, 5n), LIFETIME_MILLIS);
      expect(await store.get('ada')).toBe(at(1, 5n));
      expect(await store.get('bob')).toBeUndefined();
      expect(await admin.keys('*')).toEqual(['pg-ladder:ada']);
    });

    it('keeps apart what other prefixes keep', async () => {
      const other = redisTokenStore(connection.client, { ...PATIENT, prefix: 'shop/' });
      await store.put('ada', at(1, 5n), LIFETIME_MILLIS);
      await other.put('ada', at(1, 4n), LIFETIME_MILLIS);
      expect(await other.get('ada')).toBe(at(1, 4n));
      expect(await store.get('ada')).toBe(at(1, 5n));
      expect((await admin.keys('*')).sort()).toEqual(['pg-ladder:ada', 'shop/ada']);
    });

    it('forgets a key when its time is over, fractions of a millisecond included', async () => {
      await store.put('ada', at(1, 5n), 150.5);
      expect(await store.get('ada')).toBe(at(1, 5n));
      expect(await admin.pTTL('pg-ladder:ada')).toBeLessThanOrEqual(151);
      await until('it has expired', async () => (await store.get('ada')) === undefined);
      expect(await admin.exists('pg-ladder:ada')).toBe(0);
      await store.put('ada', at(1, 2n), 0.5);
      await until('it has expired', async () => (await store.get('ada')) === undefined);
    });

    it('keeps a key for the longer of what is left and what is asked for, whichever token wins', async () => {
      const leftMillis = () => admin.pTTL('pg-ladder:ada');
      await store.put('ada', at(1, 5n), 20_000);
      await store.put('ada', at(1, 6n), 1_000);
      expect(await leftMillis()).toBeGreaterThan(10_000);
      await store.put('ada', at(1, 4n), 60_000);
      expect(await leftMillis()).toBeGreaterThan(50_000);
      expect(await store.get('ada')).toBe(at(1, 6n));
      await store.put('ada', at(1, 7n), Number.MAX_VALUE);
      expect(await store.get('ada')).toBe(at(1, 7n));
    });

    it('refuses a lifetime that is none, and stores nothing', async () => {
      for (const lifetimeMillis of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
        await expect(store.put('ada', at(1, 5n), lifetimeMillis)).rejects.toMatchObject({
          code: 'LADDER_INVALID_OPTIONS',
        });
      }
      expect(await admin.exists('pg-ladder:ada')).toBe(0);
    });

    it.each([
      ['an LSN that differs only beyond 2^53', at(1, (1n << 63n) + 1n), at(1, (1n << 63n) + 2n)],
      ['the higher half of an LSN, whatever the lower', at(1, 0xffff_ffffn), at(1, 1n << 32n)],
      ['the highest LSN there is', at(1, (1n << 64n) - 2n), at(1, (1n << 64n) - 1n)],
      ['digits, by their number', at(1, 9n), at(1, 10n)],
      ['a later timeline, whatever the LSN', at(1, (1n << 64n) - 1n), at(2, 1n)],
      ['the highest timeline there is', at(0xffff_fffe, 9n), at(0xffff_ffff, 1n)],
      ['of two that stand alike, the one that lives longer', at(1, 5n, 9_999), at(1, 5n, 10_000)],
    ])('ends at the higher position in either order: %s', async (_case, lower, higher) => {
      for (const [key, first, second] of [
        ['rising', lower, higher],
        ['falling', higher, lower],
      ] as const) {
        await store.put(key, first, LIFETIME_MILLIS);
        await store.put(key, second, LIFETIME_MILLIS);
        expect(await store.get(key)).toBe(higher);
      }
    });

    it('keeps the later one of two that do not differ in where they stand', async () => {
      const rotated = new TokenCodec(['another secret of more'], LIFETIME_MILLIS, 2);
      const resigned = rotated.encode({ clusterId: '7345678901234567890', timeline: 1, lsn: 5n }, 1_000);
      for (const token of [at(1, 5n), resigned, at(1, 5n)]) {
        await store.put('ada', token, LIFETIME_MILLIS);
        expect(await store.get('ada')).toBe(token);
      }
    });

    it('ends 1,000 concurrent puts over 8 connections at the highest, and never goes back on the way', async () => {
      const connections = await Promise.all(Array.from({ length: 8 }, () => connect(redis.port)));
      const stores = connections.map(({ client }) => redisTokenStore(client, PATIENT));
      const random = new Random(8);
      const rising = Array.from({ length: 1_000 }, (_, i) => at(i < 500 ? 1 : 2, (1n << 62n) + BigInt(i % 500)));
      let isOver = false;
      const seen: number[] = [];
      const watching = (async () => {
        while (!isOver) seen.push(rising.indexOf((await store.get('ada')) ?? ''));
      })();
      await Promise.all(
        shuffled(rising, random).map((token) => random.pick(stores).put('ada', token, LIFETIME_MILLIS)),
      );
      isOver = true;
      await watching;
      for (const { close } of connections) close();
      expect(rising.indexOf((await store.get('ada')) ?? '')).toBe(999);
      expect(seen).toEqual([...seen].sort((a, b) => a - b));
    });

    it('keeps the latest word that a write has no position beside the highest position', async () => {
      const mark = (issuedAt: number) => codec.encodePrimaryOnly(issuedAt);
      const puts = [mark(1_000), mark(3_000), mark(2_000), at(1, 8n), at(1, 9n, 500), at(1, 7n, 9_000)];
      const random = new Random(3);
      for (let round = 0; round < 10; round++) {
        for (const token of shuffled(puts, random)) await store.put(`round ${round}`, token, LIFETIME_MILLIS);
        expect(await store.get(`round ${round}`)).toBe(`${mark(3_000)}.${at(1, 9n, 500)}`);
      }
      await store.put('mark alone', mark(1_000), LIFETIME_MILLIS);
      expect(await store.get('mark alone')).toBe(mark(1_000));
    });

    it('takes back what it gave', async () => {
      const both = `${codec.encodePrimaryOnly(1_000)}.${at(1, 9n)}`;
      await store.put('ada', both, LIFETIME_MILLIS);
      expect(await store.get('ada')).toBe(both);
      await store.put('bob', at(1, 10n), LIFETIME_MILLIS);
      await store.put('bob', both, LIFETIME_MILLIS);
      expect(await store.get('bob')).toBe(`${codec.encodePrimaryOnly(1_000)}.${at(1, 10n)}`);
    });

    it('stores no text that is no token', async () => {
      for (const text of ['', '.', 'nonsense', `1${at(1, 5n).slice(1)}`, at(1, 5n).slice(0, 40), "'] redis.call('x"]) {
        await store.put('ada', text, LIFETIME_MILLIS);
      }
      expect(await admin.exists('pg-ladder:ada')).toBe(0);
      await store.put('ada', `nonsense.${at(1, 5n)}.`, LIFETIME_MILLIS);
      expect(await store.get('ada')).toBe(at(1, 5n));
    });

    it('sends its scripts once, and again when Redis has forgotten them', async () => {
      const calls = async (command: string) => {
        const stats = await admin.info('commandstats');
        return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(stats)?.[1] ?? 0);
      };
      await admin.scriptFlush();
      await admin.configResetStat();
      for (let lsn = 1n; lsn <= 20n; lsn++) await store.put('ada', at(1, lsn), LIFETIME_MILLIS);
      expect([await calls('eval'), await calls('evalsha')]).toEqual([1, 20]);
      await admin.scriptFlush();
      expect(await store.get('ada')).toBe(at(1, 20n));
      await store.put('ada', at(1, 21n), LIFETIME_MILLIS);
      expect(await store.get('ada')).toBe(at(1, 21n));
    });

    it('passes on what Redis says, without a token in it', async () => {
      const token = at(1, 5n);
      await admin.set('pg-ladder:ada', 'somebody else’s');
      for (const failure of [
        await failureOf(store.put('ada', token, LIFETIME_MILLIS)),
        await failureOf(store.get('ada')),
      ]) {
        expect(failure.message).toMatch(/^token store: .*WRONGTYPE/);
        expect(inspect(failure, { depth: null, showHidden: true })).not.toContain(token.slice(0, 12));
      }

      // Redis quotes what it was asked for when it does not know the command.
      await using odd = await RedisServer.start(binary, ['--rename-command', 'EVALSHA', '']);
      const { client, close } = await connect(odd.port);
      try {
        const failure = await failureOf(redisTokenStore(client, PATIENT).put('a', token, LIFETIME_MILLIS));
        expect(failure.message).toMatch(/unknown command/i);
        expect(inspect(failure, { depth: null, showHidden: true })).not.toContain(token.slice(0, 12));
      } finally {
        close();
      }
    });

    it('rejects promptly while Redis hangs, asks no more than it can bear, and goes on with it', async () => {
      await using slow = await RedisServer.start(binary);
      const { client, close } = await connect(slow.port);
      try {
        const hasty = redisTokenStore(client);
        const patient = redisTokenStore(client, PATIENT);
        await patient.put('ada', at(1, 5n), LIFETIME_MILLIS);
        slow.hang();
        const startedAt = performance.now();
        await expect(hasty.get('ada')).rejects.toMatchObject({ code: 'LADDER_TIMEOUT' });
        await expect(hasty.put('ada', at(1, 6n), LIFETIME_MILLIS)).rejects.toMatchObject({ code: 'LADDER_TIMEOUT' });
        expect(performance.now() - startedAt).toBeLessThan(2_000);
        const many = await Promise.allSettled(Array.from({ length: 10_000 }, () => hasty.get('ada')));
        expect(many.filter(({ status }) => status === 'fulfilled')).toEqual([]);
        await expect(hasty.get('ada')).rejects.toMatchObject({ code: 'LADDER_OVERLOADED' });
        slow.goOn();
        expect(await patient.get('ada')).toBe(at(1, 6n));
        await until('it is asked again', async () => (await hasty.get('ada').catch(() => undefined)) !== undefined);
      } finally {
        slow.goOn();
        close();
      }
    });
  });

  it('takes bytes for text from a client that was told to give them', async () => {
    const store = redisTokenStore(admin.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }), PATIENT);
    await store.put('ada', at(1, 5n), LIFETIME_MILLIS);
    expect(await store.get('ada')).toBe(at(1, 5n));
  });

  describe('with a Redis Cluster', () => {
    let node: RedisServer;

    beforeAll(async () => {
      // It takes a second port, 10,000 above.
      let port = await freePort();
      while (port > 55_000) port = await freePort();
      node = await RedisServer.start(binary, ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'], port);
      const alone = createClient6({ url: `redis://127.0.0.1:${port}` });
      await alone.connect();
      await alone.clusterAddSlots(Array.from({ length: 16_384 }, (_, slot) => slot));
      await until('the slots are served', async () => String(await alone.clusterInfo()).includes('cluster_state:ok'));
      alone.destroy();
    });
    afterAll(() => node.stop());

    it.each([
      [
        'createCluster of node-redis',
        async (port: number): Promise<Connection> => {
          const client = createRedisCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] }).on(
            'error',
            () => {},
          );
          await client.connect();
          return { client, close: () => client.destroy() };
        },
      ],
      [
        'Cluster of ioredis',
        async (port: number): Promise<Connection> => {
          const client = new IoredisCluster([{ host: '127.0.0.1', port }]).on('error', () => {});
          await client.get('any');
          return { client, close: () => client.disconnect() };
        },
      ],
    ])('stores through %s', async (name, connect) => {
      const { client, close } = await connect(node.port);
      try {
        const store = redisTokenStore(client, PATIENT);
        for (const user of ['ada', 'bob', 'eve']) {
          const key = `${user} by ${name}`;
          await store.put(key, at(1, 6n), LIFETIME_MILLIS);
          await store.put(key, at(1, 5n), LIFETIME_MILLIS);
          expect(await store.get(key)).toBe(at(1, 6n));
        }
      } finally {
        close();
      }
    });
  });

  describe('below httpSessions, while the replicas’ replay is paused', () => {
    let servers: TestCluster;
    let a: Cluster;
    let b: Cluster;
    let routes: RouteEvent[];
    let warnings: WarningEvent[];

    beforeAll(async () => {
      servers = await startTestCluster({ replicas: 2 });
      const options = { secrets: ['a secret of sixteen'], waitMillis: 5 };
      [a, b] = await Promise.all([open(servers, options), open(servers, options)]);
      await a.write('create table profiles (name text primary key, v int)');
      await a.write(`insert into profiles values ('ada', 0), ('bob', 0), ('eve', 0)`);
      for (const replica of servers.replicas) await replica.waitForReplay();
      b.events.on('route', (event) => routes.push(event));
      b.events.on('warning', (event) => warnings.push(event));
    });
    afterAll(async () => {
      await Promise.all([a.close(), b.close()]);
      await servers.stop();
    });
    beforeEach(async () => {
      routes = [];
      warnings = [];
      await a.write('update profiles set v = 0');
      for (const replica of servers.replicas) {
        await replica.waitForReplay();
        await replica.pauseReplay();
      }
    });
    afterEach(async () => {
      await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
    });

    /** `POST /ada/5` saves, `GET /ada` reads; nothing but the user's name travels. */
    async function serve(cluster: Cluster, store?: TokenStore) {
      const userOf = (request: IncomingMessage) => request.url?.split('/')[1];
      const sessions = httpSessions(cluster, {
        cookie: false,
        header: false,
        positionTimeoutMillis: 10_000,
        ...(store === undefined ? {} : { store, storeKey: userOf }),
      });
      const answer = async (request: IncomingMessage): Promise<string> => {
        const user = userOf(request);
        if (request.method === 'POST') {
          await cluster.write('update profiles set v = $2 where name = $1', [user, request.url?.split('/')[2]]);
          return 'saved';
        }
        const { rows } = await cluster.read<{ v: number }>('select v from profiles where name = $1', [user]);
        return String(rows[0]?.v);
      };
      const server = createServer((request, response) => {
        const answering = sessions.run(request, response, async () => response.end(await answer(request)));
        void Promise.resolve(answering).catch((error: Error) => response.writeHead(500).end(error.message));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const ask = async (method: string, path: string) => {
        const response = await fetch(`${url}/${path}`, { method });
        const text = await response.text();
        expect({ status: response.status, text }).toEqual({ status: 200, text: expect.any(String) });
        return text;
      };
      return {
        save: (user: string, v: number) => ask('POST', `${user}/${v}`),
        read: (user: string) => ask('GET', user),
        async [Symbol.asyncDispose]() {
          server.closeAllConnections();
          await new Promise((resolve) => server.close(resolve));
        },
      };
    }

    /** Saves on one server and reads on the other, each user by turns. @returns stale reads of 40 */
    async function staleReads(one: Awaited<ReturnType<typeof serve>>, other: typeof one): Promise<number> {
      let stale = 0;
      const turns = async (user: string) => {
        for (let v = 1; v <= 20; v++) {
          await one.save(user, v);
          if ((await other.read(user)) !== String(v)) stale++;
        }
      };
      await Promise.all([turns('ada'), turns('bob')]);
      return stale;
    }

    it('shows stale reads without a store', async () => {
      await using one = await serve(a);
      await using other = await serve(b);
      const stale = await staleReads(one, other);
      report('without a store, 40 pairs over two processes', { stale });
      expect(stale).toBe(40);
    });

    describe.each(clients)('with %s', (name, connect) => {
      it('shows each user his writes on another process, and keeps to replicas for who wrote nothing', async () => {
        const connections = await Promise.all([connect(redis.port), connect(redis.port)]);
        const [first, second] = connections.map(({ client }) => redisTokenStore(client, PATIENT));
        try {
          await using one = await serve(a, first);
          await using other = await serve(b, second);
          const stale = await staleReads(one, other);
          report(`${name}, 40 pairs over two processes`, { stale });
          expect(stale).toBe(0);
          expect(new Set(routes.map(({ role }) => role))).toEqual(new Set(['primary']));
          routes = [];
          expect(await other.read('eve')).toBe('0');
          expect(routes).toMatchObject([{ role: 'replica' }]);
          expect(warnings).toEqual([]);
        } finally {
          for (const { close } of connections) close();
        }
      });

      it('answers requests from the primary while Redis is down, and shares writes again once it is back', async () => {
        let own = await RedisServer.start(binary);
        const { client, close } = await connect(own.port);
        try {
          const store = redisTokenStore(client);
          await using one = await serve(a, redisTokenStore(client, PATIENT));
          await using other = await serve(b, store);
          await one.save('ada', 1);
          expect(await other.read('ada')).toBe('1');

          await own.stop();
          for (const asking of [() => store.get('ada'), () => store.put('ada', at(1, 5n), LIFETIME_MILLIS)]) {
            const startedAt = performance.now();
            await failureOf(asking());
            expect(performance.now() - startedAt).toBeLessThan(1_000);
          }
          routes = [];
          expect(await other.read('eve')).toBe('0');
          expect(routes).toMatchObject([{ role: 'primary' }]);
          expect(warnings.map(({ code }) => code)).toEqual(['token-store']);
          await other.save('bob', 7);
          expect(await other.read('bob')).toBe('7');

          own = await RedisServer.start(binary, [], own.port);
          await until('the client has found it again', () =>
            store.get('ada').then(
              () => true,
              () => false,
            ),
          );
          await one.save('ada', 2);
          routes = [];
          expect(await other.read('ada')).toBe('2');
          expect(await other.read('eve')).toBe('0');
          expect(routes.map(({ role }) => role)).toEqual(['primary', 'replica']);
        } finally {
          close();
          await own.stop();
        }
      });
    });
  });
});

describe('redisTokenStore refuses', () => {
  const nothing = () => {};
  it.each<[string, unknown]>([
    ['nothing', undefined],
    ['null', null],
    ['a URL', 'redis://127.0.0.1'],
    ['an object that runs no scripts', { get: nothing, set: nothing }],
    ['what calls back instead of promising, as node-redis 3', { eval: nothing, evalsha: nothing }],
    ['node-redis 4 in its legacy mode', createClient4({ legacyMode: true })],
  ])('%s for a client, and says what it expects', (_what, client) => {
    const opening = () => redisTokenStore(client as NodeRedisClient);
    expect(opening).toThrow(expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS' }));
    expect(opening).toThrow(/client: expected one of node-redis .*evalSha\(\).* ioredis.*evalsha\(\)/);
  });

  it.each([
    [{ prefix: 5 }, /prefix/],
    [{ timeoutMillis: 0 }, /timeoutMillis/],
    [{ timeoutMillis: 10_001 }, /timeoutMillis/],
    [{ lifetime: 1 }, /lifetime/],
  ])('the options %j, by name', (options, named) => {
    const opening = () => redisTokenStore(createClient4(), options as object);
    expect(opening).toThrow(expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS' }));
    expect(opening).toThrow(named);
  });
});
