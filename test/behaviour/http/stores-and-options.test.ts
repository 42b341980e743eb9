import { EventEmitter } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { PassThrough, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import express from 'express';
import fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { routeSession, sessionMiddleware } from '../../../src/http/express.js';
import { sessionPlugin } from '../../../src/http/fastify.js';
import { type HttpSessionOptions, httpSessions, memoryTokenStore, orderOf } from '../../../src/http/sessions.js';
import type { Session } from '../../../src/index.js';
import { RunningClock } from '../fixture.js';
import {
  Browser,
  closers,
  cluster,
  codes,
  lastRoute,
  listen,
  newName,
  openOne,
  pauseAll,
  post,
  profile,
  save,
  serve,
  servers,
  servesRequests,
  slowPost,
  tokensIn,
  within,
} from './served.js';

servesRequests();

describe('sessions that travel with requests', () => {
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
      const clock = new RunningClock();
      const response = await post(url, name, browser);
      expect(clock.now()).toBeLessThan(1_000);
      clock.stop();
      expect(response.status).toBe(200);
      expect(await browser.text(url)).toBe(name);
    });
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
});
