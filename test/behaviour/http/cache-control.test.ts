// What caches are told of a response, and what stays private.
import { createServer } from 'node:http';
import express from 'express';
import Fastify from 'fastify';
import { beforeAll, describe, expect, it } from 'vitest';
import { cacheControl, routeSession, sessionMiddleware } from '../../../src/http/express.js';
import { sessionPlugin } from '../../../src/http/fastify.js';
import type { CacheControlOptions } from '../../../src/http/sessions.js';
import type { Cluster } from '../../../src/index.js';
import { open, until } from '../fixture.js';
import { BOUND_MILLIS, cached, OPEN, PAGE, page } from './cached-page.js';
import { caughtUp, closers, type Handler, listen, save, serve, servers, servesRequests } from './served.js';

servesRequests();

beforeAll(async () => {
  await using setUp = await open(servers);
  await setUp.write('create table tenants (id int primary key, name text)');
  await setUp.write('alter table tenants enable row level security');
  await setUp.write('create policy own on tenants using (true)');
  await caughtUp();
});

const told = async (url: string, headers: Record<string, string> = {}) => {
  const response = await fetch(url, { headers });
  await response.text();
  return response.headers;
};

const secondsOf = (headers: Headers, directive = 'max-age') =>
  Number(new RegExp(`\\b${directive}=(\\d+)`).exec(headers.get('cache-control') ?? '')?.[1]);

