// The SQL that sets up the change stream, on real servers: what it tells, what it never breaks, and that all of it goes.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LogicalSource } from '../../../src/changes/logical-source.js';
import { until } from '../fixture.js';
import { HOSTILE_TABLE, InstallationServer } from './installation-server.js';
import { fleetOver, SourceLog } from './source-log.js';

describe.each([14, 18])('the installation on PostgreSQL %i', (postgresVersion) => {
  let at: InstallationServer;

  beforeAll(async () => {
    at = await InstallationServer.start(postgresVersion);
  });
  afterAll(() => at.stop());
  beforeEach(() => at.remove());

  it('leaves a database that check finds nothing wrong with, and nothing at all once it is removed', async () => {
    const state = `select
      (select count(*)::int from pg_publication) as publications, (select count(*)::int from pg_event_trigger) as triggers,
      (select count(*)::int from pg_namespace where nspname = 'pgladder') as schemas,
      (select string_agg(relname || relreplident::text, ',' order by relname) from pg_class where relkind = 'r' and oid >= 16384) as identities,
      (select count(*)::int from pg_proc where oid >= 16384) as functions, (select count(*)::int from pg_default_acl) as defaults`;
    const before = (await at.run(state)).rows;
    expect((await at.found('items')).map(({ check: name }) => name)).toEqual(['publication', 'event_triggers']);
    const list = `items,shop.orders,whole,days,"Mixed.Case",${HOSTILE_TABLE}`;
    await at.install(list);
    expect(await at.found(list)).toEqual([]);
    expect(await at.found()).toEqual([]);
    await at.install(list);
    expect(await at.found(list)).toEqual([]);
    await at.remove();
    expect((await at.run(state)).rows).toEqual(before);
    await at.remove();
  });

  it('adds tables to the publication that is there, and takes none out', async () => {
    await at.install('items');
    await at.run("alter publication pg_ladder set (publish = 'insert')");
    expect(await at.found('items,shop.orders')).toMatchObject([
      { check: 'publication', what: expect.stringContaining('leaves out') },
      { check: 'publication', mend: 'alter publication "pg_ladder" add table "shop"."orders"' },
    ]);
    await at.install('shop.orders');
    expect(await at.found('items,shop.orders')).toEqual([]);
  });

  it('lets every UPDATE and DELETE through, of published tables and of those beside them', async () => {
    await at.install('items,shop.orders,whole,days');
    for (const table of ['items', 'shop.orders', 'whole', 'bare', 'indexed', 'deferred', 'silent', 'unlogged']) {
      await at.owner.query(`insert into ${table} (id) values (1); update ${table} set id = 2; delete from ${table}`);
    }
    await at.owner.query(
      "insert into days values (1, '2020-01-01'); update days set id = 2; delete from days; truncate days",
    );
  });

  it('takes over a schema and functions that another role has put there before', async () => {
    await at.owner.query(`create schema pgladder; create function pgladder.tell_drops() returns event_trigger
      language plpgsql as $$ begin raise 'called'; end $$`);
    await at.install('items');
    await at.owner.query('create table late (id int); drop table late');
    await expect(at.owner.query('drop schema pgladder cascade')).rejects.toThrow(/must be owner/);
    await expect(at.owner.query('drop function pgladder.tell_drops()')).rejects.toThrow(/must be owner|permission/);
  });

  it('is removed without what others have put into its schema', async () => {
    await at.install('items');
    await at.run('create table pgladder.other (id int)');
    await at.remove();
    await at.run('drop table pgladder.other');
    await at.remove();
    await expect(at.run('drop schema pgladder')).rejects.toThrow(/does not exist/);
  });

  it('has the definitions of an ordinary role told, in the order of its transactions', async () => {
    await at.install('items');
    const tellingOnce = [
      'create table made (id int primary key)',
      'alter table made add column name text',
      'create view made_view as select * from made',
      'grant select on made to other',
      'alter table made enable row level security',
      'create policy own on made using (true)',
      'alter policy own on made using (false)',
      'drop policy own on made',
      'alter table made alter column name set default 1',
      'alter table made rename to remade',
      'alter table remade rename to made',
      'revoke select on made from other',
      'create rule quiet as on delete to made do instead nothing',
      'drop rule quiet on made',
      'alter view made_view set (security_barrier = true)',
      "create type made_t as enum ('a')",
      "alter type made_t add value 'b'",
      'drop type made_t',
      'create schema made_s',
      'alter schema made_s rename to made_r',
      'drop schema made_r',
      'select id into made_too from made',
      'drop table made_too',
      'create table made_as as select 1 as id',
      'drop table made_as',
      "create table day2 partition of days for values from ('2020-01-02') to ('2020-01-03')",
      'alter table days detach partition day2',
      'drop table day2',
      "create function made_f() returns int language sql as 'select 1'",
      'alter default privileges grant select on tables to other',
      'drop function made_f()',
    ];
    for (const text of tellingOnce) expect([text, await at.told(at.owner, text)]).toEqual([text, 1]);
    expect(await at.told(at.owner, 'drop table made cascade')).toBe(1);
    expect(await at.told(at.owner, 'begin; create table gone (id int); rollback')).toBe(0);
    await at.owner.query('alter default privileges revoke select on tables from other');
  });

  it('tells what DROP OWNED takes away without dropping anything: rights, and roles of policies', async () => {
    await at.install('items');
    await at.run('grant select on items to other');
    expect(await at.told(at.root, 'drop owned by other')).toBe(1);
    await at.run('create policy theirs on items to other, app');
    expect(await at.told(at.root, 'drop owned by other')).toBe(1);
    await at.run('drop policy theirs on items');
  });

  it('tells nothing of temporary tables, refreshes and comments', async () => {
    await at.install('items');
    const quiet = [
      "create temp table passing (id serial primary key, name text default 'a', check (id > 0))",
      'create index on passing (name)',
      'alter table passing add column more int default 1',
      'create temp view passing_view as select * from passing',
      'drop view passing_view',
      'alter table passing drop column more',
      'drop table passing',
      'create temp table passing on commit drop as select 1 as id',
      'refresh materialized view summed',
      "comment on table items is 'all'",
      'reindex table items',
      'create table if not exists items (id int)',
      'drop table if exists nowhere',
      'analyze items',
    ];
    for (const text of quiet) expect([text, await at.told(at.owner, text)]).toEqual([text, 0]);
    await at.run('create unique index on summed (n)');
    expect(await at.told(at.root, 'refresh materialized view concurrently summed')).toBe(0);
  });

  it('fires where replication applies changes, and for CREATE INDEX CONCURRENTLY', async () => {
    await at.install('items');
    expect(await at.told(at.root, 'create index concurrently late on items (name)')).toBe(1);
    await at.run('set session_replication_role = replica');
    expect(await at.told(at.root, 'drop index late')).toBe(1);
    await at.run('reset session_replication_role');
  });

  it('never fails a statement of a role, whatever rights and search path that has', async () => {
    await at.install('items');
    await at.run(
      `revoke execute on function pg_logical_emit_message(boolean, text, text${postgresVersion < 17 ? '' : ', boolean'}) from public`,
    );
    await at.owner.query(`create function shop.pg_event_trigger_ddl_commands() returns table (schema_name text, command_tag text)
      language plpgsql as $$ begin raise 'called'; end $$`);
    await at.owner.query('set search_path = shop, pg_catalog');
    expect(await at.told(at.owner, 'create table shop.late (id int)')).toBe(1);
    expect(await at.told(at.owner, 'drop table shop.late')).toBe(1);
    await at.owner.query('reset search_path; drop function shop.pg_event_trigger_ddl_commands()');
    await at.run(
      `grant execute on function pg_logical_emit_message(boolean, text, text${postgresVersion < 17 ? '' : ', boolean'}) to public`,
    );
    await expect(
      at.owner.query('create or replace function pgladder.mine() returns int language sql as $$ select 1 $$'),
    ).rejects.toThrow(/permission/);
  });

  it('is what the log is read by: it tells of rows, of definitions, and of no temporary table', async () => {
    await at.install('items,days');
    const fleet = await fleetOver(at.servers);
    const log = new SourceLog(new LogicalSource(fleet));
    try {
      await log.hasBegun();
      expect(log.start).toMatchObject({
        tellsDefinitions: true,
        tables: ['public.day1', 'public.days', 'public.items'],
      });
      log.take();
      await at.owner.query('create temp table passing (id serial); drop table passing');
      await at.owner.query('insert into items (id) values (7); delete from items');
      await at.owner.query('create table made (id int); drop table made');
      const seen: unknown[] = [];
      await until('all is told', () => {
        seen.push(...log.take());
        return seen.some((one) => JSON.stringify(one).includes('all'));
      });
      expect(JSON.stringify(seen[0])).toContain('public.items');
    } finally {
      await log.subscription.close();
      await fleet.close();
    }
  });
});
