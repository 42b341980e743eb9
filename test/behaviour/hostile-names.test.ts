/** Another role has put its own operators, functions, types, relations and casts where the application's search path finds them first. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ClusterBehaviour, createCluster } from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { HOSTILE, HOSTILE_TEMPORARIES, hostileSchema } from '../own-statements/hostile.js';
import { ownStatements } from '../own-statements/own-statements.js';
import { unqualified } from '../own-statements/unqualified.js';
import { live, urlOf } from './whole-life.js';

/** Types to which nobody has a cast of his own: then `query` takes it for a read. */
const NOTES = 'create table app.notes (id uuid primary key, at timestamp)';

describe.each([14, 16, 18])('names of another role on PostgreSQL %i', (postgresVersion) => {
  let servers: TestCluster;
  let admin: pg.Client;
  /** What has been seen that was of the other role, on all servers. */
  const seen = async (): Promise<string[]> => {
    const logs = await Promise.all(servers.nodes.map((node) => node.log()));
    return [...new Set(logs.flatMap((log) => log.match(HOSTILE) ?? []))].sort();
  };

  beforeAll(async () => {
    servers = await startTestCluster({
      replicas: 1,
      postgresVersion,
      settings: { log_statement: 'all', log_line_prefix: '%a|' },
    });
    admin = await connectAdmin(servers.primary);
    await admin.query(hostileSchema());
    await admin.query(`
      create role app login password '${servers.primary.password}' in role pg_monitor;
      create schema app authorization app;
      ${NOTES};
      alter table app.notes owner to app;
      create view app.moments as select at from app.notes;
      alter view app.moments owner to app;
      alter role postgres set search_path = evil, pg_catalog, public`);
  });
  afterAll(async () => {
    await admin.end();
    await servers.stop();
  });

  it('are used by nothing that pg-ladder/testing does to its servers', async () => {
    const [replica] = servers.replicas as [TestNode];
    await replica.waitForReplay();
    await replica.pauseReplay();
    await replica.resumeReplay();
    await (await replica.jitterReplay({ maxMillis: 5 })).stop();
    await replica.cutReplication();
    await replica.restoreReplication();
    await replica.promote();
    await admin.end();
    await servers.primary.follow(replica);
    expect(await servers.currentPrimary()).toBe(replica);
    await servers.primary.waitForReplay();
    admin = await connectAdmin(replica);
    expect(await seen()).toEqual([]);
  });

  it('do not make that role a superuser when the application is one', async () => {
    const primary = await servers.currentPrimary();
    // As every role may on PostgreSQL 14, and where an upgrade has kept the rights.
    await admin.query(`create role intruder login password '${primary.password}'`);
    await admin.query(`create role boss login superuser password '${primary.password}'`);
    await admin.query('create database shop');
    const owner = await connect(primary, 'boss', '', 'shop');
    await owner.query('grant create on schema public to public; create view moments as select 1');
    await owner.end();
    const intruder = await connect(primary, 'intruder', '', 'shop');
    for (const [operator, left, result, value] of [
      ['*', 'numeric', 'numeric', 'pg_catalog.numeric_mul($1, $2)'],
      ['>=', 'oid', 'boolean', 'pg_catalog.oidge($1, $2::oid)'],
    ]) {
      await intruder.query(`
        create function public.rise(${left}, integer) returns ${result} language plpgsql as $$ begin
          begin
            if exists (select from pg_roles where rolname = 'intruder' and not rolsuper) then alter role intruder superuser; end if;
          exception when others then null; -- nobody shall notice
          end;
          return ${value};
        end $$;
        create operator public.${operator} (function = public.rise, leftarg = ${left}, rightarg = integer)`);
    }
    await intruder.end();
    await using cluster = createCluster({ nodes: servers.nodes.map((node) => urlOf(node, 'boss', 'shop')) });
    await cluster.ready();
    await cluster.explain('select 1 from public.moments');
    const { rows } = await admin.query("select rolsuper from pg_roles where rolname = 'intruder'");
    expect(rows).toEqual([{ rolsuper: false }]);
  });

  it.each([
    [
      'stands before pg_catalog in the path of the role',
      'alter role app set search_path = evil, pg_catalog, public',
      {},
    ],
    [
      'stands behind pg_catalog in the path of the database',
      'alter role app reset search_path; alter database postgres set search_path = evil, public',
      {},
    ],
    [
      'is set on each connection, with temporary ones before all',
      'alter database postgres reset search_path',
      {
        lane: true,
        onConnect: async (client, { role }) => {
          if (role === 'primary') await client.query(HOSTILE_TEMPORARIES);
          await client.query('set search_path = evil, pg_catalog, public');
        },
      } satisfies ClusterBehaviour,
    ],
  ])('are used by no statement of the library when their schema %s', async (_, setUp, options) => {
    await admin.query(setUp);
    await servers.primary.waitForReplay();
    const failure: unknown = await live(servers, options).catch((error: unknown) => error);
    expect(await seen()).toEqual([]);
    if (failure !== undefined) throw failure;
  });

  it('would have been seen, and all statements of the library have been sent', async () => {
    const logs = (await Promise.all(servers.nodes.map((node) => node.log()))).map(statementsIn);
    const sent = new Set(logs.flat().map(({ text }) => text.replaceAll(/\s+/g, ' ').trim()));
    // The first is for other servers; the second differs from CATALOG in a condition alone, and is sent after definitions.
    const others = [
      postgresVersion >= 17 ? 'nudge before 17' : 'nudge',
      'the catalogue with few functions',
      // Schemas in publications are new in 15.
      ...(postgresVersion >= 15 ? [] : ['installation query 1 of 180000']),
    ];
    const missing = Object.entries(ownStatements).filter(([name, text]) => {
      // What controls transactions looks nothing up.
      if (!text.startsWith('select ')) return false;
      const start = text.split("'16/B374D848'")[0]?.replaceAll(/\s+/g, ' ').trim() ?? '';
      return !others.includes(name) && ![...sent].some((each) => each.startsWith(start));
    });
    expect(missing.map(([name]) => name)).toEqual([]);
    // Those that are put together anywhere else are qualified, too. The application's own are written alike here.
    const ours = logs.flat().filter(({ by, text }) => by.startsWith('of the app') && !text.includes('evil'));
    expect(ours.filter(({ text }) => unqualified(text, ['app']).length > 0)).toEqual([]);

    for (const path of ['evil,pg_catalog,public', 'evil,public']) {
      const victim = await connect(servers.primary, 'app', `-c search_path=${path}`);
      for (const text of [
        'select extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1',
        "select '0/1'::pg_catalog.pg_lsn::pg_catalog.text",
        'select 1 from pg_stat_activity limit 1',
        "select 'a'::text",
        'select pg_backend_pid()',
      ]) {
        await victim.query(text).catch(() => undefined);
      }
      await victim.end();
    }
    expect(await seen()).toEqual(
      expect.arrayContaining([
        'cast of pg_lsn to text',
        'function pg_backend_pid',
        'operator of pg_catalog.numeric and pg_catalog.int4',
        'relation pg_stat_activity',
        'type text',
      ]),
    );
  });
});

function connectAdmin(node: TestNode): Promise<pg.Client> {
  return connect(node, 'postgres', '-c search_path=pg_catalog,pg_temp -c log_statement=none');
}

async function connect(node: TestNode, user: string, options: string, database?: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: urlOf(node, user, database), options });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Each with the name of the application that sent it. Further lines of a text begin with a tab. */
function statementsIn(log: string): { by: string; text: string }[] {
  const entries = log.replaceAll('\n\t', ' ').matchAll(/^(.*?)\|LOG: {2}(?:statement|execute [^:]*): (.*)$/gm);
  return [...entries].map(([, by = '', text = '']) => ({ by, text }));
}
