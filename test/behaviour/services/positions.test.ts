import { createServer, type Server } from 'node:http';
import * as undici from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { httpSessions, orderOf, sessionFetch, sessionInterceptor } from '../../../src/http/sessions.js';
import { carriedBy } from '../../../src/session/carried-session.js';
import {
  agent,
  alone,
  asked,
  asksServices,
  closed,
  cluster,
  HEADER,
  inner,
  lastToken,
  listening,
  nameNow,
  now,
  origin,
  remote,
  rename,
  renamedRemotely,
  servers,
} from './asked.js';

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

asksServices();

describe('other services', () => {
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
        now.answered = token;
        await call();
        expect(await nameNow(cluster)).toBe('Grace');
      }, alone);
    });

    it('have what they wrote seen by the sessions around the one that called', async () => {
      await servers.replicas[0]?.pauseReplay();
      now.answered = await renamedRemotely('around');
      await cluster.session(async () => {
        await cluster.session(() => call(), { consistency: 'eventual' });
        expect(await nameNow(cluster)).toBe('around');
      }, alone);
    });

    it('keep those around the caller on the primary, too, where what they wrote has no position', async () => {
      await servers.replicas[0]?.pauseReplay();
      now.answered = remote.session((session) => carriedBy(session).primaryOnlyToken(), alone);
      await rename(remote, 'of no position');
      await cluster.session(async () => {
        await cluster.session(() => call(), { consistency: 'eventual' });
        expect(await nameNow(cluster)).toBe('of no position');
      }, alone);
    });

    it('are told nothing outside a session, and nothing is taken in', async () => {
      await servers.replicas[0]?.pauseReplay();
      now.answered = await renamedRemotely('nobody’s');
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
      const token = cluster.session((session) => carriedBy(session).primaryOnlyToken(), alone);
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
        now.answered = value;
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
      now.answered = made(older, await renamedRemotely('Grace'));
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
      now.answered = await renamedRemotely('from afar');
      expect(await seenAfterwards()).toBe('from afar');
    });

    it('give back that what was written has no position', async () => {
      await servers.replicas[0]?.pauseReplay();
      await rename(remote, 'from nowhere');
      now.answered = remote.session((session) => carriedBy(session).primaryOnlyToken(), alone);
      expect(await seenAfterwards()).toBe('from nowhere');
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
});
