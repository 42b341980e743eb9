/** Operators and functions of a stranger, named like those of others, and which of them PostgreSQL chose. */
import pg from 'pg';
import { afterAll, beforeAll } from 'vitest';
import { Catalog } from '../../../src/sql/catalog.js';
import { Grammar } from '../../../src/sql/grammar.js';
import type { Judgement } from '../../../src/sql/judgement.js';
import { factsOf } from '../../../src/sql/walk.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { catalogOf } from '../../corpus/catalog-of.js';

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
  return new Catalog(await catalogOf(client), grammar, []);
}

/** A function that writes, whatever it is said to be. */
export const hostile = (name: string, parameters: string, result: string): string =>
  `create function ${name}(${parameters}) returns ${result} volatile language plpgsql as $$ begin insert into called values ('${name}'); return null; end $$`;

let grammar: Grammar;

let servers: TestCluster;

export let client: pg.Client;

let serial = 0;
/** A number that no name has yet. */
export const nextSerial = (): number => serial++;

/** Makes something, judges statements by what the catalogue says then, and takes it all back. */
export async function having<T>(
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
export async function chosen(text: string): Promise<string[] | undefined> {
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

export const operator = (name: string, left: string, right: string): string[] => {
  const call = `evil_${nextSerial()}`;
  return [
    hostile(call, `${left}, ${right}`, 'boolean'),
    `create operator ${name} (leftarg = ${left}, rightarg = ${right}, function = ${call})`,
  ];
};

/** Starts the servers once a file. */
export function definesNamesakes(): void {
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
}
