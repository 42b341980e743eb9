/**
 * Express 4 under the same middleware as Express 5: a browser sees its own writes on the next request, error handlers' answers carry them too, and body parsers leave
 * the session where it was.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request as requestOf, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { CookieJar } from 'tough-cookie';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { routeSession, sessionMiddleware } from '../../../src/http/express.js';
import type { Cluster, Session } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open } from '../../behaviour/fixture.js';

describe('sessionMiddleware on Express 4', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let server: Server;
  let url: string;
  const sessions: (Session | undefined)[] = [];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    cluster = await open(servers, { secrets: ['a secret of the tests'] });
    await cluster.write('create table names (id int primary key, name text not null)');
    await cluster.write("insert into names values (1, 'nobody')");
    await servers.replicas[0]?.waitForReplay();
    const save = (name: unknown) => cluster.write('update names set name = $1 where id = 1', [name]);
    const nameNow = async () => (await cluster.read('select name from names where id = 1')).rows[0]?.['name'];

    const app = express();
    app.use(sessionMiddleware(cluster));
    app.use((_request, _response, next) => {
      sessions.push(cluster.currentSession());
      next();
    });
    app.use(express.json(), express.urlencoded({ extended: false }), express.text(), express.raw());
    app.get('/', (_request, response, next) => {
      nameNow().then((name) => response.json({ name }), next);
    });
    app.get('/strong', routeSession(cluster, { consistency: 'strong' }), (_request, response, next) => {
      nameNow().then((name) => response.json({ name }), next);
    });
    app.post('/', (request, response, next) => {
      sessions.push(cluster.currentSession());
      save(request.body.name).then(() => response.cookie('own', '1').redirect(303, '/'), next);
    });
    app.post('/body', (_request, response) => {
      sessions.push(cluster.currentSession());
      response.end();
    });
    app.put('/', (request, _response, next) => {
      save(request.body.name).then(() => next(new Error('after the write')), next);
    });
    app.get('/throws', () => {
      throw new Error('at once');
    });
    app.use((error: Error, _request: unknown, response: express.Response, _next: unknown) => {
      response.status(418).send(error.message);
    });
    server = createServer(app);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => servers.replicas[0]?.resumeReplay());
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await cluster.close();
    await servers.stop();
  });

  const browser = () => {
    const jar = new CookieJar();
    return async (method: string, path: string, name?: string): Promise<Response> => {
      const cookie = await jar.getCookieString(url);
      const response = await fetch(url + path, {
        method,
        redirect: 'manual',
        headers: { cookie, 'content-type': 'application/json' },
        ...(name === undefined ? {} : { body: JSON.stringify({ name }) }),
      });
      for (const set of response.headers.getSetCookie()) await jar.setCookie(set, url);
      return response;
    };
  };

  it('shows a browser its own write on the next request, while no replica has it', async () => {
    await servers.replicas[0]?.pauseReplay();
    const [ada, other] = [browser(), browser()];
    const saved = await ada('POST', '/', 'Ada');
    expect([saved.status, saved.headers.get('location')]).toEqual([303, '/']);
    expect(saved.headers.getSetCookie().map((cookie) => cookie.split('=')[0])).toEqual(['own', 'pg-ladder']);
    expect(await (await ada('GET', '/')).json()).toEqual({ name: 'Ada' });
    expect(await (await other('GET', '/')).json()).toEqual({ name: 'nobody' });
    expect(await (await other('GET', '/strong')).json()).toEqual({ name: 'Ada' });
  });

  it('finds the subject after authentication, which comes after the session', async () => {
    const app = express();
    app.use(sessionMiddleware(cluster, { subject: (request: { user?: string }) => request.user } as never));
    app.use((request: { user?: unknown; headers: Record<string, unknown> }, _response: unknown, next: () => void) => {
      request.user = request.headers['x-user'];
      next();
    });
    app.post('/', (_request, response, next) => {
      cluster.write("update names set name = 'Zoe' where id = 1").then(() => response.end(), next);
    });
    app.get('/', (_request, response, next) => {
      cluster.read('select name from names where id = 1').then(({ rows }) => response.end(rows[0]?.['name']), next);
    });
    const own = createServer(app);
    await once(own.listen(0, '127.0.0.1'), 'listening');
    const at = `http://127.0.0.1:${(own.address() as AddressInfo).port}`;
    try {
      await servers.replicas[0]?.waitForReplay();
      await servers.replicas[0]?.pauseReplay();
      const saved = await fetch(at, { method: 'POST', headers: { 'x-user': 'ada' } });
      const cookie = saved.headers.getSetCookie()[0]?.split(';')[0] ?? '';
      const nameFor = async (user: string) => (await fetch(at, { headers: { cookie, 'x-user': user } })).text();
      expect(await nameFor('ada')).toBe('Zoe');
      expect(await nameFor('bob')).not.toBe('Zoe');
    } finally {
      own.closeAllConnections();
      await new Promise((resolve) => own.close(resolve));
    }
  });

  it('gives the token along with the answer of an error handler', async () => {
    await servers.replicas[0]?.pauseReplay();
    const ben = browser();
    const failed = await ben('PUT', '/', 'Ben');
    expect([failed.status, await failed.text()]).toEqual([418, 'after the write']);
    expect(await (await ben('GET', '/')).json()).toEqual({ name: 'Ben' });
    const thrown = await ben('GET', '/throws');
    expect([thrown.status, await thrown.text()]).toEqual([418, 'at once']);
    expect(thrown.headers.getSetCookie()).toEqual([]);
  });

  it.each([
    ['application/json', ['{"a":', '1}']],
    ['application/x-www-form-urlencoded', ['a=', '1']],
    ['text/plain', ['a', 'b']],
    ['application/octet-stream', ['a', 'b']],
  ])('knows the session after a body of %s has arrived in parts', async (type, [first, last]) => {
    sessions.length = 0;
    const sent = requestOf(`${url}/body`, { method: 'POST', headers: { 'content-type': type } });
    const begun = once(server, 'request');
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
    sent.write(first);
    await begun;
    sent.end(last);
    const [response] = await answered;
    response.resume();
    await once(response, 'end');
    expect(response.statusCode).toBe(200);
    expect(sessions).toHaveLength(2);
    expect(sessions[0]).toBeDefined();
    expect(sessions[1]).toBe(sessions[0]);
  });
});
