/** A role whose sessions begin SERIALIZABLE, which no replica can do. */
import pg from 'pg';
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

  it('it may become the default while connections are open: reads go on, and come back to the replicas', async () => {
    await using cluster = await open(servers, { onSerializableDefault: 'repeatableRead' });
    const pool = cluster.pool();
    const direct = await Promise.all(
      servers.nodes.map(async ({ connectionString }) => {
        const client = new pg.Client(connectionString);
        await client.connect();
        await client.query("set default_transaction_isolation = 'read committed'");
        return client;
      }),
    );
    const reconfigure = async (text: string) => {
      for (const client of direct) await client.query(text);
      for (const client of direct) await client.query('select pg_reload_conf()');
    };
    type Row = { level: string };
    const ITEM = 'select id from items where id = $1';
    const ways: (() => Promise<Row | undefined>)[] = [
      async () => (await cluster.read<Row>(LEVEL)).rows[0],
      async () => {
        for await (const row of cluster.stream<Row>(LEVEL)) return row;
        return undefined;
      },
      async () => {
        const options = { readOnly: true, retries: 9 };
        return (await cluster.transaction((client) => client.query<Row>(LEVEL), options)).rows[0];
      },
    ];
    const routes: string[] = [];
    cluster.events.on('route', ({ role }) => routes.push(role));
    /** Whether all that is asked ran on replicas, at that level. */
    const areAll = async (level: string) => {
      routes.length = 0;
      const levels = Promise.all(ways.flatMap((run) => Array.from({ length: 6 }, run)));
      const others = Array.from({ length: 10 }, () => [
        cluster.read(ITEM, [1]),
        cluster.query(ITEM, [1]),
        pool.query(ITEM, [1]),
      ]).flat();
      await Promise.all(others);
      const told = (await levels).map((row) => row?.level);
      return told.every((one) => one === level) && routes.every((role) => role === 'replica');
    };
    const laneCount = () => cluster.stats().nodes.reduce((sum, { lane }) => sum + lane.statementCount, 0);
    try {
      await until('they share connections, and all runs on replicas', async () => {
        return (await areAll('read committed')) && (process.env['LANE'] === 'off' || laneCount() > 100);
      });
      await reconfigure("alter system set default_transaction_isolation = 'serializable'");
      await until('all runs on replicas, REPEATABLE READ', () => areAll('repeatable read'));
      const { nodes } = cluster.stats();
      expect(nodes.map(({ problem }) => problem)).toEqual(nodes.map(() => undefined));
      expect(cluster.stats().routes.misrouted).toBe(0);
      expect((await cluster.write(LEVEL)).rows).toEqual([{ level: 'serializable', is_replica: false }]);

      // It undoes what the library has set.
      for (const text of ['discard all', 'reset all']) {
        for (const { name } of servers.replicas) await cluster.read(text, [], { target: { node: name } });
        for (let i = 0; i < 3; i++) await areAll('repeatable read');
      }
      expect(cluster.stats().routes.misrouted).toBe(0);
      await until('all runs on replicas', () => areAll('repeatable read'));
    } finally {
      await reconfigure('alter system reset default_transaction_isolation');
      await Promise.all(direct.map((client) => client.end()));
    }
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
