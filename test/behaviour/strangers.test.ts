/**
 * What strangers send in place of tokens, on real servers: it displaces no honest token, is malformed where it is no text, and cannot make the servers be asked, or
 * reads stay on the primary, without end.
 */
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type HttpSessionOptions, httpSessions } from '../../src/http/sessions.js';
import type { Cluster, RouteEvent, WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { TokenCodec } from '../../src/token/codec.js';
import { nodeOf, open, until } from './fixture.js';

const LIFETIME_MILLIS = 60_000;
const SECRET = 'a secret of the tests';

describe('strangers', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let routes: RouteEvent[];
  let warnings: WarningEvent[];
  let nameCount = 0;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2, links: true });
    await using setUp = await open(servers);
    await setUp.write('create table names (id int primary key, name text not null)');
    await setUp.write("insert into names values (1, 'nobody')");
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    [routes, warnings] = [[], []];
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
  });
  afterEach(async () => {
    for (const { link } of servers.nodes) link.restore();
    await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
    await cluster.close();
  });

  const start = async (options: Parameters<typeof open>[1] = {}) => {
    cluster = await open(servers, { tokenLifetimeMillis: LIFETIME_MILLIS, waitMillis: 0, ...options });
    cluster.events.on('route', (event) => routes.push(event));
    cluster.events.on('warning', (event) => warnings.push(event));
  };
  const pauseAll = () => Promise.all(servers.replicas.map((replica) => replica.pauseReplay()));
  const save = async () => {
    const name = `name ${++nameCount}`;
    await cluster.write('update names set name = $1 where id = 1', [name]);
    return name;
  };
  const nameNow = async () =>
    (await cluster.read<{ name: string }>('select name from names where id = 1')).rows[0]?.name;
  const tokenNow = () => cluster.session((session) => session.token());
  const readWith = (headers: Record<string, unknown>, options: HttpSessionOptions = {}) => {
    const request = Object.assign(new IncomingMessage(new Socket()), { method: 'GET', headers });
    return httpSessions(cluster, options).runDetached(request, nameNow);
  };
  const lastRole = () => routes.at(-1)?.role;
  const malformedCount = () => cluster.stats().tokens.malformed;

  describe('by cookies', () => {
    beforeEach(() => start({ secrets: [SECRET] }));

    it('displace no honest token, with junk, with forged ones, or with tokens of their own', async () => {
      const own = await tokenNow();
      await pauseAll();
      const name = await save();
      const honest = await tokenNow();
      const codec = new TokenCodec(['another secret of tests'], LIFETIME_MILLIS, 2);
      const forged = (lsn: bigint) => codec.encode({ clusterId: '7', timeline: 1, lsn }, Date.now());
      const tossed = [
        Array.from({ length: 50 }, () => '__Host-pg-ladder=junk').join('; '),
        Array.from({ length: 50 }, (_, i) => `pg-ladder=${forged(BigInt(i))}`).join('; '),
        `pg-ladder=${Array.from({ length: 50 }, (_, i) => forged(BigInt(i))).join('.')}`,
        Array.from({ length: 50 }, () => `__Host-pg-ladder=${own}`).join('; '),
        `a=${'b'.repeat(100_000)}; c="`,
      ];
      for (const cookie of tossed) {
        const found = await readWith({ cookie: `${cookie}; __Host-pg-ladder=${honest}` });
        expect([cookie.slice(0, 80), found]).toEqual([cookie.slice(0, 80), name]);
      }
    });

    it('give no token in the value of another cookie', async () => {
      await pauseAll();
      const name = await save();
      const honest = await tokenNow();
      for (const cookie of [`a=b __Host-pg-ladder=${honest}`, `a="pg-ladder=${honest}"`, `apg-ladder=${honest}`]) {
        expect(await readWith({ cookie })).not.toBe(name);
      }
    });
  });

  describe('with what is no text', () => {
    beforeEach(() => start({ secrets: [SECRET] }));

    it.each<[string, unknown]>([
      ['null', null],
      ['a number', 7],
      ['an object', { token: 'x' }],
      ['a list', ['x']],
      ['bytes', Buffer.from('x')],
      ['a symbol', Symbol('x')],
    ])('send %s as a token by any door, and fail nothing', async (_, value) => {
      const token = value as string;
      const honest = await tokenNow();
      const doors: [string, () => Promise<unknown>][] = [
        ['a session', () => cluster.session(nameNow, { token })],
        ['a read', () => cluster.read('select 1', [], { atLeast: token })],
        ['a read-only transaction', () => cluster.transaction(async () => 1, { readOnly: true, atLeast: token })],
        ['observe', () => cluster.session(async (session) => session.observe(token))],
        ['a header', () => readWith({ 'pg-ladder-token': value })],
        ['a list of headers', () => readWith({ 'pg-ladder-token': [value, honest] })],
      ];
      for (const [door, knock] of doors) {
        const before = malformedCount();
        await knock();
        expect([door, malformedCount() - before]).toEqual([door, 1]);
      }
      await readWith({ cookie: value });
    });

    it.each<[string, unknown]>([
      ['a number', 7],
      ['bytes', Buffer.from('x')],
      ['a list', ['x']],
      ['what is no token', 'nothing of ours'],
    ])('answer %s in a store’s place: what that was told is not known, so the primary answers', async (_, value) => {
      await pauseAll();
      const name = await save();
      const store = { get: async () => value as string, put: async () => undefined };
      const before = malformedCount();
      expect(await readWith({}, { store, storeKey: () => 'ada' })).toBe(name);
      expect(malformedCount()).toBeGreaterThan(before);
      expect(warnings.map(({ code }) => code)).toEqual(['token-store']);
    });

    it.each<[string, () => unknown]>([
      [
        'throws at once',
        () => {
          throw new Error('no store');
        },
      ],
      [
        'rejects with an error that has no words',
        () => Promise.reject(Object.assign(new Error(), { message: Symbol('x') })),
      ],
      ['answers at once', () => undefined],
    ])('answer in a store’s place that %s, and fail nothing', async (_, get) => {
      expect(await readWith({}, { store: { get, put: get } as never, storeKey: () => 'ada' })).toBeDefined();
    });
  });

  describe('without secrets, with tokens of timelines that are nowhere', () => {
    const forged = (token: string, timeline: number, lsn = 50n) =>
      new TokenCodec([], LIFETIME_MILLIS, 2).encode(
        { clusterId: BigInt(`0x${token.slice(1, 17)}`).toString(), timeline, lsn },
        Date.now(),
      );

    it('keep neither their own reads on the primary, nor anybody’s', async () => {
      // However busy the machine is, the monitor has asked everybody by then.
      await start({ hangMillis: 10_000 });
      const honest = await tokenNow();
      for (let i = 0; i < 6; i++) {
        await readWith({ cookie: `pg-ladder=${forged(honest, 2 + i, BigInt(i))}` });
        expect(lastRole()).toBe('replica');
        await readWith({ cookie: `pg-ladder=${honest}` });
        expect(lastRole()).toBe('replica');
      }
      // The same one again has been decided about.
      const again = forged(honest, 9);
      for (let i = 0; i < 5; i++) await readWith({ cookie: `pg-ladder=${again}` });
      expect(lastRole()).toBe('replica');
      expect(cluster.stats().tokens.ahead).toBe(6 + 5);
    });

    it('hide no honest token beside them', async () => {
      await start();
      await pauseAll();
      const name = await save();
      const honest = await tokenNow();
      const many = Array.from({ length: 100 }, (_, i) => forged(honest, 2 + i)).join('.');
      expect(await readWith({ cookie: `pg-ladder=${many}.${honest}` })).toBe(name);
      expect(await readWith({ cookie: `pg-ladder=${many}`, 'pg-ladder-token': honest })).toBe(name);
    });

    it('beside a server that is silent, get no answer’s position out of the primary for ever', async () => {
      await start({ hangMillis: 1_000 });
      const honest = await tokenNow();
      servers.replicas[1]?.link.reset();
      await until('r2 is known to be silent', () => nodeOf(cluster, 'r2').state !== 'live');
      const token = await cluster.session(
        async (session) => {
          session.observe(forged(honest, 2));
          await session.write('update names set name = name where id = 1');
          const late = new Promise((resolve) => setTimeout(resolve, 15_000, 'never told').unref());
          return Promise.race([session.token().catch(({ code }) => code), late]);
        },
        { inherit: 'none' },
      );
      expect(token).toBe('LADDER_POSITION_UNAVAILABLE');
      await until('others’ reads go to the other replica', async () => {
        await cluster.session(nameNow, { inherit: 'none' });
        return lastRole() === 'replica';
      });
    });
  });
});
