// What is found to be missing on real servers, and that what is said to mend it does.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { planInstallation } from '../../../src/changes/check-installation.js';
import { serverState } from '../../../src/changes/installation-state.js';
import { tableNames } from '../../../src/changes/table-names.js';
import { InstallationServer } from './installation-server.js';

describe.each([14, 18])('the check of the installation on PostgreSQL %i', (postgresVersion) => {
  let at: InstallationServer;

  beforeAll(async () => {
    at = await InstallationServer.start(postgresVersion);
  });
  afterAll(() => at.stop());
  beforeEach(() => at.remove());

  it('publishes children by their own names, also those that came later', async () => {
    await at.install('parent');
    expect(await at.found('parent')).toEqual([]);
    await at.owner.query('create table grandchild (primary key (id)) inherits (child)');
    expect(await at.found('parent')).toMatchObject([
      { mend: 'alter publication "pg_ladder" add table "public"."grandchild"' },
    ]);
    await at.install('parent');
    expect(await at.found('parent')).toEqual([]);
    await at.owner.query('drop table grandchild');
  });

  it.each([
    ['bare', 'alter table "public"."bare" add primary key'],
    ['indexed', 'alter table "public"."indexed" replica identity using index "Of indexed"'],
    ['silent', 'alter table "public"."silent" replica identity using index "silent_pkey"'],
    ['deferred', 'add a unique index'],
    ['loose', 'alter table "public"."loose1" add primary key'],
    ['unlogged', 'alter table "public"."unlogged" set logged'],
    ['shown', 'name the tables that it reads'],
    ['summed', 'leave it out'],
    ['nowhere', 'name it as it is stored'],
    ['pg_catalog.pg_class', 'leave it out'],
  ])('refuses %s, and says what mends it', async (list, mend) => {
    const { refusals } = await at.plan(list);
    expect(refusals).toMatchObject([{ severity: 'error', mend: expect.stringContaining(mend) }]);
    await at.install('items');
    expect(await at.found(list)).toMatchObject([{ mend: expect.stringContaining(mend) }]);
  });

  it('gives statements that mend: with them run, the tables are published and written as before', async () => {
    for (const table of ['indexed', 'silent']) {
      await at.owner.query('begin');
      const [refusal] = (await planInstallation(at.owner, 'pg_ladder', tableNames(table))).refusals;
      await at.owner.query(refusal?.mend ?? '');
      const { refusals, required } = await planInstallation(at.owner, 'pg_ladder', tableNames(table));
      expect(refusals).toEqual([]);
      for (const text of required) await at.owner.query(text);
      await at.owner.query(`insert into ${table} (id) values (1); update ${table} set id = 2; delete from ${table}`);
      await at.owner.query('rollback');
    }
  });

  it('knows when PostgreSQL would refuse UPDATE, as PostgreSQL itself does', async () => {
    const tables = ['items', 'shop.orders', 'bare', 'indexed', 'deferred', 'silent', 'whole', 'days', 'loose'];
    await at.owner.query(`create table made (id int, twice int generated always as (id * 2) stored); alter table made replica identity full;
      create table made_key (id int, twice int generated always as (id * 2) stored primary key)`);
    try {
      for (const table of [...tables, 'made', 'made_key']) {
        const { refusals } = await at.plan(table);
        await at.run('begin');
        await at.run(`create publication refused for table ${table}`);
        const values = table === 'days' ? "(1, '2020-01-01')" : '(1)';
        const columns = table === 'days' ? '(id, day)' : '(id)';
        await at.run(`insert into ${table} ${columns} values ${values}`);
        const isRefused = await at.run(`update ${table} set id = id`).then(
          () => false,
          () => true,
        );
        await at.run('rollback');
        expect([table, refusals.length > 0]).toEqual([table, isRefused]);
      }
    } finally {
      await at.owner.query('drop table made, made_key');
    }
  });

  it('says which event trigger is off, and with its mend run finds nothing', async () => {
    await at.install('items');
    await at.run('alter event trigger pg_ladder_drops disable; alter event trigger pg_ladder_definitions enable');
    const findings = await at.found('items');
    expect(findings).toMatchObject([
      { severity: 'warning', what: expect.stringContaining('pg_ladder_definitions does not fire with') },
      { severity: 'warning', what: expect.stringContaining('pg_ladder_drops is disabled') },
    ]);
    for (const { mend } of findings) await at.run(mend);
    expect(await at.found('items')).toEqual([]);
  });

  it('finds a publication that was made otherwise, and does not touch it', async () => {
    const made: [string, string][] = [
      ['for all tables', 'publishes all tables'],
      ['for table items with (publish_via_partition_root = true)', 'by their root'],
      ...(postgresVersion < 15
        ? []
        : ([
            ['for table items where (id > 1)', 'filters rows'],
            ['for table items (id)', 'filters rows or columns'],
            ['for tables in schema shop', 'whole schemas'],
          ] as [string, string][])),
    ];
    for (const [what, words] of made) {
      await at.run(`create publication pg_ladder ${what}`);
      for (const findings of [(await at.plan('items')).refusals, await at.found('items')]) {
        expect(findings).toContainEqual(
          expect.objectContaining({ severity: 'error', check: 'publication', what: expect.stringContaining(words) }),
        );
      }
      await at.run('drop publication pg_ladder');
    }
  });

  it('tells an ordinary role what it lacks, and how long the oldest transaction has been open, without its text', async () => {
    await at.install('items');
    expect(await at.check('items', at.owner)).toContainEqual({
      severity: 'error',
      check: 'replication',
      what: 'the role "app" may not read the log',
      mend: 'alter role "app" replication',
    });
    await at.owner.query('begin; create table open (secret int)');
    const { oldestWriteSeconds, oldestWritePid, ...rest } = await serverState(at.root, 'pg_ladder');
    const { rows } = await at.owner.query('select pg_backend_pid() as pid');
    await at.owner.query('rollback');
    expect([oldestWriteSeconds, oldestWritePid]).toEqual([expect.any(Number), rows[0].pid]);
    expect(JSON.stringify(rest)).not.toContain('secret');
    expect((await serverState(at.root, 'pg_ladder')).oldestWritePid).toBeNull();
  });

  it('says that the age of transactions is not shown to an ordinary role', async () => {
    await at.run('begin; create table open (id int)');
    const old = (await at.check('', at.owner)).find(({ check }) => check === 'old_transaction');
    await at.run('rollback');
    expect(old).toMatchObject({ severity: 'warning', mend: expect.stringContaining('pg_read_all_stats to "app"') });
  });
});
