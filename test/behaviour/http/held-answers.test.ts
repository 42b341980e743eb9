import { createHash, randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createServer2 } from 'node:http2';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, it } from 'vitest';
import { orderOf } from '../../../src/http/sessions.js';
import { TokenCodec } from '../../../src/token/codec.js';
import { RunningClock, size, until } from '../fixture.js';
import {
  answerOf2,
  Browser,
  cluster,
  codes,
  type Handler,
  LIFETIME_MILLIS,
  lastRoute,
  listen,
  newName,
  pauseAll,
  post,
  profile,
  SECRET,
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
  describe('while the primary tells the position of its writes', () => {
    it('an answer waits for it: none leaves with a token that is older than its writes', async () => {
      const url = await serve(async (request, response, session) => {
        servers.primary.link.restore();
        if (request.method === 'POST') {
          await save(decodeURIComponent(request.url?.slice(1) ?? ''));
          servers.primary.link.delay(Number(request.headers['x-delay']));
          response.end();
        } else await profile()(request, response, session);
      });
      await pauseAll();
      const browser = new Browser();
      for (const delay of Array.from({ length: size(6, 60) }, (_, i) => (i % 3) * 60 + 20)) {
        const name = newName();
        const startedAt = performance.now();
        const response = await post(url, name, browser, { 'x-delay': String(delay) });
        expect(performance.now() - startedAt).toBeGreaterThanOrEqual(delay - 1);
        expect(orderOf(tokensIn(response)[0] ?? '')).toMatchObject({ isPrimaryOnly: false });
        expect(await browser.text(url)).toBe(name);
      }
      expect(warnings).toEqual([]);
    });

    it('after positionTimeoutMillis it leaves with a mark that keeps its bearer on the primary, and a warning', async () => {
      const url = await serve(
        async (request, response, session) => {
          if (request.method === 'POST' && request.url !== '/plain') {
            await save(decodeURIComponent(request.url?.slice(1) ?? ''));
            servers.primary.link.halfOpen();
            response.end('held');
          } else await profile()(request, response, session);
        },
        { positionTimeoutMillis: 80 },
      );
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      const clock = new RunningClock();
      const startedAt = performance.now();
      const response = await post(url, name, browser, { 'pg-ladder-token': '' });
      const took = performance.now() - startedAt;
      const ran = clock.now();
      clock.stop();
      servers.primary.link.restore();
      expect(await response.text()).toBe('held');
      expect(took).toBeGreaterThanOrEqual(79);
      expect(ran).toBeLessThan(400);
      expect(orderOf(tokensIn(response)[0] ?? '')).toMatchObject({ isPrimaryOnly: true });
      expect(response.headers.get('pg-ladder-token')).toBe(tokensIn(response)[0]);
      expect(warnings).toMatchObject([{ code: 'position-late' }]);
      expect(await browser.text(url)).toBe(name);
      expect(lastRoute()).toMatchObject({ role: 'primary', reason: 'floor-unknown' });
      expect(await new Browser().text(url)).not.toBe(name);
      expect(lastRoute()).toMatchObject({ role: 'replica' });
      // A later write of a known position says nothing about that one.
      await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
      await post(url, 'plain', browser);
      expect(await browser.token(url)).toMatch(/^[\w-]{95}\.[\w-]{95}$/);
      await browser.text(url);
      expect(lastRoute()).toMatchObject({ role: 'primary', reason: 'floor-unknown' });
    });

    it('does not carry a mark on that has expired or is forged', async () => {
      const url = await serve(profile());
      const old = Date.now() - LIFETIME_MILLIS - 1;
      for (const mark of [
        new TokenCodec([SECRET], LIFETIME_MILLIS, 2).encodePrimaryOnly(old),
        new TokenCodec(['another secret of tests'], LIFETIME_MILLIS, 2).encodePrimaryOnly(Date.now()),
      ]) {
        const response = await post(url, newName(), new Browser(), { cookie: `pg-ladder=${mark}` });
        expect(tokensIn(response)[0]).toMatch(/^[\w-]{95}$/);
      }
    });

    it('a write that was cut off is carried as one that may have committed', async () => {
      const url = await serve(async (request, response, session) => {
        if (request.method !== 'POST') {
          await profile()(request, response, session);
          return;
        }
        const cut = cluster.write("insert into notes select 'cut' from (select pg_sleep(1)) as pause", [], {
          timeoutMillis: 30,
        });
        await expect(cut).rejects.toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
        response.end();
      });
      await pauseAll();
      const name = newName();
      await save(name);
      const browser = new Browser();
      await browser.send(url, { method: 'POST' });
      expect(await browser.text(url)).toBe(name);
      expect(await new Browser().text(url)).not.toBe(name);
    });

    it('a write that returns meanwhile is covered, or told as one that came too late', async () => {
      const url = await serve(async (request, response, session) => {
        if (request.method !== 'POST') {
          await profile()(request, response, session);
          return;
        }
        await cluster.write("insert into notes values ('first')");
        servers.primary.link.delay(40);
        const second = save(decodeURIComponent(request.url?.slice(1) ?? ''));
        response.end();
        await second;
      });
      await pauseAll();
      for (let round = 0; round < 4; round++) {
        servers.primary.link.restore();
        const [browser, name] = [new Browser(), newName()];
        await post(url, name, browser);
        servers.primary.link.restore();
        const isCovered = (await browser.text(url)) === name;
        if (!isCovered) await until('it is told', () => codes().includes('write-after-headers'));
        warnings.length = 0;
      }
    });

    it('the answer says of itself what an unheld one would: headersSent, writableEnded, drain and callbacks', async () => {
      const said: Record<string, unknown> = {};
      const order: string[] = [];
      const url = await serve(async (_request, response) => {
        await save(newName());
        servers.primary.link.delay(60);
        said['before'] = [response.headersSent, response.writableEnded];
        said['write'] = response.write('one ', () => order.push('written'));
        said['held'] = [response.headersSent, response.writableEnded];
        await once(response, 'drain');
        order.push('drained');
        servers.primary.link.restore();
        response.write(Buffer.from('two '));
        response.end('three', () => order.push('ended'));
        said['ended'] = [response.headersSent, response.writableEnded];
        response.on('finish', () => order.push('finished'));
      });
      const response = await fetch(url);
      expect(await response.text()).toBe('one two three');
      expect(said).toEqual({ before: [false, false], write: false, held: [true, false], ended: [true, true] });
      await until('all is called back', () => order.length === 4);
      expect(order.slice(0, 2).sort()).toEqual(['drained', 'written']);
      expect(order.slice(2).sort()).toEqual(['ended', 'finished']);
    });

    it('it is ended for its handler, calls back, and has its length, when it was ended in one word', async () => {
      const ended = new EventEmitter();
      const url = await serve(async (_request, response) => {
        await save(newName());
        servers.primary.link.delay(40);
        expect(response.end('grüße', 'utf8', () => ended.emit('now'))).toBe(response);
        expect([response.headersSent, response.writableEnded, response.writableFinished]).toEqual([true, true, false]);
      });
      const called = once(ended, 'now');
      const response = await fetch(url);
      expect(response.headers.get('content-length')).toBe('7');
      expect(await response.text()).toBe('grüße');
      await called;
    });

    it('a large stream is piped through unchanged, and HEAD and redirects keep their heads', async () => {
      const piece = randomBytes(64 * 1024);
      const url = await serve(async (request, response) => {
        await save(newName());
        servers.primary.link.delay(40);
        if (request.url === '/away') {
          response.writeHead(303, { Location: '/name' }).end();
        } else if (request.method === 'HEAD') {
          response.writeHead(200, { 'Content-Length': 1234 }).end();
        } else {
          const pieces = Readable.from(Array.from({ length: 100 }, () => piece));
          if (request.url === '/pipe') pieces.pipe(response);
          else await pipeline(pieces, response);
        }
        servers.primary.link.restore();
      });
      const whole = createHash('sha256');
      for (let i = 0; i < 100; i++) whole.update(piece);
      const digest = whole.digest('hex');
      for (const path of ['/pipe', '/pipeline']) {
        const response = await fetch(url + path);
        const body = Buffer.from(await response.arrayBuffer());
        expect(createHash('sha256').update(body).digest('hex')).toBe(digest);
        expect(tokensIn(response)).toHaveLength(1);
      }
      const head = await fetch(url, { method: 'HEAD' });
      expect(head.headers.get('content-length')).toBe('1234');
      expect(tokensIn(head)).toHaveLength(1);
      const away = await fetch(`${url}/away`, { method: 'POST', redirect: 'manual' });
      expect([away.status, away.headers.get('location')]).toEqual([303, '/name']);
      expect(tokensIn(away)).toHaveLength(1);
    });

    it('a server that is closed meanwhile still sends it', async () => {
      const server: Server = createServer(
        within(async (_request, response) => {
          await save(newName());
          servers.primary.link.delay(100);
          response.end('in the end');
          server.close();
        }),
      );
      const response = await fetch(await listen(server));
      expect(await response.text()).toBe('in the end');
    });

    it.each(['HTTP/1', 'HTTP/2'])('a head that %s refuses ends its request, not the process', async (version) => {
      const escaped: unknown[] = [];
      const note = (error: unknown) => escaped.push(error);
      process.on('uncaughtException', note);
      try {
        const handler: Handler = async (request, response) => {
          if (request.url === '/bad') {
            await save(newName());
            servers.primary.link.delay(20);
            try {
              response.writeHead(99).end('never');
            } catch {
              // As Node does at once: just as good.
              response.destroy();
            }
          } else response.end('fine');
        };
        if (version === 'HTTP/1') {
          const url = await serve(handler);
          await expect(fetch(`${url}/bad`)).rejects.toThrow();
          expect(await (await fetch(url)).text()).toBe('fine');
        } else {
          const url = await listen(createServer2(within(handler) as never));
          const bad = await answerOf2(url, { ':path': '/bad' }).catch((error: unknown) => error);
          expect(bad).not.toMatchObject({ headers: { ':status': 200 } });
          expect((await answerOf2(url)).body).toBe('fine');
        }
        expect(escaped).toEqual([]);
      } finally {
        process.off('uncaughtException', note);
      }
    });

    it('an answer to a client that sends its requests at once comes in order', async () => {
      const url = await serve(async (request, response) => {
        if (request.url === '/0') {
          await save(newName());
          servers.primary.link.delay(50);
        }
        response.end(`answer ${request.url}`);
      });
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      socket.write([0, 1, 2].map((i) => `GET /${i} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''));
      let text = '';
      socket.on('data', (bytes) => {
        text += String(bytes);
      });
      await until('all three are there', () => text.includes('answer /2'));
      expect(text.match(/answer \/\d/g)).toEqual(['answer /0', 'answer /1', 'answer /2']);
      socket.destroy();
    });
  });
});
