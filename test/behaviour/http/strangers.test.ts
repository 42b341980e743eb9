import { randomBytes } from 'node:crypto';
import {
  Agent,
  type ClientRequest,
  createServer,
  type IncomingHttpHeaders,
  IncomingMessage,
  request as requestOf,
  type Server,
  ServerResponse,
} from 'node:http';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { type HttpSessionOptions, httpSessions } from '../../../src/http/sessions.js';
import type { Cluster, Session } from '../../../src/index.js';
import { TokenCodec } from '../../../src/token/codec.js';
import { size, until } from '../fixture.js';
import {
  Browser,
  caughtUp,
  cluster,
  LIFETIME_MILLIS,
  lastRoute,
  listen,
  nameNow,
  newName,
  openOne,
  pauseAll,
  post,
  profile,
  routes,
  SECRET,
  save,
  serve,
  servers,
  servesRequests,
  tokenOf,
  warnings,
  within,
} from './served.js';

/** What a token says, in a form that can be changed and made anew. */
function positionIn(token: string) {
  return {
    clusterId: BigInt(`0x${token.slice(1, 17)}`).toString(),
    timeline: Number.parseInt(token.slice(17, 25), 16),
    lsn: BigInt(`0x${token.slice(25, 41)}`),
  };
}

const connectionsOf = (server: Server) =>
  new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)));

servesRequests();

