// Answers that caches keep: what they are told, what stays private, and a CDN that is a rung, or is none.
import { createServer, type IncomingHttpHeaders } from 'node:http';
import express from 'express';
import Fastify from 'fastify';
import { beforeAll, describe, expect, it } from 'vitest';
import { cacheControl, routeSession, sessionMiddleware } from '../../../src/http/express.js';
import { sessionPlugin } from '../../../src/http/fastify.js';
import type { CacheControlOptions, HttpSessionOptions } from '../../../src/http/sessions.js';
import { type Cluster, routeOf } from '../../../src/index.js';
import { open, until } from '../fixture.js';
import { CachingProxy, type ProxyOptions } from './caching-proxy.js';
import {
  Browser,
  caughtUp,
  closers,
  type Handler,
  listen,
  newName,
  openOne,
  pauseAll,
  save,
  serve,
  servers,
  servesRequests,
} from './served.js';

servesRequests();

const BOUND_MILLIS = 20_000;
const PAGE = 'select name from names where id = 1';
const OPEN: CacheControlOptions = { public: true };

beforeAll(async () => {
  await using setUp = await open(servers);
  await setUp.write('create table tenants (id int primary key, name text)');
  await setUp.write('alter table tenants enable row level security');
  await setUp.write('create policy own on tenants using (true)');
  await caughtUp();
});

/** A cluster with caches whose sources are known, and what it warns of. */
async function cached(options: Parameters<typeof openOne>[0] = {}) {
  const cluster = await openOne({ cache: { maxStalenessMillis: BOUND_MILLIS }, ...options });
  await cluster.explain('select 1');
  await until('answers are kept', async () => {
    const kept = await cluster.read('select 1 as one', [], { cache: true });
    return routeOf(kept)?.rung === 'memory';
  });
  const warned: string[] = [];
  cluster.events.on('warning', ({ code, message }) => code === 'not-public' && warned.push(message));
  return { cluster, warned };
}

const page = async (cluster: Cluster) =>
  (await cluster.read<{ name: string }>(PAGE, [], { cache: true })).rows[0]?.name ?? '';

const told = async (url: string, headers: Record<string, string> = {}) => {
  const response = await fetch(url, { headers });
  await response.text();
  return response.headers;
};

const secondsOf = (headers: Headers, directive = 'max-age') =>
  Number(new RegExp(`\\b${directive}=(\\d+)`).exec(headers.get('cache-control') ?? '')?.[1]);

