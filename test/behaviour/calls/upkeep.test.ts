import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { type Cluster, type ClusterOptions, createCluster } from '../../../src/index.js';
import { startTestCluster } from '../../../src/testing/index.js';
import { nodeOf, open, replicaShare, until } from '../fixture.js';
import { asRole, callsAsOrdinaryRole, servers } from './ordinary-role.js';

callsAsOrdinaryRole();

describe('everything that a cluster can do, with an ordinary login role', () => {
  it('onConnect runs on every connection before its first statement, and one that it refuses is not used', async () => {
    const seen: string[] = [];
    await using own = await open(servers, {
      ...asRole(servers, 'app'),
      onConnect: async (client, node) => {
        seen.push(`${node.role} ${node.name}`);
        await client.query("set application_name = 'tenant 7'");
      },
    });
    const name = async (reading: ReturnType<Cluster['read']>) => (await reading).rows[0]?.['application_name'];
    const all = await Promise.all(Array.from({ length: 12 }, () => name(own.read('show application_name'))));
    expect(new Set(all)).toEqual(new Set(['tenant 7']));
    expect(await name(own.write('show application_name'))).toBe('tenant 7');
    expect(seen).toContain('primary primary');
    expect(seen.length).toBe(own.stats().nodes.reduce((sum, node) => sum + node.pool.totalCount, 0));
    await using refusing = await open(servers, {
      ...asRole(servers, 'app'),
      onConnect: () => {
        throw new Error('no tenant');
      },
    });
    await expect(refusing.read('select 1')).rejects.toThrow('no tenant');
    await expect(refusing.write('select 1')).rejects.toThrow('no tenant');
    expect(nodeOf(refusing, 'primary').pool.totalCount).toBe(0);
  });

  it('the first reads of a process wait until the servers have said who they are, instead of overrunning the primary', async () => {
    await using fresh = createCluster({ ...asRole(servers, 'app'), hangMillis: 5_000 });
    await Promise.all(Array.from({ length: 50 }, () => fresh.read('select 1')));
    expect(replicaShare(fresh)).toBe(1);
  });

  it('monitor: onDemand sets no timer, and statements alone keep positions known', async () => {
    await using lazy = createCluster({ ...asRole(servers, 'app'), monitor: 'onDemand' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(lazy.stats().nodes.map((node) => node.state)).toEqual(['unknown', 'unknown', 'unknown']);
    await lazy.read('select 1');
    const { routes } = lazy.stats();
    expect(routes.gated + routes['cold-start']).toBe(1);
    await until('all are known', () => lazy.stats().nodes.every((node) => node.state === 'live'));
    await lazy.session(async () => {
      await lazy.write('insert into numbers values (-11)');
      const { rowCount } = await lazy.read('select 1 from numbers where n = -11');
      expect(rowCount).toBe(1);
    });
    await until('most are answered by replicas', async () => {
      await lazy.read('select 1', [], { maxStalenessMillis: 20 });
      return replicaShare(lazy) > 0.5;
    });
  });

  it('asks each server one question a second while idle, a few while used, over one connection beside the pool', async () => {
    let questions = 0;
    let clients = 0;
    class CountingClient extends pg.Client {
      constructor(...args: ConstructorParameters<typeof pg.Client>) {
        super(...args);
        clients++;
        const query = this.query.bind(this) as (...all: unknown[]) => unknown;
        this.query = ((...all: unknown[]) => {
          questions++;
          return query(...all);
        }) as typeof this.query;
      }
    }
    const { primary } = asRole(servers, 'app');
    await using quiet = await open(servers, {
      primary: { connectionString: primary, Client: CountingClient } as { connectionString: string },
      replicas: [],
      lane: false,
    });
    const during = async (millis: number, work = async () => {}) => {
      const before = questions;
      const startedAt = performance.now();
      let workCount = 0;
      while (performance.now() < startedAt + millis) {
        await work();
        workCount++;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      return { asked: questions - before, seconds: (performance.now() - startedAt) / 1_000, workCount };
    };
    await during(1_200);
    const idle = await during(2_000);
    expect(idle.asked).toBeLessThanOrEqual(idle.seconds + 1);
    expect(clients).toBe(1);
    const used = await during(1_000, async () => void (await quiet.read('select 1')));
    // The reads, the introduction of the pool's one connection, and a question every 250 ms.
    expect(used.asked).toBeGreaterThanOrEqual(used.workCount + 1);
    expect(used.asked).toBeLessThanOrEqual(used.workCount + 1 + 4 * used.seconds + 3);
    expect(clients).toBe(2);
  });
});

describe('at the door', () => {
  it('ready() says of each node what is wrong with it', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using others = await startTestCluster({ replicas: 1 });
    const primary = servers.primary.connectionString;
    const stranger = others.replicas[0]?.connectionString ?? '';
    const refusal = async (options: ClusterOptions, timeoutMillis = 300) => {
      await using cluster = createCluster({ name: 'asked', ...options });
      // What is wrong is known when the servers have answered, however long that takes here.
      await until('the servers have answered', () =>
        cluster.stats().nodes.every(({ state, problem }) => state === 'live' || problem !== undefined),
      );
      return cluster.ready({ timeoutMillis }).then(
        () => undefined,
        (error: Error & { code: string }) => error,
      );
    };
    const sound = { primary, replicas: servers.replicas.map((r) => r.connectionString) };
    expect(await refusal(sound, 30_000)).toBeUndefined();
    expect(await refusal({ primary, replicas: [stranger] })).toMatchObject({ code: 'LADDER_FOREIGN_NODE' });
    expect(await refusal({ primary, replicas: [primary.replace(/\/postgres$/, '/template1')] })).toMatchObject({
      code: 'LADDER_WRONG_ROLE',
    });
    expect(await refusal({ primary: stranger })).toMatchObject({ code: 'LADDER_NOT_PRIMARY' });
    const gone = await refusal({ primary: 'postgres://app:s3cret@127.0.0.1:1/shop' });
    expect(gone).toMatchObject({ code: 'LADDER_NODE_UNREACHABLE', cause: { code: 'ECONNREFUSED' } });
    expect(String(gone?.message)).not.toContain('s3cret');
  });

  it('a replica of another cluster never answers a read', async () => {
    await using servers = await startTestCluster({ replicas: 0 });
    await using others = await startTestCluster({ replicas: 1 });
    await using cluster = createCluster({
      name: 'half-foreign',
      primary: servers.primary.connectionString,
      replicas: [others.replicas[0]?.connectionString ?? ''],
    });
    await until('it has answered', () => nodeOf(cluster, 'r1').problem?.includes('another cluster') === true);
    for (let i = 0; i < 20; i++) await cluster.read('select 1', [], { consistency: 'eventual' });
    expect(nodeOf(cluster, 'r1').statementCount).toBe(0);
  });
});
