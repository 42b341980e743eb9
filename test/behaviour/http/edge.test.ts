// What a session has read, for those who hand it on, and a CDN that is a rung, or is none.
import { createServer, type IncomingHttpHeaders } from 'node:http';
import express from 'express';
import { describe, expect, it } from 'vitest';
import { cacheControl, sessionMiddleware } from '../../../src/http/express.js';
import { routeOf } from '../../../src/index.js';
import { until } from '../fixture.js';
import { BOUND_MILLIS, cached, OPEN, PAGE, page } from './cached-page.js';
import { CachingProxy, type ProxyOptions } from './caching-proxy.js';
import { Browser, listen, newName, openOne, pauseAll, save, servesRequests } from './served.js';

servesRequests();

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

describe('a CDN', () => {
  const hasToken = ({ cookie = '', 'pg-ladder-token': token }: IncomingHttpHeaders): boolean =>
    token !== undefined || /(?:^|; )(?:__Host-)?pg-ladder=/.test(cookie);

  /** A shop behind it, read through the caches of the process. */
  async function shop(options: ProxyOptions) {
    const { cluster } = await cached();
    const app = express().use(sessionMiddleware(cluster));
    app.get('/', async (_request, response) => {
      const name = await page(cluster);
      response.set(cacheControl(cluster, { ...OPEN, staleWhileRevalidateMillis: 30_000 })).send(name);
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
    proxy.aheadMillis = 5 * BOUND_MILLIS;
    expect(await from()).toBe('miss');
    proxy.purge('names');
    expect(await from()).toBe('miss');
  });
});
