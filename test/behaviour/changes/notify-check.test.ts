// What `changes check --notify` says is missing, and what it costs, on real servers.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkNotify, notifyFindings } from '../../../src/changes/notify-check.js';
import { notifyInstallSql } from '../../../src/changes/notify-triggers.js';
import { tableNames } from '../../../src/changes/table-names.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';

const FAMILY = 'parts,part1,orders';

describe.each(['14', '18'])('on PostgreSQL %s', (postgresVersion) => {
  let servers: TestCluster;
  let client: pg.Client;

  beforeAll(async () => {
    const settings = { wal_level: 'replica', max_prepared_transactions: 2 };
    servers = await startTestCluster({ replicas: 0, postgresVersion, settings });
    client = new pg.Client(servers.primary.connectionString);
    await client.connect();
    await client.query(`
      create table orders (id int primary key);
      create table parts (id int) partition by list (id);
      create table part1 partition of parts for values in (1);
      create table applied (id int primary key);
      create table bare (id int)`);
    for (const text of notifyInstallSql(tableNames(FAMILY))) await client.query(text);
  });
  afterAll(async () => {
    await client?.end();
    await servers?.stop();
  });

  const errors = async (list = ''): Promise<string[]> =>
    (await checkNotify(client, list === '' ? [] : tableNames(list)))
      .filter(({ severity }) => severity === 'error')
      .map(({ what, mend }) => `${what}: ${mend}`);

  it('nothing is missing where all have their triggers', async () => {
    expect(await errors()).toEqual([]);
    expect(await errors('orders,parts,part1')).toEqual([]);
  });

  it('a table without triggers is named, with the command that mends it', async () => {
    expect(await errors('orders,bare')).toEqual([
      expect.stringMatching(/"public"\."bare".*: pg-ladder changes install --notify --tables public\.bare/),
    ]);
  });

  it('a trigger that is disabled, on a partition alone, is missed for its table', async () => {
    await client.query('alter table part1 disable trigger pg_ladder_changes');
    expect(await errors('orders,parts')).toEqual([expect.stringContaining('"public"."parts"')]);
    expect(await errors()).toEqual([expect.stringContaining('public.part1')]);
    await client.query('alter table part1 enable always trigger pg_ladder_changes');
    expect(await errors()).toEqual([]);
  });

  it('a partition that was made afterwards is missed for its table', async () => {
    await client.query('create table part2 partition of parts for values in (2)');
    expect(await errors('parts')).toEqual([expect.stringContaining('"public"."parts"')]);
    await client.query('drop table part2');
  });

  it('a table that takes rows of a subscription is refused', async () => {
    await client.query(`set allow_system_table_mods = on;
      insert into pg_subscription_rel (srsubid, srrelid, srsubstate) values (1, 'applied'::regclass, 'r')`);
    const { refusals } = await notifyFindings(client, tableNames('orders,applied'));
    expect(refusals.map(({ what }) => what)).toEqual([expect.stringContaining('"public"."applied"')]);
    expect(await errors('applied')).toEqual([expect.stringContaining('subscription')]);
  });

  it('two-phase commit fails on these tables, which a warning says', async () => {
    const warnings = (await checkNotify(client, [])).filter(({ severity }) => severity === 'warning');
    expect(warnings.map(({ check }) => check)).toEqual(['max_prepared_transactions']);
    await client.query('begin; insert into orders values (1)');
    await expect(client.query("prepare transaction 'one'")).rejects.toMatchObject({ code: '0A000' });
    await client.query('rollback');
  });
});
