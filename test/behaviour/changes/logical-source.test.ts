// What PostgreSQL's own log tells of changes, on a real server.
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LogicalSource } from '../../../src/changes/logical-source.js';
import type { LogicalSourceOptions } from '../../../src/changes/source-ground.js';
import { parseLsn } from '../../../src/freshness/lsn.js';
import type { Fleet } from '../../../src/nodes/fleet.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { untilCommitsWait } from '../../testing/commits-wait.js';
import { until } from '../fixture.js';
import { fleetOver, SourceLog } from './source-log.js';

const TRIGGERS = `create or replace function tell_definitions() returns event_trigger language plpgsql as $$
    begin perform pg_logical_emit_message(true, 'pg_ladder.definitions', ''); end $$;
  create event trigger pg_ladder_definitions on ddl_command_end execute function tell_definitions();
  create event trigger pg_ladder_drops on sql_drop execute function tell_definitions()`;

let servers: TestCluster;
let fleet: Fleet;
let client: pg.Client;
const logs: SourceLog[] = [];

async function opened(options: LogicalSourceOptions = {}): Promise<SourceLog> {
  const log = new SourceLog(new LogicalSource(fleet, options));
  logs.push(log);
  await log.hasBegun();
  return log;
}

const run = (text: string) => client.query(text);

async function lsnNow(): Promise<bigint> {
  // A record that ends exactly on a page leaves the position behind the next page's header.
  await run("select pg_logical_emit_message(true, 'other', '')");
  const { rows } = await client.query<{ lsn: string }>('select concat(pg_current_wal_flush_lsn()) as lsn');
  return (parseLsn(rows[0]?.lsn ?? '') ?? 0n) - 64n;
}

/** What a text tells. */
async function told(log: SourceLog, text: string): Promise<unknown[]> {
  log.take();
  await run(text);
  await log.hasReached(await lsnNow());
  return log.take();
}

async function slots(): Promise<number> {
  const { rows } = await client.query('select from pg_replication_slots');
  return rows.length;
}

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 0, settings: { max_replication_slots: 8 } });
  client = new pg.Client(servers.primary.connectionString);
  await client.connect();
  await run(`
    create collation caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table orders (id int primary key, note text, tag text);
    create table pairs (a int, b text, v int, primary key (a, b));
    create table codes (code text primary key, v int);
    create table caseless (code text collate caseless primary key, v int);
    create table days (day date primary key, v int);
    create table whole (id int primary key, v int); alter table whole replica identity full;
    create table bare (id int, v int); alter table bare replica identity nothing;
    create table unpublished (id int, v int);
    create table parts (id int, region int, primary key (id, region)) partition by list (region);
    create table part1 partition of parts for values in (1);
    create table part2 partition of parts for values in (2) partition by list (id);
    create table part20 partition of part2 default;
    create table loose (id int not null, region int not null, primary key (id, region));
    create table animals (id int primary key);
    create table cats (primary key (id)) inherits (animals);
    create table kittens (primary key (id)) inherits (cats);
    create publication pg_ladder for table orders, pairs, codes, caseless, days, whole, bare, parts, loose, animals;
  `);
  fleet = await fleetOver(servers);
});
afterEach(async () => {
  for (const log of logs.splice(0)) await log.subscription.close();
  await until('no slot is left', async () => (await slots()) === 0);
});
afterAll(async () => {
  await fleet.close();
  await client.end();
  await servers.stop();
});

