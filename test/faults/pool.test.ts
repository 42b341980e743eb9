import pg, { type Pool, type PoolClient } from 'pg';
import Cursor from 'pg-cursor';
import { describe, expect, it } from 'vitest';
import { startTestCluster } from '../../src/testing/index.js';
import { nodeOf, open, report, size, until } from '../behaviour/fixture.js';
import { pause } from './pool-pause.js';

/** What a client may be put through, and what it is released with. */
const fates: ((client: PoolClient) => Promise<Error | boolean | undefined>)[] = [
  async (client) => {
    await client.query('select v from t where id = 1');
    return undefined;
  },
  async (client) => {
    await client.query('update t set v = v + 1 where id = 1');
    await client.query('select v from t where id = 1');
    return undefined;
  },
  async (client) => {
    await client.query('selec').catch(() => undefined);
    return undefined;
  },
  async (client) => {
    await client.query('select v from t where id = 1');
    return new Error('the user has had enough');
  },
  async (client) => {
    await client.query('begin');
    await client.query('update t set v = v + 1 where id = 2');
    return true;
  },
  async (client) => {
    await client.query('begin');
    return undefined;
  },
  async (client) => {
    await client.query('begin read only');
    await client.query('select v from t where id = 1');
    return undefined;
  },
  async (client) => {
    await client.query('begin read only');
    await client.query('select v from t where id = 1');
    await client.query('commit');
    return undefined;
  },
  async (client) => {
    void client.query('select v from t where id = 1').catch(() => undefined);
    void client.query('update t set v = v + 1 where id = 3').catch(() => undefined);
    return undefined;
  },
  async (client) => {
    await (client as unknown as { end(): Promise<void> }).end();
    return undefined;
  },
  async (client) => {
    await client.query('select pg_terminate_backend(pg_backend_pid())').catch(() => undefined);
    return undefined;
  },
];

