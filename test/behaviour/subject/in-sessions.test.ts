import { createServer } from 'node:http';
import express from 'express';
import fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { routeSession, sessionMiddleware } from '../../../src/http/express.js';
import { sessionPlugin } from '../../../src/http/fastify.js';
import {
  app,
  closers,
  cluster,
  type Known,
  knowsUsers,
  listen,
  nameNow,
  newName,
  save,
  subject,
} from './known-users.js';

knowsUsers();

describe('the subject of a request', () => {
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
