/**
 * The table that everything is measured on, and the statements: the same text for whoever writes SQL by hand, the same meaning for query builders.
 * Rows below CALLERS are also the rows that callers call their own.
 */

export const ROWS = 10_000;
/** The most callers at a time: each has a row of its own, the one with its number. */
export const CALLERS = 1_024;

// Room on each page, so that updates stay on it: without, fifteen minutes of them would measure a table that only grows.
export const SCHEMA = `
  create table items (id int primary key, value int not null, name text not null) with (fillfactor = 50);
  insert into items select id, 0, 'item number ' || id || ' of a shop' from generate_series(0, ${ROWS - 1}) as id;
  vacuum analyze items`;

/** Between two works: what the last one left behind is not the next one's business. */
export const TIDY = 'vacuum (truncate false) items';

export const POINT = 'select value from items where id = $1';
export const RANGE = 'select id, value, name from items where id >= $1 and id < $2';
export const UPDATE = 'update items set value = $2 where id = $1';

/** The same for pgbench, which draws its own numbers. */
export const PGBENCH_SCRIPTS = {
  point: '\\set id random(0, 9999)\nselect value from items where id = :id;\n',
  ten: '\\set id random(0, 9990)\nselect id, value, name from items where id >= :id and id < :id + 10;\n',
  thousand: '\\set id random(0, 9000)\nselect id, value, name from items where id >= :id and id < :id + 1000;\n',
  write: '\\set id random(0, 9999)\nupdate items set value = :id where id = :id;\n',
  transaction:
    '\\set id random(0, 9999)\nbegin;\nselect value from items where id = :id;\nupdate items set value = :id where id = :id;\ncommit;\n',
} as const;
