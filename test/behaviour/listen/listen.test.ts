// `cluster.listen` while nothing is wrong: what it hears, on how many connections, and how it ends.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, createCluster, type ListenItem } from '../../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { ask } from '../../faults/promoted.js';
import { open, until } from '../fixture.js';
import { listeningPids, next, notify } from './heard.js';
import { OwnKeys } from './own-keys.js';

let servers: TestCluster;
let primary: TestNode;
let cluster: Cluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
  primary = servers.primary;
  cluster = await open(servers);
});
afterAll(async () => {
  await cluster.close();
  await servers.stop();
});

const hasNoConnection = () => until('nobody listens', async () => (await listeningPids(primary)).length === 0);

describe('what is heard', () => {
  it('is all that is sent once it is ready, in order, with its sender', async () => {
    await using listening = cluster.listen('orders');
    await listening.ready;
    const client = await cluster.connection(async (connection) => {
      const { rows } = await connection.query<{ pid: number }>('select pg_backend_pid() as pid');
      for (const payload of ['1', '2', '']) await connection.query('select pg_notify($1, $2)', ['orders', payload]);
      return rows[0]?.pid;
    });
    const of = (payload: string) => ({ kind: 'notification', channel: 'orders', payload, processId: client });
    expect([await next(listening), await next(listening), await next(listening)]).toEqual([of('1'), of('2'), of('')]);
  });

  it.each([
    'CamelCase',
    'with "quotes" and  two spaces',
    'a"; select pg_sleep(10); --',
    'line\nbreak',
    'ümläut ☃',
    '{a,b\\}',
    'x'.repeat(63),
  ])('comes on the channel of exactly that name: %j', async (channel) => {
    await using listening = cluster.listen(channel);
    await listening.ready;
    await notify(primary, channel.toLowerCase(), channel.toLowerCase());
    await notify(primary, channel, 'exactly');
    const heard = channel === channel.toLowerCase() ? [channel, 'exactly'] : ['exactly'];
    for (const payload of heard) expect(await next(listening)).toMatchObject({ channel, payload });
  });

  it('may be as large as PostgreSQL allows', async () => {
    await using listening = cluster.listen('large');
    await listening.ready;
    await notify(primary, 'large', 'é'.repeat(3_999));
    expect(await next(listening)).toMatchObject({ payload: 'é'.repeat(3_999) });
  });

  it('is refused by name where PostgreSQL would take another one', () => {
    for (const name of ['', 'x'.repeat(64), 'é'.repeat(32), 'a\0b', '\ud800', 7, undefined] as string[])
      expect(() => cluster.listen(name)).toThrow(
        expect.objectContaining({
          code: 'LADDER_INVALID_OPTIONS',
          message: expect.stringContaining('listen: channel'),
        }),
      );
    expect(() => cluster.listen('a', { bufferSize: 0 })).toThrow(/listen: bufferSize/);
    expect(() => cluster.listen('a', { signal: 'no' } as never)).toThrow(/listen: signal/);
  });
});

describe('the connection', () => {
  it('is one for all listeners of a process, and none where nobody listens', async () => {
    await hasNoConnection();
    const first = cluster.listen('a');
    await first.ready;
    const [pid] = await listeningPids(primary);
    const others = [cluster.listen('a'), cluster.listen('b')];
    await Promise.all(others.map(({ ready }) => ready));
    expect(await listeningPids(primary)).toEqual([pid]);
    await notify(primary, 'a', 'for two');
    await notify(primary, 'b', 'for one');
    const heard = await Promise.all([first, ...others].map(next));
    expect(heard.map((item) => 'payload' in item && item.payload)).toEqual(['for two', 'for two', 'for one']);

    await first.return();
    await others[0]?.return();
    const again = cluster.listen('a');
    await again.ready;
    await notify(primary, 'a', 'again');
    expect(await next(again)).toMatchObject({ payload: 'again' });
    expect(await listeningPids(primary)).toEqual([pid]);
    await again.return();
    await others[1]?.return();
    await hasNoConnection();
  });

  it('stays through many that come and go', async () => {
    await using keeper = cluster.listen('keeper');
    await keeper.ready;
    const [pid] = await listeningPids(primary);
    for (let round = 0; round < 20; round++) {
      const listening = cluster.listen('guest');
      if (round % 2 === 0) await listening.ready;
      await listening.return();
      await using another = cluster.listen('guest');
      await another.ready;
      await notify(primary, 'guest', String(round));
      expect(await next(another)).toMatchObject({ payload: String(round) });
    }
    expect(await listeningPids(primary)).toEqual([pid]);
  });

  it('takes a thousand channels', async () => {
    const all = Array.from({ length: 1_000 }, (_, index) => cluster.listen(`channel ${index}`));
    await Promise.all(all.map(({ ready }) => ready));
    expect(await listeningPids(primary)).toHaveLength(1);
    await notify(primary, 'channel 999', 'the last');
    expect(await next(all[999] as never)).toMatchObject({ payload: 'the last' });
    for (const listening of all) await listening.return();
    await hasNoConnection();
  });
});

