import type { Pool, PoolClient } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster, RouteEvent, WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, until } from './fixture.js';

describe('a setting on a client of a pool', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let pool: Pool;
  let routes: string[] = [];
  let warnings: WarningEvent[] = [];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    await using first = await open(servers);
    await first.write('create table t (v int); create role reader; grant select on t to reader');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());

  beforeEach(async () => {
    cluster = await open(servers);
    pool = cluster.pool();
    routes = [];
    warnings = [];
    cluster.events.on('route', ({ role }: RouteEvent) => routes.push(role));
    cluster.events.on('warning', (warning) => warnings.push(warning));
    await until('the catalogue is known', async () => (await cluster.explain('select v from t')).class === 'read');
    return () => cluster.close();
  });

  async function withClient<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    try {
      return await work(client);
    } finally {
      client.release();
    }
  }

  /** Where a read goes that the pool's only client is asked for. */
  async function roleOfRead(client: PoolClient): Promise<string | undefined> {
    await client.query('select v from t');
    return routes.at(-1);
  }

  const onReplica = async (client: PoolClient): Promise<boolean> => (await roleOfRead(client)) === 'replica';

  it.each([
    [`set names 'UTF8'`],
    [`set client_encoding to 'utf-8'`],
    [`set application_name = 'a tool'`],
    [`set statement_timeout = '10s'; set lock_timeout = '1s'; set idle_in_transaction_session_timeout = 0`],
    ['set client_min_messages to warning'],
    ['set standard_conforming_strings = on'],
    [`select set_config('timezone', current_setting('timezone'), false)`],
    [`select set_config('app.who', 'ada', true)`],
    ['set session authorization default'],
    ['reset all'],
    ['discard all'],
  ])('%s keeps nobody from the replicas, and is not told', async (text) => {
    await withClient((client) => client.query(text));
    await until('a read is on a replica', () => withClient(onReplica));
    expect(warnings).toEqual([]);
    expect(pool.totalCount).toBe(1);
  });

  it('that says only who asks and how long it may take does not keep its own reads from them', async () => {
    await withClient(async (client) => {
      await client.query(`set application_name = 'a tool'`);
      await client.query(`set statement_timeout = 5000`);
      await until('a read is on a replica', () => onReplica(client));
      await client.query('insert into t values (1)');
      const { rows } = await client.query('show statement_timeout');
      expect(rows).toEqual([{ statement_timeout: '5s' }]);
      expect(await roleOfRead(client)).toBe('primary');
    });
  });

  it.each([
    [`set time zone 'Asia/Tokyo'`, 'reset time zone'],
    [`set names 'LATIN1'`, `set names 'UTF8'`],
    ['set search_path = pg_catalog, public', 'set search_path to default'],
    [`set app.who = 'ada'`, 'reset all'],
    ['set role reader', 'set role none'],
    [`select set_config('app.who', 'ada', false)`, 'discard all'],
    ['create temporary table mine (v int)', 'discard all'],
  ])('%s keeps its reads on the primary until %s, and is told once', async (text, release) => {
    await withClient((client) => client.query(text));
    expect(await withClient(roleOfRead)).toBe('primary');
    expect(warnings).toEqual([
      {
        code: 'session-state',
        message: expect.any(String),
        digest: expect.stringMatching(/^18:[0-9a-f]{16}$/),
        cluster: 'postgres',
      },
    ]);
    await withClient((client) => client.query(release));
    await until('a read is on a replica', () => withClient(onReplica));
    await withClient((client) => client.query(text.replace('ada', 'eve')));
    expect(warnings).toHaveLength(1);
    expect(JSON.stringify(warnings)).not.toContain('ada');
  });

  it('ends with its transaction where that is rolled back, and stays where it commits', async () => {
    for (const [end, role] of [
      ['rollback', 'replica'],
      ['commit', 'primary'],
    ] as const) {
      await withClient(async (client) => {
        await client.query('begin');
        await client.query(`set local app.who = 'bob'`);
        await client.query(`set app.who = 'ada'`);
        await client.query(end);
      });
      await until('reads go there', async () => (await withClient(roleOfRead)) === role);
    }
    expect(warnings.map(({ code }) => code)).toEqual(['session-state']);
  });
});
