/**
 * Fastify 4 under the same plugin as Fastify 5: a browser sees its own writes on the next request, error handlers' answers carry them too, and Fastify's body parsing
 * leaves the session where it was.
 */
import { once } from 'node:events';
import { type IncomingMessage, request as requestOf } from 'node:http';
import fastify, { type FastifyInstance } from 'fastify';
import { CookieJar } from 'tough-cookie';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sessionPlugin } from '../../../src/http/fastify.js';
import type { Cluster, Session } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open } from '../../behaviour/fixture.js';

describe('sessionPlugin on Fastify 4', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let app: FastifyInstance;
  let url: string;
  const sessions: (Session | undefined)[] = [];
  const deprecations: string[] = [];
  const onWarning = ({ name, message }: Error) => {
    if (name === 'DeprecationWarning') deprecations.push(message);
  };

  beforeAll(async () => {
    process.on('warning', onWarning);
    servers = await startTestCluster({ replicas: 1 });
    cluster = await open(servers, { secrets: ['a secret of the tests'] });
    await cluster.write('create table names (id int primary key, name text not null)');
    await cluster.write("insert into names values (1, 'nobody')");
    await servers.replicas[0]?.waitForReplay();
    const save = (name: unknown) => cluster.write('update names set name = $1 where id = 1', [name]);
    const nameNow = async () => (await cluster.read('select name from names where id = 1')).rows[0]?.['name'];

    app = fastify({ forceCloseConnections: true });
    app.register(sessionPlugin, { cluster });
    app.get('/', async () => ({ name: await nameNow() }));
    app.get('/strong', { config: { ladder: { consistency: 'strong' } } }, async () => ({ name: await nameNow() }));
    app.post<{ Body: { name: string } }>('/', async (request, reply) => {
      await save(request.body.name);
      return reply.header('set-cookie', 'own=1').redirect('/', 303);
    });
    app.post('/body', async (request) => {
      sessions.push(request.ladder, cluster.currentSession());
      return 'ok';
    });
    app.put<{ Body: { name: string } }>('/', async (request) => {
      await request.ladder.write('update names set name = $1 where id = 1', [request.body.name]);
      throw new Error('after the write');
    });
    app.setErrorHandler((error, _request, reply) => {
      void reply.status(418).send(error.message);
    });
    url = await app.listen({ port: 0, host: '127.0.0.1' });
  });
  afterEach(() => servers.replicas[0]?.resumeReplay());
  afterAll(async () => {
    await app.close();
    await cluster.close();
    await servers.stop();
    process.off('warning', onWarning);
  });

  const browser = () => {
    const jar = new CookieJar();
    return async (method: string, path: string, name?: string): Promise<Response> => {
      const cookie = await jar.getCookieString(url);
      const response = await fetch(url + path, {
        method,
        redirect: 'manual',
        headers: { cookie, ...(name === undefined ? {} : { 'content-type': 'application/json' }) },
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
    const own = fastify({ forceCloseConnections: true });
    own.register(sessionPlugin, { cluster, subject: (request) => (request as { user?: string }).user });
    own.addHook('preHandler', async (request) => {
      Object.assign(request, { user: request.headers['x-user'] });
    });
    own.post('/', () => cluster.write("update names set name = 'Zoe' where id = 1").then(() => 'saved'));
    own.get('/', async () => (await cluster.read('select name from names where id = 1')).rows[0]?.['name']);
    const at = await own.listen({ port: 0, host: '127.0.0.1' });
    try {
      await servers.replicas[0]?.waitForReplay();
      await servers.replicas[0]?.pauseReplay();
      const saved = await fetch(at, { method: 'POST', headers: { 'x-user': 'ada' } });
      const cookie = saved.headers.getSetCookie()[0]?.split(';')[0] ?? '';
      const nameFor = async (user: string) => (await fetch(at, { headers: { cookie, 'x-user': user } })).text();
      expect(await nameFor('ada')).toBe('Zoe');
      expect(await nameFor('bob')).not.toBe('Zoe');
    } finally {
      await own.close();
    }
  });

  it('gives the token along with the answer of an error handler', async () => {
    await servers.replicas[0]?.pauseReplay();
    const ben = browser();
    const failed = await ben('PUT', '/', 'Ben');
    expect([failed.status, await failed.text()]).toEqual([418, 'after the write']);
    expect(await (await ben('GET', '/')).json()).toEqual({ name: 'Ben' });
  });

  it.each([
    ['application/json', ['{"a":', '1}']],
    ['text/plain', ['a', 'b']],
  ])('knows the session after a body of %s has arrived in parts', async (type, [first, last]) => {
    sessions.length = 0;
    const sent = requestOf(`${url}/body`, { method: 'POST', headers: { 'content-type': type } });
    const begun = once(app.server, 'request');
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

  it('uses nothing of Fastify that is going away', async () => {
    const answer = await browser()('GET', '/');
    expect(answer.status).toBe(200);
    // Node tells of warnings a tick later, and of each but once.
    await new Promise((resolve) => setImmediate(resolve));
    expect(deprecations).toEqual([]);
  });
});
