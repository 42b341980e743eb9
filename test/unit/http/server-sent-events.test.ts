// What stands in the events of a live query, for hostile, slow and vanishing clients. The watch is played; the HTTP is real.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { type EventStart, serverSentEventsResponse } from '../../../src/http/sessions.js';
import type { Watch } from '../../../src/index.js';
import { until } from '../../behaviour/fixture.js';
import { closesServers, get, PlayedWatch, type Row, serve } from './played-watch.js';

closesServers();

const events = (text: string): string[] => text.split('\n\n').filter((event) => event !== '');
const dataOf = (event: string | undefined): unknown => JSON.parse(/^data: ([^\n]*)$/m.exec(event ?? '')?.[1] ?? 'null');

describe('an event', () => {
  it('has the id of its state, and comes with headers that keep caches and proxies from holding it', async () => {
    const served = await serve();
    const client = await get(served, {}, 1);
    await until('there is one', () => events(client.text()).length === 1);
    expect(client.text()).toBe('retry: 2000\nid: id-1\ndata: {"rows":[{"n":1}]}\n\n');
    expect(client.response.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'private, no-store, no-transform',
      'x-accel-buffering': 'no',
    });
    served.watches[0]?.set(2, { changes: { added: [{ n: 2 }], changed: [], removed: [{ n: 1 }] } });
    await until('there are two', () => events(client.text()).length === 2);
    expect(dataOf(events(client.text())[1])).toEqual({
      rows: [{ n: 2 }],
      changes: { added: [{ n: 2 }], changed: [], removed: [{ n: 1 }] },
    });
  });

  it('may tell what the application makes of a state, in one line', async () => {
    const served = await serve({
      data: ({ rows }) => ({ sum: rows[0]?.n, text: 'a\nb\r\n\u2028' }),
      retryMillis: 10.5,
    });
    const client = await get(served, {}, 7);
    await until('there is one', () => events(client.text()).length === 1);
    expect(dataOf(client.text())).toEqual({ sum: 7, text: 'a\nb\r\n\u2028' });
    expect(client.text().split('\n')).toHaveLength(5);
    expect(client.text()).toMatch(/^retry: 11\n/);
  });
});

describe('a client that comes back', () => {
  it('has its id passed on, and is told by the first event alone whether it has missed anything', async () => {
    const served = await serve();
    const client = await get(served, { 'last-event-id': 'id-1' }, 1);
    expect(served.watches[0]?.since).toBe('id-1');
    served.watches[0]?.set(2);
    await until('there are two', () => events(client.text()).length === 2);
    // The watch knows no such id.
    expect(events(client.text()).map(dataOf)).toEqual([{ rows: [{ n: 1 }], missed: true }, { rows: [{ n: 2 }] }]);
    for (const missed of [true, false]) {
      const request = fetch(served.url, { headers: { 'last-event-id': 'id-1' } });
      const count = served.watches.length;
      await until('it watches', () => served.watches.length > count);
      served.watches[count]?.set(3, { missed });
      const reader = (await request).body?.getReader();
      const text = new TextDecoder().decode((await reader?.read())?.value);
      expect(dataOf(text)).toEqual({ rows: [{ n: 3 }], missed });
      await reader?.cancel();
    }
  });

  it.each([
    ['with spaces', 'id 1'],
    ['that is long', 'x'.repeat(65)],
    ['of other letters', 'é'],
    ['with SQL', "1'; drop table t; --"],
    ['that came twice', ['id-1', 'id-2']],
  ])('with an id %s passes none on, and may have missed something', async (_, id) => {
    const served = await serve();
    const client = await get(served, { 'last-event-id': id }, 1);
    expect(served.watches[0]?.since).toBeUndefined();
    await until('there is one', () => events(client.text()).length === 1);
    expect(dataOf(client.text())).toEqual({ rows: [{ n: 1 }], missed: true });
  });

  it('may bring its id in another way; the header wins', async () => {
    const served = await serve({ lastEventId: 'from-the-url' });
    await get(served, {}, 1);
    await get(served, { 'last-event-id': 'id-9' }, 1);
    expect(served.watches.map(({ since }) => since)).toEqual(['from-the-url', 'id-9']);
  });
});