describe('cluster.pool() under faults', () => {
  it('leaks no client and crashes nothing, whatever its clients and servers are put through', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    await using cluster = await open(servers);
    await cluster.write('create table t (id int primary key, v int)');
    await cluster.write('insert into t select i, 0 from generate_series(1, 10) i');
    const pools = [cluster.pool(), cluster.pool({ intent: 'write' }), cluster.pool({ intent: 'read' })];
    const connects = size(600, 10_000);
    let count = 0;
    const codes = new Map<string, number>();
    const caller = async (): Promise<void> => {
      for (let i = count++; i < connects; i = count++) {
        const pool = pools[i % pools.length] as Pool;
        const fate = fates[Math.floor(Math.random() * fates.length)] as (typeof fates)[number];
        try {
          const client = await pool.connect();
          const release = client.release.bind(client);
          let reason: Error | boolean | undefined = true;
          try {
            reason = await fate(client);
          } finally {
            release(reason);
          }
          expect(() => release()).toThrow('Release called on client which has already been released to the pool.');
        } catch (error) {
          const { code = 'none', message } = error as { code?: string; message: string };
          codes.set(code === 'none' ? message : code, (codes.get(code) ?? 0) + 1);
        }
      }
    };
    const callers = Array.from({ length: 24 }, caller);
    const [r1, r2] = servers.replicas;
    const at = async (share: number): Promise<void> =>
      until(`${share} is done`, () => count >= connects * share, 120_000);
    await at(0.2);
    await r1?.kill();
    await at(0.4);
    await r1?.restart();
    await at(0.5);
    await r2?.freeze();
    await pause(1_000);
    await r2?.thaw();
    await at(0.7);
    await servers.primary.kill();
    await pause(300);
    await servers.primary.restart();
    await Promise.all(callers);
    report(`${connects} connects`, Object.fromEntries(codes));

    await until('every node is live', () => cluster.stats().nodes.every(({ state }) => state !== 'unknown'));
    for (const pool of pools) {
      await until('nobody has a client', () => pool.totalCount === pool.idleCount && pool.waitingCount === 0);
      expect(pool.totalCount).toBeLessThanOrEqual(10);
      // A connection that died with its server may only now be found to be dead, as pg's own would.
      await until('it reads', () =>
        pool.query<{ v: number }>('select v from t where id = 4').then(
          ({ rows }) => rows[0]?.v === 0,
          () => false,
        ),
      );
    }
    await until('nothing is under way', () => cluster.stats().nodes.every(({ inFlight }) => inFlight === 0));
    for (const { pool } of cluster.stats().nodes) expect(pool.totalCount).toBe(pool.idleCount);
    await Promise.all(pools.map((pool) => pool.end()));
    expect(pools.map(({ totalCount }) => totalCount)).toEqual([0, 0, 0]);
  }, 180_000);

  it.each(['auto', 'write'] as const)(
    'follows a failover with intent %s, and its sessions miss nothing that survived',
    async (intent) => {
      await using servers = await startTestCluster({ replicas: 2 });
      await using cluster = await open(servers);
      const pool = cluster.pool({ intent });
      await pool.query('create table t (id int primary key, v int)');
      await pool.query('insert into t values (1, 0)');
      const [heir, other] = servers.replicas;
      if (heir === undefined || other === undefined) throw new Error('two replicas are wanted');
      await heir.waitForReplay();
      const held = await pool.connect();
      await held.query('select v from t');
      await servers.primary.kill();
      await heir.promote();
      await other.follow(heir);
      held.release();
      await cluster.session(async () => {
        await until('writes go on', () =>
          pool.query('update t set v = 7 where id = 1').then(
            () => true,
            () => false,
          ),
        );
        const client = await pool.connect();
        await client.query('begin');
        await client.query('update t set v = v + 1 where id = 1');
        await client.query('commit');
        client.release();
        expect((await pool.query('select v from t')).rows).toEqual([{ v: 8 }]);
      });
      expect(nodeOf(cluster, heir.name).role).toBe('primary');
    },
    60_000,
  );

  it('goes on reading while the primary is gone, and reports a write as pg does', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    await using cluster = await open(servers, { primaryWaitMillis: 300 });
    const pool = cluster.pool();
    await pool.query('create table t (v int)');
    for (const replica of servers.replicas) await replica.waitForReplay();
    await until('it is known', async () => (await cluster.explain('select v from t')).class === 'read');
    await pool.query('select v from t');
    await servers.primary.kill();
    const client = await pool.connect();
    expect((await client.query('select v from t')).rows).toEqual([]);
    await expect(client.query('insert into t values (1)')).rejects.toThrow();
    expect((await client.query('select v from t')).rows).toEqual([]);
    client.release();
  }, 30_000);

  it('leaves nothing held up by a statement that pg itself refuses, gives up, or cannot send any more', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers);
    const pool = cluster.pool();
    pool.on('error', () => undefined);
    await pool.query('create table t (v int)');
    const isOnReplica = async (): Promise<boolean> => {
      await cluster.read('select 1');
      return (await cluster.explain('select 1')).role === 'replica';
    };
    await until('it reads on the replica', isOnReplica);
    const client = await pool.connect();
    client.on('error', () => undefined);
    const unwritable = {
      toPostgres(): string {
        throw new Error('it has no value');
      },
    };
    await client.query('begin');
    await expect(client.query('insert into t values ($1)', [unwritable])).rejects.toThrow('it has no value');
    await until('it reads on the replica again', isOnReplica);
    await client.query('rollback');

    // Held up on the server until the test lets it go.
    const holder = new pg.Client(servers.primary.connectionString);
    await holder.connect();
    await holder.query('begin; lock table t in share row exclusive mode');
    const slow = { text: 'insert into t select 1', query_timeout: 300 };
    await expect(client.query(slow)).rejects.toThrow('Query read timeout');
    expect(await isOnReplica()).toBe(false);
    await holder.query('rollback');
    await holder.end();
    expect((await client.query<{ v: number }>('select v from t for update')).rows).toEqual([{ v: 1 }]);
    await until('it is known to be over', isOnReplica);
    expect(cluster.stats().nodes.map(({ ejectionCount }) => ejectionCount)).toEqual([0, 0]);

    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    await cluster.write('select pg_terminate_backend($1)', [rows[0]?.pid]);
    await until('it has noticed', () => (client as unknown as { _queryable: boolean })._queryable === false);
    const cursor = client.query(new Cursor('insert into t values (2) returning v'));
    await expect(cursor.read(1)).rejects.toThrow('not queryable');
    client.release(true);
    await until('it reads on the replica after all', isOnReplica);
    expect(cluster.stats().nodes.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  }, 30_000);
});
