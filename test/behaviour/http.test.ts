/**
 * What `pg-ladder/http`, `/express` and `/fastify` promise, on real servers and by real HTTP clients: an answer carries the token of its own writes to whoever
 * asked, by a cookie that a real cookie jar takes and by a header; whatever comes in its place from strangers, slow primaries or broken stores fails no request.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import {
  Agent,
  type ClientRequest,
  createServer,
  type IncomingHttpHeaders,
  IncomingMessage,
  type OutgoingHttpHeaders,
  type RequestListener,
  request as requestOf,
  type Server,
  ServerResponse,
} from 'node:http';
import { connect as connect2, createSecureServer, createServer as createServer2, type Http2Server } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, Socket } from 'node:net';
import { PassThrough, Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import express from 'express';
import fastify, { type FastifyInstance } from 'fastify';
import { CookieJar } from 'tough-cookie';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { routeSession, sessionMiddleware } from '../../src/http/express.js';
import { sessionPlugin } from '../../src/http/fastify.js';
import { type HttpSessionOptions, httpSessions, memoryTokenStore, orderOf } from '../../src/http/sessions.js';
import type { Cluster, RouteEvent, Session, WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { TokenCodec } from '../../src/token/codec.js';
import { open, size, until } from './fixture.js';

const SECRET = 'a secret of the tests';
const LIFETIME_MILLIS = 60_000;

type Handler = (request: IncomingMessage, response: ServerResponse, session: Session) => unknown;

interface Init {
  readonly body?: string;
  readonly method?: string;
  readonly headers?: Record<string, string>;
}

/** A user's browser: a real cookie jar, and fetch. */
class Browser {
  readonly jar = new CookieJar(undefined, { prefixSecurity: 'strict' });

  async send(url: string, init: Init = {}): Promise<Response> {
    const cookie = await this.jar.getCookieString(url);
    const response = await fetch(url, {
      redirect: 'manual',
      signal: AbortSignal.timeout(5_000),
      ...init,
      headers: { ...init.headers, ...(cookie === '' ? {} : { cookie }) },
    });
    for (const set of response.headers.getSetCookie()) await this.jar.setCookie(set, url);
    return response;
  }

  async text(url: string, init: Init = {}): Promise<string> {
    return (await this.send(url, init)).text();
  }

  /** The token that it has for that URL. */
  async token(url: string): Promise<string | undefined> {
    return (await this.jar.getCookies(url)).find(({ key }) => key.endsWith('pg-ladder'))?.value;
  }
}

/** What a token says, in a form that can be changed and made anew. */
function positionIn(token: string) {
  return {
    clusterId: BigInt(`0x${token.slice(1, 17)}`).toString(),
    timeline: Number.parseInt(token.slice(17, 25), 16),
    lsn: BigInt(`0x${token.slice(25, 41)}`),
  };
}

const tokensIn = (response: Response): string[] =>
  response.headers
    .getSetCookie()
    .filter((cookie) => /^(__Host-)?pg-ladder=/.test(cookie))
    .map((cookie) => cookie.split(/[=;]/, 2)[1] ?? '');

