// Which namesakes of an operator or a function make a read a write: PostgreSQL's own choice is the judge.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainTypes } from '../../src/postgres/plain-types.js';
import { Catalog, type CatalogRows, type Judgement } from '../../src/sql/catalog.js';
import { CATALOG } from '../../src/sql/catalog-queries.js';
import { factsOf } from '../../src/sql/facts.js';
import { Grammar } from '../../src/sql/grammar.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { Random } from '../simulation/random.js';
import { report, size } from './fixture.js';

/** What the application has, before anybody else makes anything. */
const APPLICATION = `
  create table called (what text);
  create type mood as enum ('good', 'bad');
  create domain email as text;
  create domain rank as int;
  create type address as (street text, zip int);
  create table t (id int primary key, big bigint, name text, tag varchar(20), amount numeric, state mood, mail email, home address, doc jsonb, ids int[],
    made timestamptz, flag boolean, level rank);
  create table u (id int, t_id int, name text, state mood);
  create table child (extra int) inherits (u);
  create view v as select id, name, state from t where id > 0 and name <> '';
  create type mine as enum ('x', 'y');
  create type pair as (a int, b int);
  create domain own_text as text;
  create domain own_int as int;
  create type span as range (subtype = float8);
`;

async function catalogOn(client: pg.ClientBase, grammar: Grammar): Promise<Catalog> {
  const results = (await client.query({ text: CATALOG, types: plainTypes })) as unknown as pg.QueryResult[];
  const [path, functions, relations, operators, types, resolution] = results.filter(
    ({ command }) => command === 'SELECT',
  );
  const rows = {
    searchPath: path?.rows[0].path,
    functions: functions?.rows,
    relations: relations?.rows,
    operators: operators?.rows,
    types: types?.rows,
    resolution: resolution?.rows[0],
  } as CatalogRows;
  return new Catalog(rows, grammar, []);
}

/** A function that writes, whatever it is said to be. */
const hostile = (name: string, parameters: string, result: string): string =>
  `create function ${name}(${parameters}) returns ${result} volatile language plpgsql as $$ begin insert into called values ('${name}'); return null; end $$`;

