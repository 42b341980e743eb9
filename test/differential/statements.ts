/**
 * The texts of the grammar: what reads, what writes, what fails, what belongs to a connection, what
 * others change.
 */
import type { Random } from '../simulation/random.js';
import type { FormName } from './forms.js';
import type { Statement } from './program.js';
import type { Switch } from './switches.js';
import { drawValue, type ValueKind } from './values.js';

interface Template {
  readonly text: string;
  readonly values?: readonly ValueKind[];
  /** Whether it may be several statements, so that pg takes it without values only. */
  readonly isSeveral?: true;
}

const READS: readonly Template[] = [
  {
    text: 'select id, name, price, at, kind, tags, data, small, big, raw, ok from items where id = $1',
    values: ['id'],
  },
  { text: 'select * from items where id = $1', values: ['id'] },
  { text: 'select name, price from items where id = any($1) order by id', values: ['ids'] },
  { text: 'select id from items where at = $1 order by id', values: ['moment'] },
  { text: 'select id from items where big = $1 or small = $2 order by id', values: ['big', 'id'] },
  { text: 'select id from items where small < $1 order by id', values: ['big'] },
  { text: 'select id, kind from items where kind = $1 order by id', values: ['kind'] },
  { text: 'select id from items where tags @> $1 and ok order by id', values: ['list'] },
  { text: 'select id from items where data @> $1 order by id', values: ['json'] },
  { text: 'select id from items where raw = $1 or name = $2 order by id', values: ['raw', 'text'] },
  { text: 'select * from cheap order by id', values: [] },
  { text: 'select * from cheap where id < $1 order by id', values: ['id'] },
  { text: 'select count(*), sum(price), max(at) from items', values: [] },
  { text: 'select * from secrets order by id' },
  {
    text: 'select n.id, n.body, i.name from notes n join items i on i.id = n.item_id order by n.id limit $1',
    values: ['id'],
  },
  { text: 'select * from notes where item_id = $1 order by id', values: ['id'] },
  { text: 'select max(id) as top, count(*) from notes' },
  { text: 'select plus($1) as more', values: ['id'] },
  { text: 'select $1 as given', values: ['any'] },
  { text: 'select $1::text as given, $2::jsonb as deep', values: ['any', 'json'] },
  { text: 'select 1 as a, 2 as a, null as b' },
  { text: "select repeat('x', 2000) as long, i from generate_series(1, 80) as i" },
  { text: 'select' },
  { text: 'values (1, null), (2, $1)', values: ['word'] },
  { text: 'with chosen as (select * from items where id < $1) select count(*) from chosen', values: ['id'] },
  {
    text: "select array_agg(id order by id) as ids, jsonb_agg(kind order by id) as kinds, interval '1 day 2 hours' as span from items",
  },
  { text: '/* a comment */ select name -- and another\nfrom items where id = $1', values: ['id'] },
  { text: "select date '2020-02-30'::text" },
  { text: 'table cheap order by id' },
  { text: 'explain (costs off) select 1' },
];

const FAILING_READS: readonly Template[] = [
  { text: 'select 1 / 0' },
  { text: 'select 1 / (id - $1) from items order by id', values: ['id'] },
  { text: 'select nothing from items' },
  { text: 'select * from nowhere' },
  { text: 'selec 1' },
  { text: "select 'x'::int" },
  { text: 'select name from items where id = $1 and name = $2', values: ['id'] },
  { text: 'select name from items where id = 1', values: ['id', 'id'] },
];

const WRITES: readonly Template[] = [
  { text: 'update items set name = $1 where id = $2 returning id, name', values: ['word', 'id'] },
  { text: 'update items set price = price + 1 where id = $1', values: ['id'] },
  { text: 'update items set at = $1 where id = $2 returning at', values: ['moment', 'id'] },
  { text: 'update items set small = $1, big = $2 where id = $3 returning small, big', values: ['big', 'big', 'id'] },
  { text: 'update items set kind = $1 where id = $2', values: ['kind', 'id'] },
  { text: 'update items set data = $1, tags = $2, raw = $3 where id = $4', values: ['json', 'list', 'raw', 'id'] },
  { text: 'insert into notes (item_id, body) values ($1, $2) returning id', values: ['id', 'word'] },
  { text: 'insert into notes (item_id, body) values ($1, $2)', values: ['id', 'text'] },
  { text: 'insert into notes (item_id, body) select id, name from items where id < $1', values: ['id'] },
  {
    text: 'insert into items (id, name, at, small, big) values ($1, $2, $3, $4, $5) on conflict (id) do update set name = excluded.name, at = excluded.at',
    values: ['id', 'word', 'moment', 'id', 'big'],
  },
  { text: 'insert into items (id, name) values ($1, $2)', values: ['id', 'any'] },
  { text: 'delete from notes where id = $1 returning *', values: ['id'] },
  { text: 'select add_note($1, $2) as id', values: ['id', 'word'] },
  {
    text: 'with gone as (delete from notes where id = $1 returning id) select count(*)::int from gone',
    values: ['id'],
  },
  {
    text: 'merge into items using (select $1::int as id) as s on items.id = s.id when matched then update set ok = not ok',
    values: ['id'],
  },
  { text: 'select id from items where id = $1 for update', values: ['id'] },
  { text: "do $$ begin insert into notes (item_id, body) values (1, 'by do'); end $$" },
];

