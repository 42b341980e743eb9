/** SQL that means harm: deep in every way that the grammar knows, long, broken, or put together by chance. */
import type { Random } from '../../simulation/random.js';

const times = (count: number, text: string): string => text.repeat(count);
const numbered = (count: number, one: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => one(i)).join('');

/** A name, what is before, what comes again and again, what is in the middle, what closes each of them, what is behind. */
const NESTED: Record<string, [string, string, string, string?, string?]> = {
  plus: ['select a', '+a', ''],
  concatenation: ['select a', '||a', ''],
  power: ['select a', '^a', ''],
  'qualified operator': ['select a', ' operator(pg_catalog.+) a', ''],
  and: ['select a', ' and a', ''],
  or: ['select a', ' or a=1', ''],
  'and and or': ['select a', ' and a or a', ''],
  between: ['select a', ' between 1 and 2 is null', ''],
  'between with a case': ['select ', 'a between case when a and b then 1 end and 2 is null = ', 'a'],
  'labels that are words': ['select a', '.and + a', ''],
  case: ['select ', 'case when a and b then ', '1', ' end'],
  else: ['select ', 'case when a then 1 else ', '1', ' end'],
  when: ['select case', ' when a then 1', ' end'],
  parentheses: ['select ', '(', '1', ')'],
  brackets: ['select array', '[', '1', ']'],
  arrays: ['select ', 'array[', '1', ']'],
  subqueries: ['select ', '(select ', '1', ')'],
  'subqueries in from': ['', 'select * from (', 'select 1', ') a'],
  lateral: ['select 1 from ', 'lateral (select 1 from ', 'a', ') a'],
  exists: ['select ', 'exists (select ', '1', ')'],
  in: ['select ', 'a in (select ', '1', ')'],
  any: ['select ', 'a = any (', '1', ')'],
  calls: ['select ', 'f(', '1', ')'],
  'calls with commas': ['select ', 'f(1, 2, ', '1', ')'],
  json: ['select a', "->'b'", ''],
  'json paths': ['select a', "#>>'{b}'", ''],
  'json objects': ['select ', "json_object('a': ", '1', ')'],
  'json arrays': ['select ', 'json_array(', '1', ')'],
  'is json': ['select a', ' is json', ''],
  union: ['select 1, 2', ' union select 1, 2', ''],
  'union all': ['select 1', ' union all select 1', ''],
  'set operations': ['select 1', ' union select 1 intersect select 1 except select 1', ''],
  'set operations in brackets': ['', '(select 1 union ', 'select 1', ')'],
  values: ['values (1)', ',(1)', ''],
  'nested values': ['', 'values ((', '1', '))'],
  constants: ['select a in (1', ',1', ')'],
  strings: ["select a in ('1'", ",'1'", ')'],
  negatives: ['select a in (-1', ',-1', ')'],
  decimals: ['select a in (1.5', ',1.5', ')'],
  statements: ['select 1', ';select 1', ''],
  semicolons: ['', ';', 'select 1'],
  casts: ['select a', '::int', ''],
  'casts in words': ['select ', 'cast(', '1', ' as int)'],
  not: ['select ', 'not ', 'a'],
  minus: ['select ', '- ', 'a'],
  tilde: ['select ', '~ ', 'a'],
  'type modifiers': ['select a::numeric(1', ',1', ')'],
  'array types': ['select a::int', '[]', ''],
  collate: ['select a', ' collate "C"', ''],
  dots: ['select a', '.b', ''],
  fields: ['select (a)', '.b', ''],
  indirection: ['select a', '[1]', ''],
  slices: ['select a', '[1:2]', ''],
  joins: ['select 1 from a', ' join a on a = 1 and b = 2', ''],
  'cross joins': ['select 1 from a', ' cross join a', ''],
  'joins in brackets': ['select 1 from ', '(a join ', 'a', ' on a)'],
  'joins to the right': ['select 1 from a ', 'join a ', '', 'on a '],
  relations: ['select 1 from a', ',a', ''],
  'nested with': ['', 'with a as (', 'select 1', ') select 1'],
  windows: ['select 1 window a as ()', ',a as ()', ''],
  over: ['select f() over ()', '+f() over ()', ''],
  filter: ['select ', 'f() filter (where ', 'a', ')'],
  xml: ['select ', 'xmlconcat(', 'a', ')'],
  'xml elements': ['select ', 'xmlelement(name a, ', 'a', ')'],
  'is null': ['select a', ' is null', ''],
  isnull: ['select a', ' isnull', ''],
  'is true': ['select a', ' is true', ''],
  'is document': ['select a', ' is document', ''],
  normalized: ['select a', ' is normalized', ''],
  distinct: ['select a', ' is distinct from a', ''],
  like: ['select a', ' like a escape a is true', ''],
  'time zones': ['select a', " at time zone 'x'", ''],
  'local time': ['select a', ' at local', ''],
  rows: ['select ', 'row(', '1', ')'],
  'rows without a word': ['select ', '(1, ', '1', ')'],
  coalesce: ['select ', 'coalesce(', '1', ')'],
  greatest: ['select ', 'greatest(a, ', '1', ')'],
  extract: ['select ', 'extract(year from ', 'a', ')'],
  overlay: ['select ', 'overlay(a placing ', 'a', ' from 1)'],
  targets: ['select a', ',a', ''],
  stars: ['select *', ',*', ''],
  'order by': ['select 1 order by a', ',a', ''],
  'named arguments': ['select f(a => 1', ', a => 1', ')'],
  'rows from': ['select 1 from rows from (f()', ',f()', ')'],
  schemas: ['create schema a ', 'create table a () ', ''],
  'unicode escapes': ["select U&'", '\\0041', "'"],
  'unicode names': ['select U&"', '\\0041', '"'],
  'escape strings': ["select e'", "\\'", "'"],
  'strings on lines': ["select 'a'", "\n'a'", ''],
  'a long string': ["select '", 'a', "'"],
  'a long name': ['select "', 'a', '"'],
  'a long number': ['select ', '9', ''],
  'a long parameter': ['select $', '9', ''],
  comments: ['', '/**/', 'select 1'],
  'comments in lines': ['', '--\n', 'select 1'],
  'nested comments': ['', '/*', '', '*/', 'select 1'],
  'open comments': ['select 1 ', '/*', ''],
  blanks: ['', ' ', 'select 1'],
  'no sql': ['', 'é', ''],
  quotes: ['', "'", ''],
  'double quotes': ['', '"', ''],
  dollars: ['', '$', ''],
  'dollar tags': ['select ', '$a$b', ''],
  'lone surrogates': ["select '", '\ud800€', "'"],
  'inserted rows': ['insert into t values (1)', ',(1)', ''],
  'definitions in comments': ['', ';/*', ''],
};

