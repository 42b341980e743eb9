/** What an operator sees of the library on real servers: its statements in the log, its connections in `pg_stat_activity`, and the names of what it prepares. */
import { createServer, connect as openSocket } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, until, withClient } from './fixture.js';
import { message } from './wire-messages.js';

/** Every statement of a user's in this file says so. */
const USERS = /\/\* user \*\//;
/** As PgBouncer says it of a parameter that it does not know. */
const REFUSAL = message('E', Buffer.from('SFATAL\0C08P01\0Munsupported startup parameter: application_name\0\0'));
const lane = process.env['LANE'] !== 'off';
const MARKED = /\/\* pg-ladder \*\/$/;

describe.each([14, 18])('PostgreSQL %i', (postgresVersion) => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({
      replicas: 1,
      postgresVersion,
      settings: { log_statement: 'all', log_line_prefix: '|%a|' },
    });
  });
  afterAll(() => servers.stop());

  it('every statement that is not the user’s begins with what it does, on one line, and says whose it is', async () => {
    const at = (connectionString: string) => ({ connectionString, application_name: 'shop' });
    await using cluster = await open(servers, {
      primary: at(servers.primary.connectionString),
      replicas: servers.replicas.map(({ name, connectionString }) => ({ name, ...at(connectionString) })),
    });
    await cluster.write('create table notes (id serial primary key, body text) /* user */');
    // The replica may be behind for a while, and the primary has no lane.
    await until('a replica has answered', async () => {
      await cluster.query('select count(*) from notes where id > $1 /* user */', [1]);
      return /\|shop \(lane\)\|/.test((await servers.replicas[0]?.log()) ?? '') || !lane;
    });
    await cluster.session(async () => {
      await cluster.write('insert into notes (body) values (1) /* user */');
      await cluster.read('select count(*) from notes /* user */', [], { consistency: 'strong' });
    });
    await cluster.transaction(async () => {
      await cluster.write('insert into notes (body) values (2) /* user */');
      await cluster.transaction(() => cluster.write('insert into notes (body) values (3) /* user */'));
      await cluster.transaction(() => cluster.write('no statement /* user */')).catch(() => undefined);
    });
    const rolledBack = cluster.transaction(() => Promise.reject(new Error('not now')));
    await expect(rolledBack).rejects.toThrow('not now');
    await cluster.transaction((client) => client.query('select 1 /* user */'), { readOnly: true });
    await cluster.write('create unlogged table sheets (id int) /* user */');
    await cluster.read('select count(*) from sheets /* user */');
    const pool = cluster.pool();
    await withClient(pool, async (client) => {
      await client.query('begin read only /* user */');
      await client.query('select 1 /* user */');
      await client.query('commit /* user */');
    });
    const logs = await Promise.all(servers.nodes.map((node) => node.log()));
    const sent = logs.flatMap((log) => [
      ...log.matchAll(/\|(shop[^|]*)\|LOG: {2}(?:statement|execute [^:]*): ((?:.|\n\t)*)/g),
    ]);
    const own = sent.map(([, , text = '']) => text).filter((text) => !USERS.test(text));
    expect(own.filter((text) => !MARKED.test(text) || /\n/.test(text))).toEqual([]);
    const others = own.filter((text) => !text.startsWith('select '));
    expect(new Set(others.map((text) => text.split(' ')[0]))).toEqual(
      new Set(['begin', 'commit', 'rollback', 'savepoint', 'release']),
    );
    expect(own.length).toBeGreaterThan(20);
    // Each connection by what it is for.
    const names = new Set(sent.map(([, name]) => name));
    expect(names).toEqual(new Set(['shop', 'shop (control)', ...(lane ? ['shop (lane)'] : [])]));
  });
});