const FAILING_WRITES: readonly Template[] = [
  { text: "insert into notes (item_id, body) values (1, 'forbidden')" },
  { text: 'insert into notes (item_id, body) values ($1, null)', values: ['id'] },
  { text: 'insert into notes (item_id, body) values (99999, $1)', values: ['word'] },
  { text: 'insert into items (id) values (1)' },
  { text: 'insert into nowhere values ($1)', values: ['id'] },
  { text: "update items set kind = 'nonsense' where id = 1" },
  { text: 'update items set small = $1 where id = 1', values: ['text'] },
  { text: 'insert into items (id, price) values ($1, 1e12)', values: ['id'] },
  { text: 'copy notes (item_id, body) from stdin' },
  { text: 'commit and chain' },
  { text: 'savepoint here' },
];

const SEVERAL: readonly Template[] = [
  {
    text: "insert into notes (item_id, body) values (1, 'one'); insert into notes (item_id, body) values (2, 'two')",
    isSeveral: true,
  },
  { text: "insert into notes (item_id, body) values (1, 'lost'); select 1 / 0", isSeveral: true },
  { text: 'select 1 as a; select 2 as b', isSeveral: true },
  { text: 'select 1; select 1 / 0; select 2', isSeveral: true },
  { text: "begin; insert into notes (item_id, body) values (3, 'in one piece'); commit", isSeveral: true },
  { text: "begin; insert into notes (item_id, body) values (3, 'taken back'); rollback", isSeveral: true },
  {
    text: "insert into notes (item_id, body) values (1, 'before'); begin; insert into notes (item_id, body) values (1, 'within'); commit; select count(*)::int from notes",
    isSeveral: true,
  },
  { text: "set local application_name = 'local'; select current_setting('application_name')", isSeveral: true },
  { text: 'begin isolation level serializable; select count(*) from items; commit', isSeveral: true },
  { text: 'set local statement_timeout = 20; select pg_sleep(20)', isSeveral: true },
  { text: '' },
  { text: ' ; ' },
  { text: '-- nothing' },
];

/** They fail inside a transaction of their own, or leave it open. */
const OPEN_ENDED: readonly Template[] = [
  { text: "begin; insert into notes (item_id, body) values (4, 'poison'); select 1 / 0; commit", isSeveral: true },
  { text: "begin; insert into notes (item_id, body) values (4, 'left open')", isSeveral: true },
  { text: 'begin; select 1', isSeveral: true },
  { text: 'start transaction' },
  { text: "insert into notes (item_id, body) values (5, 'first'); begin; select 1 / 0", isSeveral: true },
  { text: "begin; insert into notes (item_id, body) values (4, 'chained'); commit and chain", isSeveral: true },
  { text: 'begin read only; select count(*) from items', isSeveral: true },
];

/** SQLSTATEs of the server's own, and of people. */
const STATES = [
  'P0001',
  '22012',
  '23505',
  '40001',
  '42P01',
  '25006',
  '0A000',
  '55000',
  'AB123',
  '53300',
  'XX000',
  '57014',
  '26000',
];
const LOSS_LIKE_STATES = [
  'EMAIL',
  'ENOPE',
  'EPIPE',
  '08000',
  '08003',
  '08006',
  '08P01',
  '57P01',
  '57P02',
  '57P03',
  '57P05',
  '25P02',
  '25P03',
  '25P04',
];

/** What only a client of one's own should be asked. */
const SETTINGS: readonly Template[] = [
  { text: "set timezone = 'Asia/Tokyo'" },
  { text: "set datestyle = 'German'" },
  { text: 'set search_path = pg_catalog' },
  { text: "select set_config('app.tenant', $1, false)", values: ['word'] },
  { text: "set application_name = 'mine'" },
  { text: 'create temporary table if not exists mine (id int)' },
  { text: "set statement_timeout = '30s'; set lock_timeout = '400ms'", isSeveral: true },
  { text: 'prepare p (int) as select name from items where id = $1' },
  { text: "set names 'UTF8'" },
  { text: "set extra_float_digits = 0; set intervalstyle = 'iso_8601'", isSeveral: true },
];

