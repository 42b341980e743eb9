// What triggers that notify tell of changes, on real servers.
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { NotifySource, type NotifySourceOptions } from '../../../src/changes/notify-source.js';
import { notifyInstallSql, notifyRemoveSql } from '../../../src/changes/notify-triggers.js';
import { parseLsn } from '../../../src/freshness/lsn.js';
import type { Fleet } from '../../../src/nodes/fleet.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { until } from '../fixture.js';
import { fleetOver, SourceLog } from './source-log.js';

const TABLES = 'orders,lines,parts,part1,part2,animals,cats,loose,odd"Name.x'.split(',');
const WRITER_COUNT = 3;
const WRITE_MILLIS = 2_000;

describe.each(['14', '18'])('on PostgreSQL %s', (postgresVersion) => {
  let servers: TestCluster;
  let fleet: Fleet;
  let client: pg.Client;
  const logs: SourceLog[] = [];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 0, postgresVersion, settings: { wal_level: 'replica' } });
    client = new pg.Client(servers.primary.connectionString);
    await client.connect();
    await run(`
      create table orders (id int primary key, v int not null default 0);
      create table lines (id int primary key, "order" int references orders on update cascade on delete cascade);
      create table parts (id int, region int) partition by list (region);
      create table part1 partition of parts for values in (1);
      create table part2 partition of parts for values in (2);
      create table animals (id int); create table cats () inherits (animals);
      create table loose (id int, region int not null);
      create table "odd""Name.x" (id int);
      create table bare (id int)`);
    await install(TABLES);
    fleet = await fleetOver(servers);
  });
  afterEach(async () => {
    for (const log of logs.splice(0)) await log.subscription.close();
    await until('nobody listens', async () => (await listeners()) === 0);
  });
  afterAll(async () => {
    await fleet.close();
    await client.end();
    await servers.stop();
  });

  const run = (text: string) => client.query(text);
  async function install(tables: readonly string[]): Promise<void> {
    for (const text of notifyInstallSql(tables.map((name) => ({ schema: 'public', name })))) await run(text);
  }

  async function listeners(): Promise<number> {
    const { rows } = await run("select from pg_stat_activity where application_name like '% (changes)'");
    return rows.length;
  }

  function subscribed(options: NotifySourceOptions = {}): SourceLog {
    const log = new SourceLog(new NotifySource(fleet, options));
    logs.push(log);
    return log;
  }

  async function opened(options: NotifySourceOptions = {}): Promise<SourceLog> {
    const log = subscribed(options);
    await log.hasBegun();
    return log;
  }

  /** The end of what was committed so far: what is written next makes the source go on. */
  async function lsnNow(): Promise<bigint> {
    await run("select pg_logical_emit_message(true, 'other', repeat('x', 200))");
    const { rows } = await client.query<{ lsn: string }>('select concat(pg_current_wal_insert_lsn()) as lsn');
    await run("select pg_logical_emit_message(true, 'other', repeat('x', 200))");
    return (parseLsn(rows[0]?.lsn ?? '') ?? 0n) - 64n;
  }

  /** What a text tells. */
  async function told(log: SourceLog, text: string): Promise<unknown[]> {
    log.take();
    await run(text);
    await log.hasReached(await lsnNow());
    return [...new Set(log.take().map(String))].sort();
  }

  it('each kind of statement tells the tables that it may have changed', async () => {
    const log = await opened({ tables: ['public.orders'] });
    expect(log.start?.tellsDefinitions).toBe(false);
    expect(log.start?.tables).toEqual(TABLES.map((name) => `public.${name}`).sort());
    const orders = ['public.orders'];
    const both = ['public.lines', 'public.orders'];
    expect(await told(log, 'insert into orders values (1), (2), (3)')).toEqual(orders);
    expect(await told(log, 'insert into lines values (1, 1), (2, 2), (3, 3)')).toEqual(['public.lines']);
    expect(await told(log, 'insert into orders values (1) on conflict (id) do update set v = 1')).toEqual(orders);
    expect(await told(log, 'with w as (delete from lines where id = 3) select 1')).toEqual(['public.lines']);
    expect(await told(log, "copy orders from program 'echo 9 9' (delimiter ' ')")).toEqual(orders);
    expect(await told(log, 'update orders set id = 5 where id = 1')).toEqual(both);
    expect(await told(log, 'delete from orders where id = 5')).toEqual(both);
    expect(await told(log, 'truncate orders cascade')).toEqual(both);
    expect(await told(log, 'insert into "odd""Name.x" values (1)')).toEqual(['public.odd"Name.x']);
    expect(await told(log, 'begin; insert into orders values (1); rollback')).toEqual([]);
    expect(await told(log, 'begin; savepoint s; delete from lines; rollback to s; commit')).toEqual([]);
    expect(await told(log, 'insert into bare values (1)')).toEqual([]);
    expect(await told(log, 'set session_replication_role = replica; insert into orders values (7)')).toEqual(orders);
    await run('reset session_replication_role');
    if (Number(postgresVersion) >= 15) {
      const merge = 'merge into orders o using (select 7 as id) s on o.id = s.id when matched then update set v = 3';
      expect(await told(log, merge)).toEqual(orders);
    }
  });

  it('a statement on a partition or a child tells what stands above, one on a parent what stands below', async () => {
    const log = await opened();
    const all = ['public.part1', 'public.part2', 'public.parts'];
    expect(await told(log, 'insert into parts values (1, 1)')).toEqual(all);
    expect(await told(log, 'insert into part1 values (1, 1)')).toEqual(['public.part1', 'public.parts']);
    expect(await told(log, 'update parts set region = 2')).toEqual(all);
    expect(await told(log, 'truncate part2')).toEqual(['public.part2', 'public.parts']);
    expect(await told(log, 'insert into cats values (1)')).toEqual(['public.animals', 'public.cats']);
    expect(await told(log, 'update animals set id = 2')).toEqual(['public.animals', 'public.cats']);
  });

  it('a partition without a trigger takes its whole table out, until it has one', async () => {
    const log = await opened();
    await run('create table part3 partition of parts for values in (3)');
    await until('it began anew', () => log.beginCount > 1);
    expect(log.start?.tables).not.toContain('public.parts');
    expect(log.start?.tables).toContain('public.orders');
    await install(['part3']);
    await until('all is told again', () => log.start?.tables.includes('public.parts') === true);
    expect(await told(log, 'insert into part3 values (1, 3)')).toEqual(['public.part3', 'public.parts']);
    const { beginCount } = log;
    await run('alter table parts attach partition loose for values in (4)');
    await until('it began anew', () => log.beginCount > beginCount);
    expect(await told(log, 'insert into parts values (1, 4)')).toContain('public.loose');
    await run('alter table parts detach partition loose; drop table part3');
  });

  it.each([
    ['disabled', 'alter table orders disable trigger pg_ladder_changes'],
    ['left to the replication role', 'alter table orders enable trigger pg_ladder_changes'],
    ['dropped', 'drop trigger pg_ladder_changes on orders'],
    [
      'without effect',
      'create or replace function pgladder.notify_change() returns trigger language plpgsql as $$ begin return null; end $$',
    ],
  ])('a trigger that is %s stops it, before anything else is told as reached', async (_, text) => {
    const log = await opened({ tables: ['public.orders'] });
    await run(text);
    await run('insert into orders select coalesce(max(id), 0) + 1 from orders');
    const lsn = (await lsnNow()) + 64n;
    await until('it is broken', () => log.reasons.length > 0);
    expect(log.reachedLsn < lsn).toBe(true);
    expect(log.reasons[0]).toMatch(/public\.orders.*pg-ladder changes install --notify/);
    await install(TABLES);
    await log.hasBegun();
    expect(await told(log, 'update orders set v = 4')).toEqual(['public.orders']);
  });

  it('every commit at or before what is reached was told before, whatever is written meanwhile', async () => {
    const log = await opened({ intervalMillis: 1 });
    const other = await opened();
    const recorded: { readonly end: bigint; readonly key: number }[] = [];
    const isOver = { now: false };
    /** The positions of changes of each table that were told, and each that was reached. */
    const told: { readonly table: string; readonly lsn: bigint }[] = [];
    const reached: { readonly lsn: bigint; readonly toldCount: number }[] = [];
    const [changed, reach] = [log.changed.bind(log), log.reached.bind(log)];
    log.changed = (changes, lsn) => {
      changed(changes, lsn);
      if (changes !== 'all') for (const { table } of changes) told.push({ table, lsn });
    };
    log.reached = (lsn) => {
      reach(lsn);
      reached.push({ lsn, toldCount: told.length });
    };
    const before = new Map<string, bigint>();
    const writers = Array.from({ length: WRITER_COUNT }, async (_, key) => {
      const writer = new pg.Client(servers.primary.connectionString);
      await writer.connect();
      await writer.query('set synchronous_commit = off');
      const ends: { readonly from: bigint; readonly end: bigint }[] = [];
      const table = ['orders', 'animals', 'loose'][key] ?? '';
      const text =
        table === 'loose' ? 'insert into loose values (1, 1)' : `insert into ${table} values (${key + 100_000} + $1)`;
      let at = before.get(table) ?? 0n;
      for (let i = 0; !isOver.now; i++) {
        await writer.query(text.replace('$1', String(i * 10)));
        const { rows } = await writer.query<{ lsn: string }>('select concat(pg_current_wal_insert_lsn()) as lsn');
        const end = parseLsn(rows[0]?.lsn ?? '') ?? 0n;
        ends.push({ from: at, end });
        recorded.push({ end, key });
        at = end;
        if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
      }
      await writer.end();
      return { table: `public.${table}`, ends };
    });
    await new Promise((resolve) => setTimeout(resolve, WRITE_MILLIS));
    isOver.now = true;
    const written = await Promise.all(writers);
    const last = await lsnNow();
    await log.hasReached(last);
    await other.hasReached(last);
    expect(recorded.length).toBeGreaterThan(100);
    expect(reached.length).toBeGreaterThan(20);
    for (const { table, ends } of written) {
      for (const { from, end } of ends) {
        // Its commit ends after `from`: the first that is reached at or beyond its end comes after it was told.
        const first = reached.find(({ lsn }) => lsn >= end);
        const isTold = told.slice(0, first?.toldCount).some((one) => one.table === table && one.lsn > from);
        expect(isTold).toBe(true);
      }
    }
  });

  it('asks for no watermark while nobody wants one, nor while nothing is written', async () => {
    let isWanted = false;
    const log = await opened({ isWanted: () => isWanted });
    const start = log.reachedLsn;
    await run('insert into animals values (1)');
    await until('the change is told', () => log.take().includes('public.animals'));
    expect(log.reachedLsn).toBe(start);
    isWanted = true;
    await log.hasReached(await lsnNow());
    const second = await opened();
    // Neither goes on because of the other.
    await until('both rest', async () => {
      const before = [log.reachedLsn, second.reachedLsn];
      await new Promise((resolve) => setTimeout(resolve, 500));
      return log.reachedLsn === before[0] && second.reachedLsn === before[1];
    });
  });

  it('begins anew when its connection ends, and tells nothing more when it is closed', async () => {
    const log = await opened();
    await run("select pg_terminate_backend(pid) from pg_stat_activity where application_name like '% (changes)'");
    await until('it began anew', () => log.beginCount > 1);
    expect(log.reasons).not.toEqual([]);
    expect(await told(log, 'insert into animals values (3)')).toEqual(['public.animals', 'public.cats']);
    await log.subscription.close();
    const count = log.told.length;
    await run('insert into animals values (4)');
    expect(log.told.length).toBe(count);
  });

  it('nothing is left once it is removed', async () => {
    const log = await opened();
    for (const text of notifyRemoveSql()) await run(text);
    await until('it is broken', () => log.reasons.length > 0);
    const { rows } = await run("select from pg_trigger where tgname = 'pg_ladder_changes'");
    expect(rows).toEqual([]);
  });
});
