/** A role whose sessions begin SERIALIZABLE, which no replica can do. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, type ClusterBehaviour, createCluster, type WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from './fixture.js';

const LEVEL = "select current_setting('transaction_isolation') as level, pg_is_in_recovery() as is_replica";

describe('where default_transaction_isolation is serializable', () => {
  let servers: TestCluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    await using setUp = await open(servers);
    await setUp.write("create role app login password 'secret'");
    await setUp.write('alter role app set default_transaction_isolation = serializable');
    await setUp.write('create table items (id int); grant all on items to app; insert into items values (1)');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());

  const asApp = ({ connectionString }: { connectionString: string }) => {
    const url = new URL(connectionString);
    url.username = 'app';
    url.password = 'secret';
    return url.href;
  };
  const opened = (behaviour: ClusterBehaviour): Cluster =>
    createCluster({
      primary: asApp(servers.primary),
      replicas: servers.replicas.map((replica) => ({ name: replica.name, connectionString: asApp(replica) })),
      ...(process.env['LANE'] === 'off' ? { lane: false, namedStatements: false } : {}),
      ...behaviour,
    });
  const levelOf = async (cluster: Cluster) => (await cluster.read(LEVEL)).rows[0];

  it('reads run on the primary, and stats() says why', async () => {
    await using cluster = opened({});
    for (let i = 0; i < 3; i++) expect(await levelOf(cluster)).toEqual({ level: 'serializable', is_replica: false });
    for (const { name } of servers.replicas) {
      const { problem } = nodeOf(cluster, name);
      expect(problem).toContain('default_transaction_isolation is serializable');
      expect(problem).toContain('onSerializableDefault');
    }
    await expect(cluster.ready({ timeoutMillis: 200 })).rejects.toMatchObject({
      code: 'LADDER_NODE_UNREACHABLE',
      message: expect.stringContaining('default_transaction_isolation'),
      cause: { code: '0A000' },
    });
  });

  it('they run on replicas, REPEATABLE READ and with a warning, where the option says so; writes stay SERIALIZABLE', async () => {
    await using cluster = opened({ onSerializableDefault: 'repeatableRead' });
    const warnings: WarningEvent[] = [];
    cluster.events.on('warning', (warning) => warnings.push(warning));
    await cluster.ready();
    const onReplica = { level: 'repeatable read', is_replica: true };
    for (let i = 0; i < 4; i++) expect(await levelOf(cluster)).toEqual(onReplica);
    expect((await cluster.write(LEVEL)).rows).toEqual([{ level: 'serializable', is_replica: false }]);
    const joined = await cluster.transaction(() => cluster.read(LEVEL), { readOnly: true });
    expect(joined.rows).toEqual([onReplica]);
    expect((await cluster.transaction((client) => client.query(LEVEL))).rows[0]?.level).toBe('serializable');
    const pool = cluster.pool();
    expect((await pool.query('select id from items')).rows).toEqual([{ id: 1 }]);
    const before = cluster.stats().nodes.reduce((sum, { lane }) => sum + lane.statementCount, 0);
    if (process.env['LANE'] !== 'off') {
      await until('they share connections', async () => {
        await Promise.all(Array.from({ length: 10 }, () => cluster.read('select id from items where id = $1', [1])));
        return cluster.stats().nodes.reduce((sum, { lane }) => sum + lane.statementCount, 0) > before + 20;
      });
    }
    expect(warnings.filter(({ code }) => code === 'serializable-default').length).toBe(2);
    const { nodes, routes } = cluster.stats();
    expect(nodes.map(({ state, problem }) => [state, problem])).toEqual(nodes.map(() => ['live', undefined]));
    expect([routes['no-candidate'], routes['cold-start'], routes.misrouted]).toEqual([0, 0, 0]);
  });

  it('after a promotion writes are SERIALIZABLE on the server that was a replica', async () => {
    await using cluster = opened({ onSerializableDefault: 'repeatableRead' });
    await cluster.ready();
    const [first] = servers.replicas;
    const target = { node: first?.name as string };
    // Connections of its pool that were made for reads of a replica.
    await until('its pool has several', async () => {
      const slow = () => cluster.read('select pg_sleep(0.02)', [], { target, consistency: 'eventual' });
      await Promise.allSettled(Array.from({ length: 10 }, slow));
      return nodeOf(cluster, target.node).pool.totalCount > 4;
    });
    await servers.primary.kill();
    await first?.promote();
    await until('writes go on', () =>
      cluster.write('insert into items values (2)').then(
        () => true,
        () => false,
      ),
    );
    const levels = await Promise.all(Array.from({ length: 20 }, () => cluster.write(LEVEL)));
    expect(levels.map(({ rows }) => rows[0])).toEqual(levels.map(() => ({ level: 'serializable', is_replica: false })));
    const transactions = await Promise.all(
      Array.from({ length: 20 }, () => cluster.transaction((client) => client.query(LEVEL))),
    );
    expect(transactions.map(({ rows }) => rows[0]?.level)).toEqual(transactions.map(() => 'serializable'));
  });
});
