/**
 * What stands under one key of Redis: tokens of several clusters, and what release 0.1.0 has put
 * there and reads there while both releases run.
 */
import fc from 'fast-check';
import { createClient } from 'redis';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { TokenCodec } from '../../../src/token/codec.js';
import { memoryTokenStore } from '../../../src/token/memory-store.js';
import { orderOf } from '../../../src/token/order.js';
import { redisTokenStore } from '../../../src/token/redis-store.js';
import type { TokenStore } from '../../../src/token/store.js';
import { report } from '../../behaviour/fixture.js';
import { RedisServer } from './redis-server.js';
import { storeOf010 } from './release-0.1.0.js';

const found = findBinary('redis-server');
if (found === undefined)
  report('redis', { skipped: 'redis-server is not installed (Debian: apt-get install redis-server)' });

const LIFETIME_MILLIS = 60_000;
const secrets = ['a secret of sixteen'];
const codecs = { 2: new TokenCodec(secrets, LIFETIME_MILLIS, 2), 3: new TokenCodec(secrets, LIFETIME_MILLIS, 3) };

/** One put: a position, or without an LSN the word that reads belong on the primary. */
interface Put {
  readonly version: 2 | 3;
  readonly cluster: number;
  readonly lsn: number | undefined;
  readonly issuedAt: number;
}

const idOf = (cluster: number): string => String(7_345_678_901_234_567_000n + BigInt(cluster));

function tokenOf({ version, cluster, lsn, issuedAt }: Put): string {
  const codec = codecs[version];
  if (lsn === undefined) return codec.encodePrimaryOnly(issuedAt, undefined, idOf(cluster));
  // Far apart, so that both halves of an LSN count.
  return codec.encode({ clusterId: idOf(cluster), timeline: 1, lsn: BigInt(lsn) * 0x7fff_ffffn + 1n }, issuedAt);
}

/** What tokens say, in an order of its own: of two that say the same, either may stand. */
function saidBy(tokens: string | undefined): string[] {
  return (tokens ?? '')
    .split('.')
    .filter((token) => token !== '')
    .map((token) => token.slice(1, 52))
    .sort();
}

/** The highest position and the latest primary-only token of each cluster. */
function highestOf(puts: readonly Put[]): string[] {
  const kept = new Map<string, Put>();
  for (const put of puts) {
    const { lsn = -1, issuedAt } = put;
    const cluster = put.lsn === undefined && put.version === 2 ? 'all' : put.cluster;
    const place = `${put.lsn === undefined} ${cluster}`;
    const before = kept.get(place);
    const { lsn: lsnBefore = -1, issuedAt: issuedBefore } = before ?? { issuedAt: -1 };
    if (lsn > lsnBefore || (lsn === lsnBefore && issuedAt > issuedBefore)) kept.set(place, put);
  }
  return [...kept.values()].map((put) => tokenOf(put).slice(1, 52)).sort();
}

const putOf = (clusterCount: number, version: fc.Arbitrary<2 | 3>): fc.Arbitrary<Put> =>
  fc.record({
    version,
    cluster: fc.integer({ min: 0, max: clusterCount - 1 }),
    lsn: fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined, freq: 3 }),
    issuedAt: fc.integer({ min: 1_000, max: 1_000 + LIFETIME_MILLIS - 1 }),
  });

const anyVersion = fc.constantFrom<(2 | 3)[]>(2, 3);