describe('the connection', () => {
  it('has comments while nothing changes', async () => {
    const served = await serve({ heartbeatMillis: 10 });
    const client = await get(served, {}, 1);
    await until(
      'there are comments',
      () =>
        client
          .text()
          .split('\n')
          .filter((line) => line === ':').length > 2,
    );
  });

  it('of a slow client holds little, and gets the newest state when it goes on', async () => {
    const text = 'x'.repeat(100_000);
    const served = await serve({ data: ({ rows }) => ({ n: rows[0]?.n, text }) });
    const client = connect(served.port, '127.0.0.1');
    client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await until('it watches', () => served.watches.length === 1);
    const [watch] = served.watches as [PlayedWatch];
    const [response] = served.responses as [ServerResponse];
    // The system's buffers take some before anything is held here.
    let n = 0;
    await until('it is not ready', async () => {
      watch.set(++n);
      await new Promise((resolve) => setTimeout(resolve, 1));
      return response.writableNeedDrain && watch.takenCount < n - 20;
    });
    const { takenCount } = watch;
    for (let i = 0; i < 1_000; i++) watch.set(++n);
    await new Promise((resolve) => setImmediate(resolve));
    expect(watch.takenCount).toBeLessThanOrEqual(takenCount + 1);
    expect(response.writableLength).toBeLessThan(5 * text.length);
    let seen = '';
    client.on('data', (part) => {
      seen = (seen + String(part)).slice(-2 * text.length);
    });
    await until('it has the newest', () => seen.includes(`{"n":${n},`));
    client.destroy();
    await until('it is over', () => served.outcomes.length === 1);
  });

  it('that the client leaves ends the watch', async () => {
    const served = await serve();
    const client = await get(served, {}, 1);
    const [watch] = served.watches;
    client.leave();
    await until('it is over', () => served.outcomes.length === 1);
    expect(served.outcomes).toEqual(['over']);
    expect([watch?.hasEnded, watch?.signal.aborted]).toEqual([true, true]);
  });

  it('ends with the watch, so that the client comes back', async () => {
    const served = await serve();
    const client = await get(served, {}, 1);
    const ended = once(client.response, 'end');
    served.watches[0]?.end();
    await ended;
    expect(served.outcomes).toEqual(['over']);
  });
});

describe('what the watch throws', () => {
  it('before the first event can become an answer of the application', async () => {
    const served = await serve();
    const answer = fetch(served.url);
    await until('it watches', () => served.watches.length === 1);
    const error = new Error('refused');
    served.watches[0]?.fail(error);
    expect((await answer).status).toBe(500);
    expect(served.outcomes).toEqual([error]);
  });

  it('later breaks the connection', async () => {
    const served = await serve();
    const client = await get(served, {}, 1);
    const closed = new Promise((resolve) => client.response.on('close', resolve));
    const error = new Error('gone');
    await until('there is one', () => events(client.text()).length === 1);
    served.watches[0]?.fail(error);
    await closed;
    await until('it is over', () => served.outcomes.length === 1);
    expect(served.outcomes).toEqual([error]);
  });
});

it('answers HEAD without a watch, and refuses wrong options', async () => {
  const served = await serve();
  const answer = await fetch(served.url, { method: 'HEAD' });
  expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
  expect(served.watches).toEqual([]);
  const wrong = await serve({ heartbeatMillis: 0 });
  expect((await fetch(wrong.url)).status).toBe(500);
  expect(wrong.outcomes).toEqual([expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS' })]);
});

describe('a web Response', () => {
  const open = (watches: PlayedWatch[]) => (start: EventStart) => {
    const watch = new PlayedWatch(start);
    watches.push(watch);
    watch.set(1, { missed: false });
    return watch;
  };

  it('has the same events, makes none before it is asked, and ends the watch when it is cancelled', async () => {
    const watches: PlayedWatch[] = [];
    const request = new Request('http://a/', { headers: { 'last-event-id': 'id-1' } });
    const response = await serverSentEventsResponse(request, open(watches));
    expect(response.headers.get('cache-control')).toBe('private, no-store, no-transform');
    const [watch] = watches as [PlayedWatch];
    for (let n = 2; n < 100; n++) watch.set(n);
    await new Promise((resolve) => setImmediate(resolve));
    expect(watch.takenCount).toBe(1);
    const reader = response.body?.getReader();
    const read = async () => dataOf(new TextDecoder().decode((await reader?.read())?.value));
    expect(await read()).toEqual({ rows: [{ n: 1 }], missed: false });
    expect(await read()).toEqual({ rows: [{ n: 99 }] });
    await reader?.cancel();
    await until('the watch has ended', () => watch.hasEnded);
  });

  it('ends when its request is aborted, and rejects when the watch fails at once', async () => {
    const watches: PlayedWatch[] = [];
    const controller = new AbortController();
    const response = await serverSentEventsResponse(
      new Request('http://a/', { signal: controller.signal }),
      open(watches),
    );
    const reader = response.body?.getReader();
    await reader?.read();
    controller.abort();
    expect(await reader?.read()).toEqual({ done: true, value: undefined });
    expect(watches[0]?.hasEnded).toBe(true);
    const failing = (start: EventStart): Watch<Row> => {
      const watch = new PlayedWatch(start);
      watch.fail(new Error('refused'));
      return watch;
    };
    await expect(serverSentEventsResponse(new Request('http://a/'), failing)).rejects.toThrow('refused');
  });
});