describe('a loop', () => {
  it('ends by its signal, by break and with the cluster, and leaves no connection', async () => {
    const controller = new AbortController();
    const heard: ListenItem[] = [];
    const listening = cluster.listen('ends', { signal: controller.signal });
    const loop = (async () => {
      for await (const item of listening) {
        heard.push(item);
        controller.abort();
      }
    })();
    await listening.ready;
    await notify(primary, 'ends', 'once');
    await loop;
    expect(heard).toHaveLength(1);

    const broken = cluster.listen('ends');
    await broken.ready;
    await notify(primary, 'ends', 'twice');
    for await (const item of broken) if (item.kind === 'notification') break;
    expect(await broken.next()).toEqual({ done: true, value: undefined });
    await hasNoConnection();

    const other = await open(servers);
    const waiting = other.listen('ends');
    await waiting.ready;
    const item = waiting.next();
    await other.close();
    expect(await item).toEqual({ done: true, value: undefined });
    expect(await listeningPids(primary)).toEqual([]);
    expect(() => other.listen('ends')).toThrow(expect.objectContaining({ code: 'LADDER_CLOSED' }));
  });

  it('that ended before it was ready says why', async () => {
    const why = new Error('given up');
    const aborted = cluster.listen('never', { signal: AbortSignal.abort(why) });
    await expect(aborted.ready).rejects.toBe(why);
    expect((await aborted.next()).done).toBe(true);
    const left = cluster.listen('never');
    await left.return();
    await expect(left.ready).rejects.toMatchObject({ code: 'LADDER_CLOSED' });
  });

  it('that is slow is told of what it missed, once it has had what was kept', async () => {
    await using slow = cluster.listen('fast', { bufferSize: 3 });
    await using quick = cluster.listen('fast');
    await Promise.all([slow.ready, quick.ready]);
    await ask(primary, "select pg_notify('fast', i::text) from generate_series(1, 10) i");
    for (let i = 1; i <= 10; i++) expect(await next(quick)).toMatchObject({ payload: String(i) });
    for (let i = 1; i <= 3; i++) expect(await next(slow)).toMatchObject({ payload: String(i) });
    expect(await next(slow)).toEqual({ kind: 'gap', cause: 'overflow', sinceMillis: expect.any(Number) });
    await notify(primary, 'fast', '11');
    expect(await next(slow)).toMatchObject({ payload: '11' });
  });
});

it('is refused behind a pooler, where LISTEN would be lost', async () => {
  await using pooler = await OwnKeys.before(primary);
  const pooledString = primary.connectionString.replace(/:\d+\//, `:${pooler.port}/`);
  await using pooled = createCluster({ primary: pooledString, name: 'pooled' });
  await pooled.ready();
  const listening = pooled.listen('pooled');
  const refusal = { code: 'LADDER_CANNOT_LISTEN', message: expect.stringContaining('behind a pooler') };
  await expect(listening.next()).rejects.toMatchObject(refusal);
  await expect(listening.ready).rejects.toMatchObject(refusal);
  expect((await listening.next()).done).toBe(true);
  await hasNoConnection();
});