const SHOWS: readonly Template[] = [
  {
    text: "select current_setting('timezone') as zone, current_setting('datestyle') as style, current_setting('search_path') as path",
  },
  { text: "select current_setting('app.tenant', true) as tenant, current_setting('application_name') as name" },
  { text: "select timestamptz '2020-01-01 00:00Z' as at, interval '1 day' as span, date '2020-02-03'::text as day" },
  { text: "select to_regclass('mine') is not null as has_table" },
  { text: 'execute p(3)' },
  { text: 'show application_name' },
  { text: 'select lastval()' },
  { text: "select currval('notes_id_seq')" },
];

const CLEANING: readonly Template[] = [
  { text: 'discard all' },
  { text: 'reset all' },
  { text: 'deallocate all' },
  { text: 'drop table if exists mine' },
];

/** What changes under texts that come again, and is changed back; `about` tells those texts. */
export interface Migration {
  readonly forth: string;
  readonly back: string;
  readonly about: RegExp;
}

const REPLACED_KIND = (values: string): string =>
  `alter type kind rename to kind_before; create type kind as enum (${values});
    alter table items alter kind type kind using kind::text::kind; drop type kind_before`;

/** Those that change the types of parameters, which a name keeps. */
export const TYPE_CHANGES: readonly Migration[] = [
  {
    forth: "alter table items alter at type timestamptz using at at time zone 'utc'",
    back: "alter table items alter at type timestamp using at at time zone 'utc'",
    about: /\bat (?:=|from)|\bat,/,
  },
  {
    forth: 'alter table items alter small type bigint',
    back: 'alter table items alter small type int using 1',
    about: /\bsmall\b/,
  },
  {
    forth: REPLACED_KIND("'a', 'b', 'c', 'd'"),
    back: REPLACED_KIND("'a', 'b', 'c', 'd', 'e'"),
    about: /\bkind\b/,
  },
];

export const OTHER_CHANGES: readonly Migration[] = [
  {
    forth: 'alter table items add extra int default 7',
    back: 'alter table items drop extra',
    about: /\* from items/,
  },
  {
    forth: 'create or replace view cheap as select id, name, price from items where price < 90',
    back: 'drop view cheap; create view cheap as select price, name, id from items where price < 60',
    about: /cheap/,
  },
  {
    forth: 'create or replace function plus(x int) returns int language sql immutable as $$ select x + 2 $$',
    back: 'create or replace function plus(x int) returns int language sql immutable as $$ select x + 3 $$',
    about: /plus/,
  },
  {
    forth: 'drop policy seen on secrets; create policy seen on secrets for select using (not is_open)',
    back: 'drop policy seen on secrets; create policy seen on secrets for select using (is_open)',
    about: /secrets/,
  },
  {
    forth: 'alter table notes alter body type varchar(200)',
    back: `drop table notes;
    create table notes (id serial primary key, item_id int references items on delete cascade, body text not null)`,
    about: /notes/,
  },
  {
    forth: "alter type kind add value if not exists 'd'",
    back: "alter type kind add value if not exists 'e'",
    about: /\bkind\b/,
  },
];

const SUICIDES: readonly Template[] = [
  { text: 'select pg_terminate_backend(pg_backend_pid())' },
  {
    text: "insert into notes (item_id, body) values (6, 'never'); select pg_terminate_backend(pg_backend_pid())",
    isSeveral: true,
  },
];

const PLAIN_FORMS: readonly FormName[] = [
  'args',
  'args',
  'args',
  'args',
  'config',
  'config',
  'config and values',
  'array',
  'types',
];
const UNWRITABLE_FORMS: readonly FormName[] = [
  'frozen',
  'read-only',
  'getters',
  'private getters',
  'throwing getter',
  'null values',
];

export class Statements {
  readonly #random: Random;
  readonly #switches: ReadonlySet<Switch>;
  /** User's own names are never kept across a change: bare pg would not notice it either. */
  epoch = 0;

  constructor(random: Random, switches: ReadonlySet<Switch>) {
    this.#random = random;
    this.#switches = switches;
  }

  read(isForPools = false): Statement {
    const random = this.#random;
    if (random.chance(0.08)) return this.#raising('peek', isForPools);
    return this.#drawn(random.pick(random.chance(0.1) ? FAILING_READS : READS), isForPools);
  }

