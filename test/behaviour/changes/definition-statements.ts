/** What changes definitions, what does not, and which stamp of the catalogue each moves. */

export const SCHEMA = `
  create role reader login password 'reader';
  create role team;
  create role owner_of_much;
  create table items (id int primary key, name text, at date default now());
  insert into items select i, 'n' from generate_series(1, 50) as i;
  create table ups (id int, at date) partition by range (at);
  create table up_2020 (id int, at date);
  create table base (id int);
  create table heir (id int);
  create table owned (id int);
  alter table owned owner to owner_of_much;
  create sequence numbers;
  create view shown as select id from items;
  create materialized view summed as select count(*) as n from items;
  create function f() returns int language sql stable as 'select 1';
  create function tr() returns trigger language plpgsql as 'begin return null; end';
  create trigger pg_ladder_changes after insert on items for each statement execute function tr();
  create type kind as enum ('a');
  create domain small as int check (value < 10);
  create collation mine from "C";
  create text search configuration words (copy = simple);
  create publication told for table items;
  create policy own on items using (true);
  create schema other;
  create function et() returns event_trigger language plpgsql as 'begin end';
  create event trigger et on ddl_command_end execute function et();
  create table many (id int);
  create table bare (id int)`;

export type Moves = 'local' | 'shared' | 'both' | 'neither';

/** Each with what it moves: what event triggers do not fire for, moves the shared stamp. */
export const STATEMENTS: readonly (readonly [text: string, moves: Moves, since?: number])[] = [
  ["insert into items values (1001, 'a')", 'neither'],
  ["update items set name = 'b'", 'neither'],
  ['delete from items where id = 1001', 'neither'],
  ['analyze items', 'neither'],
  ['analyze', 'neither'],
  ['vacuum items', 'neither'],
  ['vacuum (freeze) items', 'neither'],
  ['vacuum (freeze)', 'neither'],
  ['create index concurrently items_name on items (name)', 'neither'],
  ['reindex index concurrently items_name', 'neither'],
  ['drop index items_name', 'neither'],
  ['create temp table passing (id serial primary key, kind kind)', 'neither'],
  ['create temp view passing_view as select * from passing', 'neither'],
  ['drop table passing cascade', 'neither'],
  ["select nextval('numbers')", 'neither'],
  ['refresh materialized view summed', 'neither'],
  ["select pg_logical_emit_message(true, 'a', 'b')", 'neither'],
  ['checkpoint', 'neither'],
  // It is told as a change of the table; the stamp moves besides.
  ['truncate items', 'local'],
  ['grant select on items to team', 'local'],
  ['revoke select on items from team', 'local'],
  ['grant select (name) on items to team', 'local'],
  ['revoke all on schema other from public', 'local'],
  ['grant usage on schema other to team', 'local'],
  ['revoke execute on function lower(text) from public', 'local'],
  ['grant execute on function lower(text) to public', 'local'],
  ['alter schema other rename to another', 'local'],
  ['create policy second on items using (false)', 'local'],
  ['alter policy second on items using (true)', 'local'],
  ['alter table items enable row level security', 'local'],
  ['alter table items force row level security', 'local'],
  ['alter table items disable row level security', 'local'],
  ["create or replace function f() returns int language sql stable as 'select 2'", 'local'],
  ['alter function f() security definer', 'local'],
  ['alter function f() set search_path = pg_catalog', 'local'],
  ['create or replace view shown as select id + 0 as id from items', 'local'],
  ['alter view shown set (security_barrier = true)', 'local'],
  ['alter table items add column size int', 'local'],
  ['alter table items alter column size type bigint', 'local'],
  ['alter table items alter column size set default 7', 'local'],
  ['alter table items alter column size drop default', 'local'],
  ['alter table items rename column size to length', 'local'],
  ['alter table items drop column length', 'local'],
  ['alter table bare add column twice int generated always as (id * 2) virtual', 'local', 18],
  ['alter table bare alter column twice set expression as (id * 3)', 'local', 18],
  ['alter table many rename to lots', 'local'],
  ['alter table lots set schema another', 'local'],
  ['alter table owned owner to postgres', 'both'],
  ['alter table owned owner to owner_of_much', 'both'],
  ["alter table ups attach partition up_2020 for values from ('2020-01-01') to ('2021-01-01')", 'local'],
  ['alter table ups detach partition up_2020', 'local'],
  ['alter table items disable trigger pg_ladder_changes', 'local'],
  ['begin; alter table items disable trigger all; alter table items enable trigger all; commit', 'local'],
  ['alter table heir inherit base', 'local'],
  ['alter table heir no inherit base', 'local'],
  ["alter publication told set (publish = 'insert')", 'local'],
  ['alter publication told add table base', 'local'],
  ['alter publication told drop table base', 'local'],
  ['alter publication told add tables in schema public', 'local', 15],
  ['alter table items replica identity full', 'local'],
  ['alter table items replica identity default', 'local'],
  ['alter table items drop constraint items_pkey', 'local'],
  ['alter table items add primary key (id)', 'local'],
  ["alter type kind add value 'b'", 'local'],
  ["alter type kind rename value 'b' to 'c'", 'local'],
  ['alter domain small drop constraint small_check', 'local'],
  ['alter domain small add check (value < 20)', 'local'],
  ['create function same(kind, kind) returns bool language sql as $$ select $1::text = $2::text $$', 'local'],
  ['create operator === (leftarg = kind, rightarg = kind, function = same)', 'local'],
  ['create function kind_of(int) returns kind language sql as $$ select null::kind $$', 'local'],
  ['create cast (int as kind) with function kind_of(int)', 'local'],
  ['alter collation mine rename to yours', 'local'],
  ['create aggregate summed_up(int) (sfunc = int4pl, stype = int)', 'local'],
  ['alter text search configuration words alter mapping for word with english_stem', 'local'],
  ['create type pair as (a int, b int)', 'local'],
  ['alter type pair add attribute c int', 'local'],
  ['create materialized view summed_again as select 1 as n', 'neither'],
  ['create role newcomer', 'shared'],
  ['grant team to reader', 'shared'],
  ['revoke team from reader', 'shared'],
  ["alter role reader set search_path = 'another'", 'shared'],
  ["alter role reader in database postgres set work_mem = '5MB'", 'shared'],
  ['alter role reader reset all', 'shared'],
  ['alter role reader bypassrls', 'shared'],
  ['alter role reader nobypassrls', 'shared'],
  ['alter role reader noinherit', 'shared'],
  ['alter role reader inherit', 'shared'],
  ['alter role newcomer superuser', 'shared'],
  ['alter role newcomer rename to oldtimer', 'shared'],
  ['drop role oldtimer', 'shared'],
  ["alter database postgres set timezone = 'UTC'", 'shared'],
  ['alter database postgres reset timezone', 'shared'],
  ['alter event trigger et disable', 'shared'],
  ['alter event trigger et enable always', 'shared'],
  // No event trigger fires for it.
  ['reassign owned by owner_of_much to team', 'both'],
  ['drop event trigger et', 'shared'],
];
