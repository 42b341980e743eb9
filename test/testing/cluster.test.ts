import { statSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { runningMillis } from '../behaviour/fixture.js';
import { footprintOf, remainsOf } from './leftovers.js';
import { isPendingAfter, open, query } from './query.js';

describe('a test cluster', () => {
  let cluster: TestCluster;
  let startMillis: number;

  beforeAll(async () => {
    startMillis = await runningMillis(async () => {
      cluster = await startTestCluster({
        settings: { work_mem: '5MB' },
        replicaSettings: { hot_standby_feedback: false },
      });
    });
  });
  afterAll(() => cluster.stop());

  it('has a primary and two replicas that stream, within seconds', async () => {
    expect(cluster.replicas.map((replica) => replica.name)).toEqual(['r1', 'r2']);
    expect(
      await query(cluster.primary, `select count(*)::int from pg_stat_replication where state = 'streaming'`),
    ).toBe(2);
    expect(await cluster.primary.role()).toBe('primary');
    expect(await cluster.replicas[0]?.role()).toBe('replica');
    expect(await cluster.currentPrimary()).toBe(cluster.primary);
    expect(startMillis).toBeLessThan(10_000); // a machine under load; 0.2 s else
  });

  it('tells the primary its replicas by name', async () => {
    const names = `select string_agg(application_name, ',' order by application_name) from pg_stat_replication`;
    expect(await query(cluster.primary, names)).toBe('r1,r2');
  });

  it('has one system identifier on all nodes', async () => {
    const ids = await Promise.all(
      cluster.nodes.map((node) => query(node, 'select system_identifier::text from pg_control_system()')),
    );
    expect(new Set(ids)).toEqual(new Set([cluster.clusterId]));
  });

  it('lets nobody in without its password, on any node, and shows that to no other user of the machine', async () => {
    const { password } = cluster.primary;
    expect(password).toMatch(/^[0-9a-f]{32}$/);
    for (const node of cluster.nodes) {
      for (const credentials of [
        'postgres',
        'postgres:',
        'postgres:postgres',
        `postgres:${'0'.repeat(32)}`,
        'nobody',
      ]) {
        const connectionString = node.connectionString.replace(`postgres:${password}`, credentials);
        await expect(query({ connectionString }, 'select 1'), credentials).rejects.toThrow(/password/i);
      }
      const methods = 'select array_agg(distinct auth_method) from pg_hba_file_rules';
      expect(await query(node, methods)).toEqual(['scram-sha-256']);
    }
    const directory = dirname(String(await query(cluster.primary, 'show data_directory')));
    expect(statSync(directory).mode & 0o077).toBe(0);
  });

  it('says which PostgreSQL it runs', async () => {
    expect(await query(cluster.primary, 'show server_version')).toContain(cluster.version);
  });

  it('gives all nodes the settings, and the replicas theirs', async () => {
    const show = (name: string) => Promise.all(cluster.nodes.map((node) => query(node, `show ${name}`)));
    expect(await show('work_mem')).toEqual(['5MB', '5MB', '5MB']);
    expect(await show('hot_standby_feedback')).toEqual(['on', 'off', 'off']);
  });

  it('changes settings while it runs, and takes them back', async () => {
    const [replica] = cluster.replicas;
    await replica?.configure({ work_mem: '9MB', application_name: "it's a \\ test", log_connections: true });
    expect(await query(replica!, 'show work_mem')).toBe('9MB');
    expect(await query(replica!, 'select reset_val from pg_settings where name = $1', ['application_name'])).toBe(
      "it's a \\ test",
    );
    await replica?.configure({ work_mem: null, application_name: null, log_connections: null });
    expect(await query(replica!, 'show work_mem')).toBe('5MB');
  });

  it('keeps a setting that needs a restart for the next one, at the same port', async () => {
    const [, replica] = cluster.replicas;
    const before = replica!.connectionString;
    await replica?.configure({ max_connections: 150 });
    expect(await query(replica!, 'show max_connections')).toBe('100');
    await replica?.restart();
    expect(replica?.connectionString).toBe(before);
    expect(await query(replica!, 'show max_connections')).toBe('150');
  });

  it('passes on what PostgreSQL says of a setting that does not exist', async () => {
    await expect(cluster.primary.configure({ no_such_setting: 1 })).rejects.toMatchObject({ code: '42704' });
  });

  it('has no link unless asked for', () => {
    expect(() => cluster.primary.link).toThrow(/links: true/);
  });
});

describe('startTestCluster', () => {
  it('starts clusters in parallel that share neither identity nor port', async () => {
    const clusters = await Promise.all([1, 2, 3].map(() => startTestCluster({ replicas: 1 })));
    try {
      expect(new Set(clusters.map((cluster) => cluster.clusterId)).size).toBe(3);
      expect(new Set(clusters.flatMap((cluster) => cluster.nodes.map((node) => node.port))).size).toBe(6);
    } finally {
      await Promise.all(clusters.map((cluster) => cluster.stop()));
    }
  });

  it('makes commits wait for synchronous replicas', async () => {
    await using cluster = await startTestCluster({ replicas: 2, synchronousReplicas: 1 });
    const [r1, r2] = cluster.replicas;
    await query(cluster.primary, 'create table t (a int)');
    await r1?.cutReplication();
    await query(cluster.primary, 'insert into t values (1)');
    await r2?.cutReplication();
    const commit = query(cluster.primary, 'insert into t values (2)');
    expect(await isPendingAfter(200, commit)).toBe(true);
    await r1?.restoreReplication();
    await commit;
  });

  it('leaves nothing behind after stop(), which may be called twice, also with nodes frozen and killed', async () => {
    const cluster = await startTestCluster({ replicas: 2, links: true });
    const footprints = await Promise.all(cluster.nodes.map(footprintOf));
    const { port } = cluster.primary;
    const client = await open(cluster.primary);
    await cluster.replicas[0]?.freeze();
    await cluster.replicas[1]?.kill();
    await cluster.replicas[1]?.kill();
    await Promise.all([cluster.stop(), cluster.stop()]);
    await cluster.stop();
    await client.end().catch(() => {});
    expect(remainsOf(footprints)).toEqual([]);
    const refused = new Promise((resolve) => connect(port, '127.0.0.1').on('error', (error) => resolve(error)));
    expect(await refused).toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('shows the log of a server that does not start', async () => {
    const starting = startTestCluster({ replicaSettings: { max_connections: 50 } });
    await expect(starting).rejects.toMatchObject({ code: 'LADDER_TEST_START_FAILED' });
    await expect(starting).rejects.toThrow(
      /Server r\d did not start[\s\S]*max_connections = 50 is a lower setting than on the primary/,
    );
  });

  it('refuses numbers that make no sense', async () => {
    await expect(startTestCluster({ replicas: -1 })).rejects.toMatchObject({ code: 'LADDER_TEST_OPTIONS_INVALID' });
    await expect(startTestCluster({ replicas: 1, synchronousReplicas: 2 })).rejects.toThrow(/from 0 to 1; got 2/);
    await expect(startTestCluster({ postgresVersion: 9.6 })).rejects.toThrow(/major version from 14 on/);
  });
});
