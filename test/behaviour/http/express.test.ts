import { createServer, type Server } from 'node:http';
import express from 'express';
import { describe, expect, it } from 'vitest';
import { routeSession, sessionMiddleware } from '../../../src/http/express.js';
import type { HttpSessionOptions } from '../../../src/http/sessions.js';
import type { Session } from '../../../src/index.js';
import {
  Browser,
  cluster,
  lastRoute,
  listen,
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
});