describe('pg_stat_activity', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 0 });
  });
  afterAll(() => servers.stop());

  const named = async (): Promise<string[]> => {
    const admin = new pg.Client({ connectionString: servers.primary.connectionString, application_name: 'admin' });
    await admin.connect();
    const text = `select application_name from pg_stat_activity where backend_type = 'client backend' and application_name <> 'admin'`;
    const { rows } = await admin.query<{ application_name: string }>(text);
    await admin.end();
    return [...new Set(rows.map(({ application_name: name }) => name))].sort();
  };
  const url = (params = '') => `${servers.primary.connectionString}${params}`;
  const LONG = 'ö'.repeat(80);

  const cases: Record<string, [config: () => pg.PoolConfig, user: string, own: string]> = {
    'no name': [() => ({ connectionString: url() }), '', 'pg-ladder'],
    'an option': [() => ({ connectionString: url(), application_name: 'shop' }), 'shop', 'shop'],
    'the URL': [
      () => ({ connectionString: url('?application_name=sh%20op'), application_name: 'x' }),
      'sh op',
      'sh op',
    ],
    'a fallback': [() => ({ connectionString: url(), fallback_application_name: 'back' }), 'back', 'back'],
    'the server’s flags': [
      () => ({ connectionString: url(), options: '-c geqo=off -c application_name=fl\\ ag' }),
      'fl ag',
      'fl ag',
    ],
    'a long name': [
      () => ({ connectionString: url(), application_name: 'x'.repeat(80) }),
      'x'.repeat(63),
      'x'.repeat(53),
    ],
  };

  it.each(Object.entries(cases))(
    'shows what the library’s own connections are for, with %s of the user’s',
    async (_, each) => {
      const [config, user, own] = each;
      await using cluster = await open(servers, { primary: config() });
      await cluster.write('select 1');
      expect(await named()).toEqual([user, `${own} (control)`].sort());
    },
  );

  it('cuts a name between characters, and never what the connection is for', async () => {
    await using cluster = await open(servers, { primary: { connectionString: url(), application_name: LONG } });
    await cluster.write('select 1');
    const [control = ''] = (await named()).filter((name) => name.endsWith(' (control)'));
    expect(Buffer.byteLength(control)).toBeLessThanOrEqual(63);
    // As PostgreSQL shows it: from 16 on by its bytes.
    expect(control).toMatch(/^(\\xc3\\xb6)+ \(control\)$/);
  });

  it('a pooler that takes no such parameter is asked without it', async () => {
    const { port } = servers.primary;
    const refused: string[] = [];
    const proxy = createServer((socket) => {
      socket.once('data', (first) => {
        const startup = first.toString('latin1');
        if (startup.includes('application_name')) {
          refused.push(startup);
          socket.end(REFUSAL);
          return;
        }
        const server = openSocket(port, servers.primary.host);
        server.write(first);
        socket.pipe(server).pipe(socket);
        for (const one of [socket, server])
          one.on('error', () => undefined).on('close', () => (one === socket ? server : socket).destroy());
      });
    });
    await new Promise<void>((resolve) => {
      proxy.listen(0, '127.0.0.1', resolve);
    });
    const through = new URL(url());
    through.host = `127.0.0.1:${(proxy.address() as { port: number }).port}`;
    const states: string[] = [];
    {
      await using cluster = createCluster({ primary: through.href, replicas: [] });
      cluster.events.on('node', ({ state }) => states.push(state));
      await cluster.ready();
      expect((await cluster.read('select 1 as one')).rows).toEqual([{ one: 1 }]);
    }
    expect(states).toEqual(['live']);
    expect(refused).toHaveLength(1);
    proxy.close();
  });
});

describe.skipIf(process.env['LANE'] === 'off')('pg_prepared_statements', () => {
  it('tells by a name what a statement is, and no value', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers);
    await cluster.write('create table users (id int, name text)');
    await servers.replicas[0]?.waitForReplay();
    const names = new Set<string>();
    await until('it is prepared', async () => {
      await cluster.read("select 's3cret' from users where id = $1", [1]);
      const { rows } = await cluster.read<{ name: string }>('select name from pg_prepared_statements where $1', [true]);
      for (const { name } of rows) names.add(name);
      return [...names].some((name) => /^pgladder_select_users_[0-9a-z]{25}$/.test(name));
    });
    expect([...names].filter((name) => name.includes('s3cret') || Buffer.byteLength(name) > 63)).toEqual([]);
  });
});