describe('the log', () => {
  it('tells rows by the key of their table', async () => {
    const log = await opened();
    expect(await told(log, "insert into orders values (1, 'a'), (2, 'b')")).toEqual(['public.orders(id) 1 2']);
    expect(await told(log, "update orders set note = 'c' where id = 1")).toEqual(['public.orders(id) 1']);
    expect(await told(log, 'update orders set id = 3 where id = 1')).toEqual(['public.orders(id) 1 3']);
    expect(await told(log, 'delete from orders where id = 3')).toEqual(['public.orders(id) 3']);
    expect(await told(log, "insert into pairs values (1, 'x', 0); update pairs set v = 1")).toEqual([
      'public.pairs(a,b) 1/x',
    ]);
    expect(await told(log, "insert into codes values ('é\"', 0)")).toEqual(['public.codes(code) é"']);
    expect(await told(log, 'begin; insert into orders values (9); rollback')).toEqual([]);
    expect(await told(log, 'insert into unpublished values (1, 1)')).toEqual([]);
  });

  it('tells the whole table where rows cannot be told apart', async () => {
    const log = await opened();
    expect(await told(log, "insert into caseless values ('a', 1)")).toEqual(['public.caseless']);
    expect(await told(log, "insert into days values ('2026-01-01', 1)")).toEqual(['public.days']);
    expect(await told(log, 'insert into whole values (1, 1); update whole set v = 2')).toEqual(['public.whole']);
    expect(await told(log, 'insert into bare values (1, 1)')).toEqual(['public.bare']);
    expect(await told(log, 'truncate orders, codes')).toEqual(['public.orders', 'public.codes']);
    const many = 'insert into orders select i from generate_series(1, 10000) as i';
    expect(JSON.stringify(await told(log, many)).length).toBeGreaterThan(40_000);
    expect(await told(log, 'insert into orders select i from generate_series(20000, 30000) as i')).toEqual([
      'public.orders',
    ]);
    await run('delete from orders');
  });

  it('tells the whole table where a long key was not written again', async () => {
    const log = await opened();
    await run('alter table codes alter code set storage external');
    await told(log, "insert into codes select string_agg(md5(i::text), '') from generate_series(1, 80) as i");
    expect(await told(log, 'update codes set v = 2 where length(code) > 1000')).toEqual(['public.codes']);
  });

  it('counts a row of a partition or a child for every table above it', async () => {
    const log = await opened();
    expect(await told(log, 'insert into parts values (7, 1)')).toEqual([
      'public.part1(id,region) 7/1',
      'public.parts(id,region) 7/1',
    ]);
    expect(await told(log, 'insert into part20 values (8, 2)')).toEqual(
      ['part20', 'part2', 'parts'].map((table) => `public.${table}(id,region) 8/2`),
    );
    expect(await told(log, 'insert into kittens values (1)')).toEqual(
      ['kittens', 'cats', 'animals'].map((table) => `public.${table}(id) 1`),
    );
    expect(new Set(await told(log, 'truncate part1'))).toEqual(new Set(['public.part1', 'public.parts']));
  });

  it('names as told only what it tells whole', async () => {
    const log = await opened();
    expect(log.start?.tables).toEqual(
      'animals,bare,caseless,cats,codes,days,kittens,loose,orders,pairs,part1,part2,part20,parts,whole'
        .split(',')
        .map((table) => `public.${table}`),
    );
    expect(log.start?.tellsDefinitions).toBe(false);
    await run('create table dogs () inherits (animals)');
    await until('the publication was looked at', () => log.start?.tables.includes('public.animals') === false);
    expect(log.start?.tables).toContain('public.cats');
    await run('drop table dogs');
    await until('the publication was looked at', () => log.start?.tables.includes('public.animals') === true);
  });

  it('counts a row of a partition that was attached meanwhile for the table above it', async () => {
    const log = await opened();
    expect(await told(log, 'insert into loose values (1, 3)')).toEqual(['public.loose(id,region) 1/3']);
    log.take();
    await run('alter table parts attach partition loose for values in (3)');
    const after = await told(log, 'insert into loose values (2, 3)');
    expect(after.includes('all') || after.includes('public.parts(id,region) 2/3')).toBe(true);
    expect(await told(log, 'insert into loose values (3, 3)')).toEqual([
      'public.loose(id,region) 3/3',
      'public.parts(id,region) 3/3',
    ]);
    await run('alter table parts detach partition loose');
  });

  it('tells anything of a partition that is new', async () => {
    const log = await opened();
    const made = await told(
      log,
      'create table part4 partition of parts for values in (4); insert into part4 values (1, 4)',
    );
    expect(made).toContain('all');
    expect(await told(log, 'insert into part4 values (2, 4)')).toContain('public.parts(id,region) 2/4');
    await run('drop table part4');
  });

  it('tells definitions where the event triggers are there, and says when they are not', async () => {
    await run(TRIGGERS);
    const log = await opened();
    expect(log.start?.tellsDefinitions).toBe(true);
    expect(await told(log, 'alter table orders add extra int')).toEqual(['all']);
    expect(await told(log, 'insert into orders values (1)')).toEqual(['public.orders(id) 1']);
    expect(await told(log, 'create function f() returns int language sql as $$ select 1 $$')).toEqual(['all']);
    const before = log.beginCount;
    await run('alter publication pg_ladder drop table days');
    await until('it begins anew', () => log.beginCount > before);
    expect(log.start?.tables).not.toContain('public.days');
    await run('alter publication pg_ladder add table days');
    await until('it begins anew', () => log.start?.tables.includes('public.days') === true);
    await run('alter event trigger pg_ladder_drops disable');
    await until('it is known', () => log.start?.tellsDefinitions === false);
    await run('alter event trigger pg_ladder_drops enable always');
    await until('it is known', () => log.start?.tellsDefinitions === true);
    await run('alter system set event_triggers = off');
    await run('select pg_reload_conf()');
    await until('it is known', () => log.start?.tellsDefinitions === false);
    await run('alter system reset event_triggers');
    await run('select pg_reload_conf()');
    await until('it is known', () => log.start?.tellsDefinitions === true);
    await run('drop event trigger pg_ladder_drops; drop event trigger pg_ladder_definitions');
    await until('it is known', () => log.start?.tellsDefinitions === false);
    await run('delete from orders');
  });

  it('goes no further than a definition that is not shown yet, as while a synchronous standby holds it back', async () => {
    await run(TRIGGERS);
    const log = await opened();
    await run("alter system set synchronous_standby_names = 'none'");
    await run('select pg_reload_conf()');
    const other = new pg.Client(servers.primary.connectionString);
    await other.connect();
    const probed = await untilCommitsWait(servers.primary);
    log.take();
    const altering = other.query('alter table orders add held int');
    await until('it is told', () => log.told.length > 0);
    await run("set synchronous_commit = 'local'");
    await run('insert into pairs values (9, $$z$$, 0)');
    const lsn = await lsnNow();
    await until('the row is told', () => log.told.length > 1);
    // It may look at the catalogue meanwhile: what that shows is not enough.
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(log.reachedLsn).toBeLessThan(lsn);
    await run('alter system reset synchronous_standby_names');
    await run('select pg_reload_conf(); reset synchronous_commit');
    await Promise.all([altering, probed()]);
    await other.end();
    await log.hasReached(lsn);
    expect(log.take()).toEqual(['all', 'public.pairs(a,b) 9/z']);
    await run('drop event trigger pg_ladder_drops; drop event trigger pg_ladder_definitions; delete from pairs');
  });

  it('is reached up to where nothing of it is published', async () => {
    const log = await opened();
    await run('insert into unpublished values (1, 1)');
    await log.hasReached(await lsnNow());
    await until('the server may forget its log', async () => {
      const { rows } = await client.query<{ is: boolean }>(
        'select confirmed_flush_lsn >= $1::pg_lsn as is from pg_replication_slots',
        [formatted(log.reachedLsn)],
      );
      return rows[0]?.is === true;
    });
  });
});

