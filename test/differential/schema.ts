/**
 * The tables, views and functions that programs work on, and how they are made anew. All of it
 * belongs to an ordinary role.
 */

export const TABLES = `
create type kind as enum ('a', 'b', 'c');
create table items (id int primary key, name text, price numeric(10, 2), at timestamp, kind kind, tags text[], data jsonb,
  small int, big bigint, raw bytea, ok boolean default true);
create table notes (id serial primary key, item_id int references items on delete cascade, body text not null check (body <> 'forbidden'));
create table secrets (id int primary key, is_open boolean, body text);
alter table secrets enable row level security;
alter table secrets force row level security;
create policy seen on secrets for select using (is_open);
create policy filled on secrets for insert with check (true);
create view cheap as select id, name, price from items where price < 50;
create function fail(code text, words text) returns int language plpgsql as
  $$ begin raise exception '%', words using errcode = code, detail = 'in detail', hint = 'a hint'; end $$;
create function peek(code text, words text) returns int language plpgsql stable as
  $$ begin raise exception '%', words using errcode = code, detail = 'in detail', hint = 'a hint'; end $$;
create function add_note(item int, words text) returns int language sql as
  $$ insert into notes (item_id, body) values (item, words) returning id $$;
create function plus(x int) returns int language sql immutable as $$ select x + 1 $$;
create function note_then_fail(item int, code text) returns int language plpgsql as
  $$ begin insert into notes (item_id, body) values (item, 'before ' || code); raise exception 'after a note' using errcode = code; end $$;
create procedure note_twice(item int, words text) language plpgsql as
  $$ begin insert into notes (item_id, body) values (item, words); commit; insert into notes (item_id, body) values (item, words); end $$;
`;

export const ROWS = `
insert into items select i, 'item ' || i, i * 7.25, timestamp '2020-01-01' + i * interval '1 hour', (array['a', 'b', 'c'])[1 + i % 3]::kind,
  array['t' || i % 4, 'all'], jsonb_build_object('n', i, 'even', i % 2 = 0), i, i * 1000000007::bigint, decode(lpad(to_hex(i), 4, '0'), 'hex'), i % 5 <> 0
  from generate_series(1, 20) as i;
insert into notes (item_id, body) select 1 + i % 10, 'note ' || i from generate_series(1, 12) as i;
insert into secrets select i, i % 2 = 0, 'secret ' || i from generate_series(1, 6) as i;
`;

export const RESET = `drop schema public cascade; create schema public; ${TABLES} ${ROWS}`;

/** Tables may have been dropped or changed by then: it may fail, in both worlds alike. */
export const EMPTY = `truncate items, notes, secrets restart identity; ${ROWS}`;

/**
 * Everything that is stored, as text: tables with their columns, and how far sequences have got.
 */
export const CONTENT = `
select c.relname as name, (select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum)
    from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped) as columns,
  case c.relkind when 'S' then (select last_value::text from pg_sequences where sequencename = c.relname)
    else query_to_xml(format('select t::text as row from %I as t order by 1', c.relname), true, true, '')::text end as content
from pg_class as c where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'S') order by 1`;
