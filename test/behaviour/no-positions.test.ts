import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { createCluster, type WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestNode } from '../../src/testing/index.js';
import { until } from './fixture.js';

/** Makes PostgreSQL refuse its positions in the words of Aurora, from here on also on the replicas. */
async function forgetPositions(node: TestNode, functions: readonly string[]): Promise<void> {
  const client = new pg.Client(node.connectionString);
  await client.connect();
  await client.query('set allow_system_table_mods = on');
  for (const name of functions) {
    await client.query(`alter function pg_catalog.${name}() rename to ${name}_of_postgres`);
    await client.query(`create function pg_catalog.${name}() returns pg_lsn language plpgsql volatile as
      $$ begin raise exception 'Function ${name}() is currently not supported for Aurora' using errcode = '0A000'; end $$`);
  }
  await client.end();
}

describe('servers that tell no positions, as Aurora', () => {
  it.each([
    ['the primary tells none', ['pg_current_wal_insert_lsn', 'pg_current_wal_flush_lsn', 'pg_last_wal_replay_lsn']],
    ['the replicas tell none', ['pg_last_wal_replay_lsn']],
  ])(
    '%s: windows take their place, and it is said',
    async (_, functions) => {
      await using servers = await startTestCluster({ replicas: 2 });
      await forgetPositions(servers.primary, functions);
      for (const replica of servers.replicas) await replica.waitForReplay().catch(() => undefined);
      await using cluster = createCluster({
        primary: servers.primary.connectionString,
        replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
        stickinessMillis: 300,
      });
      const warnings: WarningEvent[] = [];
      cluster.events.on('warning', (warning) => warnings.push(warning));
      await cluster.ready();
      expect(cluster.stats().tracking).toBe('window');
      expect(warnings.map(({ code }) => code)).toEqual(['no-positions']);
      expect(warnings[0]?.message).toMatch(/300 ms/);
      const routes: string[] = [];
      cluster.events.on('route', ({ role, reason }) => routes.push(`${role} ${reason}`));
      await cluster.session(async (session) => {
        await cluster.write('create table t as select 1 as n');
        expect((await cluster.read('select n from t')).rows).toEqual([{ n: 1 }]);
        await new Promise((resolve) => setTimeout(resolve, 350));
        expect((await cluster.read('select n from t')).rows).toEqual([{ n: 1 }]);
        await cluster.read('select n from t', [], { partitionKey: 'k' });
        await expect(session.token()).rejects.toMatchObject({ code: 'LADDER_POSITION_UNAVAILABLE' });
      });
      expect(routes).toEqual(['primary write', 'primary sticky', 'replica balanced', 'replica partition']);
      // Its servers can be asked who is there, before anybody has told a position.
      const asked: unknown[] = [];
      await using other = createCluster({
        primary: servers.primary.connectionString,
        tracking: 'lsn',
        discovery: async ({ ask }) => {
          asked.push(await ask('select 1 as one'));
          return [];
        },
        discoveryMillis: 600_000,
      });
      await until('it was asked', () => asked.length > 0);
      expect(asked[0]).toEqual([{ node: 'primary', role: 'primary', rows: [{ one: 1 }] }]);
      expect(other.stats().discovery?.problem).toBeUndefined();
      // A failure is followed without positions, too.
      const [r1] = servers.replicas as [TestNode];
      await r1.freeze();
      for (let i = 0; i < 20; i++) expect((await cluster.read('select n from t')).rows).toEqual([{ n: 1 }]);
      await r1.thaw();
      await until('both replicas are back', () => cluster.stats().nodes.every(({ state }) => state !== 'unknown'));
    },
    30_000,
  );
});
