/**
 * Whom a token is for, where authentication runs after the session was opened, as it does in most applications: no user's token counts for another, nor for nobody;
 * and whoever logs in keeps seeing what he wrote before.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import fastify from 'fastify';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { routeSession, sessionMiddleware } from '../../src/http/express.js';
import { sessionPlugin } from '../../src/http/fastify.js';
import { type HttpSessionOptions, httpSessions, memoryTokenStore } from '../../src/http/sessions.js';
import type { Cluster, RouteEvent, WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, until } from './fixture.js';

interface Known {
  user?: { readonly id: string };
}
type Options = HttpSessionOptions<never>;

/** What the application does, whatever it is built with. */
interface App {
  /** Before authentication: what a session store would do. */
  early(path: string): Promise<string>;
  /** Authentication itself: whoever says who he is, is that. */
  authenticate(request: Known & { headers: IncomingMessage['headers'] }): void;
  /** A login, a page, or something that is saved. */
  handle(request: Known, path: string): Promise<string>;
}

describe('the subject of a request', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let warnings: WarningEvent[];
  let routes: RouteEvent[];
  let closers: (() => unknown)[];
  let nameCount = 0;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    cluster = await open(servers, { secrets: ['a secret of the tests'] });
    await cluster.write('create table names (id int primary key, name text not null)');
    await cluster.write("insert into names values (1, 'nobody')");
    cluster.events.on('warning', (event) => warnings.push(event));
    cluster.events.on('route', (event) => routes.push(event));
  });
  afterAll(async () => {
    await cluster.close();
    await servers.stop();
  });
  beforeEach(async () => {
    [warnings, routes, closers] = [[], [], []];
    await servers.replicas[0]?.waitForReplay();
    await servers.replicas[0]?.pauseReplay();
  });
  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    await servers.replicas[0]?.resumeReplay();
  });

  const newName = () => `name ${++nameCount}`;
  const save = (name: string) => cluster.write('update names set name = $1 where id = 1', [name]);
  const nameNow = async () =>
    (await cluster.read<{ name: string }>('select name from names where id = 1')).rows[0]?.name ?? '';
  const app: App = {
    early: async (path) => (path.startsWith('/early') ? nameNow() : ''),
    authenticate: (request) => {
      const { 'x-user': id } = request.headers;
      if (typeof id === 'string') request.user = { id };
    },
    handle: async (request, path) => {
      const [, what = '', value = ''] = path.split('/');
      if (what === 'save') await save(decodeURIComponent(value));
      if (what !== 'login') return nameNow();
      // As passport does it: the user is looked up before anybody is known, and what is kept of the login is written.
      await nameNow();
      request.user = { id: value };
      await cluster.write('update names set name = name where id = 1');
      return 'welcome';
    },
  };
  const subject = (request: Known) => request.user?.id;

  async function listen(server: Server): Promise<string> {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    closers.push(async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    });
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

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

  it('is found after authentication by what a route asks for, too, which begins before that', async () => {
    const own = express();
    own.use(sessionMiddleware(cluster, { subject: subject as never }));
    own.use(routeSession(cluster, { priority: 'high' }));
    own.use(async (request, response) => {
      app.authenticate(request as Known & express.Request);
      response.end(await app.handle(request as Known, request.path));
    });
    const other = fastify({ forceCloseConnections: true });
    closers.push(() => other.close());
    other.register(sessionPlugin, { cluster, subject: subject as never });
    other.addHook('preHandler', async (request) => app.authenticate(request as Known & typeof request));
    other.all('/*', { config: { ladder: { priority: 'high' } } }, (request) =>
      app.handle(request as Known, request.url),
    );
    const urls = [await listen(createServer(own)), await other.listen({ port: 0, host: '127.0.0.1' })];
    for (const url of urls) {
      const name = newName();
      const saved = await fetch(`${url}/save/${name}`, { headers: { 'x-user': 'ada' } });
      const cookie = saved.headers.getSetCookie()[0]?.split(';')[0] ?? '';
      const textFor = async (user: string) => {
        const response = await fetch(url, { headers: { cookie, 'x-user': user } });
        // A reader who has it gets no token anew.
        expect(response.headers.getSetCookie()).toEqual([]);
        return response.text();
      };
      expect(await textFor('ada')).toBe(name);
      expect(await textFor('bob')).not.toBe(name);
    }
  });

  describe('of a session', () => {
    const tokenFor = (whom: string | (() => string | undefined) | undefined, name: string) =>
      cluster.session(
        async (session) => {
          await save(name);
          return session.token();
        },
        { inherit: 'none', subject: whom },
      );

    it('may be a function, which is asked anew for each token, and by nested sessions too', async () => {
      const name = newName();
      const token = await tokenFor('ada', name);
      let whom: string | undefined;
      await cluster.session(
        async (session) => {
          session.observe(token);
          expect(await nameNow()).not.toBe(name);
          whom = 'ada';
          session.observe(token);
          await cluster.session(async () => expect(await nameNow()).toBe(name));
          const [own] = [await session.token()];
          const read = () => cluster.session(nameNow, { inherit: 'none', subject: 'ada', token: own });
          expect(await read()).toBe(name);
        },
        { inherit: 'none', subject: () => whom },
      );
    });

    it('that is plain text takes no token of nobody', async () => {
      const name = newName();
      const token = await tokenFor(undefined, name);
      const read = (whom: string | (() => string)) =>
        cluster.session(nameNow, { inherit: 'none', subject: whom, token });
      expect(await read('ada')).not.toBe(name);
      expect(await read(() => 'ada')).toBe(name);
    });
  });
});
