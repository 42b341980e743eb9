// Several clusters in one process: each says its name, and keeps its sessions to itself.
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { inspect } from 'node:util';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Cluster, type ClusterOptions, createCluster, routeOf } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { until } from './fixture.js';

const EVENTS = ['route', 'query', 'node', 'topology', 'membership', 'warning'];

type Told = Record<string, unknown> & { cluster: string; id?: number };

describe('several clusters in one process', () => {
  let servers: TestCluster;
  let others: TestCluster;
  let clusters: Cluster[] = [];

  beforeAll(async () => {
    [servers, others] = await Promise.all([startTestCluster({ replicas: 1 }), startTestCluster({ replicas: 0 })]);
    await Promise.all([servers, others].map(({ primary }) => run(primary.connectionString, 'create table t (v int)')));
    await run(servers.primary.connectionString, 'create database "billing of Bob"');
    await run(inBilling(servers.primary.connectionString), 'create table t (v int)');
    await servers.replicas[0]?.waitForReplay();
  });
  afterEach(async () => {
    await Promise.all(clusters.map((cluster) => cluster.close()));
    clusters = [];
  });
  afterAll(() => Promise.all([servers?.stop(), others?.stop()]));

  async function run(connectionString: string, text: string): Promise<void> {
    const client = new pg.Client({ connectionString });
    await client.connect();
    await client.query(text);
    await client.end();
  }

  /** The same server's other database. */
  function inBilling(connectionString: string): string {
    return Object.assign(new URL(connectionString), { pathname: '/billing of Bob' }).href;
  }

  function opened(options: ClusterOptions | string): Cluster {
    const cluster = createCluster(options as ClusterOptions);
    clusters.push(cluster);
    return cluster;
  }

  /** One over each: a database, another one of the same server, and one of another server. */
  async function openAll(): Promise<[Cluster, Cluster, Cluster]> {
    const replica = servers.replicas[0]?.connectionString ?? '';
    const shop = opened({
      primary: servers.primary.connectionString,
      replicas: [replica],
      waitMillis: 10,
      maxLagMillis: 60_000,
    });
    const billing = opened({
      primary: inBilling(servers.primary.connectionString),
      discovery: async () => [{ name: 'r1', connectionString: inBilling(replica) }],
      waitMillis: 10,
      maxLagMillis: 60_000,
    });
    const stock = opened({ primary: others.primary.connectionString, name: 'stock' });
    await until('all are known', () =>
      clusters.every((each) => each.stats().nodes.every(({ state }) => state === 'live')),
    );
    await until('billing has found its replica', () => billing.stats().nodes.length === 2);
    return [shop, billing, stock];
  }

  it('are told apart by the name in events, channels, stats, errors and logs', async () => {
    const told: Told[] = [];
    const listener = (event: unknown) => void told.push(event as Told);
    for (const event of EVENTS) subscribe(`pg-ladder:${event}`, listener);
    const all = await openAll();
    const own = all.map(({ events }) => {
      const heard: Told[] = [];
      for (const event of EVENTS) events.on(event as 'route', (payload) => heard.push(payload as never));
      return heard;
    });
    for (const cluster of all) {
      await cluster.write('insert into t values (1)');
      await cluster.query('set work_mem = 1000');
    }
    for (const event of EVENTS) unsubscribe(`pg-ladder:${event}`, listener);
    const names = ['postgres', 'billing_of_Bob', 'stock'];
    expect(all.map((cluster) => [cluster.name, cluster.stats().name])).toEqual(names.map((name) => [name, name]));
    for (const [i, name] of names.entries()) {
      expect(own[i]?.length).toBeGreaterThanOrEqual(5);
      expect(new Set(own[i]?.map(({ cluster }) => cluster))).toEqual(new Set([name]));
      expect(inspect(all[i])).toContain(`name: '${name}'`);
      expect(JSON.parse(JSON.stringify(all[i]))).toMatchObject({ name });
      expect(all[i]?.stats().topology).toMatchObject([{ change: 'found', cluster: name }]);
      const kinds = told.filter(({ cluster }) => cluster === name).map(kindOf);
      expect(kinds).toEqual(expect.arrayContaining(['route', 'query', 'node', 'topology', 'warning']));
      expect(kinds.includes('membership')).toBe(name === 'billing_of_Bob');
    }
    expect(new Set(told.map(({ cluster }) => cluster))).toEqual(new Set(names));
    const ids = told.filter((event) => kindOf(event) === 'route').map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    await all[1].close();
    await expect(all[1].read('select 1')).rejects.toMatchObject({
      code: 'LADDER_CLOSED',
      message: expect.stringContaining('billing_of_Bob'),
    });
  });

  function kindOf(event: Told): string {
    if ('reason' in event) return 'route';
    if ('durationMillis' in event) return 'query';
    if ('timeline' in event) return 'topology';
    if ('code' in event) return 'warning';
    return 'state' in event ? 'node' : 'membership';
  }

  it('keep the sessions of one request apart: a write in one holds no read of the other to the primary', async () => {
    const [shop, billing, stock] = await openAll();
    const roleOn = async (cluster: Cluster) => routeOf(await cluster.read('select count(*) from t'))?.role;
    // Nothing that was written before is asked for.
    const options = { inherit: 'none' } as const;
    for (const [writing, other] of [
      [billing, shop],
      [shop, billing],
    ] as const) {
      await servers.replicas[0]?.waitForReplay();
      await servers.replicas[0]?.pauseReplay();
      try {
        await shop.session(
          (ofShop) =>
            billing.session(async (ofBilling) => {
              await writing.write('insert into t values (2)');
              await stock.session(() => stock.write('insert into t values (2)'));
              expect(await roleOn(writing)).toBe('primary');
              expect(await roleOn(other)).toBe('replica');
              expect([shop, billing, stock].map((each) => each.currentSession())).toEqual([
                ofShop,
                ofBilling,
                undefined,
              ]);
            }, options),
          options,
        );
      } finally {
        await servers.replicas[0]?.resumeReplay();
      }
    }
  });

  describe('have names of their own', () => {
    const anywhere = (name?: string, port = 1): ClusterOptions => ({
      primary: `postgres://app:s3cret@127.0.0.1:${port}/shop`,
      name,
      monitor: 'onDemand',
    });
    const refusal = { code: 'LADDER_INVALID_OPTIONS', message: expect.stringContaining('name') };
    const refused = (options: ClusterOptions): unknown => {
      try {
        opened(options);
      } catch (error) {
        return error;
      }
      return 'was accepted';
    };

    it('a name that was given twice is refused at the door, which says what to do', () => {
      opened(anywhere('main'));
      expect(refused(anywhere('main'))).toMatchObject(refusal);
      expect(refused(anywhere('MAIN'))).toMatchObject(refusal);
      expect(String(refused(anywhere('main')))).toMatch(/close\(\) that cluster first/);
      expect(String(refused(anywhere('main')))).not.toContain('s3cret');
    });

    it('two databases of one name are refused, until one is given another', () => {
      opened(anywhere());
      expect(refused(anywhere(undefined, 2))).toMatchObject(refusal);
      expect(refused(anywhere('shop'))).toMatchObject(refusal);
      expect(opened(anywhere('shop-of-Bob', 2)).name).toBe('shop-of-Bob');
    });

    it('a database that is opened twice, as by a module that is loaded again, keeps its name', () => {
      expect([opened(anywhere()).name, opened(anywhere()).name]).toEqual(['shop', 'shop']);
    });

    it('a cluster that is being closed has given up its name', async () => {
      const first = opened(anywhere('main'));
      const isClosed = first.close();
      expect(opened(anywhere('main')).name).toBe('main');
      await isClosed;
    });

    it('also for the library’s other copies, such as the one that require() loads', async () => {
      opened(anywhere('main'));
      vi.resetModules();
      const copy = await import('../../src/index.js');
      expect(copy.createCluster).not.toBe(createCluster);
      expect(() => copy.createCluster(anywhere('main'))).toThrow('name');
    });

    it('a refused cluster has done nothing to the pool that it was handed', async () => {
      const pool = new pg.Pool({ connectionString: 'postgres://127.0.0.1:1/shop' });
      opened(anywhere('main'));
      expect(refused({ primary: { pool }, name: 'main' })).toMatchObject(refusal);
      expect([pool.eventNames(), pool.totalCount]).toEqual([[], 0]);
      await pool.end();
    });
  });
});
