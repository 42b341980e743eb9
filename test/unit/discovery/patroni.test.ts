import { describe, expect, it, vi } from 'vitest';
import { type FetchLike, type PatroniDiscoveryOptions, patroniDiscovery } from '../../../src/discovery/index.js';
import { LadderError } from '../../../src/errors.js';
import { member, startPatroniServer } from '../../behaviour/discovery-servers.js';
import { asksPatroni, at, names, open, patroni } from './patroni.js';

asksPatroni();

describe('servers by Patroni', () => {
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