describe('sessions that travel with requests', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let routes: RouteEvent[];
  let warnings: WarningEvent[];
  let failures: unknown[];
  let closers: (() => Promise<unknown>)[];
  let nameCount = 0;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2, links: true });
    await using setUp = await open(servers);
    await setUp.write('create table names (id int primary key, name text not null)');
    await setUp.write("insert into names values (1, 'nobody')");
    await setUp.write('create table notes (note text)');
    await caughtUp();
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    closers = [];
    failures = [];
    cluster = await openOne();
    routes = [];
    warnings = [];
    cluster.events.on('route', (event) => routes.push(event));
    cluster.events.on('warning', (event) => warnings.push(event));
  });
  afterEach(async () => {
    for (const { link } of servers.nodes) link.restore();
    for (const close of closers.reverse()) await close();
    await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
    expect(failures).toEqual([]);
  });

  const openOne = async (options: Parameters<typeof open>[1] = {}) => {
    const one = await open(servers, { secrets: [SECRET], tokenLifetimeMillis: LIFETIME_MILLIS, ...options });
    closers.push(() => one.close());
    return one;
  };
  const caughtUp = () => Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
  const pauseAll = () => Promise.all(servers.replicas.map((replica) => replica.pauseReplay()));
  /** Nobody has had it before, so that no test takes another one's for its own. */
  const newName = () => `name ${++nameCount}`;
  const save = (name: string, on = cluster) => on.write('update names set name = $1 where id = 1', [name]);
  const nameNow = async (on = cluster) =>
    (await on.read<{ name: string }>('select name from names where id = 1')).rows[0]?.name ?? '';
  const codes = () => warnings.map(({ code }) => code);
  const lastRoute = () => routes.at(-1);

  async function listen(server: Server | Http2Server): Promise<string> {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    closers.push(async () => {
      if ('closeAllConnections' in server) server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** What Node calls for each request; what the handler throws is the test's own mistake. */
  const within = (handler: Handler, options: HttpSessionOptions = {}, on = cluster): RequestListener => {
    const sessions = httpSessions(on, options);
    return (request, response) => {
      const run = async () => sessions.run(request, response, (session) => handler(request, response, session));
      run().catch((error: unknown) => {
        failures.push(error);
        response.destroy();
      });
    };
  };
  const serve = (handler: Handler, options: HttpSessionOptions = {}, on = cluster) =>
    listen(createServer(within(handler, options, on)));

  /** POST saves the name in its URL, GET tells it. */
  const profile =
    (on = cluster): Handler =>
    async (request, response) => {
      const name = decodeURIComponent(request.url?.slice(1) ?? '');
      if (request.method === 'POST') await save(name, on);
      response.end(request.method === 'POST' ? 'saved' : await nameNow(on));
    };
  const post = (url: string, name: string, browser: Browser, headers: Record<string, string> = {}) =>
    browser.send(`${url}/${encodeURIComponent(name)}`, { method: 'POST', headers });

  /** The token of a write that has just been made; replicas stay as they are. */
  const tokenOf = (name: string, options = {}) =>
    cluster.session(
      async (session) => {
        await save(name);
        return session.token();
      },
      { inherit: 'none', ...options },
    );

  describe('the cookie', () => {
    it('shows a browser its own write on the next request, on another process, while no replica has it', async () => {
      const other = await openOne();
      const [here, there] = [await serve(profile()), await serve(profile(other), {}, other)];
      await pauseAll();
      const [name, old] = [newName(), await new Browser().text(there)];
      const browser = new Browser();
      await post(here, name, browser);
      expect(await browser.text(there)).toBe(name);
      // Whoever has no token has the replicas' past: without the cookie the line above would fail.
      expect(await new Browser().text(there)).toBe(old);
      expect(old).not.toBe(name);
    });

    it('is HttpOnly, Lax, for the host alone and for the token’s lifetime, as a cookie jar understands it', async () => {
      const url = await serve(profile());
      const browser = new Browser();
      await post(url, newName(), browser);
      const [cookie, ...others] = await browser.jar.getCookies(url);
      expect(others).toEqual([]);
      expect(cookie).toMatchObject({
        key: 'pg-ladder',
        httpOnly: true,
        secure: false,
        sameSite: 'lax',
        path: '/',
        hostOnly: true,
        maxAge: LIFETIME_MILLIS / 1_000,
      });
      expect(await browser.jar.getCookieString('http://127.0.0.2/')).toBe('');
      expect(cookie?.value).toHaveLength(95);
    });

    it('is __Host-pg-ladder and Secure over TLS, over HTTP/1 and HTTP/2', async () => {
      const credentials = selfSigned();
      const one = createTlsServer(credentials, within(profile()));
      const two = createSecureServer(credentials, within(profile()) as never);
      for (const server of [one, two]) {
        const url = (await listen(server as Server)).replace('http:', 'https:');
        const cookie =
          server === two
            ? (await answerOf2(url, { ':method': 'POST', ':path': '/Tess' })).headers['set-cookie']
            : await cookieOverTls(url);
        const jar = new CookieJar(undefined, { prefixSecurity: 'strict' });
        await jar.setCookie(cookie?.[0] ?? '', url);
        expect((await jar.getCookies(url))[0]).toMatchObject({
          key: '__Host-pg-ladder',
          secure: true,
          httpOnly: true,
          path: '/',
          hostOnly: true,
        });
      }
    });

    it('is Secure as well where the option says so, and takes name, path, domain and SameSite', async () => {
      const url = await serve(profile(), { cookie: { secure: true } });
      const response = await post(url, newName(), new Browser());
      const jar = new CookieJar(undefined, { prefixSecurity: 'strict' });
      await jar.setCookie(response.headers.getSetCookie()[0] ?? '', 'https://shop.example/');
      expect((await jar.getCookies('https://shop.example/'))[0]).toMatchObject({
        key: '__Host-pg-ladder',
        secure: true,
      });
      const cookie = { path: '/a', domain: 'shop.example', sameSite: 'none', secure: true } as const;
      const named = await fetch(await serve(profile(), { cookie: { ...cookie, name: 'seen' } }), { method: 'POST' });
      await jar.setCookie(named.headers.getSetCookie()[0] ?? '', 'https://www.shop.example/a/b');
      expect((await jar.getCookies('https://api.shop.example/a/c')).at(-1)).toMatchObject({
        key: 'seen',
        path: '/a',
        domain: 'shop.example',
        sameSite: 'none',
      });
      // A prefix would make browsers refuse it there.
      const plain = await fetch(await serve(profile(), { cookie }), { method: 'POST' });
      expect(plain.headers.getSetCookie()[0]).toMatch(/^pg-ladder=/);
    });

    it('is not set when nothing was written, nor anything else', async () => {
      const url = await serve(profile());
      const response = await new Browser().send(url, { headers: { 'pg-ladder-token': '-' } });
      expect(response.headers.getSetCookie()).toEqual([]);
      expect(response.headers.get('pg-ladder-token')).toBeNull();
      expect(response.headers.get('cache-control')).toBeNull();
      const without = await serve(profile(), { cookie: false });
      expect((await post(without, newName(), new Browser())).headers.getSetCookie()).toEqual([]);
    });

    it('is not set anew for a reader who came with one, however much others have written since', async () => {
      const url = await serve(profile());
      const token = await tokenOf(newName());
      await tokenOf(newName());
      for (const headers of [{ cookie: `pg-ladder=${token}` }, { 'pg-ladder-token': token }]) {
        const response = await new Browser().send(url, { headers });
        expect(response.headers.getSetCookie()).toEqual([]);
        expect(response.headers.get('pg-ladder-token')).toBeNull();
        expect(response.headers.get('cache-control')).toBeNull();
      }
    });

    it('goes by the newest of several tokens, wherever they come from and in whatever order', async () => {
      const [older, newer] = [newName(), newName()];
      const olderToken = await tokenOf(older);
      await caughtUp();
      await pauseAll();
      const newerToken = await tokenOf(newer);
      const url = await serve(profile());
      const [a, b] = [olderToken, newerToken];
      const told = (headers: Record<string, string>) => new Browser().send(url, { headers }).then((r) => r.text());
      expect(await told({ cookie: `pg-ladder=${a}` })).toBe(older);
      for (const headers of [
        { cookie: `pg-ladder=${a}; pg-ladder=${b}` },
        { cookie: `pg-ladder=${b}; x=1;pg-ladder=${a}` },
        { cookie: `pg-ladder=${a}; __Host-pg-ladder=${b}` },
        { cookie: `pg-ladder=${a}.${b}` },
        { cookie: `pg-ladder=${a}`, 'pg-ladder-token': b },
        { cookie: `pg-ladder=${b}`, 'pg-ladder-token': a },
        { 'pg-ladder-token': `${a}, ${b}` },
        { 'pg-ladder-token': `${b}.${a}` },
      ]) {
        expect([headers, await told(headers)]).toEqual([headers, newer]);
      }
    });

    it('of a request that wrote early and ended late is no older than that of one that came between', async () => {
      const gate = new EventEmitter();
      const slow: Handler = async (request, response, session) => {
        if (request.url !== '/slow') {
          await profile()(request, response, session);
          return;
        }
        await cluster.write("insert into notes values ('slow')");
        gate.emit('written');
        await once(gate, 'go');
        response.end();
      };
      const url = await serve(slow);
      const browser = new Browser();
      const written = once(gate, 'written');
      const early = browser.send(`${url}/slow`, { method: 'POST' });
      await written;
      // A position that covers the early write alone.
      await cluster.session((session) => session.token());
      await caughtUp();
      await pauseAll();
      const name = newName();
      await post(url, name, browser);
      gate.emit('go');
      await early;
      expect(await browser.text(url)).toBe(name);
    });
  });

  describe('the header', () => {
    it('carries the token between services, and is given back to those who sent it only', async () => {
      const url = await serve(profile());
      await pauseAll();
      const name = newName();
      const asked = await post(url, name, new Browser(), { 'pg-ladder-token': '' });
      const token = asked.headers.get('pg-ladder-token') ?? '';
      expect(token).toBe(tokensIn(asked)[0]);
      expect(await new Browser().text(url, { headers: { 'pg-ladder-token': token } })).toBe(name);
      expect((await post(url, newName(), new Browser())).headers.get('pg-ladder-token')).toBeNull();
    });

    it('has the name of the option, or is none', async () => {
      const options = { header: 'X-Seen', cookie: false } as const;
      const named = await post(await serve(profile(), options), newName(), new Browser(), { 'x-seen': '-' });
      expect(named.headers.get('x-seen')).toHaveLength(95);
      const none = await serve(profile(), { header: false });
      const response = await post(none, newName(), new Browser(), { 'pg-ladder-token': '' });
      expect(response.headers.get('pg-ladder-token')).toBeNull();
      expect(tokensIn(response)).toHaveLength(1);
    });
  });

  describe('what the handler says of its answer', () => {
    const heads: Record<string, (response: ServerResponse) => void> = {
      'setHeader and statusCode': (response) => {
        response.statusCode = 418;
        response.setHeader('x-a', ['1', '2']);
        response.setHeader('Set-Cookie', ['own=1', 'other=2; Path=/']);
      },
      appendHeader: (response) => {
        response.appendHeader('Set-Cookie', 'own=1');
        response.appendHeader('set-cookie', 'other=2');
        response.appendHeader('X-A', '1').appendHeader('X-A', '2');
      },
      'writeHead with an object': (response) => {
        response.setHeader('x-b', 'given up');
        response.writeHead(201, 'Made', { 'X-B': 'kept', 'Set-Cookie': ['own=1', 'other=2'], 'Content-Type': 'a/b' });
      },
      'writeHead with a phrase that is left open': (response) => {
        response.writeHead(200, undefined, { 'set-cookie': 'own=1' });
      },
      'writeHead with a phrase that is left open, and a list': (response) => {
        response.writeHead(200, undefined, ['Set-Cookie', 'own=1']);
      },
      'writeHead with one cookie as a string': (response) => {
        response.setHeader('set-cookie', 'given up=1');
        response.writeHead(201, { 'set-cookie': 'own=1' });
      },
      'writeHead with a flat list': (response) => {
        response.writeHead(202, ['Set-Cookie', 'own=1', 'X-A', '1', 'Set-Cookie', 'other=2', 'x-a', '2']);
      },
      'writeHead with a flat list over headers that are set': (response) => {
        response.setHeader('x-a', 'given up');
        response.writeHead(202, ['Set-Cookie', 'own=1', 'X-A', '1', 'x-a', '2']);
      },
      'writeHead with a list of pairs': (response) => {
        const pairs = [
          ['Set-Cookie', 'own=1'],
          ['X-A', '1'],
          ['Set-Cookie', 'other=2'],
        ];
        response.writeHead(203, pairs as unknown as OutgoingHttpHeaders);
      },
      'writeHead with a status alone, then write': (response) => {
        response.setHeader('set-cookie', 'own=1');
        response.writeHead(206);
        response.write('part');
      },
    };

    it.each(Object.entries(heads))('survives: %s', async (_name, head) => {
      const handler: Handler = (_request, response) => {
        head(response);
        response.end('the body');
      };
      const bare = await fetch(await listen(createServer((q, r) => void handler(q, r, undefined as never))));
      const read = await fetch(await serve(handler));
      const wrote = await fetch(
        await serve(async (request, response, session) => {
          await save(newName());
          await handler(request, response, session);
        }),
      );
      const told = (response: Response) => {
        const headers = Object.fromEntries(response.headers);
        delete headers['date'];
        delete headers['set-cookie'];
        delete headers['cache-control'];
        const cookies = response.headers.getSetCookie().filter((cookie) => !cookie.startsWith('pg-ladder='));
        return { status: response.status, statusText: response.statusText, headers, cookies };
      };
      expect(told(read)).toEqual(told(bare));
      expect(told(wrote)).toEqual(told(bare));
      expect(await wrote.text()).toBe(await bare.text());
      expect(tokensIn(wrote)).toHaveLength(1);
      expect(tokensIn(read)).toEqual([]);
    });

    it.each([
      ['GET', undefined, 'private'],
      ['GET', 'public, max-age=60', 'private, max-age=60'],
      ['GET', 'max-age=60, s-maxage=600', 'private, max-age=60'],
      ['GET', 'no-store', 'no-store'],
      ['GET', 'private, max-age=5', 'private, max-age=5'],
      ['POST', undefined, null],
      ['POST', 'public, max-age=60', 'private, max-age=60'],
    ])('%s with Cache-Control %s leaves with %s, or by option without the token', async (method, given, expected) => {
      for (const how of ['setHeader', 'writeHead'] as const) {
        const handler: Handler = async (_request, response) => {
          await save(newName());
          if (given !== undefined && how === 'setHeader') response.setHeader('Cache-Control', given);
          if (how === 'writeHead') response.writeHead(200, given === undefined ? {} : { 'Cache-Control': given });
          response.end();
        };
        const marked = await fetch(await serve(handler), { method });
        expect(marked.headers.get('cache-control')).toBe(expected);
        expect(tokensIn(marked)).toHaveLength(1);
        const omitted = await fetch(await serve(handler, { caching: 'omit' }), {
          method,
          headers: { 'pg-ladder-token': '' },
        });
        const isShared = (given ?? null) !== expected;
        expect(omitted.headers.get('cache-control')).toBe(given ?? null);
        expect(tokensIn(omitted)).toHaveLength(isShared ? 0 : 1);
        expect(omitted.headers.has('pg-ladder-token')).toBe(!isShared);
      }
    });
  });

  describe('while the primary tells the position of its writes', () => {
    it('an answer waits for it: none leaves with a token that is older than its writes', async () => {
      const url = await serve(async (request, response, session) => {
        servers.primary.link.restore();
        if (request.method === 'POST') {
          await save(decodeURIComponent(request.url?.slice(1) ?? ''));
          servers.primary.link.delay(Number(request.headers['x-delay']));
          response.end();
        } else await profile()(request, response, session);
      });
      await pauseAll();
      const browser = new Browser();
      for (const delay of Array.from({ length: size(6, 60) }, (_, i) => (i % 3) * 60 + 20)) {
        const name = newName();
        const startedAt = performance.now();
        const response = await post(url, name, browser, { 'x-delay': String(delay) });
        expect(performance.now() - startedAt).toBeGreaterThanOrEqual(delay - 1);
        expect(orderOf(tokensIn(response)[0] ?? '')).toMatchObject({ isPrimaryOnly: false });
        expect(await browser.text(url)).toBe(name);
      }
      expect(warnings).toEqual([]);
    });

    it('after positionTimeoutMillis it leaves with a mark that keeps its bearer on the primary, and a warning', async () => {
      const url = await serve(
        async (request, response, session) => {
          if (request.method === 'POST' && request.url !== '/plain') {
            await save(decodeURIComponent(request.url?.slice(1) ?? ''));
            servers.primary.link.halfOpen();
            response.end('held');
          } else await profile()(request, response, session);
        },
        { positionTimeoutMillis: 80 },
      );
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      const startedAt = performance.now();
      const response = await post(url, name, browser, { 'pg-ladder-token': '' });
      const took = performance.now() - startedAt;
      servers.primary.link.restore();
      expect(await response.text()).toBe('held');
      expect(took).toBeGreaterThanOrEqual(79);
      expect(took).toBeLessThan(400);
      expect(orderOf(tokensIn(response)[0] ?? '')).toMatchObject({ isPrimaryOnly: true });
      expect(response.headers.get('pg-ladder-token')).toBe(tokensIn(response)[0]);
      expect(warnings).toMatchObject([{ code: 'position-late' }]);
      expect(await browser.text(url)).toBe(name);
      expect(lastRoute()).toMatchObject({ role: 'primary', reason: 'floor-unknown' });
      expect(await new Browser().text(url)).not.toBe(name);
      expect(lastRoute()).toMatchObject({ role: 'replica' });
      // A later write of a known position says nothing about that one.
      await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
      await post(url, 'plain', browser);
      expect(await browser.token(url)).toMatch(/^[\w-]{95}\.[\w-]{95}$/);
      await browser.text(url);
      expect(lastRoute()).toMatchObject({ role: 'primary', reason: 'floor-unknown' });
    });

    it('does not carry a mark on that has expired or is forged', async () => {
      const url = await serve(profile());
      const old = Date.now() - LIFETIME_MILLIS - 1;
      for (const mark of [
        new TokenCodec([SECRET], LIFETIME_MILLIS).encodePrimaryOnly(old),
        new TokenCodec(['another secret of tests'], LIFETIME_MILLIS).encodePrimaryOnly(Date.now()),
      ]) {
        const response = await post(url, newName(), new Browser(), { cookie: `pg-ladder=${mark}` });
        expect(tokensIn(response)[0]).toMatch(/^[\w-]{95}$/);
      }
    });

    it('a write that was cut off is carried as one that may have committed', async () => {
      const url = await serve(async (request, response, session) => {
        if (request.method !== 'POST') {
          await profile()(request, response, session);
          return;
        }
        const cut = cluster.write("insert into notes select 'cut' from (select pg_sleep(1)) as pause", [], {
          timeoutMillis: 30,
        });
        await expect(cut).rejects.toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
        response.end();
      });
      await pauseAll();
      const name = newName();
      await save(name);
      const browser = new Browser();
      await browser.send(url, { method: 'POST' });
      expect(await browser.text(url)).toBe(name);
      expect(await new Browser().text(url)).not.toBe(name);
    });

    it('a write that returns meanwhile is covered, or told as one that came too late', async () => {
      const url = await serve(async (request, response, session) => {
        if (request.method !== 'POST') {
          await profile()(request, response, session);
          return;
        }
        await cluster.write("insert into notes values ('first')");
        servers.primary.link.delay(40);
        const second = save(decodeURIComponent(request.url?.slice(1) ?? ''));
        response.end();
        await second;
      });
      await pauseAll();
      for (let round = 0; round < 4; round++) {
        servers.primary.link.restore();
        const [browser, name] = [new Browser(), newName()];
        await post(url, name, browser);
        servers.primary.link.restore();
        const isCovered = (await browser.text(url)) === name;
        if (!isCovered) await until('it is told', () => codes().includes('write-after-headers'), 500);
        warnings.length = 0;
      }
    });

    it('the answer says of itself what an unheld one would: headersSent, writableEnded, drain and callbacks', async () => {
      const said: Record<string, unknown> = {};
      const order: string[] = [];
      const url = await serve(async (_request, response) => {
        await save(newName());
        servers.primary.link.delay(60);
        said['before'] = [response.headersSent, response.writableEnded];
        said['write'] = response.write('one ', () => order.push('written'));
        said['held'] = [response.headersSent, response.writableEnded];
        await once(response, 'drain');
        order.push('drained');
        servers.primary.link.restore();
        response.write(Buffer.from('two '));
        response.end('three', () => order.push('ended'));
        said['ended'] = [response.headersSent, response.writableEnded];
        response.on('finish', () => order.push('finished'));
      });
      const response = await fetch(url);
      expect(await response.text()).toBe('one two three');
      expect(said).toEqual({ before: [false, false], write: false, held: [true, false], ended: [true, true] });
      await until('all is called back', () => order.length === 4);
      expect(order.slice(0, 2).sort()).toEqual(['drained', 'written']);
      expect(order.slice(2).sort()).toEqual(['ended', 'finished']);
    });

    it('it is ended for its handler, calls back, and has its length, when it was ended in one word', async () => {
      const ended = new EventEmitter();
      const url = await serve(async (_request, response) => {
        await save(newName());
        servers.primary.link.delay(40);
        expect(response.end('grüße', 'utf8', () => ended.emit('now'))).toBe(response);
        expect([response.headersSent, response.writableEnded, response.writableFinished]).toEqual([true, true, false]);
      });
      const called = once(ended, 'now');
      const response = await fetch(url);
      expect(response.headers.get('content-length')).toBe('7');
      expect(await response.text()).toBe('grüße');
      await called;
    });

    it('a large stream is piped through unchanged, and HEAD and redirects keep their heads', async () => {
      const piece = randomBytes(64 * 1024);
      const url = await serve(async (request, response) => {
        await save(newName());
        servers.primary.link.delay(40);
        if (request.url === '/away') {
          response.writeHead(303, { Location: '/name' }).end();
        } else if (request.method === 'HEAD') {
          response.writeHead(200, { 'Content-Length': 1234 }).end();
        } else {
          const pieces = Readable.from(Array.from({ length: 100 }, () => piece));
          if (request.url === '/pipe') pieces.pipe(response);
          else await pipeline(pieces, response);
        }
        servers.primary.link.restore();
      });
      const whole = createHash('sha256');
      for (let i = 0; i < 100; i++) whole.update(piece);
      const digest = whole.digest('hex');
      for (const path of ['/pipe', '/pipeline']) {
        const response = await fetch(url + path);
        const body = Buffer.from(await response.arrayBuffer());
        expect(createHash('sha256').update(body).digest('hex')).toBe(digest);
        expect(tokensIn(response)).toHaveLength(1);
      }
      const head = await fetch(url, { method: 'HEAD' });
      expect(head.headers.get('content-length')).toBe('1234');
      expect(tokensIn(head)).toHaveLength(1);
      const away = await fetch(`${url}/away`, { method: 'POST', redirect: 'manual' });
      expect([away.status, away.headers.get('location')]).toEqual([303, '/name']);
      expect(tokensIn(away)).toHaveLength(1);
    });

    it('a server that is closed meanwhile still sends it', async () => {
      const server: Server = createServer(
        within(async (_request, response) => {
          await save(newName());
          servers.primary.link.delay(100);
          response.end('in the end');
          server.close();
        }),
      );
      const response = await fetch(await listen(server));
      expect(await response.text()).toBe('in the end');
    });

    it.each(['HTTP/1', 'HTTP/2'])('a head that %s refuses ends its request, not the process', async (version) => {
      const escaped: unknown[] = [];
      const note = (error: unknown) => escaped.push(error);
      process.on('uncaughtException', note);
      try {
        const handler: Handler = async (request, response) => {
          if (request.url === '/bad') {
            await save(newName());
            servers.primary.link.delay(20);
            try {
              response.writeHead(99).end('never');
            } catch {
              // As Node does at once: just as good.
              response.destroy();
            }
          } else response.end('fine');
        };
        if (version === 'HTTP/1') {
          const url = await serve(handler);
          await expect(fetch(`${url}/bad`)).rejects.toThrow();
          expect(await (await fetch(url)).text()).toBe('fine');
        } else {
          const url = await listen(createServer2(within(handler) as never));
          const bad = await answerOf2(url, { ':path': '/bad' }).catch((error: unknown) => error);
          expect(bad).not.toMatchObject({ headers: { ':status': 200 } });
          expect((await answerOf2(url)).body).toBe('fine');
        }
        expect(escaped).toEqual([]);
      } finally {
        process.off('uncaughtException', note);
      }
    });

    it('an answer to a client that sends its requests at once comes in order', async () => {
      const url = await serve(async (request, response) => {
        if (request.url === '/0') {
          await save(newName());
          servers.primary.link.delay(50);
        }
        response.end(`answer ${request.url}`);
      });
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      socket.write([0, 1, 2].map((i) => `GET /${i} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
      let text = '';
      socket.on('data', (bytes) => {
        text += String(bytes);
      });
      await until('all three are there', () => text.includes('answer /2'));
      expect(text.match(/answer \/\d/g)).toEqual(['answer /0', 'answer /1', 'answer /2']);
      socket.destroy();
    });
  });

  describe('writes after the head', () => {
    it('of server-sent events are in the TokenStore when the next event tells of them', async () => {
      const store = memoryTokenStore();
      const options: HttpSessionOptions = { store, storeKey: (request) => request.headers['x-user'] as string };
      const url = await serve(async (request, response, session) => {
        if (request.url !== '/events') {
          await profile()(request, response, session);
          return;
        }
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        response.flushHeaders();
        for (const event of ['one', 'two']) response.write(`data: ${event}\n\n`);
        await save(String(request.headers['x-name']));
        response.end('data: saved\n\n');
      }, options);
      await pauseAll();
      const name = newName();
      const events = await fetch(`${url}/events`, { headers: { 'x-user': 'ada', 'x-name': name } });
      expect(await events.text()).toBe('data: one\n\ndata: two\n\ndata: saved\n\n');
      expect(tokensIn(events)).toEqual([]);
      expect(codes()).toEqual([]);
      expect(await store.get('ada')).toBeDefined();
      expect(await (await fetch(url, { headers: { 'x-user': 'ada' } })).text()).toBe(name);
      expect(await (await fetch(url, { headers: { 'x-user': 'bob' } })).text()).not.toBe(name);
    });

    it('are told as well when the answer had been held', async () => {
      const url = await serve(async (_request, response) => {
        await save(newName());
        await new Promise<void>((resolve) => response.write('head', () => resolve()));
        await save(newName());
        response.end();
      });
      const response = await fetch(url);
      await response.text();
      expect(tokensIn(response)).toHaveLength(1);
      expect(codes()).toEqual(['write-after-headers']);
    });

    it('are covered where they were under way when the head was asked for', async () => {
      const url = await serve(async (request, response, session) => {
        if (request.method !== 'POST') {
          await profile()(request, response, session);
          return;
        }
        const saving = save(decodeURIComponent(request.url?.slice(1) ?? ''));
        response.writeHead(200);
        response.write('saving');
        await saving;
        response.end(', saved');
      });
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      expect(await (await post(url, name, browser)).text()).toBe('saving, saved');
      expect(await browser.text(url)).toBe(name);
      expect(codes()).toEqual([]);
    });

    it('that last longer than an answer may wait hold up neither it nor the process', async () => {
      let busy = 1;
      const url = await serve(async (_request, response) => {
        const saving = cluster.write('select pg_sleep(0.6)');
        response.end('not waited for');
        await new Promise((resolve) => setTimeout(resolve, 350));
        const before = performance.eventLoopUtilization();
        await saving;
        busy = performance.eventLoopUtilization(before).utilization;
      });
      const startedAt = performance.now();
      expect(await (await fetch(url)).text()).toBe('not waited for');
      expect(performance.now() - startedAt).toBeLessThan(550);
      await until('the write is over', () => busy < 1);
      expect(busy).toBeLessThan(0.7);
    });

    it('are covered where writeHead had failed, and another answer is given', async () => {
      const url = await serve(async (request, response, session) => {
        if (request.method !== 'POST') {
          await profile()(request, response, session);
          return;
        }
        try {
          response.writeHead(200, { 'x-bad': 'a\nb' });
        } catch {
          await save(decodeURIComponent(request.url?.slice(1) ?? ''));
          response.writeHead(500).end();
        }
      });
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      expect((await post(url, name, browser)).status).toBe(500);
      expect(await browser.text(url)).toBe(name);
    });

    it('of a WebSocket upgrade are the TokenStore’s', async () => {
      const store = memoryTokenStore();
      const options: HttpSessionOptions = { store, storeKey: () => 'ada' };
      const server = createServer(within(profile(), options));
      const sessions = httpSessions(cluster, options);
      const name = newName();
      server.on('upgrade', (request, socket) => {
        void sessions.runDetached(request, (session) => {
          socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: tests\r\nConnection: Upgrade\r\n\r\n');
          socket.once('data', () => {
            void session.write('update names set name = $1 where id = 1', [name]).then(() => socket.end('saved'));
          });
        });
      });
      const url = await listen(server);
      await pauseAll();
      const upgrade = requestOf(url, { headers: { Connection: 'Upgrade', Upgrade: 'tests' } }).end();
      const [, socket] = (await once(upgrade, 'upgrade')) as [IncomingMessage, Socket];
      socket.write('save');
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(String(answer)).toBe('saved');
      await until('the store has it', async () => (await store.get('ada')) !== undefined);
      expect(await (await fetch(url)).text()).toBe(name);
      expect(warnings).toEqual([]);
    });
  });

  describe('a TokenStore', () => {
    const user: HttpSessionOptions = { cookie: false, header: false, storeKey: () => 'ada' };

    it('carries the session of a client that keeps neither cookies nor headers', async () => {
      const store = memoryTokenStore();
      const url = await serve(profile(), { ...user, store });
      await pauseAll();
      const name = newName();
      await post(url, name, new Browser());
      expect(await new Browser().text(url)).toBe(name);
      const nobody = await serve(profile(), { ...user, store, storeKey: () => undefined });
      expect(await new Browser().text(nobody)).not.toBe(name);
    });

    it('has the mark of an answer without a position when that leaves', async () => {
      const store = memoryTokenStore();
      const url = await serve(
        async (_request, response) => {
          await save(newName());
          servers.primary.link.halfOpen();
          response.end();
        },
        { ...user, store, positionTimeoutMillis: 50 },
      );
      await new Browser().send(url);
      expect(orderOf((await store.get('ada')) ?? '')).toMatchObject({ isPrimaryOnly: true });
    });

    const failing = () => Promise.reject(new Error('no store'));
    const failingOddly = () => Promise.reject('no error' as unknown as Error);
    const hanging = () => new Promise<never>(() => {});
    const nothing = () => Promise.resolve(undefined);

    it.each([
      ['fails', { get: failing, put: failing }],
      ['fails with no error', { get: failingOddly, put: failingOddly }],
      ['never answers', { get: hanging, put: hanging }],
    ])('that %s costs speed and no request', async (_how, store) => {
      const url = await serve(profile(), { ...user, cookie: {}, store });
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      const response = await post(url, name, browser);
      expect(response.status).toBe(200);
      expect(tokensIn(response)).toHaveLength(1);
      expect(await new Browser().text(url)).toBe(name);
      expect(lastRoute()).toMatchObject({ role: 'primary', reason: 'floor-unknown' });
      expect(codes()).toContain('token-store');
    });

    it.each([
      ['refuses', failing],
      ['never takes', hanging],
    ])('that %s a token holds its answer up no longer than positionTimeoutMillis', async (_how, put) => {
      const url = await serve(profile(), { ...user, cookie: {}, store: { get: nothing, put } });
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      const startedAt = performance.now();
      const response = await post(url, name, browser);
      expect(performance.now() - startedAt).toBeLessThan(1_000);
      expect(response.status).toBe(200);
      expect(await browser.text(url)).toBe(name);
    });
  });

  it('monotonicAcrossRequests also carries what a request has read, and nothing else does', async () => {
    const [fresh, stale] = servers.replicas;
    const handler: Handler = async (request, response) => {
      const target = { node: request.url?.slice(1) ?? '' };
      const reading = cluster.read<{ name: string }>('select name from names where id = 1', [], { target });
      response.end(
        await reading.then(
          ({ rows }) => rows[0]?.name,
          (error: { code: string }) => error.code,
        ),
      );
    };
    await stale?.pauseReplay();
    const name = newName();
    await save(name);
    await fresh?.waitForReplay();
    for (const monotonicAcrossRequests of [true, false]) {
      const url = await serve(handler, { monotonicAcrossRequests });
      const browser = new Browser();
      expect(await browser.text(`${url}/r1`)).toBe(name);
      const seen = await browser.text(`${url}/r2`);
      if (monotonicAcrossRequests) expect(seen).toBe('LADDER_NO_CANDIDATE');
      else expect(seen).not.toBe(name);
      expect((await browser.token(url)) !== undefined).toBe(monotonicAcrossRequests);
    }
  });

  it('carries a session over HTTP/2, held or not, with cookie and header', async () => {
    const piece = randomBytes(300_000);
    const url = await listen(
      createServer2(
        within(async (request, response, session) => {
          if (request.url !== '/stream') {
            await profile()(request, response, session);
            return;
          }
          await save(newName());
          servers.primary.link.delay(50);
          await pipeline(Readable.from([piece, piece]), response);
          servers.primary.link.restore();
        }) as never,
      ),
    );
    await pauseAll();
    const name = newName();
    const saved = await answerOf2(url, {
      ':method': 'POST',
      ':path': `/${encodeURIComponent(name)}`,
      'pg-ladder-token': '',
    });
    const [cookie = ''] = saved.headers['set-cookie'] ?? [];
    expect(cookie).toMatch(/^pg-ladder=/);
    expect((await answerOf2(url, { cookie: cookie.split(';')[0] ?? '' })).body).toBe(name);
    expect((await answerOf2(url, { 'pg-ladder-token': String(saved.headers['pg-ladder-token']) })).body).toBe(name);
    expect((await answerOf2(url)).body).not.toBe(name);
    const streamed = await answerOf2(url, { ':path': '/stream' });
    expect(streamed.bytes.equals(Buffer.concat([piece, piece]))).toBe(true);
    expect(streamed.headers['set-cookie']).toHaveLength(1);
  });

  describe('the async context', () => {
    const continuations: Record<string, (request: IncomingMessage) => Promise<Session | undefined>> = {
      await: async () => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        return cluster.currentSession();
      },
      setTimeout: () => new Promise((resolve) => setTimeout(() => resolve(cluster.currentSession()), 1)),
      'an event of the request, while its body arrives': (request) =>
        new Promise((resolve) => {
          request.resume();
          request.on('end', () => resolve(cluster.currentSession()));
        }),
      'its data, while its body arrives': (request) =>
        new Promise((resolve) => {
          let last: Session | undefined;
          request.on('data', () => {
            last = cluster.currentSession();
          });
          request.on('end', () => resolve(last));
        }),
      'an iteration over the request': async (request) => {
        for await (const _ of request);
        return cluster.currentSession();
      },
      'a pipeline from the request': async (request) => {
        const seen: (Session | undefined)[] = [];
        const sink = new Writable({
          write: (_chunk, _encoding, done) => {
            seen.push(cluster.currentSession());
            done();
          },
        });
        await pipeline(request, new PassThrough(), sink);
        return seen.every((one) => one === seen[0]) && seen[0] === cluster.currentSession() ? seen[0] : undefined;
      },
      'an emitter of its own': () =>
        new Promise((resolve) => {
          const emitter = new EventEmitter();
          emitter.on('now', () => resolve(cluster.currentSession()));
          setImmediate(() => emitter.emit('now'));
        }),
    };

    it.each(Object.entries(continuations))('survives %s', async (_name, resume) => {
      let isSame = false;
      const server = createServer(
        within(async (request, response, session) => {
          isSame = (await resume(request)) === session;
          response.end();
        }),
      );
      await slowPost(server, await listen(server), 'text/plain', ['one', 'two']);
      expect(isSame).toBe(true);
    });
  });

  describe('a subject', () => {
    it('makes one user’s token of no use to another', async () => {
      const url = await serve(profile(), { subject: (request) => request.headers['x-user'] as string });
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      await post(url, name, browser, { 'x-user': 'ada' });
      const cookie = `pg-ladder=${await browser.token(url)}`;
      const asUser = async (user: string) =>
        (await fetch(url, { headers: { cookie, ...(user === '' ? {} : { 'x-user': user }) } })).text();
      expect(await asUser('ada')).toBe(name);
      const before = cluster.stats().tokens.forged;
      expect(await asUser('bob')).not.toBe(name);
      expect(await asUser('')).not.toBe(name);
      expect(cluster.stats().tokens.forged).toBe(before + 2);
    });

    it('binds the mark of an answer without a position as well', async () => {
      const url = await serve(
        async (request, response, session) => {
          if (request.method !== 'POST') {
            await profile()(request, response, session);
            return;
          }
          await save(newName());
          servers.primary.link.halfOpen();
          response.end();
        },
        { subject: (request) => request.headers['x-user'] as string, positionTimeoutMillis: 0 },
      );
      const browser = new Browser();
      await browser.send(url, { method: 'POST', headers: { 'x-user': 'ada' } });
      servers.primary.link.restore();
      const roleFor = async (user: string) => {
        await browser.text(url, { headers: { 'x-user': user } });
        return lastRoute()?.role;
      };
      await caughtUp();
      expect(await roleFor('ada')).toBe('primary');
      await until('replicas are in use again', async () => (await roleFor('bob')) === 'replica');
      expect(await roleFor('ada')).toBe('primary');
    });

    it('without secrets is refused when the sessions are set up', async () => {
      const unsigned = await openOne({ secrets: [] });
      const refused = expect.objectContaining({
        code: 'LADDER_INVALID_OPTIONS',
        message: expect.stringContaining('subject'),
      });
      expect(() => httpSessions(unsigned, { subject: 'ada' })).toThrow(refused);
    });
  });

  describe('options', () => {
    it.each<[string, unknown]>([
      ['positionTimeoutMillis', { positionTimeoutMillis: 10_001 }],
      ['positionTimeoutMillis', { positionTimeoutMillis: '250' }],
      ['caching', { caching: 'public' }],
      ['header', { header: 'no header' }],
      ['cookie', { cookie: { name: 'a=b' } }],
      ['cookie', { cookie: { sameSite: 'Lax' } }],
      ['consistency', { consistency: 'sometimes' }],
      ['maxStalenessMillis', { maxStalenessMillis: -1 }],
      ['storeKey', { store: memoryTokenStore() }],
      ['storeKey', { storeKey: () => 'ada' }],
      ['store', { store: {}, storeKey: () => 'ada' }],
      ['cookies', { cookies: false }],
    ])('a wrong %s is named in the error', (name, options) => {
      const refused = expect.objectContaining({
        code: 'LADDER_INVALID_OPTIONS',
        message: expect.stringContaining(name),
      });
      expect(() => httpSessions(cluster, options as HttpSessionOptions)).toThrow(refused);
      expect(() => sessionMiddleware(cluster, options as HttpSessionOptions)).toThrow(refused);
    });

    it('production without secrets is refused, unless it is allowed or there is no cookie', async () => {
      const unsigned = await openOne({ secrets: [] });
      const before = process.env['NODE_ENV'];
      process.env['NODE_ENV'] = 'production';
      try {
        const refused = expect.objectContaining({
          code: 'LADDER_INVALID_OPTIONS',
          message: expect.stringContaining('secrets'),
        });
        expect(() => httpSessions(unsigned)).toThrow(refused);
        const app = fastify({ pluginTimeout: 1_000 });
        await expect(app.register(sessionPlugin, { cluster: unsigned }).ready()).rejects.toThrow(refused);
        expect(httpSessions(unsigned, { allowUnsigned: true })).toBeDefined();
        expect(httpSessions(unsigned, { cookie: false })).toBeDefined();
        expect(httpSessions(cluster)).toBeDefined();
      } finally {
        if (before === undefined) delete process.env['NODE_ENV'];
        else process.env['NODE_ENV'] = before;
      }
    });

    it('what a request asks for is found per request: partitionKey, consistency, maxStalenessMillis, priority', async () => {
      const header = (request: IncomingMessage, name: string) => request.headers[name] as never;
      const url = await serve(profile(), {
        partitionKey: (request) => header(request, 'x-tenant'),
        consistency: (request) => header(request, 'x-consistency'),
        maxStalenessMillis: (request) => Number(request.headers['x-staleness']) || undefined,
        priority: (request) => header(request, 'x-priority'),
      });
      const get = (headers: Record<string, string>) => fetch(url, { headers }).then((response) => response.text());
      await get({ 'x-tenant': 'acme', 'x-priority': 'high' });
      const first = lastRoute();
      expect(first).toMatchObject({ reason: 'partition' });
      for (let i = 0; i < 5; i++) await get({ 'x-tenant': 'acme' });
      expect(lastRoute()).toMatchObject({ reason: 'partition', node: first?.node });
      await get({});
      expect(lastRoute()?.reason).not.toBe('partition');
      await pauseAll();
      const name = newName();
      await save(name);
      expect(await get({})).not.toBe(name);
      expect(await get({ 'x-consistency': 'strong' })).toBe(name);
      expect(await get({ 'x-staleness': '0.001' })).toBe(name);
      expect(lastRoute()).toMatchObject({ reason: 'too-stale' });
    });

    it.each([
      ['wrongly', { priority: () => 'urgent' as never }],
      [
        'with what is found out only later, and then fails',
        { partitionKey: () => Promise.reject(new Error('no')) as never },
      ],
    ])('what a request asks for %s fails that request as its handler’s error would', async (_, options) => {
      const app = express();
      app.use(sessionMiddleware(cluster, options));
      app.get('/', (_request, response) => void response.end('never'));
      app.use(((error: { code: string }, _request, response, _next) => {
        response.status(500).end(error.code);
      }) satisfies express.ErrorRequestHandler);
      const response = await fetch(await listen(createServer(app)));
      expect([response.status, await response.text()]).toEqual([500, 'LADDER_INVALID_OPTIONS']);
    });

    it('what a route asks for wrongly is refused when it is set up', async () => {
      const refused = { code: 'LADDER_INVALID_OPTIONS', message: expect.stringContaining('partitionKey') };
      const options = { partitionKey: () => 'acme' } as never;
      expect(() => routeSession(cluster, options)).toThrow(expect.objectContaining(refused));
      const app = fastify();
      closers.push(() => app.close());
      app.register(sessionPlugin, { cluster });
      app.register(async (inner) => {
        inner.get('/', { config: { ladder: options } }, () => 'never');
      });
      await expect(app.ready()).rejects.toMatchObject(refused);
    });
  });

  describe('Express 5', () => {
    const serveApp = async (
      set: (app: express.Express) => void,
      options: HttpSessionOptions<express.Request> = {},
    ): Promise<{ url: string; server: Server }> => {
      const app = express();
      app.set('trust proxy', true);
      app.use(sessionMiddleware(cluster, options));
      set(app);
      const server = createServer(app);
      return { url: await listen(server), server };
    };
    const profileApp = (app: express.Express) => {
      app.post('/:name', async (request, response) => {
        await save(request.params.name);
        response.cookie('own', '1').redirect(303, '/');
      });
      app.get('/', async (_request, response) => {
        response.json({ name: await nameNow() });
      });
    };

    it('shows a browser its own write after a redirect, and keeps the application’s cookies', async () => {
      const { url } = await serveApp(profileApp);
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      const response = await post(url, name, browser);
      expect([response.status, response.headers.get('location')]).toEqual([303, '/']);
      expect((await browser.jar.getCookies(url)).map(({ key }) => key).sort()).toEqual(['own', 'pg-ladder']);
      expect(JSON.parse(await browser.text(url))).toEqual({ name });
      expect(JSON.parse(await new Browser().text(url))).not.toEqual({ name });
    });

    it('behind a proxy that speaks TLS the cookie is Secure', async () => {
      const { url } = await serveApp(profileApp);
      const response = await post(url, newName(), new Browser(), { 'x-forwarded-proto': 'https' });
      expect(response.headers.getSetCookie().at(-1)).toMatch(/^__Host-pg-ladder=.*; Secure/);
    });

    it.each([
      ['json', 'application/json', ['{"a":', '1}'], express.json()],
      ['urlencoded', 'application/x-www-form-urlencoded', ['a=', '1'], express.urlencoded({ extended: false })],
      ['raw', 'application/octet-stream', ['a', '1'], express.raw()],
      ['text', 'text/plain', ['a', '1'], express.text()],
    ])('knows the session after the %s body parser, while the body arrives', async (_name, type, parts, parser) => {
      let outer: Session | undefined;
      let isSame = false;
      const { url, server } = await serveApp((app) => {
        app.use((_request, _response, next) => {
          outer = cluster.currentSession();
          next();
        });
        app.use(parser);
        app.post('/', async (_request, response) => {
          isSame = outer !== undefined && cluster.currentSession() === outer;
          await save(newName());
          response.end();
        });
      });
      const { headers } = await slowPost(server, url, type, parts);
      expect(isSame).toBe(true);
      expect(headers['set-cookie']).toHaveLength(1);
    });

    it('answers of error handlers carry what was written before', async () => {
      const { url } = await serveApp((app) => {
        profileApp(app);
        app.put('/:name', async (request) => {
          await save(request.params.name);
          throw new Error('after the write');
        });
        app.patch('/:name', async (request, response) => {
          await save(request.params.name);
          response.write('begun, ');
          setImmediate(() => response.destroy());
        });
        app.use(((error: Error, _request, response, _next) => {
          response.status(418).end(error.message);
        }) satisfies express.ErrorRequestHandler);
      });
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      const response = await browser.send(`${url}/${encodeURIComponent(name)}`, { method: 'PUT' });
      expect([response.status, await response.text()]).toEqual([418, 'after the write']);
      expect(JSON.parse(await browser.text(url))).toEqual({ name });
      await expect(browser.send(`${url}/x`, { method: 'PATCH' }).then((broken) => broken.text())).rejects.toThrow();
    });

    it('may be mounted twice', async () => {
      const { url } = await serveApp((app) => {
        app.use(sessionMiddleware(cluster));
        app.use(express.json());
        app.post('/:name', async (request, response) => {
          await save(request.params.name);
          response.json(request.body);
        });
        profileApp(app);
      });
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      const response = await browser.send(`${url}/${encodeURIComponent(name)}`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: '{"a":1}',
      });
      expect(await response.json()).toEqual({ a: 1 });
      expect(tokensIn(response)).toHaveLength(1);
      expect(JSON.parse(await browser.text(url))).toEqual({ name });
    });

    it('what a route asks for holds for the events of its request’s body, too', async () => {
      const sessions: (Session | undefined)[] = [];
      const { server, url } = await serveApp((app) => {
        app.post('/', routeSession(cluster, { consistency: 'strong' }), (request, response) => {
          sessions.push(cluster.currentSession());
          request.resume();
          request.on('end', () => {
            sessions.push(cluster.currentSession());
            response.end();
          });
        });
      });
      await slowPost(server, url, 'text/plain', ['a', 'b']);
      expect(sessions).toHaveLength(2);
      expect(sessions[1]).toBe(sessions[0]);
    });

    it('takes what a route or a request asks for', async () => {
      const { url } = await serveApp(
        (app) => {
          app.get('/strong', routeSession(cluster, { consistency: 'strong' }), async (_request, response) => {
            response.end(await nameNow());
          });
          app.get('/keyed', routeSession(cluster, { partitionKey: 'acme' }), async (_request, response) => {
            response.end(await nameNow());
          });
          app.post('/keyed/:name', routeSession(cluster, { partitionKey: 'acme' }), async (request, response) => {
            await save(request.params['name'] as string);
            response.end();
          });
          profileApp(app);
        },
        { partitionKey: (request) => request.query['tenant'] as string | undefined },
      );
      await new Browser().text(`${url}/keyed`);
      expect(lastRoute()?.reason).toBe('partition');
      await new Browser().text(`${url}/?tenant=acme`);
      expect(lastRoute()?.reason).toBe('partition');
      await new Browser().text(url);
      expect(lastRoute()?.reason).not.toBe('partition');
      await pauseAll();
      const [name, browser] = [newName(), new Browser()];
      // What is written in a route's own session is the request's.
      await browser.send(`${url}/keyed/${encodeURIComponent(name)}`, { method: 'POST' });
      expect(await new Browser().text(`${url}/strong`)).toBe(name);
      expect(JSON.parse(await browser.text(url))).toEqual({ name });
      expect(JSON.parse(await new Browser().text(url))).not.toEqual({ name });
    });
  });

  describe('Fastify 5', () => {
    const serveApp = async (
      set: (app: FastifyInstance) => void,
      options: HttpSessionOptions<fastify.FastifyRequest> = {},
    ): Promise<{ url: string; app: FastifyInstance }> => {
      const app = fastify({ trustProxy: true, forceCloseConnections: true });
      closers.push(() => app.close());
      app.register(sessionPlugin, { cluster, ...options });
      set(app);
      return { url: await app.listen({ port: 0, host: '127.0.0.1' }), app };
    };
    const profileApp = (app: FastifyInstance) => {
      app.post<{ Params: { name: string } }>('/:name', async (request, reply) => {
        await save(request.params.name);
        return reply.header('set-cookie', 'own=1').redirect('/', 303);
      });
      app.get('/', async () => ({ name: await nameNow() }));
    };

    it('shows a browser its own write after a redirect, and keeps the application’s cookies', async () => {
      const { url } = await serveApp(profileApp);
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      const response = await post(url, name, browser);
      expect([response.status, response.headers.get('location')]).toEqual([303, '/']);
      expect((await browser.jar.getCookies(url)).map(({ key }) => key).sort()).toEqual(['own', 'pg-ladder']);
      expect(JSON.parse(await browser.text(url))).toEqual({ name });
      expect(JSON.parse(await new Browser().text(url))).not.toEqual({ name });
    });

    it('behind a proxy that speaks TLS the cookie is Secure', async () => {
      const { url } = await serveApp(profileApp);
      const response = await post(url, newName(), new Browser(), { 'x-forwarded-proto': 'https' });
      expect(response.headers.getSetCookie().at(-1)).toMatch(/^__Host-pg-ladder=.*; Secure/);
    });

    it.each([
      ['application/json', ['{"a":', '1}']],
      ['text/plain', ['a', '1']],
      ['application/x-www-form-urlencoded', ['a=', '1']],
    ])('knows the session after a body of %s has arrived, and in request.ladder', async (type, parts) => {
      const seen: (Session | undefined)[] = [];
      const { url, app } = await serveApp((own) => {
        own.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
          done(null, body);
        });
        own.addHook('preHandler', async () => {
          seen.push(cluster.currentSession());
        });
        own.post('/', async (request) => {
          seen.push(cluster.currentSession(), request.ladder);
          await save(newName());
          return 'saved';
        });
      });
      const { headers } = await slowPost(app.server, url, type, parts);
      expect(seen[0]).toBeDefined();
      expect(seen).toEqual([seen[0], seen[0], seen[0]]);
      expect(headers['set-cookie']).toHaveLength(1);
    });

    it('knows the session in a content-type parser that reads the request itself', async () => {
      const seen: (Session | undefined)[] = [];
      const { url, app } = await serveApp((own) => {
        own.addContentTypeParser('text/csv', async (_request: unknown, payload: IncomingMessage) => {
          for await (const _ of payload) seen.push(cluster.currentSession());
          return 'parsed';
        });
        own.post('/', async (request) => {
          seen.push(request.ladder);
          return request.body;
        });
      });
      await slowPost(app.server, url, 'text/csv', ['a,', 'b']);
      expect(seen.length).toBeGreaterThan(1);
      expect(seen.every((one) => one === seen.at(-1))).toBe(true);
    });

    it('answers of error handlers carry what was written before, and what they write themselves', async () => {
      const { url, app } = await serveApp((own) => {
        profileApp(own);
        own.put<{ Params: { name: string } }>('/:name', async (request) => {
          await save(request.params.name);
          throw new Error('after the write');
        });
        own.setErrorHandler(async (error: Error & { statusCode?: number }, _request, reply) => {
          if (error.statusCode === 400) await cluster.write("insert into notes values ('bad body')");
          return reply.status(error.statusCode ?? 418).send(error.message);
        });
        own.setNotFoundHandler(async (_request, reply) => {
          await cluster.write("insert into notes values ('not found')");
          return reply.status(404).send('nothing');
        });
      });
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      const response = await browser.send(`${url}/${encodeURIComponent(name)}`, { method: 'PUT' });
      expect([response.status, await response.text()]).toEqual([418, 'after the write']);
      expect(JSON.parse(await browser.text(url))).toEqual({ name });
      expect(tokensIn(await fetch(`${url}/none/there`))).toHaveLength(1);
      const bad = await slowPost(app.server, `${url}/x`, 'application/json', ['{"a":', 'x']);
      expect(bad.status).toBe(400);
      expect(bad.headers['set-cookie']).toHaveLength(1);
    });

    it('sends streams, HEAD and hijacked answers', async () => {
      const piece = randomBytes(200_000);
      const { url } = await serveApp((app) => {
        app.get('/stream', async (_request, reply) => {
          await save(newName());
          return reply.type('application/octet-stream').send(Readable.from([piece, piece]));
        });
        app.get('/hijacked', async (_request, reply) => {
          await save(newName());
          reply.hijack();
          reply.raw.writeHead(200, { 'Content-Type': 'text/event-stream' });
          reply.raw.end('data: one\n\n');
        });
      });
      const streamed = await fetch(`${url}/stream`);
      expect(Buffer.from(await streamed.arrayBuffer()).equals(Buffer.concat([piece, piece]))).toBe(true);
      const hijacked = await fetch(`${url}/hijacked`);
      expect(await hijacked.text()).toBe('data: one\n\n');
      const head = await fetch(`${url}/stream`, { method: 'HEAD' });
      expect(await head.text()).toBe('');
      for (const response of [streamed, hijacked, head]) expect(tokensIn(response)).toHaveLength(1);
    });

    it('takes what a route or a request asks for', async () => {
      const { url } = await serveApp(
        (app) => {
          app.get('/strong', { config: { ladder: { consistency: 'strong' } } }, () => nameNow());
          app.get('/keyed', { config: { ladder: { partitionKey: 'acme' } } }, () => nameNow());
          app.post<{ Params: { name: string } }>(
            '/keyed/:name',
            { config: { ladder: { partitionKey: 'acme' } } },
            async (request) => {
              await request.ladder.write('update names set name = $1 where id = 1', [request.params.name]);
              return 'saved';
            },
          );
          profileApp(app);
        },
        { partitionKey: (request) => (request.query as { tenant?: string }).tenant },
      );
      await new Browser().text(`${url}/keyed`);
      expect(lastRoute()?.reason).toBe('partition');
      await new Browser().text(`${url}/?tenant=acme`);
      expect(lastRoute()?.reason).toBe('partition');
      await new Browser().text(url);
      expect(lastRoute()?.reason).not.toBe('partition');
      await pauseAll();
      const [name, browser] = [newName(), new Browser()];
      await browser.send(`${url}/keyed/${encodeURIComponent(name)}`, { method: 'POST' });
      expect(await new Browser().text(`${url}/strong`)).toBe(name);
      expect(JSON.parse(await browser.text(url))).toEqual({ name });
      expect(JSON.parse(await new Browser().text(url))).not.toEqual({ name });
    });

    it('holds for the whole application, also for what was registered before', async () => {
      const app = fastify();
      closers.push(() => app.close());
      const write = async () => {
        await save(newName());
        return 'saved';
      };
      app.post('/before', write);
      app.register((inner, _options, done) => {
        inner.post('/inner', write);
        done();
      });
      app.register(sessionPlugin, { cluster });
      app.register((inner, _options, done) => {
        inner.post('/after', write);
        done();
      });
      const url = await app.listen({ port: 0, host: '127.0.0.1' });
      const told = await Promise.all(
        ['/before', '/inner', '/after'].map(async (path) => [
          path,
          tokensIn(await fetch(url + path, { method: 'POST' })).length,
        ]),
      );
      expect(told).toEqual([
        ['/before', 1],
        ['/inner', 1],
        ['/after', 1],
      ]);
    });

    it('works with inject(), as tests of applications do', async () => {
      const { app } = await serveApp(profileApp);
      const response = await app.inject({ method: 'POST', url: '/Ines' });
      expect(response.statusCode).toBe(303);
      expect([response.headers['set-cookie']].flat()).toHaveLength(2);
    });
  });

  describe('tokens from strangers', () => {
    /** Runs a read within a request that never came over a wire: Node's own limits on heads are in nobody's way. */
    const readWith = async (headers: IncomingHttpHeaders, on = cluster, options: HttpSessionOptions = {}) => {
      const request = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', headers });
      const response = new ServerResponse(request);
      await httpSessions(on, options).run(request, response, () => nameNow(on));
      const route = lastRoute();
      response.end();
      expect(response.getHeaders()).toEqual({});
      return route;
    };

    it('fail no request, move their counter, pin nothing, and are in no event', async () => {
      const told: unknown[] = [];
      for (const event of ['route', 'query', 'node', 'warning', 'tokenLost'] as const) {
        cluster.events.on(event, (payload: unknown) => told.push(payload));
      }
      const honest = await tokenOf(newName());
      await caughtUp();
      await until('a replica has it', async () => (await readWith({}))?.role === 'replica');
      const position = positionIn(honest);
      const codec = new TokenCodec([SECRET], LIFETIME_MILLIS);
      const now = Date.now();
      const stranger = `${String(BigInt(position.clusterId) + 1n)}`;
      const replayed = codec.encode(position, now, 'bob');
      const subject = { subject: 'ada' };
      const cases: [keyof ReturnType<Cluster['stats']>['tokens'], string, string, HttpSessionOptions?][] = [
        ['forged', 'forged', honest.slice(0, 40) + (honest[40] === '0' ? '1' : '0') + honest.slice(41)],
        ['forged', 'replayed by another', replayed, subject],
        ['forged', 'nobody’s', honest, subject],
        [
          'forged',
          'of a wrong key',
          new TokenCodec(['another secret of tests'], LIFETIME_MILLIS).encode(position, now),
        ],
        ['expired', 'expired', codec.encode(position, now - LIFETIME_MILLIS - 1)],
        ['expired', 'expired mark', codec.encodePrimaryOnly(now - LIFETIME_MILLIS - 1)],
        ['malformed', 'truncated', honest.slice(0, -1)],
        ['malformed', 'unsigned', honest.slice(0, 52)],
        ['malformed', 'of 1 MB', 'f'.repeat(1_000_000)],
        ['foreign', 'of another cluster', codec.encode({ ...position, clusterId: stranger }, now)],
        ['ahead', 'ahead of the primary', codec.encode({ ...position, lsn: position.lsn + 2n ** 40n }, now)],
      ];
      for (const [counter, what, token, options] of cases) {
        for (const headers of [{ cookie: `pg-ladder=${token}` }, { 'pg-ladder-token': token }]) {
          const before = cluster.stats().tokens[counter];
          const route = await readWith(headers, cluster, options);
          const moved = cluster.stats().tokens[counter] - before;
          expect({ what, moved }).toEqual({ what, moved: 1 });
          // One that may be true is asked about once.
          if (counter !== 'ahead') expect({ what, role: route?.role }).toEqual({ what, role: 'replica' });
        }
      }
      const duplicate = `pg-ladder=${honest}; pg-ladder=${honest}; pg-ladder=${honest}`;
      const before = { ...cluster.stats().tokens };
      await readWith({ cookie: duplicate, 'pg-ladder-token': `${honest},${honest}` });
      expect(cluster.stats().tokens).toEqual(before);
      await readWith({});
      expect(lastRoute()).toMatchObject({ role: 'replica' });
      const all = JSON.stringify([told, warnings]);
      for (const [, , token] of cases) {
        expect(all).not.toContain(token.slice(0, 52));
        expect(all).not.toContain(token.slice(25, 52));
      }
    });

    it('of 1 MB of separators and thousands of cookies cost no time', async () => {
      const startedAt = performance.now();
      await readWith({ cookie: 'pg-ladder=.;'.repeat(90_000) });
      await readWith({ 'pg-ladder-token': '. '.repeat(500_000) });
      await readWith({ 'pg-ladder-token': `.${' '.repeat(1_000_000)}` });
      await readWith({ cookie: `${';'.repeat(500_000)}pg-ladder=x` });
      expect(performance.now() - startedAt).toBeLessThan(2_000);
    });

    it('without secrets, a mark from the future pins nobody for longer than a token lives', async () => {
      const unsigned = await openOne({ secrets: [] });
      unsigned.events.on('route', (event) => routes.push(event));
      const mark = new TokenCodec([], LIFETIME_MILLIS).encodePrimaryOnly(Date.now() + 10 * LIFETIME_MILLIS);
      expect(await readWith({ cookie: `pg-ladder=${mark}` }, unsigned)).toMatchObject({ role: 'replica' });
    });

    it('are random bytes and never throw', async () => {
      const count = size(10_000, 100_000);
      const sessions = httpSessions(cluster);
      const before = cluster.stats().tokens;
      const random = () => randomBytes(1 + Math.floor(Math.random() * 120)).toString('latin1');
      for (let i = 0; i < count; i++) {
        const headers = { cookie: `a=1; pg-ladder=${random()}; ${random()}`, 'pg-ladder-token': random() };
        const request = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', headers });
        void sessions.runDetached(request, (session) => session.observe(random()));
      }
      const { malformed, forged, expired } = cluster.stats().tokens;
      expect(malformed - before.malformed).toBeGreaterThanOrEqual(count);
      expect([forged, expired]).toEqual([before.forged, before.expired]);
    });
  });

  it('leaves no session, timer, listener or statement behind after 200 requests of which many are aborted', async () => {
    const sessionRefs: WeakRef<Session>[] = [];
    const piece = Buffer.alloc(50_000, 'x');
    const server = createServer(
      within(async (request, response, session) => {
        sessionRefs.push(new WeakRef(session));
        const write = cluster.write("insert into notes values ('load')");
        if (request.url !== '/3') await write;
        await nameNow();
        if (request.url === '/0') response.end('short');
        else if (request.url === '/1') await pipeline(Readable.from([piece, piece]), response).catch(() => {});
        else Readable.from([piece, piece]).pipe(response);
        await write;
      }),
    );
    const url = await listen(server);
    const agent = new Agent();
    const one = (i: number, abortAfter: number) =>
      new Promise<void>((resolve) => {
        const request: ClientRequest = requestOf(`${url}/${i % 4}`, { agent });
        request.on('response', (response) => response.resume().on('error', () => {}));
        request.on('error', () => {});
        request.on('close', resolve);
        if (abortAfter >= 0) setTimeout(() => request.destroy(), abortAfter);
        request.end();
      });
    const load = async (count: number) => {
      for (let at = 0; at < count; at += 20) {
        await Promise.all(
          Array.from({ length: 20 }, (_, i) => one(at + i, Math.random() < 0.6 ? Math.random() * 50 : -1)),
        );
      }
      agent.destroy();
      await until('all connections are gone', async () => (await connectionsOf(server)) === 0);
      await until('nothing is under way', () =>
        cluster.stats().nodes.every(({ inFlight, pool }) => inFlight === 0 && pool.waitingCount === 0),
      );
    };
    const figures = () => ({
      // Each idle connection of a pool has a timer of its own.
      timers:
        process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length -
        cluster.stats().nodes.reduce((sum, { pool }) => sum + pool.idleCount, 0),
      listeners: cluster.events.eventNames().reduce((sum, name) => sum + cluster.events.listenerCount(name), 0),
      sockets: server.listenerCount('request') + server.listenerCount('close') + server.listenerCount('connection'),
    });
    // Answers are held for a while, and some are aborted meanwhile.
    servers.primary.link.delay(10);
    await load(40);
    const before = figures();
    await load(200);
    await until('no timer is left', () => figures().timers <= before.timers);
    expect(figures()).toMatchObject({ listeners: before.listeners, sockets: before.sockets });
    expect(sessionRefs.length).toBeGreaterThan(120);
    setFlagsFromString('--expose_gc');
    const collect = runInNewContext('gc') as () => void;
    // A connection lives in the async context that it was opened in, so that its session may stay as long.
    const open = cluster.stats().nodes.reduce((sum, { pool, lane }) => sum + pool.totalCount + lane.connectionCount, 0);
    await until('the sessions are collected', () => {
      collect();
      return sessionRefs.filter((ref) => ref.deref() !== undefined).length <= open + 10;
    });
  });
});

/** POST with a body that comes in parts: the later ones when the server is already at work on the request. */
async function slowPost(
  server: { once(event: 'request', listener: () => void): unknown },
  url: string,
  type: string,
  [first = '', ...others]: readonly string[],
): Promise<{ status: number; headers: IncomingHttpHeaders }> {
  const length = Buffer.byteLength([first, ...others].join(''));
  const request = requestOf(url, { method: 'POST', headers: { 'Content-Type': type, 'Content-Length': length } });
  const begun = new Promise<void>((resolve) => server.once('request', resolve));
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  request.write(first);
  await begun;
  request.end(others.join(''));
  const [response] = await answered;
  response.resume();
  await once(response, 'end');
  request.destroy();
  return { status: response.statusCode ?? 0, headers: response.headers };
}

async function answerOf2(
  url: string,
  headers: Record<string, string> = {},
): Promise<{ headers: IncomingHttpHeaders & { ':status'?: number }; body: string; bytes: Buffer }> {
  const client = connect2(url, { rejectUnauthorized: false });
  try {
    const stream = client.request({ ':path': '/', ...headers });
    const failed = Promise.race([once(client, 'close'), once(stream, 'close')]).then(() => {
      throw new Error('closed without an answer');
    });
    failed.catch(() => {});
    stream.end();
    const [received] = (await Promise.race([once(stream, 'response'), failed])) as [IncomingHttpHeaders];
    const bytes = Buffer.concat((await stream.toArray()) as Buffer[]);
    return { headers: received, body: String(bytes), bytes };
  } finally {
    client.destroy();
  }
}

async function cookieOverTls(url: string): Promise<string[] | undefined> {
  const { request } = await import('node:https');
  const sent = request(`${url}/Tim`, { method: 'POST', rejectUnauthorized: false, agent: false }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.resume();
  await once(response, 'end');
  return response.headers['set-cookie'];
}

const connectionsOf = (server: Server) =>
  new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)));

/** A certificate for nobody, by nobody: node:crypto reads them and makes none. */
function selfSigned(): { key: string; cert: string } {
  const der = (tag: number, ...parts: Buffer[]): Buffer => {
    const body = Buffer.concat(parts);
    const length = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 255];
    return Buffer.concat([Buffer.from([tag, ...length]), body]);
  };
  const hex = (text: string) => Buffer.from(text, 'hex');
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ecdsaWithSha256 = der(0x30, hex('06082a8648ce3d040302'));
  const name = der(0x30, der(0x31, der(0x30, hex('0603550403'), der(0x0c, Buffer.from('tests')))));
  const validity = der(0x30, der(0x17, Buffer.from('200101000000Z')), der(0x17, Buffer.from('491231235959Z')));
  const version = hex('a003020102');
  const serial = hex('020101');
  const key = publicKey.export({ type: 'spki', format: 'der' });
  const body = der(0x30, version, serial, ecdsaWithSha256, name, validity, name, key);
  const signature = der(0x03, hex('00'), sign('sha256', body, privateKey));
  const cert = der(0x30, body, ecdsaWithSha256, signature).toString('base64');
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${cert.match(/.{1,64}/g)?.join('\n')}\n-----END CERTIFICATE-----\n`,
  };
}
