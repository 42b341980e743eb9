import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { FetchLike } from '../../../src/discovery/index.js';
import { member, type PatroniServer, startPatroniServer } from '../../behaviour/discovery-servers.js';
import { until } from '../../behaviour/fixture.js';
import { asksPatroni, names, open, patroni } from './patroni.js';

asksPatroni();

describe('servers by Patroni', () => {
  describe('with several members to ask', () => {
    let other: PatroniServer;
    beforeEach(async () => {
      other = await startPatroniServer(member('a', '10.0.0.1'));
    });
    afterEach(() => other[Symbol.asyncDispose]());

    it('come from the first that answers, and from the same one the next time', async () => {
      const find = open({ urls: [patroni.url, other.url] });
      patroni.failure = { status: 500 };
      expect(await names(find)).toEqual(['a']);
      patroni.failure = undefined;
      expect(await names(find)).toEqual(['a']);
      expect([patroni.requests.length, other.requests.length]).toEqual([1, 2]);
      await other[Symbol.asyncDispose]();
      expect(await names(find)).toEqual(['patroni1', 'patroni2']);
    });

    it.each([
      'silence' as const,
      'half' as const,
      'endless' as const,
      { body: '<html>' },
      { body: '{"members":{}}' },
      { status: 204 },
    ])('come from the second when the first fails by %j', async (failure) => {
      patroni.failure = failure;
      expect(await names(open({ urls: [patroni.url, other.url], timeoutMillis: 300 }))).toEqual(['a']);
      await vi.waitFor(() => expect(patroni.openCount).toBe(0));
    });

    it('do not come from one that is down, which is told of all of them when all are', async () => {
      patroni.failure = { status: 503 };
      await other[Symbol.asyncDispose]();
      await expect(open({ urls: [patroni.url, other.url] })()).rejects.toThrow(
        `patroniDiscovery: ${patroni.url}/cluster: answered with the status 503; ${other.url}/cluster: ECONNREFUSED`,
      );
    });

    it('are asked for at another one after one has taken all the time', async () => {
      patroni.failure = 'silence';
      const find = open({ urls: [patroni.url, other.url], timeoutMillis: 10_000 });
      const closing = new AbortController();
      const answer = find(closing.signal);
      await until('it is asked', () => patroni.requests.length === 1);
      closing.abort();
      await expect(answer).rejects.toThrow('the answer is no longer waited for');
      expect(await names(find)).toEqual(['a']);
      expect(patroni.requests).toHaveLength(1);
    });
  });

  describe('change nothing', () => {
    it.each([
      ['nothing', ''],
      ['no JSON', '<html>not found</html>'],
      ['half of it', '{"members":[{"name":'],
      ['null', 'null'],
      ['a list', '[]'],
      ['no members', '{}'],
      ['members that are no list', '{"members":{"a":1}}'],
      ['members that are none', '{"members":[null,7]}'],
      ['a name that is none', JSON.stringify({ members: [{ ...member('a', 'h'), name: 7 }] })],
      ['an empty name', JSON.stringify({ members: [member('', 'h')] })],
      ['a host that is none', JSON.stringify({ members: [{ ...member('a', 'h'), host: { a: 1 } }] })],
      ['a directory for a host', JSON.stringify({ members: [member('a', '/var/run/postgresql')] })],
      ['a URL for a host', JSON.stringify({ members: [member('a', 'postgres://x@evil')] })],
      ['a port that is none', JSON.stringify({ members: [{ ...member('a', 'h'), port: '5432' }] })],
      ['a port out of range', JSON.stringify({ members: [member('a', 'h', { port: 70_000 })] })],
      ['tags that are none', JSON.stringify({ members: [{ ...member('a', 'h'), tags: 'noloadbalance' }] })],
      ['no state', JSON.stringify({ members: [{ ...member('a', 'h'), state: undefined }] })],
      ['no role', JSON.stringify({ members: [{ ...member('a', 'h'), role: undefined }] })],
      ['no host of one that is up', JSON.stringify({ members: [{ ...member('a', 'h'), host: undefined }] })],
      ['two of one name', JSON.stringify({ members: [member('a', 'h'), member('a', 'i')] })],
      ['nobody', '{"members":[]}'],
      ['nobody who is up', JSON.stringify({ members: [member('a', 'h', { state: 'stopped' })] })],
    ])('when the answer has %s', async (_, body) => {
      patroni.failure = { body };
      await expect(open()()).rejects.toThrow(`patroniDiscovery: ${patroni.url}/cluster: `);
    });

    it('when a field is missing, which the message names', async () => {
      patroni.members = [member('a', 'h'), { ...member('b', 'i'), state: undefined as unknown as string }];
      await expect(open()()).rejects.toThrow(
        /\/cluster: expected what Patroni says to GET \/cluster; members\.1\.state: /,
      );
    });

    it('when there are 10,000 members, soon', async () => {
      patroni.members = Array.from({ length: 10_000 }, (_, i) => ({
        name: `m${i}`,
        role: 'replica',
        state: 'streaming',
        host: `10.0.${i >> 8}.${i & 255}`,
      }));
      await expect(open()()).rejects.toThrow('expected at most 1000 servers, got 10000');
      patroni.failure = { body: JSON.stringify({ members: Array(10_000).fill(7) }) };
      const told = await open()().then(
        () => '',
        (error: Error) => error.message,
      );
      expect(told).toMatch(/^.{100,500}$/);
    });

    it('when the answer is huge, before all of it has come', async () => {
      patroni.failure = 'endless';
      await expect(open()()).rejects.toThrow('expected at most 1048576 bytes, got more');
      await vi.waitFor(() => expect(patroni.openCount).toBe(0));
    });

    it.each(['silence', 'half'] as const)('when the answer is %s, and say so in time', async (failure) => {
      patroni.failure = failure;
      const begunAt = performance.now();
      await expect(open({ timeoutMillis: 100 })()).rejects.toThrow(`${patroni.url}/cluster: no answer within 100 ms`);
      expect(performance.now() - begunAt).toBeLessThan(1_000);
      await vi.waitFor(() => expect(patroni.openCount).toBe(0));
    });

    it('when the fetch that is given fails, throws, or heeds no signal', async () => {
      const failing: FetchLike[] = [
        () => Promise.reject(Object.assign(new Error('no route for secret'), { code: 'EHOSTUNREACH' })),
        () => {
          throw new Error('secret', { cause: Object.assign(new Error('secret'), { code: 'EHOSTUNREACH' }) });
        },
      ];
      for (const fetch of failing) {
        const told = await open({ fetch })().catch(String);
        expect(told).toBe(`LadderError: patroniDiscovery: ${patroni.url}/cluster: EHOSTUNREACH`);
      }
      const fetch = () => new Promise<never>(() => {});
      await expect(open({ fetch, timeoutMillis: 50 })()).rejects.toThrow('no answer within 50 ms');
      const body = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) };
      await expect(open({ fetch: async () => ({ status: 200, body }), timeoutMillis: 50 })()).rejects.toThrow(
        'no answer within 50 ms',
      );
    });

    it('when nobody waits any more, without asking', async () => {
      await expect(open()(AbortSignal.abort())).rejects.toThrow('no longer waited for');
      expect(patroni.requests).toHaveLength(0);
    });
  });
});
