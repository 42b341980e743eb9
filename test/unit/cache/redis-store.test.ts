/** Whatever a Redis, or its client, answers: a store on it gives a text or an error, and a listener that cannot hear is not current. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redisCache } from '../../../src/cache/redis-store.js';

const CLOCK = 'abcdef0123456789';
const LIFETIME_MILLIS = 1_000;

const answers = fc.record({
  how: fc.constantFrom('resolves', 'rejects', 'throws', 'at once'),
  what: fc.oneof(
    fc.anything(),
    fc.array(fc.anything(), { maxLength: 8 }),
    fc.array(fc.anything(), { maxLength: 8 }).map((rest) => [CLOCK, '1.5', ...rest]),
    fc
      .array(fc.constantFrom('-1', '0', '1', '2', '1e999', 'x'), { maxLength: 8 })
      .map((rest) => [CLOCK, '1.5', ...rest]),
    fc.string().map((text) => 'f'.repeat(24) + text),
    fc.string().map((text) => new Error(`NOSCRIPT ${text}`)),
  ),
});

function answer({ how, what }: { how: string; what: unknown }): unknown {
  if (how === 'throws') throw what;
  if (how === 'rejects') return Promise.reject(what);
  return how === 'at once' ? what : Promise.resolve(what);
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('a shared store on a Redis that answers anything', () => {
  it.each([
    ['node-redis', (played: () => unknown) => ({ get: played, mGet: played, eval: played, evalSha: played })],
    [
      'ioredis',
      (played: () => unknown) => ({ get: played, mget: played, eval: played, evalsha: played, defineCommand: played }),
    ],
  ])('through %s, gives texts or errors, and nothing else', async (_name, client) => {
    await fc.assert(
      fc.asyncProperty(answers, async (played) => {
        const store = redisCache(client(() => answer(played)) as never);
        for (const found of await Promise.allSettled([store.get('a'), store.get('b'), store.get('c')])) {
          if (found.status === 'rejected') expect(found.reason).toBeInstanceOf(Error);
          else if (found.value !== undefined) expect(typeof found.value.value).toBe('string');
        }
        const calls = [
          store.get('a'),
          store.set('a', 'text', { timeline: 1, lsn: 1n }, LIFETIME_MILLIS),
          store.lease('a', LIFETIME_MILLIS),
          store.release('a'),
        ];
        for (const done of await Promise.allSettled<unknown>(calls)) {
          if (done.status === 'rejected') expect(done.reason).toBeInstanceOf(Error);
        }
        let heardCount = 0;
        const hears = { heard: () => void heardCount++, missed: () => void heardCount++ };
        const subscription = store.channel?.listen(hears);
        for (let i = 0; i < 5; i++) await settle();
        if (subscription?.isCurrent() === true) expect(heardCount).toBeGreaterThan(0);
        const told: unknown = await store.channel?.tell('message', LIFETIME_MILLIS, 5).catch((error: unknown) => error);
        if (told !== undefined) expect(told).toMatchObject({ code: 'LADDER_FORGET_INCOMPLETE' });
        await store.close();
      }),
      { numRuns: 150 },
    );
  });
});
