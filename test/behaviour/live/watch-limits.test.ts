/** What cannot be watched is refused, what fails is tried again, and nothing goes on when a watch is over. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster } from '../../../src/index.js';
import type { TestCluster } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import { open, until } from '../fixture.js';
import { ALL, startWatched, take, takeUntil } from './watched.js';

describe('a watch', () => {
  let servers: TestCluster;
  let cluster: Cluster;

  beforeAll(async () => {
    servers = await startWatched();
    cluster = await open(servers, { changes: {} });
    await until('changes are heard', () => cluster.changes.stats().state === 'current');
  });
  afterAll(async () => {
    await cluster?.close();
    await servers?.stop();
  });

  it.each([
    ['delete from items', /may write/],
    ['select 1; select 2', /more than one statement/],
    ['select random() from items', /another answer each time/],
    ['select id from items for update', /may write/],
  ])('refuses %s', async (text, because) => {
    const watch = cluster.watch(text);
    await expect(watch.next()).rejects.toMatchObject({
      code: 'LADDER_INVALID_OPTIONS',
      message: expect.stringMatching(because),
    });
    expect(await watch.next()).toEqual({ done: true, value: undefined });
  });

  it('refuses wrong options, and to run within a transaction', async () => {
    const wrong = { minIntervalMillis: -1 };
    expect(() => cluster.watch(ALL, [], wrong)).toThrow(/watch: minIntervalMillis/);
    await cluster.transaction(async () => {
      expect(() => cluster.watch(ALL)).toThrow(/outside of transactions/);
    });
    await using watch = cluster.watch(ALL, [], { diff: 'none' });
    await expect(watch.next()).rejects.toThrow(/diff/);
  });

  it('rejects with the error of the server where the first run fails', async () => {
    await using watch = cluster.watch('select id / (id - id) from items');
    await expect(watch.next()).rejects.toMatchObject({ code: '22012' });
    expect(await watch.next()).toEqual({ done: true, value: undefined });
  });

  it('tries again after a failure, and tells of it', async () => {
    const warnings: string[] = [];
    cluster.events.on('warning', ({ code }) => void warnings.push(code));
    await using watch = cluster.watch<{ n: number }>(
      "select 1 / count(*)::int as n from items where name <> 'fails'",
      [],
      {
        minIntervalMillis: 0,
      },
    );
    await take(watch);
    await query(servers.primary, "update items set name = 'fails'");
    await until('it is told', () => warnings.includes('watch'));
    await query(
      servers.primary,
      "with gone as (delete from items where id > 1) update items set name = 'a' where id = 1",
    );
    await takeUntil(watch, ([row]) => row?.n === 1);
    await query(servers.primary, "insert into items select i, 'a' from generate_series(2, 5) as i");
  });

  it('is explained', async () => {
    expect((await cluster.explain(ALL)).live).toMatchObject({ advances: 'stream' });
    const { live } = await cluster.explain('select name from rest');
    expect(live).toEqual({ advances: 'polled', because: 'changes of public.rest are not told' });
    expect((await cluster.explain('select id from items where now() > $1', [1])).live.advances).toBe('polled');
    expect((await cluster.explain('delete from items')).live.advances).toBeUndefined();
  });

  it('ends with its signal, with its loop, and leaves nothing behind', async () => {
    const abort = new AbortController();
    const states: unknown[] = [];
    const ended = (async () => {
      for await (const { rows } of cluster.watch(ALL, [], { signal: abort.signal })) {
        states.push(rows);
        abort.abort();
      }
    })();
    await ended;
    expect(states).toHaveLength(1);
    for await (const _ of cluster.watch(ALL)) break;
  });

  it('ends when the cluster is closed', async () => {
    const other = await open(servers);
    const watch = other.watch(ALL);
    await watch.next();
    const next = watch.next();
    await other.close();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(() => other.watch(ALL)).toThrow(/closed/);
  });
});