  write(isForPools = false): Statement {
    const random = this.#random;
    if (random.chance(0.06)) return this.#raising('fail', isForPools);
    if (random.chance(0.06)) return this.#raising('note_then_fail', isForPools);
    return this.#drawn(random.pick(random.chance(0.15) ? FAILING_WRITES : WRITES), isForPools);
  }

  /** One that a migration may change, for its values to be drawn each time; and whether it writes. */
  about({ about }: Migration): { readonly isWrite: boolean; draw(): Statement } | undefined {
    const texts = [...READS, ...WRITES].filter(({ text }) => about.test(text));
    const chosen = texts[Math.floor(this.#random.next() * texts.length)];
    return chosen && { isWrite: WRITES.includes(chosen), draw: () => this.#drawn(chosen, false) };
  }

  several(): Statement {
    const isOpenEnded = this.#switches.has('texts that end in a transaction') && this.#random.chance(0.3);
    return this.#drawn(this.#random.pick(isOpenEnded ? OPEN_ENDED : SEVERAL), false);
  }

  openEnded(): Statement {
    return this.#drawn(this.#random.pick(OPEN_ENDED), false);
  }

  setting(): Statement {
    return this.#drawn(this.#random.pick(SETTINGS), false);
  }

  showing(): Statement {
    return this.#drawn(this.#random.pick(SHOWS), false);
  }

  cleaning(): Statement {
    return this.#drawn(this.#random.pick(CLEANING), false);
  }

  suicide(): Statement {
    return this.#drawn(this.#random.pick(SUICIDES), false);
  }

  /** What only clients take. */
  streaming(): Statement {
    const random = this.#random;
    const form = random.pick(['cursor', 'early cursor', 'stream', 'query object', 'copy out', 'copy in'] as const);
    if (form === 'copy out') {
      return {
        text: random.pick([
          'copy (select id, name from items order by id) to stdout',
          'copy nowhere to stdout',
          'copy (select 1 / (id - 5) from items order by id) to stdout',
        ]),
        form,
      };
    }
    if (form === 'copy in') {
      const rows = random.pick([
        ['1\tcopied\n'],
        ['2\tcopied\n', '3\ttoo\n'],
        ['x\tno number\n'],
        ['1\tforbidden\n'],
        [],
      ]);
      return {
        text: 'copy notes (item_id, body) from stdin',
        form,
        values: rows.map((row) => ({ code: JSON.stringify(row), make: () => row })),
      };
    }
    const { text, values } = this.#drawn(random.pick(random.chance(0.15) ? FAILING_READS : READS), false);
    return { text, form, ...(values === undefined ? {} : { values }) };
  }

  /** An error that a function raises, by its SQLSTATE. */
  #raising(by: 'peek' | 'fail' | 'note_then_fail', isForPools: boolean): Statement {
    const random = this.#random;
    const isLossLike = this.#switches.has('errors that look like lost connections') && random.chance(0.5);
    const state = random.pick(isLossLike ? LOSS_LIKE_STATES : STATES);
    const values = [{ code: JSON.stringify(state), make: () => state }];
    const form = this.#form(isForPools);
    if (by === 'note_then_fail') return { text: 'select note_then_fail(1, $1)', values, form };
    return { text: `select ${by}($1, 'raised') as never`, values, form };
  }

  #drawn({ text, values, isSeveral }: Template, isForPools: boolean): Statement {
    const random = this.#random;
    if (isSeveral) return { text, form: random.chance(0.7) ? 'args' : 'config' };
    const isLossLike = this.#switches.has('errors that look like lost connections');
    // A wrong number of values is a fault of the protocol to the server: 08P01.
    const wanted = Math.max(0, ...[...text.matchAll(/\$(\d)/g)].map(([, number]) => Number(number)));
    if (wanted !== (values?.length ?? 0) && !isLossLike) return { text: 'select 1 / 0', form: 'args' };
    const form = this.#form(isForPools);
    if (values === undefined || values.length === 0) return { text, form };
    const drawn = values.map((kind) => drawValue(random, kind, 0.06, isLossLike));
    const isNamed = random.chance(0.1) && (form === 'config' || form === 'array');
    return { text, values: drawn, form, ...(isNamed ? { name: `own ${this.epoch} ${hashOf(text)}` } : {}) };
  }

  #form(isForPools: boolean): FormName {
    const random = this.#random;
    if (isForPools && random.chance(0.1)) return 'callback';
    const isOdd = this.#switches.has('objects that cannot be written to') && random.chance(0.15);
    return random.pick(isOdd ? UNWRITABLE_FORMS : PLAIN_FORMS);
  }
}

/** Names must not be taken for two texts. */
function hashOf(text: string): string {
  let hash = 0;
  for (const character of text) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) >>> 0;
  return hash.toString(36);
}
