import * as undici from 'undici';
import { describe, expect, it } from 'vitest';
import { orderOf, sessionFetch, sessionInterceptor } from '../../../src/http/sessions.js';
import {
  type Asked,
  agent,
  alone,
  asked,
  asksServices,
  cluster,
  forgetAsked,
  HEADER,
  inner,
  lastToken,
  nameNow,
  now,
  origin,
  remote,
  renamedRemotely,
  servers,
  strangeOrigin,
  strangerAsked,
} from './asked.js';

asksServices();

describe('other services', () => {
  describe('that are not among the origins', () => {
    it('get the request as it was, and are not believed', async () => {
      await servers.replicas[0]?.pauseReplay();
      now.answered = await renamedRemotely('forced');
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
          now.answered = await renamedRemotely('forced');
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
        now.answered = await renamedRemotely('from the end');
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
      forgetAsked();
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
      now.answered = await renamedRemotely('forced');
      const disobedient: typeof fetch = (input, init) => fetch(input, { ...init, redirect: 'follow' });
      await cluster.session(async () => {
        await sessionFetch(cluster, { origins: [origin] }, disobedient)(`${origin}${to(strangeOrigin)}`);
        expect(await nameNow(cluster)).toBe('old');
      }, alone);
    });
  });
});
