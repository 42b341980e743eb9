/**
 * Whatever a Redis, or its client, answers: a token store on it tells what it has, or that it cannot tell, and in time. What it cannot tell makes reads fresher and
 * never staler.
 */
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { httpSessions, orderOf } from '../../src/http/sessions.js';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { type IoredisClient, type NodeRedisClient, redisTokenStore } from '../../src/token/redis-store.js';
import { open } from '../behaviour/fixture.js';
import { holds, noise, tokenLike, withinASecond } from './hostile.js';

const TIMEOUT_MILLIS = 3;
const LIFETIME_MILLIS = 24 * 60 * 60_000;

type Played = { readonly how: string; readonly what: unknown };

/** Answers as it is told to: now, late, never, by an error of any kind, or by throwing at once. */
function answer({ how, what }: Played): unknown {
  if (how === 'throws') throw what;
  if (how === 'at once') return what;
  if (how === 'rejects') return Promise.reject(what);
  if (how === 'never') return new Promise(() => undefined);
  if (how === 'late') return new Promise((resolve) => setTimeout(resolve, TIMEOUT_MILLIS * 4, what));
  return Promise.resolve(what);
}

const clients: [string, (played: () => unknown) => NodeRedisClient | IoredisClient][] = [
  ['node-redis', (played) => ({ eval: played, evalSha: played }) as never],
  ['ioredis', (played) => ({ eval: played, evalsha: played, defineCommand: () => undefined }) as never],
];

describe('a token store on a Redis that answers anything', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let honest: string;
  let entry: string;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    const secrets = ['a secret of the tests'];
    cluster = await open(servers, { secrets, tokenLifetimeMillis: LIFETIME_MILLIS, waitMillis: 0 });
    await cluster.write('create table names (id int primary key, name text not null)');
    await cluster.write("insert into names values (1, 'old')");
    await servers.replicas[0]?.waitForReplay();
    await servers.replicas[0]?.pauseReplay();
    await cluster.write("update names set name = 'new' where id = 1");
    honest = await cluster.session((session) => session.token());
    const { timeline = 0, high = 0, low = 0, issuedAt = 0, clusterId = '' } = orderOf(honest) ?? {};
    entry = `${timeline} ${high} ${low} ${issuedAt} ${clusterId} ${honest}`;
  });
  afterAll(async () => {
    await cluster.close();
    await servers.stop();
  });

  const answers = () => {
    const like = fc.oneof(tokenLike([entry]), tokenLike([honest]), fc.constant(entry));
    const element = fc.oneof(
      like,
      like.map((text) => Buffer.from(text)),
      fc.constant(null),
      fc.anything(),
      fc.constant('x'.repeat(2 ** 20)),
    );
    const what = fc.oneof(
      { weight: 4, arbitrary: fc.array(element, { maxLength: 3 }) },
      { weight: 2, arbitrary: fc.tuple(element, element) },
      // Up to more than it would ever keep.
      { weight: 1, arbitrary: fc.array(like, { minLength: 15, maxLength: 25 }) },
      { weight: 1, arbitrary: element },
      {
        weight: 1,
        arbitrary: noise.map((text) => Object.assign(new Error(`NOSCRIPT ${text} ${honest}`), { code: text })),
      },
      { weight: 1, arbitrary: fc.record({ message: fc.anything(), name: fc.anything(), code: fc.anything() }) },
    );
    // The last two hold a run up, however much they are worth.
    const how = fc.oneof(
      { weight: 60, arbitrary: fc.constantFrom('resolves', 'rejects', 'throws', 'at once') },
      { weight: 1, arbitrary: fc.constantFrom('late', 'never') },
    );
    return fc.record({ how, what });
  };

  it.each(clients)('through %s, gives tokens or an error without one, in time', async (_name, client) => {
    await holds(
      fc.asyncProperty(answers(), async (played) => {
        const store = redisTokenStore(
          client(() => answer(played)),
          { timeoutMillis: TIMEOUT_MILLIS },
        );
        await withinASecond(played, async () => {
          const found: unknown = await store.get('ada').catch((error: unknown) => error);
          if (typeof found === 'string') expect(found.split('.').every((token) => orderOf(token))).toBe(true);
          else if (found !== undefined) {
            expect(found).toBeInstanceOf(Error);
            expect((found as Error).message).not.toContain(honest);
            expect((found as Error).message.length).toBeLessThan(1_100);
          }
          const put: unknown = await store.put('ada', honest, 1_000).catch((error: unknown) => error);
          if (put !== undefined) expect(put).toBeInstanceOf(Error);
        });
      }),
      700,
      50_000,
    );
  });

  it('lets no request fail, and none read what is older than the store may have been told', async () => {
    await holds(
      fc.asyncProperty(fc.constantFrom(...clients), answers(), async ([, client], played) => {
        const store = redisTokenStore(
          client(() => answer(played)),
          { timeoutMillis: TIMEOUT_MILLIS },
        );
        const sessions = httpSessions(cluster, { store, storeKey: () => 'ada' });
        const refusedCount = () => Object.values(cluster.stats().tokens).reduce((sum, count) => sum + count, 0);
        const before = refusedCount();
        const request = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', headers: {} });
        const name = await withinASecond(played, () =>
          sessions.runDetached(request, async () => (await cluster.read('select name from names')).rows[0]?.['name']),
        );
        if (name === 'new') return;
        // Nothing was kept, as far as that answer says; or what was kept is forged, and is counted.
        const isEmpty = Array.isArray(played.what) && played.what.length === 0;
        expect(isEmpty || refusedCount() > before).toBe(true);
      }),
      200,
      50_000,
    );
  });
});
