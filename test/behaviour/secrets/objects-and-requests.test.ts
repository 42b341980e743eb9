import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import fastify from 'fastify';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { routeSession, sessionMiddleware } from '../../../src/http/express.js';
import { sessionPlugin } from '../../../src/http/fastify.js';
import { httpSessions, memoryTokenStore, sessionFetch, sessionInterceptor } from '../../../src/http/sessions.js';
import type { Cluster, Session } from '../../../src/index.js';
import type { TestNode } from '../../../src/testing/index.js';
import { redisTokenStore } from '../../../src/token/redis-store.js';
import { found, type View } from '../canaries.js';
import {
  closers,
  guardsServers,
  listened,
  ofTls,
  opened,
  PASSWORD,
  REDIS,
  SUBJECT,
  secrets,
  servers,
  VALUE,
  ways,
} from './guarded.js';

const printed: View[] = ['text', 'json', 'inspect'];

guardsServers();

describe('what a program logs', () => {
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
});
