/** Kept answers stay current while nothing that they depend on changes, by the log of a real server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ChangesEvent, type Cluster, routeOf } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import { open, until } from '../fixture.js';

describe('a cluster that hears changes', () => {
  let servers: TestCluster;
  let cluster: Cluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2, settings: { wal_level: 'logical' } });
    const { primary } = servers;
    await query(primary, 'create table profiles (id int primary key, name text)');
    await query(primary, 'create table orders (id int primary key, profile int, name text)');
    await query(primary, 'create table rest (id int primary key)');
    await query(primary, "insert into profiles select i, 'Ada' from generate_series(0, 99) as i");
    await query(primary, "insert into orders select i, i, 'tea' from generate_series(0, 99) as i");
    await query(primary, 'create publication pg_ladder for table profiles, orders');
    for (const replica of servers.replicas) await replica.waitForReplay();
    cluster = await open(servers, { cache: true, changes: {} });
    await until('changes are heard', () => cluster.changes.stats().state === 'current');
  });
  afterAll(async () => {
    await cluster?.close();
    await servers.stop();
  });

  const PROFILE = 'select name from profiles where id = $1';
  const read = async (id: number, text = PROFILE, maxStalenessMillis = 60_000) => {
    const result = await cluster.read<{ name: string }>(text, [id], { cache: { maxStalenessMillis } });
    return { name: result.rows[0]?.name, rung: routeOf(result)?.rung, age: routeOf(result)?.ageMillis };
  };
  /** It is kept, and known to be current behind a write elsewhere. */
  const isAdvanced = async (id: number, text = PROFILE) => {
    const before = cluster.cache.stats().advancedCount;
    // What was written is heard of in a moment.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await read(id, text);
    return cluster.cache.stats().advancedCount > before;
  };

  it('gives an answer of a row while its neighbours are written, to the session that writes them', async () => {
    await until('it is advanced behind a write', async () => {
      await cluster.write('update profiles set name = $2 where id = $1', [2, 'Bea']);
      return isAdvanced(1);
    });
    await cluster.write('update profiles set name = $2 where id = $1', [1, 'Cyd']);
    expect((await read(1)).name).toBe('Cyd');
    await until('it is advanced again', async () => {
      await cluster.write('update profiles set name = $2 where id = $1', [2, 'Dee']);
      return isAdvanced(1);
    });
    expect((await read(1)).name).toBe('Cyd');
  });

  it('gives an answer of a join while other rows of both tables are written', async () => {
    const text = 'select p.name from profiles p join orders o on o.id = p.id where p.id = $1';
    await until('it is advanced behind writes', async () => {
      await cluster.write("update orders set name = 'milk' where id = 8");
      await cluster.write("update profiles set name = 'Eve' where id = 8");
      return isAdvanced(7, text);
    });
    await cluster.write("update profiles set name = 'Fay' where id = 7");
    expect((await read(7, text)).name).toBe('Fay');
  });

  it('knows that a count has changed with any row', async () => {
    const text = "select count(*)::text as name from orders where profile >= $1 or name = 'none'";
    await until('it is advanced behind a write elsewhere', async () => {
      await cluster.write('insert into rest values ((select count(*) from rest))');
      return isAdvanced(0, text);
    });
    const { name } = await read(0, text);
    await cluster.write("insert into orders values (1000, 5, 'tea')");
    expect((await read(0, text)).name).toBe(String(Number(name) + 1));
    await cluster.write('delete from orders where id = 1000');
  });

  it('does not let an answer of a table that is not published stay current', async () => {
    const text = 'select id::text as name from rest where id = $1';
    await read(0, text);
    const { advancedCount } = cluster.cache.stats();
    for (let i = 0; i < 50; i++) {
      await cluster.write('update profiles set name = name where id = 50');
      await read(0, text);
    }
    expect(cluster.cache.stats().advancedCount).toBe(advancedCount);
  });

  it('takes nothing for current that was read before a definition has changed', async () => {
    await cluster.write('create view named as select id, name from profiles');
    const text = 'select name from named where id = $1';
    await until('it is advanced', async () => {
      await cluster.write("update orders set name = 'tea' where id = 9");
      return isAdvanced(3, text);
    });
    const before = await read(3, text);
    // By somebody else: this process does not see it pass.
    await query(servers.primary, "create or replace view named as select id, 'Gus'::text as name from orders");
    for (const replica of servers.replicas) await replica.waitForReplay();
    await until('the new definition holds', async () => {
      await cluster.write("update orders set name = 'tea' where id = 9");
      const { name } = await read(3, text);
      expect([before.name, 'Gus']).toContain(name);
      return name === 'Gus';
    });
    await until('it is advanced again', async () => {
      await cluster.write("update profiles set name = 'Hal' where id = 9");
      return isAdvanced(3, text);
    });
    await query(servers.primary, "update orders set name = 'x' where id = 3");
  });

  it('tells which tables have changed', async () => {
    const told: ChangesEvent[] = [];
    const listener = (event: ChangesEvent) => void told.push(event);
    cluster.changes.on('tables', listener);
    await cluster.write("update orders set name = 'tea' where id = 9");
    await until('it is told', () => told.length > 0);
    cluster.changes.off('tables', listener);
    expect(told[0]).toMatchObject({ tables: ['public.orders'], timeline: 1 });
    expect(told[0]?.lsn).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
  });

  it('says how it does', async () => {
    const stats = cluster.changes.stats();
    expect(stats).toMatchObject({ state: 'current', problem: undefined, tables: ['public.orders', 'public.profiles'] });
    expect(stats.commitCount).toBeGreaterThan(5);
    expect(stats.keyCount).toBeGreaterThan(0);
    const explained = await cluster.explain(PROFILE, [1], { cache: true });
    expect(explained.dependencies.keys).toMatchObject([{ schema: 'public', name: 'profiles' }]);
  });

  it('leaves no slot behind', async () => {
    const slots = () =>
      query(servers.primary, 'select count(*)::int from pg_replication_slots where slot_type = $1', ['logical']);
    expect(await slots()).toBe(1);
    await cluster.close();
    await until('it is gone', async () => (await slots()) === 0);
  });
});