/** Texts of about so many characters. */
export function* hostileTexts(length: number): Generator<[name: string, text: string]> {
  for (const [name, [before, again, middle, close = '', behind = '']] of Object.entries(NESTED)) {
    const count = Math.max(1, Math.floor(length / (again.length + close.length)));
    yield [name, before + times(count, again) + middle + times(count, close) + behind];
  }
  const count = Math.ceil(length / 20);
  yield ['with', `with a as (select 1)${numbered(count, (i) => `,a${i} as (select 1)`)} select 1`];
  yield ['parameters', `select a in ($1${numbered(count, (i) => `,$${i + 2}`)})`];
  yield ['deep within a list', `select a in (1${times(count, ',1')}, ${times(count, '(')}1${times(count, ')')})`];
}

const WORDS =
  `select from where and or not in between case when then else end join on using union intersect except with as values insert into update set delete
  null true is like any all exists array row cast collate limit offset order group by having window over partition filter for explain analyze begin commit
  show create table a b t f public nextval lower count now interval date int text numeric $1 $2 1 1.5 1e9 0x1f 'a' '' "a" e'\\'' U&'\\0041' $$a$$ $x$'$x$`.split(
    /\s+/,
  );
const SIGNS = [
  '(',
  ')',
  '[',
  ']',
  ',',
  ';',
  '.',
  '..',
  '::',
  ':=',
  '=>',
  '+',
  '-',
  '*',
  '/',
  '%',
  '^',
  '<',
  '=',
  '||',
  '->>',
  '@',
  '~',
  '!',
  '?',
  '$',
  '$$',
];
const SCRAPS = [
  "'",
  '"',
  '--',
  '--\n',
  '/*',
  '*/',
  '\n',
  '\t',
  '\r',
  '\\',
  '\0',
  '\ud800',
  '€',
  'é',
  '\u00a0',
  "e'",
  "'\n'",
  '$a$',
  '/* replica */',
  '/*+ x */',
];

/** A text by chance: now close to SQL, now far from it, short or with a piece that comes a thousand times. */
export function randomText(random: Random): string {
  const scraps = random.pick([0, 0, 0.05, 0.4]);
  const part = (): string =>
    random.chance(scraps) ? random.pick(SCRAPS) : random.chance(0.3) ? random.pick(SIGNS) : random.pick(WORDS);
  const count = Math.floor(random.between(1, random.chance(0.05) ? 400 : 25));
  let text = random.chance(0.7) ? 'select ' : '';
  for (let i = 0; i < count; i++) {
    const piece = random.chance(0.8) ? `${part()} ` : `${part()}${part()}`;
    text += random.chance(0.003) ? times(Math.floor(random.between(2, 3_000)), piece) : piece;
  }
  return text;
}

const HINT_PARTS = [
  'ladder',
  'ladder:',
  ' primary',
  'replica',
  'max_staleness',
  'max_staleness=',
  '5s',
  '9'.repeat(400),
  '-1',
  '1e9',
  'ms',
  'min',
  ',',
  '=',
  '==',
  ':',
  ';',
  'partition=',
  'x'.repeat(1_025),
  'consistency=',
  'session',
  'strong',
  'eventual',
  '__proto__',
  'constructor=',
  ' ',
  '\n',
  '*',
  '/',
  '/*',
  '*/',
  '\0',
  '\ud800',
  'İ',
  'ſ',
  'K',
  "'",
  '%',
];

/** A text that begins with a comment that may be a hint. */
export function randomHint(random: Random): string {
  let content = random.chance(0.7) ? random.pick(['ladder:', ' ladder : ', 'LADDER:', 'ladder']) : '';
  const count = Math.floor(random.between(0, random.chance(0.02) ? 2_000 : 8));
  for (let i = 0; i < count; i++) content += random.pick(HINT_PARTS);
  return `${random.pick(['', ' ', '\n', '\ufeff'])}/*${content}${random.chance(0.95) ? '*/' : ''} select 1`;
}
