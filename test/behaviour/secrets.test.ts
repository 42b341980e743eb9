/**
 * What a program logs of the library's objects holds no secret that it was given. Each secret option has a text planted in it that stands nowhere else, the servers ask
 * for passwords over TLS, and every object that users get hold of is printed in every way.
 */
import { createPrivateKey } from 'node:crypto';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { chmod, chown, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import express from 'express';
import fastify from 'fastify';
import pg from 'pg';
import { generate } from 'selfsigned';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { dnsDiscovery, patroniDiscovery } from '../../src/discovery/index.js';
import { routeSession, sessionMiddleware } from '../../src/http/express.js';
import { sessionPlugin } from '../../src/http/fastify.js';
import { httpSessions, memoryTokenStore, sessionFetch, sessionInterceptor } from '../../src/http/sessions.js';
import { type Cluster, createCluster, type LadderError, type Session } from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { redisTokenStore } from '../../src/token/redis-store.js';
import { query } from '../testing/query.js';
import { type Canaries, found, type View } from './canaries.js';
import { startPatroniServer } from './discovery-servers.js';
import { until } from './fixture.js';

const PASSWORD = 'canaryOfThePassword';
const KEY = 'canaryOfTheFirstKeyOfTheRing';
const OLD_KEY = 'canaryOfTheSecondKeyOfTheRing';
const VALUE = 'canaryOfAValue';
const SUBJECT = 'canaryOfTheSubject';
const PASSPHRASE = 'canaryOfThePassphrase';
const HEADER = 'canaryOfAHeader';
const LOGIN = 'canaryOfALogin';
const REDIS = 'redis://app:canaryOfRedis@cache:6379';
const WORDS = 'canaryOfSomebodyElsesWords';

const secrets: Canaries = {
  password: PASSWORD,
  'key ring': KEY,
  'old key': OLD_KEY,
  value: VALUE,
  subject: SUBJECT,
  header: HEADER,
  login: LOGIN,
  redis: 'canaryOfRedis',
  'words of others': WORDS,
};
/** What pg itself has in plain sight in its options, its clients and their sockets: that is not printed, and stays to be found by who walks there. */
const ofTls: Canaries = { passphrase: PASSPHRASE };
const printed: View[] = ['text', 'json', 'inspect'];

/** Has the server take the role `app` by its password over TLS alone. */
async function guard(node: TestNode, { cert, private: key }: { cert: string; private: string }): Promise<void> {
  const directory = (await query(node, 'show data_directory')) as string;
  const { uid, gid } = await stat(directory);
  const hba = [
    'host all app all reject',
    'host all all all trust',
    'local all all trust',
    'host replication all all trust',
  ];
  for (const [file, text] of [
    ['server.crt', cert],
    ['server.key', key],
    ['pg_hba.conf', ['hostssl all app all scram-sha-256', ...hba, ''].join('\n')],
  ] as const) {
    const path = join(directory, file);
    await writeFile(path, text, { mode: 0o600 });
    await chmod(path, 0o600);
    await chown(path, uid, gid);
  }
  await writeFile(join(directory, 'postgresql.auto.conf'), '\nssl = on\n', { flag: 'a' });
  await query(node, 'select pg_reload_conf()');
}

describe('what a program logs', () => {
  let servers: TestCluster;
  let ssl: () => pg.PoolConfig['ssl'] & object;
  let closers: (() => unknown)[];
  const given: pg.Pool[] = [];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    await query(servers.primary, `create role app login password '${PASSWORD}'`);
    await query(servers.primary, 'create table items as select 1 as id, text $$none$$ as name');
    await query(servers.primary, 'grant all on items to app');
    for (const replica of servers.replicas) await replica.waitForReplay();
    const pems = await generate([{ name: 'commonName', value: 'db.test' }], { keyType: 'ec' });
    const key = createPrivateKey(pems.private)
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: PASSPHRASE })
      .toString();
    ssl = () => ({ rejectUnauthorized: false, cert: pems.cert, key, passphrase: PASSPHRASE });
    for (const node of servers.nodes) await guard(node, pems);
    closers = [];
  });
  afterAll(async () => {
    await Promise.all(given.map((pool) => pool.end()));
    await servers.stop();
  });
  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    closers = [];
  });

  const urlOf = ({ host, port }: TestNode) => `postgres://app:${PASSWORD}@${host}:${port}/postgres`;
  const placeOf = ({ host, port }: TestNode) => ({ host, port, user: 'app', database: 'postgres' });
  const behaviour = { secrets: [KEY, OLD_KEY], tokenLifetimeMillis: 20_000, hangMillis: 2_000 };

  const ways: Record<string, () => Cluster> = {
    'one URL': () => {
      const hosts = servers.nodes.map(({ host, port }) => `${host}:${port}`).join(',');
      return createCluster(`postgres://app:${PASSWORD}@${hosts}/postgres?sslmode=no-verify`, behaviour);
    },
    'connection strings': () => {
      const [primary, ...replicas] = servers.nodes.map((node) => ({ connectionString: urlOf(node), ssl: ssl() }));
      return createCluster({ primary: primary as pg.PoolConfig, replicas, ...behaviour });
    },
    'pg’s options': () => {
      const [primary, ...replicas] = servers.nodes.map((node) => ({
        ...placeOf(node),
        password: PASSWORD,
        ssl: ssl(),
        servername: '127.0.0.1',
      }));
      return createCluster({ primary: primary as pg.PoolConfig, replicas, ...behaviour, discovery: async () => [] });
    },
    'functions for the password': () => {
      const password = async () => PASSWORD;
      const [primary, ...replicas] = servers.nodes.map((node) => ({ ...placeOf(node), password, ssl: ssl() }));
      return createCluster({ primary: primary as pg.PoolConfig, replicas, ...behaviour });
    },
    'pools of your own': () => {
      const pools = servers.nodes.map((node) => new pg.Pool({ connectionString: urlOf(node), ssl: ssl(), max: 5 }));
      given.push(...pools);
      const [primary, ...replicas] = pools.map((pool) => ({ pool, lane: true }));
      return createCluster({ primary: primary as { pool: pg.Pool }, replicas, ...behaviour });
    },
  };

  async function opened(way = 'connection strings'): Promise<Cluster> {
    const cluster = ways[way]?.() as Cluster;
    closers.push(() => cluster.close());
    await cluster.ready();
    await until('all nodes are live', () => cluster.stats().nodes.every(({ state }) => state === 'live'));
    return cluster;
  }

  /** Everything that the cluster tells by events, from now on. */
  function listened(cluster: Cluster): unknown[] {
    const told: unknown[] = [];
    const names = ['route', 'query', 'node', 'topology', 'membership', 'tokenLost', 'warning'] as const;
    const hear = (event: unknown): void => void told.push(event);
    for (const name of names) {
      cluster.events.on(name, hear);
      subscribe(`pg-ladder:${name}`, hear);
      closers.push(() => unsubscribe(`pg-ladder:${name}`, hear));
    }
    return told;
  }

  describe.each(Object.keys(ways))('of a cluster by %s', (way) => {
    it('of the cluster, its sessions, their promises and its statistics holds no secret', async () => {
      const cluster = await opened(way);
      const told = listened(cluster);
      const insert = () => cluster.write('insert into items values (2, $1)', [VALUE]);
      const stream = cluster.stream('select id from items where name <> $1', [VALUE]);
      await cluster.session(
        async (session) => {
          const writing = insert();
          const pending = cluster.read('select pg_catalog.pg_sleep(0.01) from items where name <> $1', [VALUE]);
          const asked = { cluster, session, writing, pending, events: cluster.events };
          expect(found(asked, { ...secrets, ...ofTls })).toEqual([]);
          await Promise.all([pending, writing]);
          const [token, explanation] = await Promise.all([
            session.token(),
            cluster.explain("insert into items values (3, 'canaryOfAValue')"),
          ]);
          session.observe(token);
          const timer = setTimeout(() => undefined, 1);
          const settled = {
            cluster,
            session,
            timer,
            explanation,
            stats: cluster.stats(),
            inner: cluster.currentSession(),
          };
          expect(found(settled, { ...secrets, ...ofTls, token })).toEqual([]);
          for await (const row of stream) {
            expect(found([stream, row], { ...secrets, ...ofTls })).toEqual([]);
            break;
          }
        },
        { subject: SUBJECT },
      );
      const closing = cluster.close();
      expect(found({ cluster, closing, told }, { ...secrets, ...ofTls })).toEqual([]);
      expect(told).not.toEqual([]);
    });

    it('within a transaction holds no secret, and of its client none that pg shows', async () => {
      const cluster = await opened(way);
      await cluster.session(async (session) => {
        await cluster.transaction(async (client) => {
          const running = cluster.query('select id from items where name <> $1', [VALUE]);
          const timer = setTimeout(() => undefined, 1);
          const nested = cluster.transaction(async () => found(cluster.read('select 1'), { ...secrets, ...ofTls }));
          expect(found({ cluster, session, running, timer, nested }, { ...secrets, ...ofTls })).toEqual([]);
          await running;
          expect(await nested).toEqual([]);
          expect(found(client, secrets, ['text', 'walk'])).toEqual([]);
          // a pool of your own makes clients of its own class
          if (way !== 'pools of your own') expect(found(client, { ...secrets, ...ofTls }, printed)).toEqual([]);
        });
        await cluster.connection(async (client) => {
          expect(found(client, secrets, ['text', 'walk'])).toEqual([]);
          if (way !== 'pools of your own') expect(found(client, { ...secrets, ...ofTls }, printed)).toEqual([]);
        });
      });
    });

    it('of its pool and that one’s clients holds no secret', async () => {
      const cluster = await opened(way);
      const pool = cluster.pool();
      expect(found(pool, { ...secrets, ...ofTls }, printed)).toEqual([]);
      expect(found(pool.options, { ...secrets, ...ofTls }, printed)).toEqual([]);
      const client = await pool.connect();
      await client.query('select id from items');
      await client.query('begin');
      await client.query('insert into items values (2, $1)', [VALUE]);
      const waiting = pool.query('select id from items where name <> $1', [VALUE]);
      for (const one of [pool, pool.options, client, { waiting }]) {
        expect(found(one, { ...secrets, ...ofTls }, printed)).toEqual([]);
        expect(found(one, secrets, ['walk'])).toEqual([]);
      }
      await waiting;
      await client.query('rollback');
      client.release();
      await pool.end();
      expect(found({ pool, client }, { ...secrets, ...ofTls }, printed)).toEqual([]);
    });
  });

  describe('the options of its pool', () => {
    it.each(['one URL', 'connection strings', 'pools of your own'])(
      'of a cluster by %s have the connection string for those who ask by its name',
      async (way) => {
        const cluster = await opened(way);
        const pool = cluster.pool();
        const options = pool.options as pg.PoolConfig;
        expect(options.connectionString).toContain(`app:${PASSWORD}@`);
        const client = new pg.Client(options);
        await client.connect();
        expect((await client.query('select current_user')).rows).toEqual([{ current_user: 'app' }]);
        await client.end();
        // a copy has no password, as with pg’s own, and goes to no other server for that
        const [{ host, port }] = servers.nodes as [TestNode];
        expect(new pg.Client({ ...options })).toMatchObject({
          host,
          port,
          user: 'app',
          database: 'postgres',
          password: null,
        });
      },
    );
  });

  describe('of requests', () => {
    const session = { subject: () => SUBJECT, header: 'x-token' };
    const write = (cluster: Cluster) => cluster.write('insert into items values (2, $1)', [VALUE]);
    const send = async (url: string) => {
      const response = await fetch(url, { headers: { 'x-token': '' } });
      return { body: await response.json(), token: response.headers.get('x-token') };
    };

    it('in Fastify, and of their sessions, holds no secret', async () => {
      const cluster = await opened();
      const app = fastify();
      closers.push(() => app.close());
      await app.register(sessionPlugin, { cluster, ...session });
      app.get('/', async (request) => {
        await write(cluster);
        return {
          ladder: JSON.stringify(request.ladder),
          found: [
            ...found(request.ladder, { ...secrets, ...ofTls }),
            ...found(request.raw, { ...secrets, ...ofTls }, ['walk']),
          ],
        };
      });
      const { body, token } = await send(await app.listen({ port: 0, host: '127.0.0.1' }));
      expect(body).toEqual({ ladder: expect.any(String), found: [] });
      expect(token).toHaveLength(95);
    });

    it('in Express, and of what carries their sessions, holds no secret', async () => {
      const cluster = await opened();
      const middlewares = [sessionMiddleware(cluster, session), routeSession(cluster, { consistency: 'strong' })];
      const app = express().use(...middlewares);
      app.all('/', async (request, response) => {
        await write(cluster);
        const seen = [...middlewares, request.method, cluster.currentSession(), Object.getOwnPropertySymbols(request)];
        const canaries = { ...secrets, ...ofTls };
        response.json([...found(seen, canaries), ...found([request, response], canaries, ['walk'])]);
      });
      const server = app.listen(0, '127.0.0.1');
      closers.push(() => new Promise((resolve) => server.close(resolve)));
      await once(server, 'listening');
      const { body } = await send(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
      expect(body).toEqual([]);
    });

    it('by Node’s own server, of stores and of calls of other services holds no secret', async () => {
      const cluster = await opened();
      const store = memoryTokenStore();
      const sessions = httpSessions(cluster, { ...session, store, storeKey: () => SUBJECT });
      let own: Session | undefined;
      const server = createServer((request, response) => {
        void sessions.run(request, response, async (asked) => {
          own = asked;
          await write(cluster);
          const canaries = { ...secrets, ...ofTls };
          response.end(
            JSON.stringify([...found(asked, canaries), ...found([request, response], canaries, ['inspect', 'walk'])]),
          );
        });
      });
      closers.push(() => new Promise((resolve) => server.close(resolve)));
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const { body, token } = await send(origin);
      expect(body).toEqual([]);
      const client = { url: REDIS, eval: async () => null, evalSha: async () => null };
      const carriers = {
        own,
        sessions,
        store,
        redis: redisTokenStore(client),
        fetch: sessionFetch(cluster, { origins: [origin] }),
        interceptor: sessionInterceptor(cluster, { origins: [origin] }),
      };
      expect(await store.get(SUBJECT)).toContain(token?.slice(0, 41));
      expect(found(carriers, { ...secrets, ...ofTls, token: token as string })).toEqual([]);
    });
  });

  describe('of errors and events', () => {
    it('when a password is wrong holds none', async () => {
      const wrong = `${PASSWORD}AndWrong`;
      const [primary, ...replicas] = servers.nodes.map((node) => ({ ...placeOf(node), password: wrong, ssl: ssl() }));
      const cluster = createCluster({
        primary: primary as pg.PoolConfig,
        replicas,
        ...behaviour,
        hangMillis: 500,
        primaryWaitMillis: 100,
      });
      closers.push(() => cluster.close());
      const told = listened(cluster);
      const errors = await Promise.all([
        cluster.ready({ timeoutMillis: 300 }).catch((error: unknown) => error),
        cluster.read('select $1', [VALUE]).catch((error: unknown) => error),
        cluster.write('select $1', [VALUE], { timeoutMillis: 200 }).catch((error: unknown) => error),
        cluster
          .pool()
          .query('select $1', [VALUE])
          .catch((error: unknown) => error),
      ]);
      expect(errors.every((error) => error instanceof Error)).toBe(true);
      expect(found([errors, told, cluster.stats()], { ...secrets, ...ofTls })).toEqual([]);
      expect(JSON.stringify(errors[0])).toContain('node \\"primary\\"');
    });

    it('when a password cannot be had, or TLS fails, has nothing of what others said', async () => {
      const broken = {
        ...ssl(),
        checkServerIdentity: () => new Error(WORDS),
        rejectUnauthorized: true,
        ca: ssl().cert as string,
      };
      const password = async () => {
        throw new Error(WORDS);
      };
      const [primary, replica] = servers.nodes as [TestNode, TestNode];
      const cluster = createCluster({
        primary: { ...placeOf(primary), password, ssl: ssl() },
        replicas: [{ ...placeOf(replica), password: PASSWORD, ssl: broken }],
        ...behaviour,
      });
      closers.push(() => cluster.close());
      const told = listened(cluster);
      await cluster.ready({ timeoutMillis: 300 }).catch(() => undefined);
      await until('both are out', () => cluster.stats().nodes.every(({ problem }) => problem !== undefined));
      await until('one is ejected', () => cluster.stats().nodes.some(({ state }) => state === 'ejected'));
      expect(found([told, cluster.stats()], { ...secrets, ...ofTls })).toEqual([]);
    });

    it('when statements fail, are given up or end in doubt holds no value and no secret', async () => {
      const cluster = await opened();
      const told = listened(cluster);
      const sleep = 'select pg_catalog.pg_sleep(5), $1::text';
      const sleepers =
        "select count(*)::int from pg_stat_activity where state = 'active' and query like 'update%sleep%'";
      const giveUp = new AbortController();
      const errors = await cluster.session(() => {
        const writing = cluster.write('update items set name = $1 || pg_catalog.pg_sleep(60)::text', [VALUE], {
          signal: giveUp.signal,
        });
        const isSent = async () => (await query(servers.primary, sleepers)) === 1;
        void until('the write is under way', isSent).finally(() => giveUp.abort());
        return Promise.all(
          [
            writing,
            cluster.read(sleep, [VALUE], { timeoutMillis: 50 }),
            cluster.transaction(async (client) => {
              await client.query('select 1 / $1::int', [0]).catch(() => undefined);
            }),
            cluster.transaction((client) => client.query(sleep, [VALUE]), { timeoutMillis: 50 }),
            cluster.stream(sleep, [VALUE], { timeoutMillis: 50 }).next(),
            cluster.read('select 1', [], { target: { node: urlOf(servers.primary) } }),
            cluster.read('select 1', [], { consistency: REDIS as 'strong', [REDIS]: 1 } as object),
          ].map((running) => Promise.resolve(running).catch((error: unknown) => error)),
        );
      });
      expect(errors.map((error) => (error as LadderError).code)).toEqual([
        'LADDER_WRITE_OUTCOME_UNKNOWN',
        'LADDER_TIMEOUT',
        'LADDER_TRANSACTION_ABORTED',
        'LADDER_TIMEOUT',
        'LADDER_TIMEOUT',
        'LADDER_INVALID_OPTIONS',
        'LADDER_INVALID_OPTIONS',
      ]);
      expect(found([errors, told, cluster.stats()], { ...secrets, ...ofTls })).toEqual([]);
    });

    it('when options are wrong holds none of them', () => {
      const url = `postgres://app:${PASSWORD}@first`;
      const { primary } = { primary: { host: 'first', password: PASSWORD } };
      const wrong: (() => unknown)[] = [
        () => createCluster(`mysql://app:${PASSWORD}@first/postgres`),
        () => createCluster(`postgres://app:${PASSWORD}/x@first/postgres`),
        () => createCluster(url, { secrets: [KEY.slice(0, 15)] }),
        () => createCluster({ primary: `${url}:port/postgres` }),
        () => createCluster({ primary: { connectionString: `app:${PASSWORD}@first` } }),
        () => createCluster({ primary: { host: `app:${PASSWORD}@first` } }),
        () => createCluster({ primary: { ...primary, port: PASSWORD as unknown as number } }),
        () => createCluster({ primary: { ...primary, name: url } }),
        () => createCluster({ primary: { ...primary, zone: { PASSWORD } as unknown as string } }),
        () => createCluster({ primary, secrets: KEY as unknown as string[] }),
        () => createCluster({ primary, replicas: [primary, { ...primary, weight: PASSWORD as unknown as number }] }),
        () => createCluster({ primary, [url]: true } as never),
        () => createCluster({ primary, consistency: PASSWORD as 'strong' }),
        () => createCluster({ primary, readOnlyFunctions: [PASSWORD] }),
        () => patroniDiscovery({ urls: [`ftp://app:${LOGIN}@first`] }),
        () => patroniDiscovery({ urls: ['http://first'], headers: { authorization: [HEADER] as unknown as string } }),
        () => dnsDiscovery({ hostname: `app:${LOGIN}@first` }),
        () => dnsDiscovery({ hostname: 'first', servers: [`app:${LOGIN}@first`] }),
        () => redisTokenStore({ url: REDIS } as never),
        () => redisTokenStore({ url: REDIS, eval: null, evalSha: null } as never, { prefix: { REDIS } } as never),
      ];
      const errors = wrong.map((make) => {
        try {
          return make();
        } catch (error) {
          return error;
        }
      });
      expect(errors.map((error) => (error as Partial<LadderError>).code)).toEqual(
        wrong.map(() => 'LADDER_INVALID_OPTIONS'),
      );
      expect(errors.map((error) => found(error, secrets))).toEqual(wrong.map(() => []));
      expect(errors.map((error) => (error as Error).message).join()).not.toContain('canary');
    });

    it('when origins of services are wrong holds no login and no query of them', async () => {
      const cluster = await opened();
      const origins = [`http://app:${LOGIN}@first`, `http://first/?token=${LOGIN}`, `app:${LOGIN}@first`];
      const errors = origins.map((origin) => {
        try {
          return sessionFetch(cluster, { origins: [origin] });
        } catch (error) {
          return error;
        }
      });
      expect(errors.map((error) => (error as LadderError).code)).toEqual(origins.map(() => 'LADDER_INVALID_OPTIONS'));
      expect(errors.map((error) => found(error, secrets))).toEqual([[], [], []]);
    });

    it('when a store or a discovery fails has nothing of what it said', async () => {
      const failing = () => Promise.reject(Object.assign(new Error(`${WORDS} ${REDIS}`), { [REDIS]: REDIS }));
      await using patroni = await startPatroniServer();
      const [primary] = servers.nodes as [TestNode, TestNode];
      const url = patroni.url.replace('http://', `http://app:${LOGIN}@`);
      const discovery = patroniDiscovery({ urls: [url], headers: { authorization: HEADER } });
      const cluster = createCluster({
        primary: { ...placeOf(primary), password: PASSWORD, ssl: ssl() },
        ...behaviour,
        discovery,
      });
      closers.push(() => cluster.close());
      const told = listened(cluster);
      const context = { signal: new AbortController().signal, ask: () => Promise.reject(new Error('nobody')) };
      const error = await Promise.resolve(discovery(context)).catch((reason: unknown) => reason);
      const sessions = httpSessions(cluster, { store: { get: failing, put: failing }, storeKey: () => SUBJECT });
      await sessions.runDetached({ headers: {}, method: 'GET' } as never, () =>
        cluster.write('insert into items values (2, $1)', [VALUE]),
      );
      await until('both are told', () => {
        const messages = told.map((event) => (event as { message?: string }).message ?? '');
        return messages.some((text) => text.includes('discovery')) && messages.some((text) => text.includes('stored'));
      });
      const unknown = `ERR unknown command 'EVALSHA', with args beginning with: '1' '${SUBJECT}' (${REDIS})`;
      const client = { eval: failing, evalSha: () => Promise.reject(new Error(unknown)) };
      const lost = { ...client, evalSha: () => Promise.reject(new Error(`connect ECONNREFUSED ${REDIS}`)) };
      const ofRedis = [client, lost].map((one) =>
        redisTokenStore(one)
          .get(SUBJECT)
          .catch((reason: unknown) => reason),
      );
      expect((await Promise.all(ofRedis)).map((reason) => (reason as Error).message)).toEqual([
        "token store: ERR unknown command 'EVALSHA'",
        'token store: connect ECONNREFUSED redis://…@cache:6379',
      ]);
      expect(error).toMatchObject({ code: 'LADDER_DISCOVERY_FAILED' });
      // what others said is a property of the warning, for who asks by its name
      expect(
        found([discovery, error, told, cluster.stats()], { ...secrets, ...ofTls }, ['text', 'json', 'walk']),
      ).toEqual([]);
      expect(inspect([error, told], { depth: 10 })).not.toMatch(/canary/);
    });
  });
});
