/** Reads that no replica can run: of UNLOGGED tables above all. What PostgreSQL refuses there is the same on 14 to 18. */
import type { QueryConfig } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster, RouteEvent, WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from './fixture.js';

const PLAIN = 'select v from jobs where v = $1';
const ROWS = [{ v: 1 }];

describe('a read that no replica can run', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let routes: [string, string][];
  let warnings: WarningEvent[];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    await using setUp = await open(servers);
    await setUp.write('create unlogged table jobs (v int); create table written (v int); create sequence numbers');
    await setUp.write('insert into jobs values (1); create view waiting as select v from jobs');
    await setUp.write(`create function note(v int) returns int language plpgsql as
      $$ begin insert into written values (v); return v; end $$`);
    await setUp.write(`create function unsupported(state text) returns int language plpgsql volatile as
      $$ begin raise exception using errcode = state; end $$`);
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    cluster = await open(servers);
    routes = [];
    warnings = [];
    cluster.events.on('route', ({ role, reason }: RouteEvent) => routes.push([role, reason]));
    cluster.events.on('warning', (warning) => warnings.push(warning));
    return () => cluster.close();
  });

  const written = async () => (await cluster.write('select v from written')).rows;
  const streamed = async (text: string, values: unknown[] = []) => {
    const rows: unknown[] = [];
    for await (const row of cluster.stream(text, values)) rows.push(row);
    return rows;
  };

  it('runs once more on the primary, and goes there at once when its text comes again', async () => {
    expect((await cluster.read(PLAIN, [1])).rows).toEqual(ROWS);
    expect(routes).toEqual([
      ['replica', expect.any(String)],
      ['primary', 'misrouted'],
    ]);
    routes = [];
    for (let i = 0; i < 3; i++) expect((await cluster.read(PLAIN, [1])).rows).toEqual(ROWS);
    expect(routes).toEqual(Array(3).fill(['primary', 'misrouted']));
    expect(cluster.stats().routes.misrouted).toBe(4);
    // The catalogue may just be read there.
    await until('its connections are idle', () => {
      const { pool, inFlight } = nodeOf(cluster, 'primary');
      return pool.totalCount === pool.idleCount && inFlight === 0;
    });
  });

  it('does so in a session, by a view, as a config, and for positions of the log', async () => {
    await cluster.session(async () => {
      expect((await cluster.read('select v from waiting')).rows).toEqual(ROWS);
      expect((await cluster.read({ text: 'select v from waiting', rowMode: 'array' } as QueryConfig)).rows).toEqual([
        [1],
      ]);
      await cluster.write('insert into written values (0)');
      expect((await cluster.read('select v from jobs, (select 1 from written) as one')).rows).toEqual(ROWS);
      await cluster.write('delete from written');
    });
    expect((await cluster.read('select pg_current_wal_lsn() is not null as v')).rows).toEqual([{ v: true }]);
    const many = await Promise.all(
      Array.from({ length: 40 }, (_, i) => cluster.read(`select v + ${i % 2} as v from jobs`)),
    );
    expect(many.map(({ rows }) => rows[0])).toEqual(many.map((_, i) => ({ v: 1 + (i % 2) })));
  });

  it('is streamed, and found by query and by pools', async () => {
    expect(await streamed(PLAIN, [1])).toEqual(ROWS);
    expect(await streamed(PLAIN, [1])).toEqual(ROWS);
    expect(routes.filter(([, reason]) => reason === 'misrouted')).toHaveLength(2);
    expect(routes).toHaveLength(3);
    for (const intent of ['auto', 'read', 'write'] as const) {
      const pool = cluster.pool({ intent });
      for (let i = 0; i < 3; i++) expect((await pool.query('select v from waiting')).rows).toEqual(ROWS);
      const client = await pool.connect();
      expect((await client.query('select v from waiting')).rows).toEqual(ROWS);
      client.release();
    }
    expect((await cluster.query('select v from waiting')).rows).toEqual(ROWS);
  });

  it('is not sent to a replica again and again by a pool whose user vouches for it', async () => {
    const pool = cluster.pool({ intent: 'read' });
    await cluster.explain('select v from waiting');
    for (let i = 0; i < 4; i++) expect((await pool.query('select v from waiting')).rows).toEqual(ROWS);
    expect(routes.filter(([role]) => role === 'replica').length).toBeLessThan(2);
  });

  it('writes nothing on the primary either, and counts as misrouted, where a pool’s user vouches for it', async () => {
    const pool = cluster.pool({ intent: 'read' });
    const client = await pool.connect();
    const ways = [pool, client];
    for (const way of ways) {
      for (let i = 0; i < 2; i++) expect((await way.query(PLAIN, [1])).rows).toEqual(ROWS);
      const level = "select current_setting('transaction_read_only') as is_read_only from jobs";
      for (let i = 0; i < 2; i++) expect((await way.query(level)).rows).toEqual([{ is_read_only: 'on' }]);
      await expect(way.query('select note(v) from jobs')).rejects.toMatchObject({ code: '25006' });
      await expect(way.query("select unsupported('0A000')")).rejects.toMatchObject({ code: '0A000' });
    }
    client.release();
    expect(await written()).toEqual([]);
    const { write: asWrite, misrouted } = cluster.stats().routes;
    expect([asWrite, misrouted]).toEqual([1, 10]);
    await until('it has warned', () => warnings.length > 0);
    expect(new Set(warnings.map(({ code }) => code))).toEqual(new Set(['misrouted']));
  });

  it('takes its turn under the primary’s budget', async () => {
    await using narrow = await open(servers, { primaryReadBudget: 2 });
    const slow = 'select v, pg_sleep(0.1) from jobs';
    await narrow.read(slow);
    const most = { count: 0 };
    const reads = Promise.all(Array.from({ length: 12 }, () => narrow.read(slow)));
    const look = setInterval(() => {
      const { pool } = nodeOf(narrow, 'primary');
      most.count = Math.max(most.count, pool.totalCount - pool.idleCount);
    }, 10);
    await until('some are seen there', () => most.count > 0);
    await reads.finally(() => clearInterval(look));
    expect(most.count).toBeLessThanOrEqual(2);
  });

  it('is remembered whatever comment a tracing tool appends to its text', async () => {
    const comments = [' /*a*/', ' /*b*/', ' /*b*/', ' /*a*/', '', '/*c*/', ' /*b*/', ''];
    for (const [one, those] of [comments, comments.toReversed()].entries()) {
      for (const comment of those) {
        expect((await cluster.read(`select v + ${one} - ${one} as v from jobs${comment}`)).rows).toEqual(ROWS);
      }
      expect(routes.filter(([role]) => role === 'replica')).toHaveLength(1 + one);
    }
  });

  it('is not one of a materialized view that is not populated: that is the same everywhere', async () => {
    await cluster.session(async () => {
      await cluster.write('create materialized view seen as select v from written with no data');
      const pool = cluster.pool({ intent: 'read' });
      routes = [];
      for (const read of [() => cluster.read('select v from seen'), () => pool.query('select v from seen')])
        for (let i = 0; i < 2; i++) await expect(read()).rejects.toMatchObject({ code: '55000' });
      expect(routes.map(([role]) => role)).toEqual(Array(4).fill('replica'));
      await cluster.write('refresh materialized view seen');
      expect((await cluster.read('select v from seen')).rows).toEqual([]);
      await cluster.write('drop materialized view seen');
    });
  });

  it('warns once, by the digest of its text', async () => {
    for (const v of [1, 2, 1]) await cluster.read(`select v from jobs where v <> ${v} + 1`);
    await until('it has warned', () => warnings.length > 0);
    await cluster.read('select v from jobs where v <> 5 + 1');
    await cluster.explain('select 1');
    expect(warnings).toEqual([
      {
        code: 'misrouted',
        message: expect.stringContaining('READ ONLY'),
        digest: expect.stringMatching(/^18:[0-9a-f]{16}$/),
        cluster: 'postgres',
      },
    ]);
  });

  it('writes nothing there, however it hides that', async () => {
    await expect(cluster.read('select note(v) from jobs')).rejects.toMatchObject({
      code: '25006',
      message: expect.stringContaining('use write or query'),
    });
    const several = [
      'select v from jobs; commit; insert into written values (1)',
      'set transaction read write; insert into written values (2)',
      'select v from jobs; set transaction read write; select note(3)',
    ];
    for (const text of several) await expect(cluster.read(text)).rejects.toMatchObject({ code: '0A000' });
    await expect(streamed('select note(v) from jobs')).rejects.toMatchObject({ code: '25006' });
    expect(await written()).toEqual([]);
    await cluster.write('insert into written values (9)');
    expect(await written()).toEqual([{ v: 9 }]);
    await cluster.write('delete from written');
  });

  it('fails with the primary’s own error, and leaves its connection idle', async () => {
    await expect(cluster.read('select 1 / (v - 1) from jobs')).rejects.toMatchObject({ code: '22012' });
    expect(warnings).toEqual([]);
    const { rows } = await cluster.write(
      "select count(*)::int as n from pg_stat_activity where state like 'idle in transaction%'",
    );
    expect(rows).toEqual([{ n: 0 }]);
  });

  it('stays on the replica that was asked for, and says so', async () => {
    const target = 'replica';
    await expect(cluster.read(PLAIN, [1], { target })).rejects.toMatchObject({ code: '0A000' });
    await cluster.read(PLAIN, [1]);
    await expect(cluster.read(PLAIN, [1], { target })).rejects.toMatchObject({ code: '0A000' });
  });

  it('goes to replicas again when its table has become a plain one', async () => {
    await cluster.write('create unlogged table later (v int)');
    await cluster.session(async () => {
      await cluster.read('select v from later');
      await cluster.read('select v from later');
      expect(routes.at(-1)).toEqual(['primary', 'misrouted']);
      await cluster.write('alter table later set logged');
      await cluster.read('select v from later');
      expect(routes.at(-1)?.[0]).toBe('replica');
    });
    await cluster.write('drop table later');
  });

  it.each(['insert into written values (1)', 'select v from written for update', "select nextval('numbers')"])(
    '%s is a write: an error that names write and query',
    async (text) => {
      for (let i = 0; i < 2; i++) {
        await expect(cluster.read(text)).rejects.toMatchObject({
          code: '25006',
          message: expect.stringContaining('use write or query'),
        });
      }
      await expect(streamed(text)).rejects.toThrow('use write or query');
      expect(cluster.stats().routes.misrouted).toBe(0);
    },
  );

  it('what belongs to a session is not asked of somebody else’s', async () => {
    await Promise.all(Array.from({ length: 20 }, () => cluster.write("select nextval('numbers')")));
    await expect(cluster.read("select currval('numbers')")).rejects.toMatchObject({ code: '55000' });
    await expect(cluster.read('select lastval()')).rejects.toMatchObject({ code: '55000' });
    expect(cluster.stats().routes.misrouted).toBe(0);
  });

  it.each(['0A000', '55000'])('%s that a function raises is its own, and runs once', async (state) => {
    for (let i = 0; i < 3; i++) {
      await expect(cluster.read('select unsupported($1)', [state])).rejects.toMatchObject({ code: state });
    }
    expect(routes.map(([role]) => role)).toEqual(Array(3).fill('replica'));
  });
});
