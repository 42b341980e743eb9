/** A live query gives its result, and a new one whenever what it depends on has changed. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, routeOf } from '../../../src/index.js';
import type { TestCluster } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import { open, until } from '../fixture.js';
import { ALL, type Item, ONE, startWatched, take, takeUntil } from './watched.js';

describe('a live query', () => {
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

  /** Runs of that text that have ended. */
  const countRuns = async (text: string) => {
    const { digest } = await cluster.explain(text, [1]);
    let count = 0;
    const listener = (event: { readonly digest: string | undefined }) => {
      if (event.digest === digest) count++;
    };
    cluster.events.on('query', listener);
    return { count: () => count, stop: () => cluster.events.off('query', listener) };
  };
  const rename = (id: number, name: string) => cluster.write('update items set name = $2 where id = $1', [id, name]);

  it('gives its result at once, and a new one from a replica after a write', async () => {
    await using watch = cluster.watch<Item>(ALL, [], { maxStalenessMillis: 600_000 });
    const first = await take(watch);
    expect(first.rows).toHaveLength(5);
    expect(routeOf(first.result)?.role).toBe('replica');
    await rename(2, 'gives');
    const next = await takeUntil(watch, (rows) => rows[1]?.name === 'gives');
    expect(next.position).toMatch(/^1\/[0-9A-F]+\/[0-9A-F]+$/);
  });

  it('runs for a key that it fixes only when that row changes', async () => {
    const text = `${ONE} and name <> 'key'`;
    await using watch = cluster.watch<Item>(text, [3], {
      maxStalenessMillis: 600_000,
      minIntervalMillis: 0,
    });
    const runs = await countRuns(text);
    await take(watch);
    await rename(3, 'before');
    await takeUntil(watch, ([row]) => row?.name === 'before');
    const before = runs.count();
    for (let i = 0; i < 20; i++) await rename(4, `other ${i}`);
    await rename(3, 'after');
    await takeUntil(watch, ([row]) => row?.name === 'after');
    runs.stop();
    // One for its own change; a few more where definitions are found to have changed.
    expect(runs.count() - before).toBeLessThanOrEqual(8);
  });

  it('runs once for all who watch the same, and each has rows of its own', async () => {
    const text = `${ALL} /* shared */ limit 3`;
    const watches = Array.from({ length: 20 }, () => cluster.watch<Item>(text, [], { maxStalenessMillis: 600_000 }));
    const runs = await countRuns(text);
    const firsts = await Promise.all(watches.map((watch) => take(watch)));
    await rename(1, 'shared');
    const states = await Promise.all(watches.map((watch) => takeUntil(watch, (rows) => rows[0]?.name === 'shared')));
    runs.stop();
    // The first one, one for the change, and a few where definitions are looked at for the first time.
    expect(runs.count()).toBeLessThanOrEqual(8);
    const [mine, yours] = states;
    if (mine?.rows[0] !== undefined) Object.assign(mine.rows[0], { name: 'spoilt' });
    expect(yours?.rows[0]?.name).toBe('shared');
    expect(new Set(firsts.map(({ id }) => id)).size).toBe(1);
    for (const watch of watches) await watch.return();
  });

  it('gives nothing while its content is the same', async () => {
    await using watch = cluster.watch<Item>(`${ALL} limit 2`, [], { minIntervalMillis: 0 });
    await take(watch);
    const next = take(watch);
    for (let i = 0; i < 5; i++) await rename(5, `same ${i}`);
    await rename(1, 'content');
    expect((await next).rows[0]?.name).toBe('content');
  });

  it('skips states for a slow reader, whom nobody waits for', async () => {
    const text = 'select name, 1 as slow from items where id = 1';
    await using slow = cluster.watch<{ name: string }>(text, [], { minIntervalMillis: 0 });
    await using quick = cluster.watch<{ name: string }>(text, [], { minIntervalMillis: 0 });
    await take(slow);
    await take(quick);
    for (let i = 0; i < 10; i++) {
      await rename(1, `step ${i}`);
      await takeUntil(quick, ([row]) => row?.name === `step ${i}`);
    }
    expect((await take(slow)).rows[0]?.name).toBe('step 9');
  });

  it('says whether an own write is in view', async () => {
    await using watch = cluster.watch<Item>(`${ALL} offset 0`, [], { minIntervalMillis: 0 });
    await take(watch);
    const token = await cluster.session(
      async (session) => {
        await session.write("update items set name = 'mine' where id = 5");
        return session.token();
      },
      { inherit: 'none' },
    );
    expect(watch.includes(token)).toBe(false);
    while (!watch.includes(token)) await take(watch);
    await using later = cluster.watch<Item>(`${ALL} offset 0`, [], { minIntervalMillis: 0 });
    expect((await take(later)).rows[4]?.name).toBe('mine');
    expect(watch.includes('no token')).toBe(false);
  });

  it('shows what its session has written before in the first state', async () => {
    for (const replica of servers.replicas) await replica.pauseReplay();
    try {
      await cluster.session(async (session) => {
        // No change of it is told.
        await session.write("update rest set name = 'written'");
        await using watch = cluster.watch<Item>('select * from rest');
        expect((await take(watch)).rows[0]?.name).toBe('written');
      });
    } finally {
      for (const replica of servers.replicas) await replica.resumeReplay();
    }
  });

  it('tells what has changed, row by row', async () => {
    await query(servers.primary, 'create table if not exists parts (id int primary key, name text)');
    await query(servers.primary, 'alter publication pg_ladder add table parts');
    await query(servers.primary, "insert into parts values (1, 'a'), (2, 'b')");
    await until('the table is known', async () => (await cluster.explain('select * from parts')).class === 'read');
    await using watch = cluster.watch<Item>('select * from parts', [], {
      diff: 'id',
      maxStalenessMillis: 500,
    });
    const first = await takeUntil(watch, (rows) => rows.length === 2);
    expect(first.changes?.added).toEqual(first.rows);
    await query(
      servers.primary,
      "with a as (delete from parts where id = 1), b as (update parts set name = 'c' where id = 2) insert into parts values (3, 'd')",
    );
    const next = await take(watch);
    expect(next.changes).toEqual({
      added: [{ id: 3, name: 'd' }],
      changed: [{ id: 2, name: 'c' }],
      removed: [{ id: 1, name: 'a' }],
    });
  });

  it('says to a reader who comes back whether there is another state', async () => {
    const text = `${ALL} limit 4`;
    const first = cluster.watch<Item>(text);
    const { id, missed } = await take(first);
    expect(missed).toBeUndefined();
    await first.return();
    await using same = cluster.watch<Item>(text, [], { since: id });
    expect((await take(same)).missed).toBe(false);
    await rename(1, 'missed');
    await using other = cluster.watch<Item>(text, [], { since: id });
    expect(await takeUntil(other, ([row]) => row?.name === 'missed')).toBeDefined();
    await using again = cluster.watch<Item>(text, [], { since: id });
    expect((await take(again)).missed).toBe(true);
    await using another = cluster.watch<Item>(ONE, [1], { since: id });
    expect((await take(another)).missed).toBeUndefined();
    await using strange = cluster.watch<Item>(text, [], { since: '1.0.<script>' });
    expect((await take(strange)).missed).toBeUndefined();
  });

  it('runs at the bound where no changes are told of its table', async () => {
    await using watch = cluster.watch<{ name: string }>('select name from rest', [], { maxStalenessMillis: 50 });
    await take(watch);
    await query(servers.primary, "update rest set name = 'polled'");
    await takeUntil(watch, ([row]) => row?.name === 'polled');
  });

  it('shows a change that no replica has, from the primary', async () => {
    const text = 'select id, name, 1 as behind from items where id = $1';
    await using watch = cluster.watch<Item>(text, [2], { minIntervalMillis: 0, maxStalenessMillis: 600_000 });
    expect(routeOf((await take(watch)).result)?.role).toBe('replica');
    for (const replica of servers.replicas) await replica.pauseReplay();
    try {
      await query(servers.primary, "update items set name = 'ahead' where id = 2");
      const { result, position } = await takeUntil(watch, ([row]) => row?.name === 'ahead');
      expect(routeOf(result)?.role).toBe('primary');
      expect(position).toBeUndefined();
    } finally {
      for (const replica of servers.replicas) await replica.resumeReplay();
    }
  });
});
