import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type FetchLike, type PatroniDiscoveryOptions, patroniDiscovery } from '../../../src/discovery/index.js';
import { LadderError } from '../../../src/errors.js';
import { member, type PatroniServer, startPatroniServer } from '../../behaviour/discovery-servers.js';

describe('servers by Patroni', () => {
  let patroni: PatroniServer;
  beforeEach(async () => {
    patroni = await startPatroniServer(
      member('patroni1', '10.0.0.4', { role: 'leader', state: 'running' }),
      member('patroni2', '10.0.0.6', { port: 5433 }),
    );
  });
  afterEach(() => patroni[Symbol.asyncDispose]());

  const open = (options: Partial<PatroniDiscoveryOptions> = {}) => {
    const discovery = patroniDiscovery({ urls: [patroni.url], ...options });
    return async (signal = new AbortController().signal) =>
      discovery({ signal, ask: () => Promise.reject(new Error('asks no server')) });
  };
  const names = async (find = open()) => (await find()).map((server) => Object(server).name as string);
  const at = (path: string) => patroni.url.replace('http://', 'http://ada:s%3Acret@') + path;

  it('are its members, by their names', async () => {
    expect(await open()()).toEqual([
      { name: 'patroni1', host: '10.0.0.4', port: 5432 },
      { name: 'patroni2', host: '10.0.0.6', port: 5433 },
    ]);
    expect(patroni.requests).toMatchObject([{ path: '/cluster' }]);
  });

  it('are followed as members come and go', async () => {
    const find = open();
    await find();
    patroni.members = [member('patroni3', '10.0.0.7')];
    expect(await names(find)).toEqual(['patroni3']);
  });

  it.each(['replica', 'sync_standby', 'quorum_standby', 'standby_leader', 'a role of the future'])(
    'are those with the role %s, too',
    async (role) => {
      patroni.members = [member('a', '10.0.0.1', { role })];
      expect(await names()).toEqual(['a']);
    },
  );

  it.each(['running', 'streaming', 'in archive recovery'])('are those that are %s', async (state) => {
    patroni.members = [member('a', '10.0.0.1', { state })];
    expect(await names()).toEqual(['a']);
  });

  it.each([
    'initializing new cluster',
    'initdb failed',
    'running custom bootstrap script',
    'custom bootstrap failed',
    'creating replica',
    'starting',
    'starting after custom bootstrap',
    'start failed',
    'restarting',
    'restart failed',
    'stopping',
    'stopped',
    'stop failed',
    'crashed',
    '',
  ])('are none that are "%s"', async (state) => {
    const { host: _, port: __, ...down } = member('b', '10.0.0.2', { state });
    patroni.members = [member('a', '10.0.0.1'), down];
    expect(await names()).toEqual(['a']);
  });

  it('are none that shall get no load, except for the leader', async () => {
    patroni.members = [
      member('a', '10.0.0.1', { role: 'leader', state: 'running', tags: { noloadbalance: true } }),
      member('b', '10.0.0.2', { tags: { noloadbalance: true } }),
      member('c', '10.0.0.3', { tags: { noloadbalance: false } }),
      member('d', '10.0.0.4', { role: 'standby_leader', tags: { noloadbalance: true } }),
    ];
    expect(await names()).toEqual(['a', 'c']);
  });

  it('have the port of the first server where Patroni tells none, and no tags where it tells none', async () => {
    patroni.members = [{ name: 'a', role: 'replica', state: 'streaming', host: '10.0.0.1' }];
    expect(await open()()).toEqual([{ name: 'a', host: '10.0.0.1' }]);
  });

  it('are asked for with the headers and below the path that are given', async () => {
    await open({ urls: [`${patroni.url}/a/`], headers: { 'X-Team': 'blue' } })();
    expect(patroni.requests).toMatchObject([{ path: '/a/cluster', headers: { 'x-team': 'blue' } }]);
  });

  it('are asked for with the user and password of the URL, which no message names', async () => {
    await open({ urls: [at('')] })();
    const authorization = `Basic ${Buffer.from('ada:s:cret').toString('base64')}`;
    expect(patroni.requests).toMatchObject([{ headers: { authorization } }]);
    patroni.failure = { status: 503 };
    const error = await open({ urls: [at('')] })().catch(String);
    expect(error).toBe(`LadderError: patroniDiscovery: ${patroni.url}/cluster: answered with the status 503`);
  });

  it('are asked for by the fetch that is given', async () => {
    const body = new TextEncoder().encode(JSON.stringify({ members: [member('a', '10.0.0.1')] }));
    async function* chunks() {
      yield body.subarray(0, 9);
      yield body.subarray(9);
    }
    const fetch = vi.fn<FetchLike>(async () => ({ status: 200, body: chunks() }));
    expect(await names(open({ fetch }))).toEqual(['a']);
    expect(fetch).toHaveBeenCalledExactlyOnceWith(`${patroni.url}/cluster`, expect.anything());
  });

  it('are not looked for where the API sends on: who answers there gets no login and names no server', async () => {
    await using other = await startPatroniServer(member('elsewhere', '10.0.0.9'));
    const url = patroni.url.replace('http://', 'http://monitor:hunter2@');
    const options = { urls: [url], headers: { 'x-api-key': 'hunter2' } };
    // Elsewhere, the same place by another name, and somewhere that is no place.
    const places = [
      `${other.url}/cluster`,
      `${other.url.replace('127.0.0.1', 'localhost')}/`,
      '/cluster',
      'file:///etc/passwd',
    ];
    for (const redirect of places) {
      patroni.failure = { redirect };
      await expect(names(open(options))).rejects.toThrow('answered with a redirect, which is not followed');
    }
    expect(other.requests).toEqual([]);
    expect(patroni.requests).toHaveLength(places.length);
    for (const { headers } of patroni.requests) expect(headers).toMatchObject({ 'x-api-key': 'hunter2' });
  });

  it('are not believed when the fetch that is given follows a redirect all the same', async () => {
    await using other = await startPatroniServer(member('elsewhere', '10.0.0.9'));
    patroni.failure = { redirect: `${other.url}/cluster` };
    const asked: unknown[] = [];
    const disobedient: FetchLike = async (url, { redirect, ...init }) => {
      asked.push(redirect);
      return (await fetch(url, init)) as never;
    };
    await expect(names(open({ fetch: disobedient }))).rejects.toThrow('answered with a redirect');
    expect(asked).toEqual(['error']);
  });

  it('are found by a server that names thousands of them, or itself in escapes, to be no answer of Patroni’s', async () => {
    patroni.members = Array.from({ length: 1_001 }, (_, i) => member(`m${i}`, `10.0.${i >> 8}.${i & 255}`));
    await expect(names()).rejects.toThrow('expected at most 1000 servers');
    patroni.members = [member('a', '10.0.0.1\u001b[2J')];
    await expect(names()).rejects.toThrow('expected a host without control characters');
  });

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
      setTimeout(() => closing.abort(), 50);
      await expect(find(closing.signal)).rejects.toThrow('nobody waits for the answer any more');
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
      await expect(open()(AbortSignal.abort())).rejects.toThrow('nobody waits');
      expect(patroni.requests).toHaveLength(0);
    });
  });

  it.each([
    [{ urls: [] }, 'urls'],
    [{ urls: ['10.0.0.4:8008'] }, 'urls.0: expected http://host:port'],
    [{ urls: ['ftp://10.0.0.4'] }, 'urls.0'],
    [{ urls: ['http://10.0.0.4:8008?key=secret'] }, 'urls.0'],
    [{ urls: ['http://secret%zz@10.0.0.4:8008'] }, 'urls.0'],
    [{ timeoutMillis: 0 }, 'timeoutMillis'],
    [{ fetch: 'undici' }, 'fetch: expected a function'],
    [{ headers: { authorization: 7 } }, 'headers.authorization'],
    [{ headers: { authorization: 'secret\r\nx: y' } }, 'headers: expected names and values that HTTP allows'],
    [{ url: 'http://10.0.0.4:8008' }, 'url'],
  ])('are not looked for with %j, and no secret is told', (options, words) => {
    const attempt = () => patroniDiscovery({ urls: ['http://10.0.0.4:8008'], ...options } as PatroniDiscoveryOptions);
    expect(attempt).toThrow(LadderError);
    expect(attempt).toThrow(expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS' }));
    expect(attempt).toThrow(words);
    expect(attempt).not.toThrow('secret');
  });
});