describe('sessions that travel with requests', () => {
  describe('a subject', () => {
    it('makes one user’s token of no use to another', async () => {
      const url = await serve(profile(), { subject: (request) => request.headers['x-user'] as string });
      await pauseAll();
      const [browser, name] = [new Browser(), newName()];
      await post(url, name, browser, { 'x-user': 'ada' });
      const cookie = `pg-ladder=${await browser.token(url)}`;
      const asUser = async (user: string) =>
        (await fetch(url, { headers: { cookie, ...(user === '' ? {} : { 'x-user': user }) } })).text();
      expect(await asUser('ada')).toBe(name);
      const before = cluster.stats().tokens.forged;
      expect(await asUser('bob')).not.toBe(name);
      expect(await asUser('')).not.toBe(name);
      expect(cluster.stats().tokens.forged).toBe(before + 2);
    });

    it('binds the mark of an answer without a position as well', async () => {
      const url = await serve(
        async (request, response, session) => {
          if (request.method !== 'POST') {
            await profile()(request, response, session);
            return;
          }
          await save(newName());
          servers.primary.link.halfOpen();
          response.end();
        },
        { subject: (request) => request.headers['x-user'] as string, positionTimeoutMillis: 0 },
      );
      const browser = new Browser();
      await browser.send(url, { method: 'POST', headers: { 'x-user': 'ada' } });
      servers.primary.link.restore();
      const roleFor = async (user: string) => {
        await browser.text(url, { headers: { 'x-user': user } });
        return lastRoute()?.role;
      };
      await caughtUp();
      expect(await roleFor('ada')).toBe('primary');
      await until('replicas are in use again', async () => (await roleFor('bob')) === 'replica');
      expect(await roleFor('ada')).toBe('primary');
    });

    it('without secrets is refused when the sessions are set up', async () => {
      const unsigned = await openOne({ secrets: [] });
      const refused = expect.objectContaining({
        code: 'LADDER_INVALID_OPTIONS',
        message: expect.stringContaining('subject'),
      });
      expect(() => httpSessions(unsigned, { subject: 'ada' })).toThrow(refused);
    });
  });

  describe('tokens from strangers', () => {
    /** Runs a read within a request that never came over a wire: Node's own limits on heads are in nobody's way. */
    const readWith = async (headers: IncomingHttpHeaders, on = cluster, options: HttpSessionOptions = {}) => {
      const request = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', headers });
      const response = new ServerResponse(request);
      await httpSessions(on, options).run(request, response, () => nameNow(on));
      const route = lastRoute();
      response.end();
      expect(response.getHeaders()).toEqual({});
      return route;
    };

    it('fail no request, move their counter, pin nothing, and are in no event', async () => {
      const told: unknown[] = [];
      for (const event of ['route', 'query', 'node', 'warning', 'tokenLost'] as const) {
        cluster.events.on(event, (payload: unknown) => told.push(payload));
      }
      const honest = await tokenOf(newName());
      await caughtUp();
      await until('a replica has it', async () => (await readWith({}))?.role === 'replica');
      const position = positionIn(honest);
      const codec = new TokenCodec([SECRET], LIFETIME_MILLIS, 2);
      const now = Date.now();
      const stranger = `${String(BigInt(position.clusterId) + 1n)}`;
      const replayed = codec.encode(position, now, 'bob');
      const subject = { subject: 'ada' };
      const cases: [keyof ReturnType<Cluster['stats']>['tokens'], string, string, HttpSessionOptions?][] = [
        ['forged', 'forged', honest.slice(0, 40) + (honest[40] === '0' ? '1' : '0') + honest.slice(41)],
        ['forged', 'replayed by another', replayed, subject],
        ['forged', 'nobody’s', honest, subject],
        [
          'forged',
          'of a wrong key',
          new TokenCodec(['another secret of tests'], LIFETIME_MILLIS, 2).encode(position, now),
        ],
        ['expired', 'expired', codec.encode(position, now - LIFETIME_MILLIS - 1)],
        ['expired', 'expired mark', codec.encodePrimaryOnly(now - LIFETIME_MILLIS - 1)],
        ['malformed', 'truncated', honest.slice(0, -1)],
        ['malformed', 'unsigned', honest.slice(0, 52)],
        ['malformed', 'of 1 MB', 'f'.repeat(1_000_000)],
        ['foreign', 'of another cluster', codec.encode({ ...position, clusterId: stranger }, now)],
        ['ahead', 'ahead of the primary', codec.encode({ ...position, lsn: position.lsn + 2n ** 40n }, now)],
      ];
      for (const [counter, what, token, options] of cases) {
        for (const headers of [{ cookie: `pg-ladder=${token}` }, { 'pg-ladder-token': token }]) {
          const before = cluster.stats().tokens[counter];
          const route = await readWith(headers, cluster, options);
          const moved = cluster.stats().tokens[counter] - before;
          expect({ what, moved }).toEqual({ what, moved: 1 });
          // One that may be true is asked about once.
          if (counter !== 'ahead') expect({ what, role: route?.role }).toEqual({ what, role: 'replica' });
        }
      }
      const duplicate = `pg-ladder=${honest}; pg-ladder=${honest}; pg-ladder=${honest}`;
      const before = { ...cluster.stats().tokens };
      await readWith({ cookie: duplicate, 'pg-ladder-token': `${honest},${honest}` });
      expect(cluster.stats().tokens).toEqual(before);
      await readWith({});
      expect(lastRoute()).toMatchObject({ role: 'replica' });
      const all = JSON.stringify([told, warnings]);
      for (const [, , token] of cases) {
        expect(all).not.toContain(token.slice(0, 52));
        expect(all).not.toContain(token.slice(25, 52));
      }
    });

    it('of 1 MB of separators and thousands of cookies cost no time', async () => {
      // Of this process's own time: what other processes take does not count.
      const before = process.cpuUsage();
      await readWith({ cookie: 'pg-ladder=.;'.repeat(90_000) });
      await readWith({ 'pg-ladder-token': '. '.repeat(500_000) });
      await readWith({ 'pg-ladder-token': `.${' '.repeat(1_000_000)}` });
      await readWith({ cookie: `${';'.repeat(500_000)}pg-ladder=x` });
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1_000).toBeLessThan(2_000);
    });

    it('without secrets, a mark from the future pins nobody for longer than a token lives', async () => {
      const unsigned = await openOne({ secrets: [] });
      unsigned.events.on('route', (event) => routes.push(event));
      const mark = new TokenCodec([], LIFETIME_MILLIS, 2).encodePrimaryOnly(Date.now() + 10 * LIFETIME_MILLIS);
      expect(await readWith({ cookie: `pg-ladder=${mark}` }, unsigned)).toMatchObject({ role: 'replica' });
    });

    it('are random bytes and never throw', async () => {
      const count = size(4_000, 100_000);
      const sessions = httpSessions(cluster);
      const before = cluster.stats().tokens;
      const random = () => randomBytes(1 + Math.floor(Math.random() * 120)).toString('latin1');
      for (let i = 0; i < count; i++) {
        const headers = { cookie: `a=1; pg-ladder=${random()}; ${random()}`, 'pg-ladder-token': random() };
        const request = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', headers });
        void sessions.runDetached(request, (session) => session.observe(random()));
      }
      const { malformed, forged, expired } = cluster.stats().tokens;
      expect(malformed - before.malformed).toBeGreaterThanOrEqual(count);
      expect([forged, expired]).toEqual([before.forged, before.expired]);
    });
  });

  it('leaves no session, timer, listener or statement behind after 200 requests of which many are aborted', async () => {
    const sessionRefs: WeakRef<Session>[] = [];
    const piece = Buffer.alloc(50_000, 'x');
    const server = createServer(
      within(async (request, response, session) => {
        sessionRefs.push(new WeakRef(session));
        const write = cluster.write("insert into notes values ('load')");
        if (request.url !== '/3') await write;
        await nameNow();
        if (request.url === '/0') response.end('short');
        else if (request.url === '/1') await pipeline(Readable.from([piece, piece]), response).catch(() => {});
        else Readable.from([piece, piece]).pipe(response);
        await write;
      }),
    );
    const url = await listen(server);
    const agent = new Agent();
    const one = (i: number, abortAfter: number) =>
      new Promise<void>((resolve) => {
        const request: ClientRequest = requestOf(`${url}/${i % 4}`, { agent });
        request.on('response', (response) => response.resume().on('error', () => {}));
        request.on('error', () => {});
        request.on('close', resolve);
        if (abortAfter >= 0) setTimeout(() => request.destroy(), abortAfter);
        request.end();
      });
    const load = async (count: number) => {
      for (let at = 0; at < count; at += 20) {
        await Promise.all(
          Array.from({ length: 20 }, (_, i) => one(at + i, Math.random() < 0.6 ? Math.random() * 50 : -1)),
        );
      }
      agent.destroy();
      await until('all connections are gone', async () => (await connectionsOf(server)) === 0);
      await until('nothing is under way', () =>
        cluster.stats().nodes.every(({ inFlight, pool }) => inFlight === 0 && pool.waitingCount === 0),
      );
    };
    const figures = () => ({
      // Each idle connection of a pool has a timer of its own.
      timers:
        process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length -
        cluster.stats().nodes.reduce((sum, { pool }) => sum + pool.idleCount, 0),
      listeners: cluster.events.eventNames().reduce((sum, name) => sum + cluster.events.listenerCount(name), 0),
      sockets: server.listenerCount('request') + server.listenerCount('close') + server.listenerCount('connection'),
    });
    // Answers are held for a while, and some are aborted meanwhile.
    servers.primary.link.delay(10);
    await load(40);
    const before = figures();
    await load(200);
    await until('no timer is left', () => figures().timers <= before.timers);
    expect(figures()).toMatchObject({ listeners: before.listeners, sockets: before.sockets });
    expect(sessionRefs.length).toBeGreaterThan(120);
    setFlagsFromString('--expose_gc');
    const collect = runInNewContext('gc') as () => void;
    // A connection lives in the async context that it was opened in, so that its session may stay as long.
    const open = cluster.stats().nodes.reduce((sum, { pool, lane }) => sum + pool.totalCount + lane.connectionCount, 0);
    await until('the sessions are collected', () => {
      collect();
      return sessionRefs.filter((ref) => ref.deref() !== undefined).length <= open + 10;
    });
  });
});