const formatted = (lsn: bigint) => `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`;

describe('a publication', () => {
  it.each([
    ['that does not exist', '', 'does not exist'],
    ['that filters rows', 'for table orders where (id > 1)', 'filters rows'],
    ['that leaves columns out', 'for table orders (id)', 'filters rows or columns'],
    ['without TRUNCATE', "for table orders with (publish = 'insert, update, delete')", 'truncate'],
    ['of partitions by their root', 'for table parts with (publish_via_partition_root)', 'publish_via_partition_root'],
  ])('%s is refused', async (_, definition, reason) => {
    if (definition !== '') await run(`create publication "od'd ""1" ${definition}`);
    const log = new SourceLog(new LogicalSource(fleet, { publication: 'od\'d "1' }));
    logs.push(log);
    await until('it is refused', () => log.reasons.length > 0);
    expect(log.reasons).toEqual([expect.stringContaining(reason)]);
    if (definition !== '') await run(`drop publication "od'd ""1"`);
  });

  it('may have any name', async () => {
    await run(`create publication "od'd ""2  x" for table orders`);
    const log = await opened({ publication: 'od\'d "2  x' });
    expect(await told(log, 'insert into orders values (77)')).toEqual(['public.orders(id) 77']);
    await run(`drop publication "od'd ""2  x"; delete from orders`);
    await until('it is told', () => log.reasons.length > 0);
    expect(log.reasons.join()).toMatch(/does not exist|is gone/);
  });

  it('of others leaves UPDATE and DELETE of a table without a replica identity alone', async () => {
    const log = await opened();
    await run('insert into unpublished values (5, 5); update unpublished set v = 6; delete from unpublished');
    await log.hasReached(await lsnNow());
  });
});

describe('a lock', () => {
  it('lets one process read, and another one when the first ends', async () => {
    const held: string[] = [];
    const lock = -5_000_000_000n;
    const first = await opened({ lock, onLock: (isHeld) => held.push(`first ${isHeld}`) });
    const second = new SourceLog(new LogicalSource(fleet, { lock, onLock: (isHeld) => held.push(`second ${isHeld}`) }));
    logs.push(second);
    await until('it is told', () => second.reasons.includes('another process reads the log'));
    expect(await slots()).toBe(1);
    await first.subscription.close();
    await second.hasBegun();
    expect(held).toEqual(['first true', 'first false', 'second true']);
  });
});
