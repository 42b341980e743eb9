import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import fastify, { type FastifyInstance } from 'fastify';
import { describe, expect, it } from 'vitest';
import { sessionPlugin } from '../../../src/http/fastify.js';
import type { HttpSessionOptions } from '../../../src/http/sessions.js';
import type { Session } from '../../../src/index.js';
import {
  Browser,
  closers,
  cluster,
  lastRoute,
  nameNow,
  newName,
  pauseAll,
  post,
  save,
  servesRequests,
  slowPost,
  tokensIn,
} from './served.js';

servesRequests();

describe('sessions that travel with requests', () => {
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
});
