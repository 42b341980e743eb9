import { beforeAll, describe, expect, it } from 'vitest';
import { Catalog } from '../../../src/sql/catalog.js';
import type { CatalogRows, FunctionRow, RelationRow } from '../../../src/sql/catalog-rows.js';
import { Grammar } from '../../../src/sql/grammar.js';

const relation = (name: string, over: Partial<RelationRow> = {}): RelationRow => ({
  schema: 'public',
  name,
  kind: 'r',
  persistence: 'p',
  definition: null,
  policies: null,
  hidden: null,
  rowType: '20000',
  columns: ['23 id', '25 name', '20100 mail'],
  memberCount: 0,
  ...over,
});
let oid = 16_384;
const fn = (name: string, body: string, over: Partial<FunctionRow> = {}): FunctionRow => ({
  oid: String(oid++),
  schema: 'public',
  name,
  argCount: 0,
  defaultCount: 0,
  isVariadic: false,
  signature: '',
  volatility: 's',
  language: 'sql',
  body,
  isOfExtension: false,
  hasOwnPath: false,
  defaults: null,
  parts: null,
  takes: '',
  gives: '25',
  ...over,
});

const rows: CatalogRows = {
  searchPath: ['pg_catalog', 'public'],
  relations: [
    relation('t'),
    relation('u'),
    relation('parts', { kind: 'p', memberCount: 3 }),
    relation('v', { kind: 'v', definition: 'SELECT t.id, f() AS f FROM public.t' }),
    relation('outer_v', { kind: 'v', definition: 'SELECT v.id FROM public.v' }),
    relation('today', { kind: 'v', definition: 'SELECT t.id FROM public.t WHERE t.made > CURRENT_DATE' }),
    relation('m', { kind: 'm' }),
    relation('far', { kind: 'f' }),
    relation('fast', { persistence: 'u' }),
    relation('secret', { policies: ['(owner = (SELECT u.name FROM u))'] }),
    relation('loop_a', { kind: 'v', definition: 'SELECT * FROM public.loop_b' }),
    relation('loop_b', { kind: 'v', definition: 'SELECT * FROM public.loop_a' }),
    relation('clocks', { columns: ['1266 at'] }),
  ],
  functions: [
    fn('f', 'select count(*) from u'),
    fn('again', 'select count(*) from t'),
    fn('clock', 'select now()'),
    fn('plain', 'select 1'),
    fn('changing', 'select 1', { volatility: 'v' }),
    fn('spoken', 'begin return (select name from u); end', { language: 'plpgsql' }),
    fn('fixed', 'begin return (select name from u); end', { language: 'plpgsql', volatility: 'i' }),
    fn('made', "begin execute 'select 1'; end", { language: 'plpgsql', volatility: 'v' }),
    fn('opaque', '', { language: 'c', body: null }),
    fn('believed', '', { language: 'c', body: null, volatility: 'i' }),
    fn('broken', 'this is no SQL'),
    fn('tail', 'select f()', {
      defaults: '(SELECT max(parts.id) FROM parts)',
      argCount: 1,
      defaultCount: 1,
      takes: '23',
    }),
  ],
  operators: [],
  types: [],
  resolution: { operators: [], functions: [], records: [], kin: [], casts: [] },
};

