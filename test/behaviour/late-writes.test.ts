/**
 * What a request writes after the head of its answer has left: with a TokenStore its user's next request sees it, on another process as well, from the moment on
 * that the answer could tell of it. Real HTTP, two clusters of ours, a store that takes its time, and a replica that has nothing new.
 */
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request as requestOf, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import fastify from 'fastify';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sessionMiddleware } from '../../src/http/express.js';
import { sessionPlugin } from '../../src/http/fastify.js';
import { type HttpSessionOptions, httpSessions, memoryTokenStore, type TokenStore } from '../../src/http/sessions.js';
import type { Cluster, Session, WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, RunningClock, until } from './fixture.js';

/** Far longer than the next request takes. */
const STORE_MILLIS = 120;

type Handler = (request: IncomingMessage, response: ServerResponse, session: Session) => Promise<unknown>;

describe('writes after the head of an answer, with a TokenStore', () => {
  let servers: TestCluster;
  let here: Cluster;
  let there: Cluster;
  let warnings: WarningEvent[];
  let closers: (() => unknown)[];
  let store: TokenStore;
  /** Connections stay open between requests. */
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let count = 0;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    [here, there] = [await open(servers), await open(servers)];
    await here.write('create table counter (value int)');
    await here.write('insert into counter values (0)');
    await servers.replicas[0]?.waitForReplay();
    here.events.on('warning', (event) => warnings.push(event));
  });
  afterAll(async () => {
    agent.destroy();
    await Promise.all([here?.close(), there?.close()]);
    await servers?.stop();
  });
  beforeEach(async () => {
    warnings = [];
    closers = [];
    const memory = memoryTokenStore();
    store = {
      get: (key) => memory.get(key),
      put: async (key, token, lifetimeMillis) => {
        await sleep(STORE_MILLIS);
        await memory.put(key, token, lifetimeMillis);
      },
    };
    await servers.replicas[0]?.waitForReplay();
    await servers.replicas[0]?.pauseReplay();
  });
  afterEach(async () => {
    await servers.replicas[0]?.resumeReplay();
    for (const close of closers) await close();
  });

  const options = (): HttpSessionOptions => ({
    cookie: false,
    header: false,
    store,
    storeKey: () => 'ada',
    positionTimeoutMillis: 2_000,
  });
  const save = (session: Pick<Session, 'write'> = here) =>
    session.write('update counter set value = $1', [++count]).then(() => count);
  const codes = () => warnings.map(({ code }) => code);

  async function serve(handler: Handler, more: HttpSessionOptions = {}): Promise<string> {
    const sessions = httpSessions(here, { ...options(), ...more });
    const server = createServer((request, response) => {
      void sessions.run(request, response, (session) => handler(request, response, session));
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    closers.push(
      () => server.closeAllConnections(),
      () => server.close(),
    );
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** What the user's next request reads in the other process. */
  async function next(more: HttpSessionOptions = {}): Promise<number> {
    const sessions = httpSessions(there, { ...options(), ...more });
    const { rows } = await sessions.runDetached({ method: 'GET', headers: {} } as IncomingMessage, (session) =>
      session.read<{ value: number }>('select value from counter'),
    );
    return rows[0]?.value ?? Number.NaN;
  }

  /** Calls back as soon as that much of the body has come. @returns the whole body */
  async function get(url: string, when = '', act: () => Promise<void> = async () => {}): Promise<string> {
    const [response] = (await once(requestOf(url, { agent }).end(), 'response')) as [IncomingMessage];
    let text = '';
    let acting: Promise<void> | undefined;
    for await (const chunk of response) {
      text += String(chunk);
      if (when !== '' && text.includes(when)) acting ??= act();
    }
    await acting;
    return text;
  }

  describe.each(['http', 'Express', 'Fastify'] as const)('of %s', (framework) => {
    async function streaming(handler: (response: ServerResponse) => Promise<unknown>): Promise<string> {
      if (framework === 'http') return serve((_request, response) => handler(response));
      if (framework === 'Express') {
        const app = express();
        app.use(sessionMiddleware(here, options() as object));
        app.get('/', (_request, response) => handler(response));
        const server = app.listen(0, '127.0.0.1');
        await once(server, 'listening');
        closers.push(
          () => server.closeAllConnections(),
          () => server.close(),
        );
        return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      }
      const app = fastify({ forceCloseConnections: true });
      app.register(sessionPlugin, { cluster: here, ...(options() as object) });
      app.get('/', (_request, reply) => {
        const body = new PassThrough();
        void handler(body as unknown as ServerResponse);
        return reply.send(body);
      });
      closers.push(() => app.close());
      return app.listen({ port: 0, host: '127.0.0.1' });
    }

    it('are seen when the answer is over', async () => {
      const url = await streaming(async (response) => {
        response.write('begun');
        await sleep(20);
        await save();
        response.end();
      });
      for (let round = 0; round < 2; round++) {
        expect(await get(url)).toBe('begun');
        expect(await next()).toBe(count);
      }
      expect(codes()).toEqual([]);
    });

    it('are seen when a part of the body tells of them', async () => {
      const url = await streaming(async (response) => {
        for (let i = 0; i < 2; i++) {
          response.write('begun ');
          await sleep(20);
          await save();
          response.write(`saved ${i}`);
          // The answer goes on: a client that streams acts on what it has.
          await sleep(50);
        }
        response.end();
      });
      const seen: number[] = [];
      const saved: number[] = [];
      for (const part of ['saved 0', 'saved 1']) {
        await get(url, part, async () => {
          saved.push(count);
          seen.push(await next());
        });
      }
      expect(seen.map((value, i) => value >= (saved[i] ?? 0))).toEqual([true, true]);
      expect(codes()).toEqual([]);
    });

    it('are seen when they were under way at the end', async () => {
      let over: Promise<unknown> | undefined;
      const url = await streaming(async (response) => {
        response.write('begun');
        await sleep(20);
        over = here.write('update counter set value = $1 from pg_sleep(0.1)', [++count]);
        response.end();
      });
      await get(url);
      expect(await next()).toBe(count);
      await over;
      expect(codes()).toEqual([]);
    });
  });

  it('are seen when the body has the length that its head has told, also where nobody has ended it', async () => {
    const url = await serve(async (_request, response) => {
      response.writeHead(200, { 'Content-Length': 10 }).write('begun');
      await sleep(20);
      await save();
      response.write('saved');
      await sleep(50);
      response.end();
    });
    expect(await get(url)).toBe('begunsaved');
    expect(await next()).toBe(count);
    expect(codes()).toEqual([]);
  });

  it('that come when the head is still held are seen, too', async () => {
    const url = await serve(async (_request, response) => {
      await save();
      response.write('begun');
      await sleep(STORE_MILLIS / 2);
      await save();
      response.end();
    });
    await get(url);
    expect(await next()).toBe(count);
    expect(codes()).toEqual([]);
  });

  it('that come when the whole answer has left are told, once, and stored all the same', async () => {
    let late: Promise<unknown> | undefined;
    const url = await serve(async (_request, response) => {
      response.end('all');
      late = sleep(20).then(() => save().then(() => save()));
    });
    expect(await get(url)).toBe('all');
    await late;
    expect(codes()).toEqual(['write-after-end']);
    await until('the store has it', async () => (await next()) === count);
  });

  it('hold the answer no longer than positionTimeoutMillis, and it is told when the store was late', async () => {
    const hanging = { ...store, put: () => new Promise<never>(() => {}) };
    const url = await serve(
      async (_request, response) => {
        response.write('begun');
        await sleep(20);
        await save();
        response.end();
      },
      { store: hanging, positionTimeoutMillis: 80 },
    );
    const clock = new RunningClock();
    const startedAt = performance.now();
    expect(await get(url)).toBe('begun');
    expect(performance.now() - startedAt).toBeGreaterThan(79);
    expect(clock.now()).toBeLessThan(2_000);
    clock.stop();
    expect(codes()).toEqual(['token-store']);
  });

  it('hold nothing where the store has nobody to keep them for: that is told', async () => {
    const url = await serve(
      async (_request, response) => {
        response.write('begun');
        await sleep(20);
        await save();
        response.end();
      },
      { storeKey: () => undefined },
    );
    expect(await get(url)).toBe('begun');
    expect(codes()).toEqual(['write-after-headers']);
  });

  it('what is read late is seen again, where monotonicAcrossRequests is set', async () => {
    const more = { monotonicAcrossRequests: true };
    const url = await serve(async (_request, response, session) => {
      response.write('begun ');
      await there.write('update counter set value = $1', [++count]);
      const { rows } = await session.read('select value from counter', [], { target: 'primary' });
      response.end(JSON.stringify(rows));
    }, more);
    expect(await get(url)).toBe(`begun [{"value":${count}}]`);
    expect(await next(more)).toBe(count);
  });
});