describe.skipIf(found === undefined)('under one key of Redis', () => {
  let redis: RedisServer;
  let client: ReturnType<typeof createClient>;
  let store: TokenStore;
  let old: TokenStore;
  let count = 0;
  /** A key that nothing was put under. */
  const newKey = (): string => `user ${count++}`;

  beforeAll(async () => {
    redis = await RedisServer.start(found ?? '');
    client = createClient({ url: `redis://127.0.0.1:${redis.port}` }).on('error', () => {});
    await client.connect();
    store = redisTokenStore(client, { timeoutMillis: 10_000 });
    old = storeOf010(client);
  });
  afterAll(async () => {
    client?.destroy();
    await redis?.stop();
  });
  beforeEach(async () => {
    await client.flushAll();
  });

  describe('tokens of several clusters', () => {
    it('end at the highest of each cluster, whatever the order and whether they come one by one', async () => {
      const texts = fc.array(fc.array(putOf(4, anyVersion), { minLength: 1, maxLength: 4 }), { maxLength: 8 });
      await fc.assert(
        fc.asyncProperty(texts, async (texts) => {
          const key = newKey();
          for (const puts of texts) await store.put(key, puts.map(tokenOf).join('.'), LIFETIME_MILLIS);
          expect(saidBy(await store.get(key))).toEqual(highestOf(texts.flat()));
        }),
        { seed: 21, numRuns: 100 },
      );
    });

    it('end there, too, when processes put them at once', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(putOf(4, anyVersion), { maxLength: 30 }), async (puts) => {
          const key = newKey();
          await Promise.all(puts.map((put) => store.put(key, tokenOf(put), LIFETIME_MILLIS)));
          expect(saidBy(await store.get(key))).toEqual(highestOf(puts));
        }),
        { seed: 22, numRuns: 30 },
      );
    });

    it('are those of the eight clusters that were written last, as in the memory of a process', async () => {
      const memory = memoryTokenStore();
      const everyone = Array.from({ length: 12 }, (_, cluster) => cluster);
      for (const cluster of everyone) {
        const put: Put = { version: 3, cluster, lsn: 5, issuedAt: 1_000 + ((cluster * 5) % 12) };
        for (const each of [store, memory]) await each.put('ada', tokenOf(put), LIFETIME_MILLIS);
      }
      const kept = await store.get('ada');
      const clusters = kept?.split('.').map((token) => BigInt(`0x${orderOf(token)?.clusterId}`) % 1_000n);
      const newest = everyone.filter((cluster) => (cluster * 5) % 12 >= 4).map(BigInt);
      expect(clusters?.sort()).toEqual(newest.sort());
      expect(saidBy(await memory.get('ada'))).toEqual(saidBy(kept));
    });

    it('go as a whole where there are too many: no cluster loses its primary-only token alone', async () => {
      const wordless = { version: 3, lsn: undefined } as const;
      // The first of ten clusters has the oldest word, and the newest position.
      for (let cluster = 0; cluster < 10; cluster++) {
        const issuedAt = 1_000 + cluster;
        const puts: Put[] = [
          { ...wordless, cluster, issuedAt },
          { version: 3, cluster, lsn: 5, issuedAt: issuedAt + 10 },
          { version: 3, cluster: 0, lsn: 6, issuedAt: 2_000 },
        ];
        await store.put('ada', puts.map(tokenOf).join('.'), LIFETIME_MILLIS);
      }
      const kept = (await store.get('ada'))?.split('.') ?? [];
      expect(kept).toHaveLength(16);
      expect(kept).toContain(tokenOf({ ...wordless, cluster: 0, issuedAt: 1_000 }));
      expect(kept).toContain(tokenOf({ version: 3, cluster: 0, lsn: 6, issuedAt: 2_000 }));
      const clusters = kept.map((token) => orderOf(token)?.clusterId);
      for (const gone of [1, 2]) expect(clusters).not.toContain(BigInt(idOf(gone)).toString(16));
    });

    it('of eight clusters all find room, with a primary-only token of each and one for all', async () => {
      const puts = Array.from({ length: 8 }, (_, cluster): Put[] => [
        { version: 3, cluster, lsn: undefined, issuedAt: 2_000 },
        { version: 2, cluster, lsn: 5, issuedAt: 3_000 },
      ]).flat();
      const forAll: Put = { version: 2, cluster: 0, lsn: undefined, issuedAt: 4_000 };
      for (const put of [...puts, forAll]) await store.put('ada', tokenOf(put), LIFETIME_MILLIS);
      expect(saidBy(await store.get('ada'))).toEqual(highestOf([forAll, ...puts]));
    });

    it('go when they have expired, however long the key lives', async () => {
      const at = (cluster: number, version: 2 | 3, lsn: number | undefined, issuedAt: number) =>
        store.put('ada', tokenOf({ version, cluster, lsn, issuedAt }), LIFETIME_MILLIS);
      await at(0, 2, 5, 1_000);
      await at(0, 2, undefined, 1_000);
      await at(1, 3, undefined, 1_000);
      await at(1, 3, 5, 1_001);
      await at(2, 3, 5, 1_000 + LIFETIME_MILLIS);
      const left = [
        { version: 3, cluster: 1, lsn: 5, issuedAt: 1_001 },
        { version: 3, cluster: 2, lsn: 5, issuedAt: 1_000 + LIFETIME_MILLIS },
      ] as const;
      expect(saidBy(await store.get('ada'))).toEqual(highestOf(left));
      expect(await client.hLen('pg-ladder:ada')).toBe(2);
    });
  });

  describe('what release 0.1.0 has put', () => {
    it('is read, and raised by what is higher', async () => {
      const put = { version: 2, cluster: 0, lsn: 5, issuedAt: 1_000 } as const;
      const wordless = { ...put, lsn: undefined };
      await old.put('ada', tokenOf(put), LIFETIME_MILLIS);
      expect(await store.get('ada')).toBe(tokenOf(put));
      await old.put('ada', tokenOf(wordless), LIFETIME_MILLIS);
      expect(await store.get('ada')).toBe(`${tokenOf(wordless)}.${tokenOf(put)}`);
      await store.put('ada', tokenOf({ ...put, lsn: 4 }), LIFETIME_MILLIS);
      expect(await store.get('ada')).toBe(`${tokenOf(wordless)}.${tokenOf(put)}`);
      await store.put('ada', tokenOf({ ...put, version: 3, lsn: 6 }), LIFETIME_MILLIS);
      expect(await store.get('ada')).toBe(`${tokenOf(wordless)}.${tokenOf({ ...put, version: 3, lsn: 6 })}`);
    });

    it('is the same for both releases in any order of their puts: each reads the highest that it can read', async () => {
      const byOld = fc.tuple(fc.constant('0.1.0' as const), putOf(1, fc.constant(2)));
      const byNew = fc.tuple(fc.constant('this version' as const), putOf(1, anyVersion));
      await fc.assert(
        fc.asyncProperty(fc.array(fc.oneof(byOld, byNew), { maxLength: 16 }), async (turns) => {
          const key = newKey();
          const done: Put[] = [];
          for (const [by, put] of turns) {
            await (by === '0.1.0' ? old : store).put(key, tokenOf(put), LIFETIME_MILLIS);
            done.push(put);
            expect(saidBy(await store.get(key))).toEqual(highestOf(done));
            expect(saidBy(await old.get(key))).toEqual(highestOf(done.filter(({ version }) => version === 2)));
          }
        }),
        { seed: 23, numRuns: 60 },
      );
    });

    it('is read beside the tokens of many clusters, which 0.1.0 knows nothing of', async () => {
      for (let cluster = 0; cluster < 24; cluster++) {
        const issuedAt = 1_000 + cluster;
        await store.put('ada', tokenOf({ version: 3, cluster, lsn: 5, issuedAt }), LIFETIME_MILLIS);
      }
      const puts = [5, undefined].map((lsn): Put => ({ version: 2, cluster: 23, lsn, issuedAt: 2_000 }));
      for (const put of puts) await old.put('ada', tokenOf(put), LIFETIME_MILLIS);
      const kept = saidBy(await store.get('ada'));
      expect(kept).toHaveLength(9);
      expect(kept).toEqual(expect.arrayContaining(highestOf(puts)));
    });

    it('goes when it has expired', async () => {
      for (const lsn of [5, undefined]) {
        await old.put('ada', tokenOf({ version: 2, cluster: 0, lsn, issuedAt: 1_000 }), LIFETIME_MILLIS);
      }
      const put: Put = { version: 3, cluster: 0, lsn: 1, issuedAt: 1_000 + LIFETIME_MILLIS };
      await store.put('ada', tokenOf(put), LIFETIME_MILLIS);
      expect(await store.get('ada')).toBe(tokenOf(put));
      expect(await old.get('ada')).toBeUndefined();
    });
  });
});
