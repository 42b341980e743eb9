/** Whether a session goes along to other services and comes back: to those of `origins` alone, beside all that the caller asked for, and without getting in the way. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as undici from 'undici';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { httpSessions, orderOf, sessionFetch, sessionInterceptor } from '../../src/http/sessions.js';
import type { Cluster } from '../../src/index.js';
import type { CarriedSession } from '../../src/session/session.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open } from './fixture.js';

const secrets = ['a secret of this test alone'];
const HEADER = 'pg-ladder-token';

type UndiciHeaders = NonNullable<undici.Dispatcher.RequestOptions['headers']> | null;

/** What a service was asked, as it says itself. */
interface Asked {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  /** In the order, the case and the number they came in. */
  raw: string[];
  body: string;
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

describe('other services', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  /** The other service's own. */
  let remote: Cluster;
  let service: Server;
  let stranger: Server;
  let origin: string;
  let strangeOrigin: string;
  let asked: Asked[];
  let strangerAsked: Asked[];
  /** What the service's answers carry. */
  let answered: string | string[] | undefined;
  let agent: undici.Dispatcher;
  let inner: undici.Agent;

  const echo = (into: () => Asked[]) =>
    createServer((request, response: ServerResponse) => {
      let body = '';
      request.on('data', (data: Buffer) => {
        body += data.toString('latin1');
      });
      request.on('end', () => {
        const { method = '', url = '', headers, rawHeaders } = request;
        into().push({ method, path: url, headers, raw: rawHeaders, body });
        const { pathname, searchParams } = new URL(url, 'http://here');
        if (pathname === '/to') {
          const [status = '302', token] = [searchParams.get('status') ?? undefined, searchParams.get('token')];
          if (token !== null) response.setHeader(HEADER, token);
          response.writeHead(Number(status), { location: searchParams.get('location') ?? '' }).end('moved');
          return;
        }
        if (answered !== undefined) response.setHeader(HEADER, answered);
        if (url === '/never') return;
        if (url === '/broken') {
          response.writeHead(200, { 'content-length': 100 }).write('half');
          setImmediate(() => response.destroy());
        } else if (url === '/large') response.end('x'.repeat(1_000_000));
        else response.end(body);
      });
    });

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    cluster = await open(servers, { secrets, hangMillis: 1_000 });
    remote = await open(servers, { secrets });
    await cluster.write('create table names (id int primary key, name text not null)');
    await cluster.write("insert into names values (1, 'old')");
    await servers.replicas[0]?.waitForReplay();
    service = echo(() => asked);
    stranger = echo(() => strangerAsked);
    origin = await listening(service);
    strangeOrigin = await listening(stranger);
  });
  afterAll(async () => {
    await Promise.all([closed(service), closed(stranger), cluster.close(), remote.close()]);
    await servers.stop();
  });
  beforeEach(async () => {
    asked = [];
    strangerAsked = [];
    answered = undefined;
    inner = new undici.Agent();
    agent = inner.compose(sessionInterceptor(cluster, { origins: [origin] }));
    await cluster.write("update names set name = 'old' where id = 1");
    await servers.replicas[0]?.waitForReplay();
  });
  afterEach(async () => {
    await inner.destroy();
    await servers.replicas[0]?.resumeReplay();
  });

  const rename = (of: Cluster, name: string) => of.write('update names set name = $1 where id = 1', [name]);
  const nameNow = async (of: Cluster) =>
    (await of.read<{ name: string }>('select name from names where id = 1')).rows[0]?.name;
  const lastToken = () => String(asked.at(-1)?.headers[HEADER]);
  const alone = { inherit: 'none' } as const;
  /** A service's answer, after a write that this process knows nothing of. */
  const renamedRemotely = (name: string) =>
    remote.session(async (session) => {
      await rename(remote, name);
      return session.token();
    }, alone);

  const ways: [string, (path?: string) => Promise<unknown>][] = [
    [
      'sessionFetch',
      async (path = '/') => (await sessionFetch(cluster, { origins: [origin] })(`${origin}${path}`)).text(),
    ],
    [
      'the interceptor',
      async (path = '/') => (await undici.request(`${origin}${path}`, { dispatcher: agent })).body.text(),
    ],
    [
      'fetch of undici, on the interceptor',
      async (path = '/') => (await undici.fetch(`${origin}${path}`, { dispatcher: agent })).text(),
    ],
  ];

  describe.each(ways)('through %s', (_, call) => {
    it('see what the session wrote', async () => {
      await servers.replicas[0]?.pauseReplay();
      await cluster.session(async () => {
        await rename(cluster, 'Ada');
        await call();
      }, alone);
      expect(await remote.session(() => nameNow(remote), alone)).toBe('old');
      expect(await remote.session(() => nameNow(remote), { ...alone, token: lastToken() })).toBe('Ada');
    });

    it('have what they wrote seen by the session', async () => {
      await servers.replicas[0]?.pauseReplay();
      const token = await renamedRemotely('Grace');
      await cluster.session(async () => {
        await call();
        expect(await nameNow(cluster)).toBe('old');
        answered = token;
        await call();
        expect(await nameNow(cluster)).toBe('Grace');
      }, alone);
    });

    it('have what they wrote seen by the sessions around the one that called', async () => {
      await servers.replicas[0]?.pauseReplay();
      answered = await renamedRemotely('around');
      await cluster.session(async () => {
        await cluster.session(() => call(), { consistency: 'eventual' });
        expect(await nameNow(cluster)).toBe('around');
      }, alone);
    });

    it('keep those around the caller on the primary, too, where what they wrote has no position', async () => {
      await servers.replicas[0]?.pauseReplay();
      answered = remote.session((session) => (session as CarriedSession).primaryOnlyToken(), alone);
      await rename(remote, 'of no position');
      await cluster.session(async () => {
        await cluster.session(() => call(), { consistency: 'eventual' });
        expect(await nameNow(cluster)).toBe('of no position');
      }, alone);
    });

    it('are told nothing outside a session, and nothing is taken in', async () => {
      await servers.replicas[0]?.pauseReplay();
      answered = await renamedRemotely('nobody’s');
      await call();
      expect(asked).toHaveLength(1);
      expect(asked[0]?.headers).not.toHaveProperty(HEADER);
      expect(await cluster.session(() => nameNow(cluster), alone)).toBe('old');
    });

    it('are told to read on the primary when the position cannot be had', async () => {
      await cluster.session(async () => {
        await servers.primary.freeze();
        try {
          const writing = cluster.write("update names set name = 'lost' where id = 1", [], { timeoutMillis: 50 });
          await expect(writing).rejects.toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
          await call();
        } finally {
          await servers.primary.thaw();
        }
      }, alone);
      expect(orderOf(lastToken())).toMatchObject({ isPrimaryOnly: true });
    });

    it('are told so, too, when the session itself was told', async () => {
      await servers.replicas[0]?.pauseReplay();
      const token = cluster.session((session) => (session as CarriedSession).primaryOnlyToken(), alone);
      await rename(remote, 'of no position');
      await cluster.session(
        async () => {
          expect(await nameNow(cluster)).toBe('of no position');
          await call();
        },
        { ...alone, token },
      );
      const seen = await remote.session((session) => {
        for (const one of lastToken().split('.')) session.observe(one);
        return nameNow(remote);
      }, alone);
      expect(seen).toBe('of no position');
    });

    it('may answer with nonsense, or with what is older: it counts as absent', async () => {
      await servers.replicas[0]?.pauseReplay();
      const older = await remote.session((session) => session.token(), alone);
      await renamedRemotely('Grace');
      for (const value of ['', 'nonsense', 'x'.repeat(8_000), older]) {
        answered = value;
        await cluster.session(async () => {
          await call();
          expect(await nameNow(cluster)).toBe('old');
        }, alone);
      }
    });

    it.each<[string, (older: string, token: string) => string | string[]]>([
      ['two tokens in one', (older, token) => `${older}.${token}`],
      ['the header twice', (older, token) => [token, older]],
      ['nonsense beside it', (_, token) => ['nonsense', token]],
    ])('may answer with %s: the newest counts', async (_, made) => {
      await servers.replicas[0]?.pauseReplay();
      const older = await remote.session((session) => session.token(), alone);
      answered = made(older, await renamedRemotely('Grace'));
      await cluster.session(async () => {
        await call();
        expect(await nameNow(cluster)).toBe('Grace');
      }, alone);
    });
  });

  describe('between this one and another', () => {
    let between: Server;
    let betweenOrigin: string;

    /** It writes nothing and reads nothing itself. */
    beforeEach(async () => {
      const sessions = httpSessions(remote);
      between = createServer((request, response) => {
        void sessions.run(request, response, async () => {
          await sessionFetch(remote, { origins: [origin] })(origin);
          response.end();
        });
      });
      betweenOrigin = await listening(between);
    });
    afterEach(() => closed(between));

    const seenAfterwards = () =>
      cluster.session(async () => {
        await sessionFetch(cluster, { origins: [betweenOrigin] })(betweenOrigin);
        return nameNow(cluster);
      }, alone);

    it('give on what they were told', async () => {
      await servers.replicas[0]?.pauseReplay();
      await cluster.session(async () => {
        await rename(cluster, 'passed on');
        await sessionFetch(cluster, { origins: [betweenOrigin] })(betweenOrigin);
      }, alone);
      expect(await remote.session(() => nameNow(remote), { ...alone, token: lastToken() })).toBe('passed on');
    });

    it('give back what they were answered', async () => {
      await servers.replicas[0]?.pauseReplay();
      answered = await renamedRemotely('from afar');
      expect(await seenAfterwards()).toBe('from afar');
    });

    it('give back that what was written has no position', async () => {
      await servers.replicas[0]?.pauseReplay();
      await rename(remote, 'from nowhere');
      answered = remote.session((session) => (session as CarriedSession).primaryOnlyToken(), alone);
      expect(await seenAfterwards()).toBe('from nowhere');
    });
  });

  describe('that are not among the origins', () => {
    it('get the request as it was, and are not believed', async () => {
      await servers.replicas[0]?.pauseReplay();
      answered = await renamedRemotely('forced');
      await cluster.session(async () => {
        const told = sessionFetch(cluster, { origins: [origin] });
        const { port } = new URL(origin);
        await told(strangeOrigin, { headers: { 'x-own': 'kept' } });
        await undici.request(strangeOrigin, { dispatcher: agent, headers: { 'x-own': 'kept' } });
        // The same server under another name is another origin.
        await told(`http://localhost:${port}`);
        expect(await nameNow(cluster)).toBe('old');
      }, alone);
      expect(strangerAsked.map(({ headers }) => headers['x-own'])).toEqual(['kept', 'kept']);
      expect(asked).toHaveLength(1);
      for (const { headers } of [...strangerAsked, ...asked]) expect(headers).not.toHaveProperty(HEADER);
    });

    it('get nothing where they only look like those', async () => {
      const seen: (string | null)[] = [];
      const watching = sessionFetch(cluster, { origins: ['http://orders.internal:81', origin] }, async (_, init) => {
        seen.push(new Headers(init?.headers).get(HEADER));
        return new Response();
      });
      await cluster.session(async () => {
        for (const url of [
          'http://orders.internal:81@evil.test/',
          'http://orders.internal.:81/',
          'http://orders.internal:810/',
          'https://orders.internal:81/',
          'http://orders.internal.evil.test:81/',
          'http://\u043erders.internal:81/',
          `blob:${origin}/8f1f6bd4`,
        ])
          await watching(url);
      }, alone);
      expect(seen.filter((token) => token !== null)).toEqual([]);
      expect(seen).toHaveLength(7);
    });

    it.each([
      'orders.internal',
      'https://orders.internal/path',
      'https://orders.internal?query',
      'file:///orders',
      '*',
      '',
    ])('%j is named when it cannot be an origin', (wrong) => {
      for (const make of [sessionFetch, sessionInterceptor]) {
        expect(() => make(cluster, { origins: ['https://fine.internal', wrong] })).toThrow(
          expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS', message: expect.stringContaining(`"${wrong}"`) }),
        );
      }
    });

    it('are refused without their password being told', () => {
      const origins = ['https://somebody:hunter2@orders.internal'];
      expect(() => sessionFetch(cluster, { origins })).toThrow(/origins/);
      expect(() => sessionFetch(cluster, { origins })).not.toThrow(/hunter2/);
    });

    it('are told from those that are, however those are written', async () => {
      const { port } = new URL(origin);
      await cluster.session(async () => {
        await sessionFetch(cluster, { origins: [`HTTP://127.0.0.1:${port}/`] })(new URL('/x', origin));
      }, alone);
      expect(orderOf(lastToken())).toMatchObject({ isPrimaryOnly: false });
    });
  });

  describe('that send on to others', () => {
    /** A path of a service that does so. */
    const to = (location: string, status = 302, token?: string): string =>
      `/to?${new URLSearchParams({ location, status: String(status), ...(token === undefined ? {} : { token }) }).toString()}`;
    const told = () => sessionFetch(cluster, { origins: [origin] });
    const statuses = [301, 302, 303, 307, 308];
    const following: [string, (url: string, init?: RequestInit) => Promise<{ text(): Promise<string> }>][] = [
      ['sessionFetch', (url, init) => told()(url, init)],
      [
        'sessionFetch over undici’s fetch',
        (url, init) => sessionFetch(cluster, { origins: [origin] }, undici.fetch as unknown as typeof fetch)(url, init),
      ],
      [
        'fetch of undici, on the interceptor',
        (url, init) => undici.fetch(url, { ...(init as object), dispatcher: agent }),
      ],
      [
        'undici’s redirects, above the interceptor',
        async (url) => {
          const redirect = undici.interceptors.redirect({ maxRedirections: 5 });
          return (await undici.request(url, { dispatcher: agent.compose(redirect) })).body;
        },
      ],
    ];

    describe.each(following)('through %s', (_, call) => {
      it.each([302, 307])(
        'take no session along to a stranger, and what he answers is not believed: %i',
        async (status) => {
          await servers.replicas[0]?.pauseReplay();
          answered = await renamedRemotely('forced');
          await cluster.session(async () => {
            await (await call(`${origin}${to(`${strangeOrigin}/got`, status)}`)).text();
            expect(await nameNow(cluster)).toBe('old');
          }, alone);
          expect(orderOf(lastToken())).toBeDefined();
          expect(strangerAsked.map(({ path }) => path)).toEqual(['/got']);
          expect(strangerAsked[0]?.headers).not.toHaveProperty(HEADER);
        },
      );

      it('take it along where they send back, and believe what is said there', async () => {
        await servers.replicas[0]?.pauseReplay();
        answered = await renamedRemotely('from the end');
        await cluster.session(async () => {
          await (await call(`${origin}${to(`${strangeOrigin}${to(`${origin}/back`)}`)}`)).text();
          expect(await nameNow(cluster)).toBe('from the end');
        }, alone);
        expect(asked.map(({ path }) => path.slice(0, 5))).toEqual(['/to?l', '/back']);
        for (const { headers } of asked) expect(orderOf(String(headers[HEADER]))).toBeDefined();
        expect(strangerAsked[0]?.headers).not.toHaveProperty(HEADER);
      });
    });

    it('have what they wrote before they did so seen by the session, and by who answers next', async () => {
      await servers.replicas[0]?.pauseReplay();
      const token = await renamedRemotely('then sent on');
      await cluster.session(async () => {
        await (await told()(`${origin}${to('/next', 303, token)}`, { method: 'POST', body: 'x' })).text();
        expect(await nameNow(cluster)).toBe('then sent on');
      }, alone);
      expect(asked.map(({ method }) => method)).toEqual(['POST', 'GET']);
      expect(await remote.session(() => nameNow(remote), { ...alone, token: lastToken() })).toBe('then sent on');
    });

    it('never learn a token that the caller set himself', async () => {
      await cluster.session(async (session) => {
        await told()(`${origin}${to(strangeOrigin)}`, { headers: { ...(await session.headers()), 'x-own': 'kept' } });
      }, alone);
      expect(strangerAsked).toMatchObject([{ headers: { 'x-own': 'kept' } }]);
      expect(strangerAsked[0]?.headers).not.toHaveProperty(HEADER);
    });

    const bodies: [string, () => RequestInit][] = [
      ['no body', () => ({})],
      ['text', () => ({ body: 'text' })],
      ['a form', () => ({ body: new URLSearchParams({ a: '1' }) })],
      ['a stream', () => ({ body: ReadableStream.from(['a', 'b']) as never, duplex: 'half' })],
    ];
    const headers = { authorization: 'Bearer x', cookie: 'a=1', 'x-own': 'kept', 'content-language': 'en' };
    const sent = ({ method, path, headers: all, body }: Asked) => {
      const kept = [
        'authorization',
        'cookie',
        'x-own',
        'content-language',
        'content-type',
        'content-length',
        'transfer-encoding',
      ];
      return { method, path, body, headers: kept.map((name) => all[name]) };
    };
    /** What everybody was sent, and what came of it. */
    const course = async (fetching: typeof fetch, url: string, init: RequestInit, isRequest: boolean) => {
      asked = [];
      strangerAsked = [];
      const answer = await (isRequest ? fetching(new Request(url, init)) : fetching(url, init)).then(
        async (response) => ({
          status: response.status,
          url: response.url,
          redirected: response.redirected,
          text: await response.text(),
        }),
        (error: Error) => ({ name: error.name, message: error.message }),
      );
      return { answer, asked: asked.map(sent), strangerAsked: strangerAsked.map(sent) };
    };
    const alike = async (url: string, init: () => RequestInit, isRequest = false) => {
      const plain = await course(fetch, url, init(), isRequest);
      expect(await cluster.session(() => course(told(), url, init(), isRequest), alone)).toEqual(plain);
      return plain;
    };

    it.each(statuses)('are gone along with by the rules of fetch, whatever is sent: %i', async (status) => {
      for (const location of ['/same', `${strangeOrigin}/other#there`]) {
        for (const method of ['GET', 'HEAD', 'POST', 'PUT']) {
          for (const [, body] of method === 'GET' || method === 'HEAD' ? bodies.slice(0, 1) : bodies) {
            const init = () => ({ method, headers, ...body() });
            await alike(`${origin}${to(location, status)}#here`, init);
            // A stream in it would be kept as far as it is small, which fetch does not do.
            if (!('duplex' in init())) await alike(`${origin}${to(location, status)}`, init, true);
          }
        }
      }
    });

    it.each<[string, () => [path: string, init?: RequestInit]]>([
      ['in circles', () => [`/to?location=%3F${encodeURIComponent('location=x')}`]],
      ['to another scheme', () => [to('file:///etc/passwd')]],
      ['to data', () => [to('data:text/plain,x')]],
      ['to no URL', () => [to('http://[')]],
      ['to a login at a stranger’s', () => [to(strangeOrigin.replace('http://', 'http://a:b@'))]],
      ['nowhere', () => [to('')]],
      ['by an answer that only looks like it', () => [to('/x', 304)]],
      ['where the caller wants none', () => [to('/x'), { redirect: 'error' }]],
      ['where the caller looks himself', () => [to('/x'), { redirect: 'manual' }]],
      ['to another place in UTF-8', () => [to('/%C3%A4/\u00e4')]],
    ])('are treated as by fetch when they send %s', async (_, given) => {
      const [path, init = {}] = given();
      await alike(`${origin}${path}`, () => init);
      await alike(`${origin}${path}`, () => init, true);
    });

    it('are left after twenty times, as by fetch', async () => {
      const circle = `${origin}${to('?')}`;
      expect((await alike(circle, () => ({}))).asked).toHaveLength(21);
      const going = cluster.session(() => told()(circle), alone);
      await expect(going).rejects.toMatchObject({ cause: { message: 'redirect count exceeded' } });
    });

    it('get the body of a Request once more while it is small, and fail where it is not', async () => {
      const [small, large] = ['x'.repeat(1_000), 'x'.repeat(3_000_000)];
      const send = (body: string) => told()(new Request(`${origin}${to('/next', 307)}`, { method: 'POST', body }));
      await cluster.session(async () => {
        expect(await (await send(small)).text()).toBe(small);
        await expect(send(large)).rejects.toMatchObject({
          name: 'TypeError',
          cause: { message: expect.stringContaining('once more') },
        });
        // Where nothing has to be sent again, size does not matter.
        const request = new Request(origin, { method: 'POST', body: large });
        expect((await (await told()(request)).text()).length).toBe(large.length);
      }, alone);
    });

    it('are not followed below the interceptor, which would not see where to', async () => {
      const below = inner.compose(
        undici.interceptors.redirect({ maxRedirections: 5 }),
        sessionInterceptor(cluster, { origins: [origin] }),
      );
      await cluster.session(async () => {
        const going = undici.request(`${origin}${to(strangeOrigin)}`, { dispatcher: below });
        await expect(going).rejects.toMatchObject({
          code: 'LADDER_INVALID_OPTIONS',
          message: expect.stringContaining('compose('),
        });
        expect(await (await undici.request(origin, { dispatcher: below, method: 'POST', body: 'x' })).body.text()).toBe(
          'x',
        );
      }, alone);
      expect(strangerAsked).toEqual([]);
    });

    it('are not believed where the fetch that is handed in goes on by itself', async () => {
      await servers.replicas[0]?.pauseReplay();
      answered = await renamedRemotely('forced');
      const disobedient: typeof fetch = (input, init) => fetch(input, { ...init, redirect: 'follow' });
      await cluster.session(async () => {
        await sessionFetch(cluster, { origins: [origin] }, disobedient)(`${origin}${to(strangeOrigin)}`);
        expect(await nameNow(cluster)).toBe('old');
      }, alone);
    });
  });

  it('are told by another header where one is named', async () => {
    const origins = [origin];
    const other = inner.compose(sessionInterceptor(cluster, { origins, header: 'X-Position' }));
    await cluster.session(async () => {
      await sessionFetch(cluster, { origins, header: 'X-Position' })(origin);
      await undici.request(origin, { dispatcher: other });
    }, alone);
    expect(asked).toHaveLength(2);
    for (const { headers } of asked) {
      expect(headers).not.toHaveProperty(HEADER);
      expect(orderOf(String(headers['x-position']))).toBeDefined();
    }
  });

  it('are told by session.headers() wherever nothing else fits', async () => {
    await servers.replicas[0]?.pauseReplay();
    const headers = await cluster.session(async (session) => {
      await rename(cluster, 'by hand');
      return session.headers();
    }, alone);
    expect(Object.keys(headers)).toEqual([HEADER]);
    await fetch(origin, { headers });
    expect(await remote.session(() => nameNow(remote), { ...alone, token: lastToken() })).toBe('by hand');
    // Both at once do no harm: all that comes is believed.
    await cluster.session(async (session) => {
      await undici.request(origin, { dispatcher: agent, headers: await session.headers() });
      await sessionFetch(cluster, { origins: [origin] })(origin, { headers: await session.headers() });
    }, alone);
    for (const { headers: both } of asked) expect(String(both[HEADER])).toMatch(/^2[\w-]{94}(, 2[\w-]{94})?$/);
  });

  describe('get every header that the caller gives', () => {
    const pairs: [string, string][] = [
      ['x-one', '1'],
      ['X-Two', '2'],
    ];

    it.each<[string, () => [input: string | Request, init?: RequestInit]]>([
      ['an object', () => [origin, { headers: Object.fromEntries(pairs) }]],
      ['pairs', () => [origin, { headers: pairs }]],
      ['Headers', () => [origin, { headers: new Headers(pairs) }]],
      ['a Request', () => [new Request(origin, { headers: pairs })]],
      [
        'a Request whose headers are replaced',
        () => [new Request(origin, { headers: { a: 'b' } }), { headers: pairs }],
      ],
    ])('by fetch, as %s', async (_, given) => {
      await cluster.session(() => sessionFetch(cluster, { origins: [origin] })(...given()), alone);
      expect(asked).toMatchObject([{ headers: { 'x-one': '1', 'x-two': '2', [HEADER]: expect.any(String) } }]);
      expect(asked[0]?.headers).not.toHaveProperty('a');
    });

    const iterable = (...list: [string, string | string[]][]): Iterable<[string, string | string[]]> => ({
      [Symbol.iterator]: () => list[Symbol.iterator](),
    });

    it.each<[string, () => UndiciHeaders]>([
      ['an object', () => Object.fromEntries(pairs)],
      ['a flat list', () => pairs.flat()],
      ['Headers', () => new undici.Headers(pairs)],
      ['a Map', () => new Map(pairs)],
      ['an iterable', () => iterable(...pairs)],
    ])('by undici, as %s', async (_, given) => {
      const headers = given();
      await cluster.session(() => undici.request(origin, { dispatcher: agent, headers }), alone);
      expect(asked).toMatchObject([{ headers: { 'x-one': '1', 'x-two': '2', [HEADER]: expect.any(String) } }]);
    });

    it.each<[string, () => UndiciHeaders]>([
      ['an object', () => ({ 'x-many': ['1', '2'] })],
      ['a flat list', () => ['x-many', '1', 'x-many', '2']],
      ['an iterable', () => iterable(['x-many', '1'], ['x-many', '2'])],
    ])('by undici, several of one name, as %s', async (_, given) => {
      await undici.request(origin, { dispatcher: inner, headers: given() });
      await cluster.session(() => undici.request(origin, { dispatcher: agent, headers: given() }), alone);
      expect(asked.map(({ headers }) => headers['x-many'])).toEqual(['1, 2', '1, 2']);
    });

    it('and their own where there is none', async () => {
      await cluster.session(async () => {
        await undici.request(origin, { dispatcher: agent });
        await undici.request(origin, { dispatcher: agent, headers: null });
        await undici.request(origin, { dispatcher: agent, headers: [] });
      }, alone);
      expect(asked.map(({ headers }) => orderOf(String(headers[HEADER]))?.isPrimaryOnly)).toEqual([
        false,
        false,
        false,
      ]);
    });

    it('which the caller finds unchanged', async () => {
      const list = pairs.flat();
      const object = Object.fromEntries(pairs);
      const init = { headers: object };
      await cluster.session(async () => {
        await undici.request(origin, { dispatcher: agent, headers: list });
        await undici.request(origin, { dispatcher: agent, headers: object });
        await sessionFetch(cluster, { origins: [origin] })(origin, init);
      }, alone);
      expect(list).toEqual(['x-one', '1', 'X-Two', '2']);
      expect(object).toEqual({ 'x-one': '1', 'X-Two': '2' });
      expect(init).toEqual({ headers: object });
    });
  });

  describe('get every body', () => {
    const chunks = () => ['one ', 'two ', 'three'];

    it('by fetch', async () => {
      const told = sessionFetch(cluster, { origins: [origin] });
      const form = new URLSearchParams({ name: 'Ada' });
      const answers = await cluster.session(async () => {
        const sent = [
          await told(origin, { method: 'POST', body: 'text' }),
          await told(origin, { method: 'PUT', body: form }),
          await told(new Request(origin, { method: 'POST', body: 'of a request' })),
          await told(origin, {
            method: 'POST',
            body: ReadableStream.from(chunks()) as never,
            duplex: 'half',
          }),
        ];
        return Promise.all(sent.map((response) => response.text()));
      }, alone);
      expect(answers).toEqual(['text', 'name=Ada', 'of a request', 'one two three']);
      expect(asked.map(({ method }) => method)).toEqual(['POST', 'PUT', 'POST', 'POST']);
      expect(asked[1]?.headers['content-type']).toMatch(/x-www-form-urlencoded/);
    });

    it('by undici', async () => {
      const ask = (body: undici.Dispatcher.RequestOptions['body']) =>
        undici.request(origin, { dispatcher: agent, method: 'POST', body: body ?? null });
      const answers = await cluster.session(async () => {
        const sent = [
          await ask('text'),
          await ask(Buffer.from('bytes')),
          await ask(Readable.from(chunks())),
          await undici.request(`${origin}/large`, { dispatcher: agent }),
        ];
        return Promise.all(sent.map(({ body }) => body.text()));
      }, alone);
      expect(answers.slice(0, 3)).toEqual(['text', 'bytes', 'one two three']);
      expect(answers[3]).toHaveLength(1_000_000);
    });

    it('by undici’s streams', async () => {
      let found = '';
      await cluster.session(async () => {
        const through = agent.pipeline({ origin, path: '/', method: 'POST' }, ({ body }) => body);
        await pipeline(Readable.from(chunks()), through, async (source) => {
          for await (const data of source) found += String(data);
        });
      }, alone);
      expect(found).toBe('one two three');
      expect(orderOf(lastToken())).toBeDefined();
    });
  });

  describe('that fail', () => {
    /** What undici says by itself, and with the interceptor. */
    const both = async (fail: (dispatcher: undici.Dispatcher) => Promise<unknown>) => {
      const said = (dispatcher: undici.Dispatcher) =>
        fail(dispatcher).then(
          () => 'nothing',
          (error: Error & { code?: string }) => ({ name: error.name, code: error.code }),
        );
      return [await said(inner), await cluster.session(() => said(agent), alone)];
    };

    it.each<[string, string, (dispatcher: undici.Dispatcher) => Promise<unknown>]>([
      [
        'an answer that breaks off',
        'UND_ERR_SOCKET',
        async (dispatcher) => (await undici.request(`${origin}/broken`, { dispatcher })).body.text(),
      ],
      [
        'no answer in time',
        'UND_ERR_HEADERS_TIMEOUT',
        (dispatcher) => undici.request(`${origin}/never`, { dispatcher, headersTimeout: 50 }),
      ],
      [
        'a signal',
        'ABORT_ERR',
        (dispatcher) => {
          const controller = new AbortController();
          const asking = undici.request(`${origin}/never`, { dispatcher, signal: controller.signal });
          setTimeout(() => controller.abort(), 50);
          return asking;
        },
      ],
      [
        'a header that cannot be',
        'UND_ERR_INVALID_ARG',
        (dispatcher) => undici.request(origin, { dispatcher, headers: { 'not a name': '1' } }),
      ],
    ])('do so as undici has it: %s', async (_, code, fail) => {
      const [bare, told] = await both(fail);
      if (code === 'ABORT_ERR') expect(bare).toMatchObject({ name: 'AbortError' });
      else expect(bare).toMatchObject({ code });
      expect(told).toEqual(bare);
    });

    it('do so as undici has it: nobody listens', async () => {
      const gone = createServer();
      const goneOrigin = await listening(gone);
      await closed(gone);
      const interceptor = sessionInterceptor(cluster, { origins: [goneOrigin] });
      await cluster.session(async () => {
        await expect(undici.request(goneOrigin, { dispatcher: inner.compose(interceptor) })).rejects.toMatchObject({
          code: 'ECONNREFUSED',
        });
        const told = sessionFetch(cluster, { origins: [goneOrigin] });
        await expect(told(goneOrigin)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
      }, alone);
    });

    it('do so as undici has it: the dispatcher is closed', async () => {
      await inner.close();
      const [bare, told] = await both((dispatcher) => undici.request(origin, { dispatcher }));
      expect(bare).toMatchObject({ code: 'UND_ERR_DESTROYED' });
      expect(told).toEqual(bare);
    });

    it('do so as undici has it: an interceptor below throws', { timeout: 5_000 }, async () => {
      const throwing: undici.Dispatcher.DispatcherComposeInterceptor = () => () => {
        throw new Error('not today');
      };
      const interceptor = sessionInterceptor(cluster, { origins: [origin] });
      await expect(undici.request(origin, { dispatcher: inner.compose(throwing) })).rejects.toThrow('not today');
      await cluster.session(async () => {
        const asking = undici.request(origin, { dispatcher: inner.compose(throwing, interceptor) });
        await expect(asking).rejects.toThrow('not today');
      }, alone);
    });

    it('do so as undici has it: a MockAgent knows nothing of that', { timeout: 5_000 }, async () => {
      const mocked = new undici.MockAgent();
      mocked.disableNetConnect();
      try {
        const unmatched = { code: 'UND_MOCK_ERR_MOCK_NOT_MATCHED' };
        await expect(undici.request(origin, { dispatcher: mocked })).rejects.toMatchObject(unmatched);
        const told = mocked.compose(sessionInterceptor(cluster, { origins: [origin] }));
        await cluster.session(async () => {
          await expect(undici.request(origin, { dispatcher: told })).rejects.toMatchObject(unmatched);
        }, alone);
      } finally {
        await mocked.close();
      }
    });

    it('are asked again by undici’s own interceptors', async () => {
      answered = 'nonsense';
      const retrying = inner.compose(
        sessionInterceptor(cluster, { origins: [origin] }),
        undici.interceptors.retry({ maxRetries: 1, minTimeout: 1, errorCodes: ['UND_ERR_SOCKET'] }),
      );
      await cluster.session(async () => {
        const { body } = await undici.request(`${origin}/broken`, { dispatcher: retrying });
        await expect(body.text()).rejects.toMatchObject({ name: expect.stringMatching(/Error/) });
      }, alone);
      expect(asked.length).toBeGreaterThan(1);
      for (const { headers } of asked) expect(orderOf(String(headers[HEADER]))).toBeDefined();
    });
  });

  it('are reached by the fetch that is handed in, with the Request of its own kind', async () => {
    const told = sessionFetch(cluster, { origins: [origin] }, undici.fetch as unknown as typeof fetch);
    await cluster.session(async () => {
      const request = new undici.Request(`${origin}/own`, {
        method: 'POST',
        body: 'own',
        headers: { 'x-own': 'kept' },
      });
      const response = await told(request as unknown as Request);
      expect(await response.text()).toBe('own');
    }, alone);
    expect(asked).toMatchObject([
      { method: 'POST', path: '/own', headers: { 'x-own': 'kept', [HEADER]: expect.stringMatching(/^2/) } },
    ]);
  });

  it('can be switched to another protocol', async () => {
    service.once('upgrade', (request, socket) => {
      asked.push({ method: '', path: '', headers: request.headers, raw: [], body: '' });
      socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: own\r\n\r\nhello');
    });
    const found = await cluster.session(async () => {
      const { socket } = await undici.upgrade(origin, { dispatcher: agent, protocol: 'own' });
      let text = '';
      for await (const data of socket) text += String(data);
      return text;
    }, alone);
    expect(found).toBe('hello');
    expect(orderOf(lastToken())).toBeDefined();
  });
});