describe('what an answer depends on', () => {
  let grammar: Grammar;
  let catalog: Catalog;
  beforeAll(async () => {
    grammar = await Grammar.load();
    catalog = new Catalog(rows, grammar, []);
  });
  const of = (text: string) => catalog.dependenciesOf(grammar.parse(text));
  const relations = (text: string) =>
    of(text)
      .relations.map(({ name, kind }) => `${name} ${kind}`)
      .sort();

  it.each([
    ['select 1', []],
    ['select * from t join parts using (id)', ['parts partitioned', 't table']],
    ['select * from outer_v', ['outer_v view', 't table', 'u table', 'v view']],
    ['select f()', ['u table']],
    ['select tail()', ['parts partitioned', 'u table']],
    ['select spoken()', ['u table']],
    ['select fixed()', ['u table']],
    ['select * from secret', ['secret table', 'u table']],
    ['select * from loop_a', ['loop_a view', 'loop_b view']],
    ['select * from m, far, fast', ['far foreign', 'fast unlogged', 'm materialized-view']],
    ['select * from pg_class, information_schema.tables', ['pg_class catalog', 'tables catalog']],
    ['with t as (select * from u) select * from t', ['u table']],
    [
      'select (select max(id) from u) from t where exists (select from parts)',
      ['parts partitioned', 't table', 'u table'],
    ],
  ])('%s touches %j and no other relation', (text, expected) => {
    expect(relations(text)).toEqual(expected);
    expect(of(text).mayBeMore).toBeUndefined();
  });

  it.each([
    ['select opaque()', 'function public.opaque is written in c'],
    ['select made()', 'function public.made runs a text that it makes'],
    ['select broken()', 'function public.broken cannot be read'],
    ['select * from nobody', 'relation nobody is not known'],
    ["select pg_get_viewdef('v')", 'pg_get_viewdef() reads the catalogue'],
    ['explain select * from t', 'EXPLAIN reads the statistics of what it explains'],
  ])('%s may touch more: %s', (text, why) => {
    expect(of(text).mayBeMore).toBe(why);
  });

  it.each([
    ['select * from t where id = $1', 'always'],
    ['select count(*), lower(name), max(id) from t group by name order by 1', 'always'],
    ["select to_char(made, 'YYYY'), date_trunc('day', made), made at time zone 'UTC' from t", 'always'],
    ['select concat(name, id), json_agg(t), age(made, made) from t group by 1', 'always'],
    ["select to_tsvector('english', name) from t", 'always'],
    ['select plain(), f(), believed(), fixed()', 'always'],
    ['select current_user', 'scoped'],
    ["select current_setting('app.tenant')", 'scoped'],
    ['select to_tsvector(name) from t', 'scoped'],
    ["select 't'::regclass", 'scoped'],
    ['select spoken()', 'scoped'],
    ['select * from secret', 'scoped'],
    ['select * from pg_class', 'scoped'],
    ['show timezone', 'scoped'],
    ['select now()', 'timed'],
    ['select current_timestamp(3), current_user', 'timed'],
    ['select age(made) from t', 'timed'],
    ["select * from t where made > 'today'", 'timed'],
    ["select 'yesterday noon'::timestamp", 'timed'],
    ['select clock()', 'timed'],
    ['select * from today', 'timed'],
    ["select at at time zone 'UTC' from clocks", 'timed'],
    ['select $1::time with time zone', 'timed'],
    ['select random() from t', 'never'],
    ['select gen_random_uuid()', 'never'],
    ['select changing()', 'never'],
    ['select * from t tablesample system (10)', 'never'],
    ['select ctid from t', 'never'],
    ['explain select 1', 'never'],
    ['select broken()', 'never'],
  ])('%s: the same answer again: %s', (text, expected) => {
    expect(of(text).repeatability.repeats).toBe(expected);
  });

  it('says what decided', () => {
    const because = (text: string) => of(text).repeatability.because;
    expect(because('select now()')).toBe('now() depends on the time');
    expect(because('select current_user')).toBe('CURRENT_USER depends on the session');
    expect(because('select changing()')).toBe('function public.changing is VOLATILE');
    expect(because('select * from secret')).toBe('public.secret has row security');
  });

  const keysOf = (text: string) =>
    of(text).keys.map(
      ({ schema, name, columns }) => `${schema}.${name}(${columns.map(({ column }) => column).join()})`,
    );

  it('says which value a column is fixed to', () => {
    const columns = [{ column: 'id', value: { parameter: 1 }, cast: undefined, type: '23' }];
    expect(of('select * from t where id = $1').keys).toEqual([{ schema: 'public', name: 't', columns }]);
    const [, u] = of("select * from t join u on u.id = t.id where t.id = '07'::bigint").keys;
    expect(u?.columns).toEqual([{ column: 'id', value: { constant: '07' }, cast: 'int8', type: '23' }]);
  });

  it.each([
    ['select * from t where id = $1', ['public.t(id)']],
    ['select * from t where id = $1::bigint and name = $2', ['public.t(id,name)']],
    ['select * from t where id = $1 and missing = $2', ['public.t(id)']],
    ['select * from t where id = $1 and exists (select from u)', ['public.t(id)']],
    ['select *, f() from t where id = $1', ['public.t(id)']],
    ['select * from t join u on u.id = t.id where t.id = $1', ['public.t(id)', 'public.u(id)']],
    ['select * from t, u where u.id = t.id and $1 = u.id', ['public.t(id)', 'public.u(id)']],
    ['select * from t join u using (id) where id = $1', ['public.t(id)', 'public.u(id)']],
    ['select * from t left join u on u.id = t.id where t.id = $1', ['public.t(id)', 'public.u(id)']],
    // What is missing from the inner side says nothing of the outer one.
    ['select * from t left join u on u.id = t.id and u.id = $1', ['public.u(id)']],
    ['select * from t left join u on t.id = $1', []],
    ['select * from t right join u on u.id = t.id where t.id = $1', ['public.t(id)']],
    [
      'select * from t join u on u.name = t.name join parts as p on p.name = u.name where t.name = $1',
      ['public.t(name)', 'public.u(name)', 'public.parts(name)'],
    ],
    ['select * from t join u on u.id::text = t.name where t.name = $1', ['public.t(name)']],
    ['select * from t as a join t as b on b.id = a.id join u on u.id = a.id where a.id = $1', ['public.u(id)']],
  ])('%s fixes %j', (text, expected) => {
    expect(keysOf(text)).toEqual(expected);
  });

  it.each([
    ['a view', 'select * from v where id = $1'],
    ['the table once more', 'select *, (select count(*) from t) from t where id = $1'],
    ['a function that reads the same table', 'select *, again() from t where id = $1'],
    ['a function of which nothing is known', 'select *, opaque() from t where id = $1'],
    ['a column of a user’s type, which may be equal in its own way', 'select * from t where mail = $1'],
    ['a comparison as another type', 'select * from t where id = $1::numeric'],
    ['a materialized view', 'select * from m where id = $1'],
  ])('%s fixes none', (_, text) => {
    expect(of(text).keys).toEqual([]);
  });

  it('follows a chain of ten thousand functions without filling the stack', () => {
    const chain = Array.from({ length: 10_000 }, (_, i) =>
      fn(`chain${i}`, `begin return chain${i + 1}(); end`, { language: 'plpgsql' }),
    );
    const long = new Catalog(
      { ...rows, functions: [...chain, fn('chain10000', 'select count(*) from u')] },
      grammar,
      [],
    );
    for (;;) {
      try {
        const found = long.dependenciesOf(grammar.parse('select chain0()'));
        expect(found.relations.map(({ name }) => name)).toEqual(['u']);
        return;
      } catch (error) {
        expect((error as Error).constructor.name).toBe('Interruption');
      }
    }
  });
});