describe('what a session has read', () => {
  it('is as old as its oldest read, of the lowest position, and within the bounds of all', async () => {
    const { cluster } = await cached();
    await page(cluster);
    await pauseAll();
    await cluster.session(
      async (session) => {
        expect(session.freshness()).toEqual({
          position: undefined,
          ageMillis: undefined,
          tables: [],
          remainingMillis: undefined,
        });
        const kept = await cluster.read(PAGE, [], { cache: true });
        expect(routeOf(kept)?.rung).toBe('memory');
        const first = session.freshness();
        expect(first.position).toEqual(routeOf(kept)?.position);
        expect(first.tables).toEqual(['names']);
        expect(first.ageMillis).toBeGreaterThanOrEqual(routeOf(kept)?.ageMillis ?? Number.POSITIVE_INFINITY);
        expect((first.ageMillis ?? 0) + (first.remainingMillis ?? 0)).toBeCloseTo(BOUND_MILLIS, 3);

        await cluster.read('select count(*) from notes', [], { cache: { maxStalenessMillis: 60_000 } });
        const both = session.freshness();
        expect(both.position).toEqual(first.position);
        expect(both.tables).toEqual(['names', 'notes']);
        expect(both.remainingMillis).toBeLessThanOrEqual(first.remainingMillis ?? 0);

        await cluster.read(PAGE, [], { target: 'primary', maxStalenessMillis: 5 });
        await until('the bound has passed', () => session.freshness().remainingMillis === 0);
        expect(session.freshness().position).toBeUndefined();
        expect(session.freshness().ageMillis).toBeGreaterThan(both.ageMillis ?? Number.POSITIVE_INFINITY);
      },
      { inherit: 'none' },
    );
  });

  it('on the primary is of age 0 when it is asked, and of no position', async () => {
    const { cluster } = await cached();
    await cluster.session(async (session) => {
      const before = performance.now();
      await cluster.read(PAGE, [], { target: 'primary' });
      const { ageMillis, position } = session.freshness();
      expect(ageMillis).toBeLessThanOrEqual(performance.now() - before);
      expect(position).toBeUndefined();
    });
  });

  it('counts for the session around it, too, whatever that one inherits', async () => {
    const { cluster } = await cached();
    await cluster.session(async (outer) => {
      await cluster.session(() => page(cluster), { inherit: 'none', freshness: false });
      expect(outer.freshness().tables).toEqual(['names']);
      await cluster.session(async (inner) => {
        expect(inner.freshness().tables).toEqual(['names']);
        await cluster.transaction((client) => client.query('select 1'), { readOnly: true });
      });
      expect(outer.freshness().tables).toBeUndefined();
    });
  });

  it('is noted where it is asked for, and not otherwise', async () => {
    const cluster = await openOne();
    await cluster.session(async (session) => {
      await cluster.read(PAGE);
      expect(() => session.freshness()).toThrow(expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS' }));
      expect(() => cacheControl(session)).toThrow(expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS' }));
    });
    await cluster.session(
      async (session) => {
        const { rows } = await cluster.read<{ name: string }>(PAGE, [], { maxStalenessMillis: 10_000 });
        expect(rows).toHaveLength(1);
        const { tables, ageMillis, remainingMillis, position } = session.freshness();
        expect([tables, position === undefined]).toEqual([['names'], false]);
        expect((ageMillis ?? 0) + (remainingMillis ?? 0)).toBeCloseTo(10_000, 3);
      },
      { freshness: true },
    );
  });
});

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

describe('a CDN', () => {
  const hasToken = ({ cookie = '', 'pg-ladder-token': token }: IncomingHttpHeaders): boolean =>
    token !== undefined || /(?:^|; )(?:__Host-)?pg-ladder=/.test(cookie);

  /** A shop behind it, read through the caches of the process. */
  async function shop(options: ProxyOptions, sessions: HttpSessionOptions = {}) {
    const { cluster } = await cached();
    const app = express().use(sessionMiddleware(cluster, sessions as HttpSessionOptions<express.Request>));
    app.get('/', async (_request, response) => {
      const name = await page(cluster);
      response.set(cacheControl(cluster, { ...OPEN, staleWhileRevalidateMillis: 5_000 })).send(name);
    });
    app.post('/:name', async (request, response) => {
      await save(request.params.name, cluster);
      response.end();
    });
    const proxy = new CachingProxy(await listen(createServer(app)), options);
    return { cluster, proxy, url: await listen(proxy.server) };
  }

  /** What a user sees of an own write, and what the others get meanwhile. */
  async function play(options: ProxyOptions) {
    const { url, proxy } = await shop(options);
    const [user, name] = [new Browser(), newName()];
    const before = await user.text(url);
    expect(await fetch(url).then((response) => response.headers.get('x-from'))).toBe('hit');
    await pauseAll();
    await user.send(`${url}/${encodeURIComponent(name)}`, { method: 'POST' });
    const seen = [await user.text(url), await user.text(url)];
    const stranger = await fetch(url);
    return { before, name, seen, proxy, url, stranger: [await stranger.text(), stranger.headers.get('x-from')] };
  }

  it('that keeps answers apart by Vary shows users their own writes, and others the page that it has', async () => {
    const { before, name, seen, stranger } = await play({ honoursVary: true });
    expect(seen).toEqual([name, name]);
    expect(stranger).toEqual([before, 'hit']);
  });

  it('that lets requests with a token pass does so, too', async () => {
    const { before, name, seen, stranger } = await play({ honoursVary: false, passes: hasToken });
    expect(seen).toEqual([name, name]);
    expect(stranger).toEqual([before, 'hit']);
  });

  it('that does neither shows users the page without their own writes', async () => {
    const { before, name, seen } = await play({ honoursVary: false });
    expect(before).not.toBe(name);
    expect(seen).toEqual([before, before]);
  });

  it('gives a page no longer than the data in it may be old, and a while more as it fetches a new one', async () => {
    const { url, proxy } = await shop({ honoursVary: true });
    const from = async () => (await fetch(url)).headers.get('x-from');
    expect([await from(), await from()]).toEqual(['miss', 'hit']);
    proxy.aheadMillis = BOUND_MILLIS;
    expect(await from()).toBe('stale');
    await until('the new one is there', async () => (await from()) === 'hit');
    proxy.aheadMillis = 3 * BOUND_MILLIS;
    expect(await from()).toBe('miss');
    proxy.purge('names');
    expect(await from()).toBe('miss');
  });
});
