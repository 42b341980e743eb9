/** What the caches are measured on: rows of ten columns of the usual types, and profiles that people look at and change. */
import { SCHEMA } from '../statements.js';

export const WIDE_ROWS = 2_000;
export const PROFILES = 2_000;

export const CACHE_SCHEMA = `${SCHEMA};
  create table wide (id int primary key, amount int, code bigint, name text, note text, price numeric, added timestamptz,
    is_new boolean, share float8, extra jsonb);
  insert into wide select i, i, i * 1000::bigint, 'item number ' || i, 'a longer text of some forty characters ' || i, i / 7.0,
    timestamptz '2026-01-01' + i * interval '1 s', i % 2 = 0, i / 3.0, '{"tags": ["a", "b"], "size": 4}'
    from generate_series(0, ${WIDE_ROWS - 1}) as i;
  create table profiles (id int primary key, version int not null, name text not null, about text not null) with (fillfactor = 50);
  insert into profiles select i, 0, 'user ' || i, 'something that user ' || i || ' tells of himself'
    from generate_series(0, ${PROFILES - 1}) as i;
  create extension pg_stat_statements;
  vacuum analyze wide;
  vacuum analyze profiles`;

export const CACHE_SETTINGS = { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.track': 'all' };

/** The text for a number of rows; it has one value, the first row. */
export function wideText(rowCount: number): string {
  return rowCount === 1
    ? 'select * from wide where id = $1'
    : `select * from wide where id >= $1 order by id limit ${rowCount}`;
}

export const PROFILE = 'select id, version, name, about from profiles where id = $1';
export const CHANGE = 'update profiles set version = version + 1 where id = $1 returning version';
