/** What the tests of the installation share: a server with tables of each kind, its superuser, and the role that owns them. */
import pg from 'pg';
import { expect } from 'vitest';
import { checkInstallation, planInstallation } from '../../../src/changes/check-installation.js';
import { removalSql } from '../../../src/changes/installation.js';
import type { Finding } from '../../../src/changes/installation-check.js';
import { tableNames } from '../../../src/changes/table-names.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';

const HOSTILE = `say "hi"; drop table items; --  '\\\u202e`;
/** In quotes. */
export const HOSTILE_TABLE = `"${HOSTILE.replaceAll('"', '""')}"`;

const ROLES = `
  create role app login password 'app';
      create role other;
      create schema shop authorization app;
      grant create on schema public to app;
      grant create on database postgres to app;`;

const TABLES = `
  create table items (id int primary key, name text);
  create table shop.orders (id int primary key, note text);
  create table bare (id int, name text);
  create table indexed (id int not null, name text); create unique index "Of indexed" on indexed (id);
  create table deferred (id int primary key deferrable);
  create table silent (id int primary key); alter table silent replica identity nothing;
  create table whole (id int, name text); alter table whole replica identity full;
  create table days (id int, day date, primary key (id, day)) partition by range (day);
  create table day1 partition of days for values from ('2020-01-01') to ('2020-01-02');
  create table loose (id int) partition by list (id);
  create table loose1 partition of loose for values in (1);
  create unlogged table unlogged (id int primary key);
  create table parent (id int primary key);
  create table child (primary key (id)) inherits (parent);
  create view shown as select id from items;
  create materialized view summed as select count(*) as n from items;
  create table "Mixed.Case" (id int primary key);
  create table ${HOSTILE_TABLE} (id int primary key);`;

/** What every test server lacks, or the machine's other work brings about. */
const BESIDE = new Set(['max_slot_wal_keep_size', 'old_transaction']);

export class InstallationServer {
  readonly root: pg.Client;
  readonly owner: pg.Client;
  readonly rootUrl: string;
  readonly ownerUrl: string;
  readonly servers: TestCluster;

  private constructor(servers: TestCluster) {
    this.servers = servers;
    this.rootUrl = servers.primary.connectionString;
    const { host, port } = servers.primary;
    this.ownerUrl = `postgres://app:app@${host}:${port}/postgres`;
    this.root = new pg.Client(this.rootUrl);
    this.owner = new pg.Client(this.ownerUrl);
  }

  static async start(postgresVersion: number): Promise<InstallationServer> {
    const servers = await startTestCluster({ replicas: 0, postgresVersion, settings: { wal_level: 'logical' } });
    const server = new InstallationServer(servers);
    await server.root.connect();
    await server.run(ROLES);
    await server.owner.connect();
    await server.owner.query(TABLES);
    return server;
  }

  async stop(): Promise<void> {
    await Promise.all([this.root.end(), this.owner.end()]);
    await this.servers.stop();
  }

  run(text: string): Promise<pg.QueryResult> {
    return this.root.query(text);
  }

  plan(list: string, client = this.root): ReturnType<typeof planInstallation> {
    return planInstallation(client, 'pg_ladder', tableNames(list));
  }

  check(list = '', client = this.root): Promise<Finding[]> {
    return checkInstallation(client, 'pg_ladder', list === '' ? [] : tableNames(list));
  }

  async found(list = ''): Promise<Finding[]> {
    return (await this.check(list)).filter(({ check }) => !BESIDE.has(check));
  }

  async install(list: string): Promise<void> {
    const { refusals, required, optional } = await this.plan(list);
    expect(refusals).toEqual([]);
    for (const text of [...required, ...optional]) await this.run(text);
  }

  async remove(): Promise<void> {
    for (const text of removalSql('pg_ladder')) await this.run(text);
  }

  /** How many messages of ours a text has put into the log. */
  async told(client: pg.Client, text: string): Promise<number> {
    await this.run("select pg_create_logical_replication_slot('seen', 'test_decoding', true)");
    try {
      await client.query(text);
      const { rows } = await this.run(
        "select data from pg_logical_slot_get_changes('seen', null, null) where data ~ 'prefix: pg_ladder.definitions'",
      );
      return rows.length;
    } finally {
      await this.run("select pg_drop_replication_slot('seen')");
    }
  }
}
