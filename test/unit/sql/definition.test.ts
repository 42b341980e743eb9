import { beforeAll, describe, expect, it } from 'vitest';
import type { CatalogRows, FunctionRow, RelationRow } from '../../../src/sql/catalog-rows.js';
import { mentions, touchedBy } from '../../../src/sql/definition.js';
import { Grammar } from '../../../src/sql/grammar.js';

const aView = {
  schema: 'public',
  kind: 'v',
  persistence: 'p',
  policies: null,
  hidden: null,
  rowType: '0',
  columns: [],
  memberCount: 0,
};
const view = (name: string, definition: string): RelationRow => ({ ...aView, name, definition });
const aFunction = {
  schema: 'public',
  argCount: 0,
  defaultCount: 0,
  isVariadic: false,
  signature: '',
  volatility: 's' as const,
  language: 'sql',
  isOfExtension: false,
  hasOwnPath: false,
  defaults: null,
  parts: null,
  takes: '',
  gives: '',
};
const fn = (oid: string, name: string, body: string): FunctionRow => ({ ...aFunction, oid, name, body });
const rows: CatalogRows = {
  searchPath: ['public'],
  functions: [fn('20001', 'counts', 'select count(*) from busy'), fn('20002', 'compares', 'select 1 from "Behind"')],
  relations: [
    { ...view('orders', ''), kind: 'r', definition: null },
    view('busy', 'select * from orders'),
    { ...view('Behind', ''), kind: 'r', definition: null },
  ],
  operators: [{ schema: 'public', name: '===', call: '20002', takes: '' }],
  types: [],
  resolution: { operators: [], functions: [], records: [], kin: [], casts: [] },
};

let grammar: Grammar;
beforeAll(async () => {
  grammar = await Grammar.load();
});

describe('a definition', () => {
  it.each([
    ['create table items (id int)', ['items']],
    ['create table if not exists app.items (id serial primary key)', ['items']],
    ['create unlogged table "Items" ()', ['items']],
    ['create index on orders (id)', []],
    ['begin; create table a (); create table b (); commit', ['a', 'b']],
    ['alter table orders add column note text', ['orders', 'busy', 'counts']],
    ['alter table orders enable row level security', ['orders', 'busy', 'counts']],
    ['drop table if exists orders', ['orders', 'busy', 'counts']],
    ['create or replace view busy as select 1', ['busy', 'counts']],
    ['create function fresh() returns int language sql as $$ select 1 $$', ['fresh']],
    ["create type mood as enum ('a')", ['mood']],
    ['comment on table orders is $$a$$', []],
    ['grant select on orders to app', []],
  ])('touches what it names, and what mentions that: %s', (text, names) => {
    expect([...(touchedBy(grammar.parse(text), rows).names ?? ['everything'])].sort()).toEqual([...names].sort());
  });

  it.each([
    'create or replace function counts() returns int language sql as $$ select 1 $$',
    'drop table orders cascade',
    'drop function counts()',
    'drop schema app cascade',
    'alter table orders rename to old_orders',
    'alter table orders rename column a to b',
    'alter table orders alter column a type bigint',
    'alter table "Behind" add column a int',
    'create operator + (function = counts)',
    'create cast (text as int) with inout',
    'create policy p on orders using (true)',
    'create extension citext',
    'create table a as select 1',
    'select 1 into a',
    'do $$ begin null; end $$',
    'call something()',
    'execute something',
    'create table "a b" ()',
    'create table a (); drop schema app',
  ])('may touch everything: %s', (text) => {
    expect(touchedBy(grammar.parse(text), rows).names).toBeUndefined();
  });

  it.each([
    ['create table items (id int)', []],
    ['create or replace function counts() returns int language sql as $$ select 1 $$', ['counts']],
    ['drop function counts()', ['counts']],
    ['drop function counts() cascade', undefined],
    ['drop function counts(), compares()', undefined],
    ['alter function counts() rename to counted', undefined],
    ['create extension citext', undefined],
  ])('changes these functions alone, so that only they are read again: %s', (text, names) => {
    const { functions } = touchedBy(grammar.parse(text), rows);
    expect(functions && [...functions]).toEqual(names);
  });

  it.each([
    ['select * from items', true],
    ['select * from ITEMS', true],
    ['select * from app."items"', true],
    ['select $1::_items', true],
    ["select nextval('items_id_seq')", true],
    ['select U&"\\0069tems".a from x', true],
    ['select * from items2, my_items', false],
    ['select itemsize from lines', false],
  ])('%s may be another statement: %s', (text, isTouched) => {
    expect(mentions(text, new Set(['items']))).toBe(isTouched);
  });
});