describe('namesakes of operators and functions', () => {
  let grammar: Grammar;
  let servers: TestCluster;
  let client: pg.Client;
  let serial = 0;

  beforeAll(async () => {
    grammar = await Grammar.load();
    servers = await startTestCluster({ replicas: 0 });
    client = new pg.Client(servers.primary.connectionString);
    await client.connect();
    await client.query(APPLICATION);
  });
  afterAll(async () => {
    await client?.end();
    await servers?.stop();
  });

  /** Makes something, judges statements by what the catalogue says then, and takes it all back. */
  async function having<T>(
    definitions: readonly string[],
    run: (judge: (text: string) => Judgement) => Promise<T>,
  ): Promise<T> {
    await client.query('begin');
    try {
      for (const definition of definitions) await client.query(definition);
      await client.query('savepoint reading');
      const catalog = await catalogOn(client, grammar);
      await client.query('rollback to reading');
      return await run((text) => catalog.judge(factsOf(grammar.parse(text))));
    } finally {
      await client.query('rollback');
    }
  }

  /** Everything hostile that PostgreSQL would call for a statement; `undefined` where it does not take it. */
  async function chosen(text: string): Promise<string[] | undefined> {
    await client.query('savepoint asking');
    try {
      await client.query(`create view asked as ${text}`);
      const { rows } = await client.query<{ name: string }>(
        `select distinct p.proname as name from pg_rewrite r join pg_depend d on d.objid = r.oid and d.classid = 'pg_rewrite'::regclass
          left join pg_operator o on d.refclassid = 'pg_operator'::regclass and o.oid = d.refobjid
          join pg_proc p on p.oid = case when d.refclassid = 'pg_proc'::regclass then d.refobjid else o.oprcode end
          where r.ev_class = 'asked'::regclass and p.oid >= 16384 and p.prosrc ~ 'insert into called'`,
      );
      return rows.map(({ name }) => name);
    } catch {
      return undefined;
    } finally {
      await client.query('rollback to asking');
    }
  }

  const operator = (name: string, left: string, right: string): string[] => {
    const call = `evil_${serial++}`;
    return [
      hostile(call, `${left}, ${right}`, 'boolean'),
      `create operator ${name} (leftarg = ${left}, rightarg = ${right}, function = ${call})`,
    ];
  };

  it('do not count on types that a statement cannot meet, so that one who may CREATE keeps nobody on the primary', async () => {
    const pins = [
      ...operator('=', 'mine', 'mine'),
      ...operator('=', 'mine', 'int'),
      ...operator('=', 'int', 'mine'),
      ...operator('=', 'pair', 'pair'),
      ...operator('=', 't', 't'),
      ...operator('=', 'own_int', 'own_int'),
      ...operator('=', 'own_text', 'own_text'),
      ...operator('=', 'int', 'text'),
      ...operator('=', 'point', 'point'),
      ...operator('<', 'mine', 'mine'),
      ...operator('>', 'own_text', 'own_text'),
      ...operator('>=', 'span', 'span'),
      ...operator('~~', 'own_text', 'mine'),
      ...operator('||', 'mine', 'mine'),
      hostile('lower', 'mine', 'text'),
      hostile('count', 'mine', 'bigint'),
      hostile('now', 'a mine default null', 'timestamptz'),
      hostile('id', 'mine', 'int'),
      hostile('id', 't', 'int'),
      hostile('name', 'pair', 'text'),
      hostile('cast_in', 'int', 'mine'),
      'create cast (int as mine) with function cast_in(int) as implicit',
      `create domain abs as int check (evil_0('x', 'y'))`,
    ];
    const honest = [
      'select * from t where id = 1',
      'select * from t where id = $1',
      'select t.id, t.name from t where t.id = $1 and t.name = $2',
      'select x.id from t as x join u on u.t_id = x.id where x.id in (1, 2, 3)',
      'select * from t where id = any($1::int[])',
      'select * from t where id between $1 and $2 order by id limit 10',
      'select id from t where id in (select t_id from u where u.id = $1)',
      'select count(*) from t where id < 10 and amount > 1.5',
      'select lower(name) from t where name = $1',
      "select id from t where name like 'a%'",
      'select id from v where id = $1',
      'select id from t where made < now() and flag = true and state = $1',
      'select name from t join u using (id)',
      'select case id when 1 then $1 else name end from t',
      'select sum(amount), max(id), abs(id) from t group by name having max(id) > 5',
      'select s.id from (select id from t) s',
    ];
    await having(pins, async (judge) => {
      const kept = honest.filter((text) => judge(text).class !== 'read');
      expect(kept.map((text) => `${text}: ${judge(text).because}`)).toEqual([]);
    });
  });

  it('count where they are applied without being written', async () => {
    const evil = (name: string, left = 'int', right = 'numeric'): string[] => operator(name, left, right);
    const hidden: [definitions: string[], text: string][] = [
      [evil('>='), 'select id as a from t where id between 1.5 and 3'],
      [evil('<'), 'select id as a from t where id not between 1.5 and 3'],
      [evil('='), 'select case id when 1.5 then 1 end as a from t'],
      [evil('='), 'select id as a from t where id in (select amount from t)'],
      [evil('='), 'select id as a from t where id in (1, 2.5)'],
      [evil('=', 'mood', 'mood'), 'select t.id as a from t join u using (state)'],
      [evil('=', 'mood', 'mood'), 'select 1 as a from t natural join u'],
      [evil('=', 'mood', 'mood'), "select id as a from t where state = 'good'"],
      [evil('||', 'mine', 'int'), "select 'x' || id as a from t"],
      [[hostile('first', 'int', 'int')], 'select (1).first as a'],
      [[hostile('zip', 't', 'int')], 'select t.zip as a from t'],
      [[hostile('zip', 't', 'int')], 'select s.zip as a from (select * from t) s'],
      [
        [hostile('test', 'text', 'boolean'), 'create domain lower as text check (test(value))'],
        "select lower('A') as a",
      ],
      [
        [
          hostile('as_mine', 'int', 'mine'),
          'create cast (int as mine) with function as_mine(int) as implicit',
          hostile('take', 'mine', 'int'),
        ],
        'select take(1) as a',
      ],
    ];
    for (const [definitions, text] of hidden) {
      await having(definitions, async (judge) => {
        // A domain's condition stands behind its type, where nothing says what it calls.
        if (!text.includes('lower')) expect(await chosen(text), text).toHaveLength(text.includes('take') ? 2 : 1);
        expect(judge(text).class, text).toBe('write');
      });
    }
  });

  it('never count as harmless where PostgreSQL chooses one that writes', async () => {
    const random = new Random(17);
    const types =
      'int bigint numeric text varchar mood email rank address mine pair own_text own_int span t u child record jsonb int[] mine[] mood[] boolean'.split(
        ' ',
      );
    const operators = '= <> < <= > >= || + - * ~~ !~~ ~~* ~ @> <@ -> ### @@'.split(' ');
    const functions = 'lower abs length max count coalesce_ concat upper name id state home zip street sum round'.split(
      ' ',
    );
    const type = (): string => random.pick(types.filter((each) => each !== 'record'));
    const definition = (): string[] => {
      const kind = random.next();
      if (kind < 0.55) return operator(random.pick(operators), type(), type());
      if (kind < 0.7) return [hostile(random.pick(functions), type(), type())];
      if (kind < 0.8)
        return [
          hostile(random.pick(functions), `${type()}, b ${type()}${random.chance(0.5) ? ' default null' : ''}`, type()),
        ];
      if (kind < 0.85)
        return [
          hostile(random.pick(functions), `variadic a ${random.pick(['int[]', 'mine[]', 'text[]', 'mood[]'])}`, type()),
        ];
      if (kind < 0.9) return [`create domain ${random.pick(functions)} as ${type()}`];
      const [source, target, call] = [type(), type(), `evil_${serial++}`];
      const context = random.chance(0.7) ? 'as implicit' : 'as assignment';
      return [
        hostile(call, source, target),
        `create cast (${source} as ${target}) with function ${call}(${source}) ${context}`,
      ];
    };
    const columns =
      't.id t.big t.name t.tag t.amount t.state t.mail t.home t.doc t.ids t.made t.flag t.level u.id u.t_id u.name u.state big amount mail home level t u'.split(
        ' ',
      );
    const columnOf: Record<string, string[]> = {
      int: ['t.id', 'u.id', 'u.t_id', '1'],
      bigint: ['t.big', 'big', '99999999999'],
      numeric: ['t.amount', 'amount', '2.5'],
      text: ['t.name', 'u.name'],
      varchar: ['t.tag'],
      mood: ['t.state', 'u.state'],
      email: ['mail'],
      rank: ['t.level', 'level'],
      address: ['t.home', 'home'],
      jsonb: ['t.doc'],
      'int[]': ['t.ids'],
      boolean: ['t.flag', 'true'],
      t: ['t', 't.*'],
      u: ['u', 'u.*'],
      record: ['row(1, 2)'],
    };
    const leaf = (): string => {
      const kind = random.next();
      if (kind < 0.4) return random.pick(columns);
      if (kind < 0.7) return random.pick(['null', 'null', "'1'", '1', '2.5', 'true', '99999999999']);
      return `null::${type()}`;
    };
    /** Something of a type, or that could be taken for it. */
    const like = (name: string, depth: number): string => {
      const kind = random.next();
      if (kind < 0.5) return random.pick(columnOf[name] ?? [`null::${name}`]);
      if (kind < 0.65) return `null::${name}`;
      if (kind < 0.8) return 'null';
      if (kind < 0.85) return `case when true then ${random.pick(columnOf[name] ?? [`null::${name}`])} end`;
      return depth === 0 ? leaf() : `(${expression(depth - 1)})`;
    };
    /** Applies one of the namesakes that there are, more or less as it would have it. */
    const aimed = (depth: number): string => {
      const { name, types: wanted, isOperator } = random.pick(aims);
      const operands = wanted.map((each) => like(each, depth));
      if (!isOperator) return random.chance(0.15) ? `(${operands[0]}).${name}` : `${name}(${operands.join(', ')})`;
      const [a, b] = operands;
      if (name === '=')
        return random.pick([
          `(${a} = ${b})`,
          `(${a} in (${b}, ${b}))`,
          `(${a} in (select ${b} from u))`,
          `(${a} = any (array[${b}]))`,
          `(case ${a} when ${b} then 1 end)`,
          `nullif(${a}, ${b})`,
          `(${a} is distinct from ${b})`,
          `((${a}, 1) = (${b}, 1))`,
          `(t.id, ${a}) in (select 1, ${b})`,
        ]);
      if (name === '>=' || name === '<=')
        return random.pick([
          `(${a} ${name} ${b})`,
          `(${a} between ${b} and ${b})`,
          `(${a} between symmetric ${b} and ${b})`,
        ]);
      if (name === '<' || name === '>') return random.pick([`(${a} ${name} ${b})`, `(${a} not between ${b} and ${b})`]);
      if (name === '~~') return random.pick([`(${a} like ${b})`, `(${a} ~~ all (array[${b}]))`]);
      return `(${a} ${name} ${b})`;
    };
    const expression = (depth: number): string => {
      if (depth === 0) return leaf();
      if (aims.length > 0 && random.chance(0.6)) return aimed(depth);
      const e = (): string => expression(random.chance(0.5) ? 0 : depth - 1);
      const f = random.pick(functions);
      const op = random.pick(operators);
      return random.pick([
        () => `(${e()} ${op} ${e()})`,
        () => `(${e()} ${op} ${e()})`,
        () => `(${e()} ${op} ${e()})`,
        () => `(${e()} ${op} ${e()})`,
        () => `${f}(${e()})`,
        () => `${f}(${e()})`,
        () => `${f}(${e()}, ${e()})`,
        () => `(${e()} in (${e()}, ${e()}))`,
        () => `(${e()} between ${e()} and ${e()})`,
        () => `(case ${e()} when ${e()} then ${e()} else ${e()} end)`,
        () => `(case when true then ${e()} else ${e()} end)`,
        () => `nullif(${e()}, ${e()})`,
        () => `coalesce(${e()}, ${e()})`,
        () => `(${e()} is distinct from ${e()})`,
        () => `(${e()} like ${e()})`,
        () => `(${e()} in (select ${e()} from u))`,
        () => `(${e()} = any (array[${e()}, ${e()}]))`,
        () => `(row(${e()}, ${e()}) = row(${e()}, ${e()}))`,
        () => `(${e()}).${random.pick([...functions, 'a', 'b'])}`,
        () => `(t).${random.pick(functions)}`,
        () => `greatest(${e()}, ${e()})`,
        () => `(${e()}::${type()})`,
        () => `(select ${e()} from u limit 1)`,
        () => `(${e()} collate "C")`,
      ])();
    };
    const statement = (): string => {
      const e = (): string => expression(2);
      return random.pick([
        () => `select ${e()} as a from t, u`,
        () => `select t.id as a from t, u where ${e()}`,
        () =>
          `select 1 as a from t join u using (${random.pick(['id', 'name', 'state'])}) where u.t_id = ${expression(1)}`,
        () => 'select 1 as a from t natural join u',
        () =>
          `select s.a from (select ${e()} as a, t as b from t, u) s where s.a = ${expression(1).replaceAll(/\b[tu]\b(\.\w+)?/g, 's.a')}`,
        () => `select s.${random.pick(functions)} as z from (select t.* from t) s`,
        () =>
          `select ${random.pick(operators)} s as a from (select 1) s`.replace(
            /select \S+ s/,
            () => `select s ${random.pick(operators)} ${expression(0).replaceAll(/\b[tu]\b(\.\w+)?/g, 's')}`,
          ),
        () =>
          `with c(id, name) as (select * from (select state, id from u) z) select c.${random.pick(['id', 'name'])} ${random.pick(operators)} ${expression(0).replaceAll(/\b[tu]\b(\.\w+)?/g, 'c.id')} as a from c`,
        () =>
          `select v.id as a from v where ${expression(1).replaceAll(/\b[tu]\b(\.\w+)?/g, random.pick(['v.id', 'v.name', 'v.state']))}`,
        () => `select t.${random.pick([...functions, 'id'])} as a from t`,
        () => `select ${e()} as a from t, u union select ${e()} from t, u`,
      ])();
    };
    let aims: { name: string; types: string[]; isOperator: boolean }[] = [];
    let [accepted, hostileOnes, reads] = [0, 0, 0];
    const wrong: string[] = [];
    for (let round = 0; round < size(12, 1_500); round++) {
      const wanted = Array.from({ length: 1 + Math.floor(random.between(0, 8)) }, definition);
      const made: string[][] = [];
      await client.query('begin');
      for (const texts of wanted) {
        await client.query('savepoint making');
        const isMade = await client.query(texts.join(';')).then(
          () => true,
          () => false,
        );
        if (isMade) made.push(texts);
        else await client.query('rollback to making');
      }
      await client.query('rollback');
      aims = made.flat().flatMap((text) => {
        const [, name, left = '', right = ''] =
          /^create operator (\S+) \(leftarg = (\S+), rightarg = (\S+),/.exec(text) ?? [];
        if (name !== undefined) return { name, types: [left, right], isOperator: true };
        const [, call = '', list = ''] = /^create function ([a-z]+)\(([^)]*)\)/.exec(text) ?? [];
        const taken = list
          .split(', ')
          .map((each) => each.replace(/^(?:variadic )?[ab] /, '').replace(' default null', ''));
        if (call !== '') return { name: call, types: taken, isOperator: false };
        const domain = /^create domain (\S+)/.exec(text)?.[1];
        return domain === undefined ? [] : { name: domain, types: ['text'], isOperator: false };
      });
      await having(made.flat(), async (judge) => {
        for (let i = 0; i < 30; i++) {
          const text = statement();
          const called = await chosen(text);
          if (called === undefined) continue;
          accepted++;
          const judgement = judge(text);
          if (judgement.class === 'read') reads++;
          if (called.length > 0) hostileOnes++;
          if (called.length > 0 && judgement.class === 'read')
            wrong.push(`${text}\n   calls ${called.join()}\n   of ${made.flat().join(';\n   ')}`);
        }
      });
    }
    report('namesakes', { accepted, 'calling one': hostileOnes, reads });
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(hostileOnes).toBeGreaterThan(10);
    expect(reads).toBeGreaterThan(40);
  });
});
