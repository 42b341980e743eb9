import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request as requestOf,
  type ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { type HttpSessionOptions, httpSessions, memoryTokenStore } from '../../../src/http/sessions.js';
import { signal, until } from '../fixture.js';
import {
  Browser,
  cluster,
  codes,
  type Handler,
  listen,
  newName,
  pauseAll,
  post,
  profile,
  save,
  serve,
  servers,
  servesRequests,
  tokensIn,
  warnings,
  within,
} from './served.js';

servesRequests();

describe('sessions that travel with requests', () => {
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
        const saving = cluster.write('select pg_sleep(0.6) from pg_advisory_xact_lock(4)');
        response.end('not waited for');
        await isAnswered.given;
        const [before, startedAt] = [process.cpuUsage(), performance.now()];
        await saving;
        const { user, system } = process.cpuUsage(before);
        busy = (user + system) / 1_000 / (performance.now() - startedAt);
      });
      const isAnswered = signal();
      const holder = new pg.Client(servers.primary.connectionString);
      await holder.connect();
      await holder.query('select pg_advisory_lock(4)');
      // The answer comes although the write cannot go on.
      expect(await (await fetch(url)).text()).toBe('not waited for');
      await holder.end();
      isAnswered.give();
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
});
