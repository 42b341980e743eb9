import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as undici from 'undici';
import { describe, expect, it } from 'vitest';
import { orderOf, sessionFetch } from '../../../src/http/sessions.js';
import { agent, alone, asked, asksServices, cluster, HEADER, inner, lastToken, origin, service } from './asked.js';

type UndiciHeaders = NonNullable<undici.Dispatcher.RequestOptions['headers']> | null;

asksServices();

describe('other services', () => {
  describe('get every header that the caller gives', () => {
    const pairs: [string, string][] = [
      ['x-one', '1'],
      ['X-Two', '2'],
    ];

    it.each<[string, () => [input: string | Request, init?: RequestInit]]>([
      ['an object', () => [origin, { headers: Object.fromEntries(pairs) }]],
      ['pairs', () => [origin, { headers: pairs }]],
      ['Headers', () => [origin, { headers: new Headers(pairs) }]],
      ['a Request', () => [new Request(origin, { headers: pairs })]],
      [
        'a Request whose headers are replaced',
        () => [new Request(origin, { headers: { a: 'b' } }), { headers: pairs }],
      ],
    ])('by fetch, as %s', async (_, given) => {
      await cluster.session(() => sessionFetch(cluster, { origins: [origin] })(...given()), alone);
      expect(asked).toMatchObject([{ headers: { 'x-one': '1', 'x-two': '2', [HEADER]: expect.any(String) } }]);
      expect(asked[0]?.headers).not.toHaveProperty('a');
    });

    const iterable = (...list: [string, string | string[]][]): Iterable<[string, string | string[]]> => ({
      [Symbol.iterator]: () => list[Symbol.iterator](),
    });

    it.each<[string, () => UndiciHeaders]>([
      ['an object', () => Object.fromEntries(pairs)],
      ['a flat list', () => pairs.flat()],
      ['Headers', () => new undici.Headers(pairs)],
      ['a Map', () => new Map(pairs)],
      ['an iterable', () => iterable(...pairs)],
    ])('by undici, as %s', async (_, given) => {
      const headers = given();
      await cluster.session(() => undici.request(origin, { dispatcher: agent, headers }), alone);
      expect(asked).toMatchObject([{ headers: { 'x-one': '1', 'x-two': '2', [HEADER]: expect.any(String) } }]);
    });

    it.each<[string, () => UndiciHeaders]>([
      ['an object', () => ({ 'x-many': ['1', '2'] })],
      ['a flat list', () => ['x-many', '1', 'x-many', '2']],
      ['an iterable', () => iterable(['x-many', '1'], ['x-many', '2'])],
    ])('by undici, several of one name, as %s', async (_, given) => {
      await undici.request(origin, { dispatcher: inner, headers: given() });
      await cluster.session(() => undici.request(origin, { dispatcher: agent, headers: given() }), alone);
      expect(asked.map(({ headers }) => headers['x-many'])).toEqual(['1, 2', '1, 2']);
    });

    it('and their own where there is none', async () => {
      await cluster.session(async () => {
        await undici.request(origin, { dispatcher: agent });
        await undici.request(origin, { dispatcher: agent, headers: null });
        await undici.request(origin, { dispatcher: agent, headers: [] });
      }, alone);
      expect(asked.map(({ headers }) => orderOf(String(headers[HEADER]))?.isPrimaryOnly)).toEqual([
        false,
        false,
        false,
      ]);
    });

    it('which the caller finds unchanged', async () => {
      const list = pairs.flat();
      const object = Object.fromEntries(pairs);
      const init = { headers: object };
      await cluster.session(async () => {
        await undici.request(origin, { dispatcher: agent, headers: list });
        await undici.request(origin, { dispatcher: agent, headers: object });
        await sessionFetch(cluster, { origins: [origin] })(origin, init);
      }, alone);
      expect(list).toEqual(['x-one', '1', 'X-Two', '2']);
      expect(object).toEqual({ 'x-one': '1', 'X-Two': '2' });
      expect(init).toEqual({ headers: object });
    });
  });

  describe('get every body', () => {
    const chunks = () => ['one ', 'two ', 'three'];

    it('by fetch', async () => {
      const told = sessionFetch(cluster, { origins: [origin] });
      const form = new URLSearchParams({ name: 'Ada' });
      const answers = await cluster.session(async () => {
        const sent = [
          await told(origin, { method: 'POST', body: 'text' }),
          await told(origin, { method: 'PUT', body: form }),
          await told(new Request(origin, { method: 'POST', body: 'of a request' })),
          await told(origin, {
            method: 'POST',
            body: ReadableStream.from(chunks()) as never,
            duplex: 'half',
          }),
        ];
        return Promise.all(sent.map((response) => response.text()));
      }, alone);
      expect(answers).toEqual(['text', 'name=Ada', 'of a request', 'one two three']);
      expect(asked.map(({ method }) => method)).toEqual(['POST', 'PUT', 'POST', 'POST']);
      expect(asked[1]?.headers['content-type']).toMatch(/x-www-form-urlencoded/);
    });

    it('by undici', async () => {
      const ask = (body: undici.Dispatcher.RequestOptions['body']) =>
        undici.request(origin, { dispatcher: agent, method: 'POST', body: body ?? null });
      const answers = await cluster.session(async () => {
        const sent = [
          await ask('text'),
          await ask(Buffer.from('bytes')),
          await ask(Readable.from(chunks())),
          await undici.request(`${origin}/large`, { dispatcher: agent }),
        ];
        return Promise.all(sent.map(({ body }) => body.text()));
      }, alone);
      expect(answers.slice(0, 3)).toEqual(['text', 'bytes', 'one two three']);
      expect(answers[3]).toHaveLength(1_000_000);
    });

    it('by undici’s streams', async () => {
      let found = '';
      await cluster.session(async () => {
        const through = agent.pipeline({ origin, path: '/', method: 'POST' }, ({ body }) => body);
        await pipeline(Readable.from(chunks()), through, async (source) => {
          for await (const data of source) found += String(data);
        });
      }, alone);
      expect(found).toBe('one two three');
      expect(orderOf(lastToken())).toBeDefined();
    });
  });

  it('are reached by the fetch that is handed in, with the Request of its own kind', async () => {
    const told = sessionFetch(cluster, { origins: [origin] }, undici.fetch as unknown as typeof fetch);
    await cluster.session(async () => {
      const request = new undici.Request(`${origin}/own`, {
        method: 'POST',
        body: 'own',
        headers: { 'x-own': 'kept' },
      });
      const response = await told(request as unknown as Request);
      expect(await response.text()).toBe('own');
    }, alone);
    expect(asked).toMatchObject([
      { method: 'POST', path: '/own', headers: { 'x-own': 'kept', [HEADER]: expect.stringMatching(/^2/) } },
    ]);
  });

  it('can be switched to another protocol', async () => {
    service.once('upgrade', (request, socket) => {
      asked.push({ method: '', path: '', headers: request.headers, raw: [], body: '' });
      socket.end('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: own\r\n\r\nhello');
    });
    const found = await cluster.session(async () => {
      const { socket } = await undici.upgrade(origin, { dispatcher: agent, protocol: 'own' });
      let text = '';
      for await (const data of socket) text += String(data);
      return text;
    }, alone);
    expect(found).toBe('hello');
    expect(orderOf(lastToken())).toBeDefined();
  });
});