describe('what caches are told', () => {
  const served = (
    cluster: Cluster,
    options: CacheControlOptions = OPEN,
    first: (given: Parameters<Handler>) => unknown = () => undefined,
  ) =>
    serve(
      async (request, response, session) => {
        await first([request, response, session]);
        const body = await page(cluster);
        response.setHeaders(new Map(Object.entries(cacheControl(session, { ...options, body }))));
        response.end(body);
      },
      {},
      cluster,
    );

  it('is how long the page stays within the bounds of its reads, by what key it is purged, and by what it varies', async () => {
    const { cluster, warned } = await cached();
    const url = await served(cluster, { ...OPEN, staleWhileRevalidateMillis: 7_000, surrogateKeys: ['front page'] });
    const headers = await told(url);
    expect(headers.get('cache-control')).toMatch(/^public, max-age=\d+, stale-while-revalidate=7$/);
    expect(secondsOf(headers)).toBeLessThan(BOUND_MILLIS / 1_000);
    expect(headers.get('surrogate-key')).toBe('names front%20page');
    expect(headers.get('cache-tag')).toBe('names,front%20page');
    expect(headers.get('vary')).toBe('Cookie, pg-ladder-token');
    expect(headers.get('etag')).toMatch(/^W\/"[\w-]{27}"$/);
    expect((await told(url)).get('etag')).toBe(headers.get('etag'));
    expect(warned).toEqual([]);
  });

  it('is that it is its receiver’s alone, unless the response says public', async () => {
    const { cluster } = await cached();
    const headers = await told(await served(cluster, {}));
    expect(headers.get('cache-control')).toMatch(/^private, max-age=\d+$/);
    expect(headers.get('vary')).toBe('Cookie, pg-ladder-token');
    expect(headers.get('surrogate-key')).toBeNull();
  });

  it.each<[string, RegExp, (cluster: Cluster) => unknown, Record<string, string>?]>([
    ['a request with Authorization', /Authorization/, () => undefined, { authorization: 'Bearer x' }],
    ['a write', /wrote/, (cluster) => save('nobody', cluster)],
    ['a read with a scope', /scope/, (cluster) => cluster.read(PAGE, [], { cache: { scope: 'a tenant' } })],
    [
      'a table with row security',
      /row security/,
      (cluster) => cluster.read('select name from tenants', [], { cache: true }),
    ],
    [
      'what depends on the session',
      /CURRENT_USER/,
      (cluster) => cluster.read('select current_user', [], { cache: true }),
    ],
    ['what may write', /VOLATILE/, (cluster) => cluster.query('select random()')],
    [
      'a transaction',
      /transaction/,
      (cluster) => cluster.transaction((client) => client.query(PAGE), { readOnly: true }),
    ],
    [
      'a statement of a pool',
      /transaction/,
      async (cluster) => {
        const client = await cluster.pool().connect();
        await client.query('begin read only');
        await client.query('commit');
        client.release();
      },
    ],
  ])('stays private with public: true, and says why, for %s', async (_what, why, first, headers = {}) => {
    const { cluster, warned } = await cached();
    const url = await served(cluster, OPEN, () => first(cluster));
    // What a statement depends on may be found out while its first page is on its way.
    await until('it is said why', async () => {
      const found = await told(url, headers);
      expect(found.get('cache-control')).toBe('private, no-store');
      expect(found.get('surrogate-key')).toBeNull();
      return warned.length > 0;
    });
    await told(url, headers);
    expect(warned).toHaveLength(1);
    expect(warned[0]).toMatch(why);
  });

  it('stays private where the response goes on after that: it sets a cookie, reads, writes or fails', async () => {
    const { cluster, warned } = await cached();
    const app = express().use(sessionMiddleware(cluster));
    const goesOn = (path: string, then: (response: express.Response) => unknown) =>
      app.get(path, async (_request, response) => {
        await page(cluster);
        response.vary('Origin').set(cacheControl(cluster, OPEN));
        await then(response);
        response.end();
      });
    goesOn('/plain', () => undefined);
    goesOn('/cookie', (response) => response.cookie('own', '1'));
    goesOn('/read', () => cluster.read('select 1'));
    goesOn('/write', () => save('nobody', cluster));
    goesOn('/failed', (response) => response.status(500));
    app.get('/early', async (_request, response) => {
      response.set(cacheControl(cluster, OPEN));
      response.send(await page(cluster));
    });
    app.get('/route', routeSession(cluster, { maxStalenessMillis: 5_000 }), async (_request, response) => {
      await page(cluster);
      response.set(cacheControl(cluster, OPEN)).end();
    });
    const url = await listen(createServer(app));
    const plain = await told(`${url}/plain`);
    expect(plain.get('cache-control')).toMatch(/^public/);
    expect(plain.get('vary')).toBe('Origin, Cookie, pg-ladder-token');
    const own = await told(`${url}/route`);
    expect(own.get('cache-control')).toMatch(/^public/);
    expect(secondsOf(own)).toBeLessThan(5);
    expect(warned).toEqual([]);
    for (const path of ['cookie', 'read', 'write', 'failed', 'early'])
      expect([path, (await told(`${url}/${path}`)).get('cache-control')]).toEqual([path, 'private, no-store']);
    expect(warned.map((message) => message.split(': ').at(-1))).toEqual([
      'it sets a cookie',
      'its request read after cacheControl was called, or in a session that it was not told of',
      'its request wrote, or was told of a write',
      'it tells of a failure',
      'nothing had been read when cacheControl was called',
    ]);
  });

  it('stays private in a session that answers no request', async () => {
    const { cluster, warned } = await cached();
    await cluster.session(async (session) => {
      await page(cluster);
      expect(cacheControl(session, OPEN)).toEqual({ 'Cache-Control': 'private, no-store' });
      expect(cacheControl(session)['Cache-Control']).toMatch(/^private, max-age=\d+$/);
    });
    expect(warned).toHaveLength(1);
  });

  it('takes its token along with a write also where tokens are left out of what caches share', async () => {
    const { cluster, warned } = await cached();
    const handler: Handler = async (_request, response, session) => {
      await page(cluster);
      const headers = cacheControl(session, OPEN);
      await save('nobody', cluster);
      response.writeHead(200, headers).end();
    };
    const headers = await told(await serve(handler, { caching: 'omit' }, cluster));
    expect(headers.get('cache-control')).toBe('private, no-store');
    expect(headers.getSetCookie()).toHaveLength(1);
    expect(warned).toHaveLength(1);
  });

  it('is told by Fastify, too', async () => {
    const { cluster } = await cached();
    const app = Fastify();
    await app.register(sessionPlugin, { cluster });
    app.get('/', async (request, reply) => {
      const name = await page(cluster);
      reply.headers(cacheControl(request.ladder, OPEN));
      return { name };
    });
    closers.push(() => app.close());
    const headers = await told(await app.listen({ host: '127.0.0.1', port: 0 }));
    expect(headers.get('cache-control')).toMatch(/^public/);
    expect(headers.get('vary')).toBe('Cookie, pg-ladder-token');
  });
});
