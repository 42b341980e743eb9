// How reads of Redis travel: those of one tick together, where one server has all.
import { describe, expect, it } from 'vitest';
import { RedisReads } from '../../../src/cache/redis-reads.js';
import { RedisScripts } from '../../../src/redis-client.js';

const tick = () => new Promise((resolve) => setImmediate(resolve));

function started({ many }: { readonly many?: (keys: string[]) => Promise<unknown> } = {}) {
  const sent: string[] = [];
  const reader = {
    one: async (key: string) => {
      sent.push(key);
      return key === 'none' ? null : `text of ${key}`;
    },
    many:
      many ??
      (async (keys: string[]) => {
        sent.push(keys.join('+'));
        return keys.map((key) => `text of ${key}`);
      }),
  };
  const client = { eval: async () => null, evalSha: async () => null };
  const scripts = new RedisScripts(client, { owner: 'cache' });
  return { sent, reads: new RedisReads(reader, scripts, (text) => text.toUpperCase()) };
}

describe('reads of Redis', () => {
  it('travel in one command where a tick has many', async () => {
    const { sent, reads } = started();
    const all = async (keys: string[]) => Promise.all(keys.map((key) => reads.get(key)));
    expect(await all(['a', 'b', 'c'])).toEqual(['TEXT OF A', 'TEXT OF B', 'TEXT OF C']);
    expect(sent).toEqual(['a+b+c']);
    await tick();
    expect(await all(['d'])).toEqual(['TEXT OF D']);
    expect(await all(['none'])).toEqual([undefined]);
    expect(sent.slice(1)).toEqual(['d', 'none']);
  });

  it('are sent one by one where no server has all keys', async () => {
    const { sent, reads } = started({ many: () => Promise.reject(new Error('CROSSSLOT')) });
    expect(await Promise.all([reads.get('a'), reads.get('b'), reads.get('c')])).toHaveLength(3);
    expect(sent).toEqual(['a', 'b', 'c']);
  });

  it('fail together, and leave those of the next tick what they are', async () => {
    const { reads } = started({ many: () => Promise.reject(new Error('gone')) });
    const outcomes = await Promise.allSettled([reads.get('a'), reads.get('b'), reads.get('c')]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    expect(await reads.get('d')).toBe('TEXT OF D');
  });
});
