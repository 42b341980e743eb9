import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import express from 'express';
import fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { sessionMiddleware } from '../../../src/http/express.js';
import { sessionPlugin } from '../../../src/http/fastify.js';
import { type HttpSessionOptions, httpSessions, memoryTokenStore } from '../../../src/http/sessions.js';
import { until } from '../fixture.js';
import {
  app,
  closers,
  cluster,
  type Known,
  knowsUsers,
  listen,
  newName,
  routes,
  subject,
  warnings,
} from './known-users.js';

type Options = HttpSessionOptions<never>;

const doors: [string, (options: Options) => Promise<string>][] = [
  [
    'plain Node',
    (options) => {
      const sessions = httpSessions(cluster, options as HttpSessionOptions);
      const listener: RequestListener = (request, response) => {
        const path = request.url ?? '';
        const answer = async () => {
          const early = await app.early(path);
          app.authenticate(request as Known & IncomingMessage);
          response.setHeader('x-early', early).end(await app.handle(request as Known, path));
        };
        void sessions.run(request, response, () =>
          answer().catch((error: { code?: string }) => response.writeHead(500).end(error.code)),
        );
      };
      return listen(createServer(listener));
    },
  ],
  [
    'Express 5',
    (options) => {
      const own = express();
      own.use(sessionMiddleware(cluster, options as HttpSessionOptions));
      own.use(async (request, response, next) => {
        response.setHeader('x-early', await app.early(request.path));
        app.authenticate(request as Known & express.Request);
        next();
      });
      own.use(async (request, response) => {
        response.end(await app.handle(request as Known, request.path));
      });
      own.use(((error: { code?: string }, _request, response, _next) => {
        response.status(500).end(error.code);
      }) satisfies express.ErrorRequestHandler);
      return listen(createServer(own));
    },
  ],
  [
    'Fastify 5',
    async (options) => {
      const own = fastify({ forceCloseConnections: true });
      closers.push(() => own.close());
      own.register(sessionPlugin, { cluster, ...(options as object) });
      own.addHook('preHandler', async (request, reply) => {
        reply.header('x-early', await app.early(request.url));
        app.authenticate(request as Known & typeof request);
      });
      own.all('/*', (request) => app.handle(request as Known, request.url));
      own.setErrorHandler((error: { code?: string }, _request, reply) => reply.status(500).send(error.code));
      return own.listen({ port: 0, host: '127.0.0.1' });
    },
  ],
];

knowsUsers();

describe('the subject of a request', () => {
  describe.each(doors)('on %s', (_door, serve) => {
    const send = async (url: string, path: string, user?: string, cookie?: string) => {
      const headers = {
        ...(user === undefined ? {} : { 'x-user': user }),
        ...(cookie === undefined ? {} : { cookie }),
      };
      const response = await fetch(`${url}/${path}`, { headers });
      const set = response.headers.getSetCookie()[0]?.split(';')[0];
      return {
        status: response.status,
        text: await response.text(),
        cookie: set,
        early: response.headers.get('x-early'),
      };
    };

    it('is found after authentication: no other user, and nobody, gets anything by a user’s token', async () => {
      const url = await serve({ subject });
      const name = newName();
      const { cookie } = await send(url, `save/${name}`, 'ada');
      expect((await send(url, '', 'ada', cookie)).text).toBe(name);
      const before = cluster.stats().tokens.forged;
      expect((await send(url, '', 'bob', cookie)).text).not.toBe(name);
      expect(warnings).toEqual([]);
      for (let i = 0; i < 3; i++) expect((await send(url, '', undefined, cookie)).text).not.toBe(name);
      expect(cluster.stats().tokens.forged).toBe(before + 4);
      expect(routes.slice(-4).map(({ role }) => role)).toEqual(['replica', 'replica', 'replica', 'replica']);
      // Once, and not with every request.
      expect(warnings.map(({ code }) => code)).toEqual(['subject']);
    });

    it.each([undefined, null, ''])('that is %s is nobody', async (nobody) => {
      const url = await serve({ subject: (request: Known) => request.user?.id ?? nobody });
      const name = newName();
      const { cookie } = await send(url, `save/${name}`, 'ada');
      expect((await send(url, '', undefined, cookie)).text).not.toBe(name);
      expect(warnings.map(({ code }) => code)).toEqual(['subject']);
    });

    it('who has just logged in still sees what he wrote as a visitor, and what his login wrote', async () => {
      const url = await serve({ subject });
      const name = newName();
      const visitor = await send(url, `save/${name}`);
      // Where a login writes nothing by us, the visitor's token is all that the browser has.
      expect((await send(url, '', 'ada', visitor.cookie)).text).toBe(name);
      const login = await send(url, 'login/ada', undefined, visitor.cookie);
      expect(login.cookie).not.toBe(visitor.cookie);
      expect((await send(url, '', 'ada', login.cookie)).text).toBe(name);
      expect((await send(url, '', 'bob', login.cookie)).text).not.toBe(name);
    });

    it('that is known only after the first read holds for the reads after it', async () => {
      const url = await serve({ subject });
      const name = newName();
      const { cookie } = await send(url, `save/${name}`, 'ada');
      const { early, text } = await send(url, 'early', 'ada', cookie);
      expect(early).not.toBe(name);
      expect(text).toBe(name);
      expect(warnings.map(({ code }) => code)).toEqual(['subject']);
    });

    it('that is asked for by nothing is not asked for', async () => {
      let askedCount = 0;
      const count = () => {
        askedCount++;
        return 'ada';
      };
      const url = await serve({ subject: count, consistency: 'eventual' });
      await send(url, '', 'ada', `pg-ladder=${'0'.repeat(95)}`);
      expect(askedCount).toBe(0);
    });

    it.each<[string, () => unknown]>([
      ['a number', () => 7],
      ['a promise', () => Promise.reject(new Error('later'))],
      ['far too long', () => 'x'.repeat(1_025)],
      [
        'an error',
        () => {
          throw Object.assign(new Error('no user'), { code: 'LADDER_INVALID_OPTIONS' });
        },
      ],
    ])(
      'that is %s fails the read that needs it, and leaves the answer of a write without a token',
      async (_, found) => {
        const url = await serve({ subject: found as never });
        const token = await cluster.session((session) => session.token());
        expect(await send(url, '', 'ada', `pg-ladder=${token}`)).toMatchObject({
          status: 500,
          text: 'LADDER_INVALID_OPTIONS',
        });
        const saved = await send(url, `save/${newName()}`, 'ada');
        expect(saved).toMatchObject({ status: 200, cookie: undefined });
        expect(warnings.map(({ code }) => code)).toEqual(['subject']);
      },
    );

    it('may be found by the store’s key as well, which says when that is found too late', async () => {
      const store = memoryTokenStore();
      const url = await serve({ cookie: false, store, storeKey: subject as never });
      const name = newName();
      await send(url, `save/${name}`, 'ada');
      await until('the store has it', async () => (await store.get('ada')) !== undefined);
      expect(warnings.map(({ code }) => code)).toEqual(['token-store']);
    });
  });
});
