import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cluster, createCluster, type QueryEvent, type RouteEvent, type WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, report, size, until } from './fixture.js';

describe('cluster.query', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let routes: RouteEvent[];
  const last = () => routes.at(-1);

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    cluster = await open(servers, { readOnlyFunctions: ['public.looks_harmless'] });
    await cluster.write('create table t (id int primary key, v int)');
    await cluster.write('insert into t select i, i from generate_series(1, 10) i');
    await cluster.write(
      "create function looks_harmless(n int) returns int language plpgsql as 'begin insert into t values (n, n); return n; end'",
    );
    await cluster.write("create function counts() returns bigint stable language sql as 'select count(*) from t'");
    await cluster.write('create view calm as select * from t');
    await cluster.explain('select 1');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(async () => {
    await cluster.close();
    await servers.stop();
  });
  beforeEach(() => {
    routes = [];
    cluster.events.removeAllListeners();
    cluster.events.on('route', (route) => routes.push(route));
  });

  it.each([
    ['select * from t where id = $1', [1], 'replica'],
    ['select * from calm where id = $1', [1], 'replica'],
    ['select counts() from t where id = $1', [1], 'replica'],
    ['with n as (select * from t) select count(*) from n where id = $1', [1], 'replica'],
    ['select * from t where id = $1 for update', [1], 'primary'],
    ['with n as (update t set v = v returning *) select * from n where id = $1', [1], 'primary'],
    ["select nextval('s') where $1::int is not null", [1], 'primary'],
    ['update t set v = v where id = $1', [1], 'primary'],
  ])('sends %s to the right server', async (text, values, role) => {
    await cluster.query(text, values).catch(() => undefined);
    expect(last()?.role).toBe(role);
  });

  it('moves the session’s floor by what it found to be a write', async () => {
    let v = 100;
    await until('replicas have answered some of its reads', async () => {
      await cluster.session(async () => {
        for (const end = v + 10; v < end; v++) {
          await cluster.query('update t set v = $1 where id = 1', [v]);
          const { rows } = await cluster.query<{ v: number }>('select v from t where id = 1');
          expect(rows).toEqual([{ v }]);
        }
      });
      return routes.filter(({ role }) => role === 'replica').length > 5;
    });
  });

  it('runs what a replica refuses on the primary, once, and remembers it', async () => {
    await cluster.query('select looks_harmless(1001)');
    expect(routes.map(({ role, reason }) => [role, reason]).slice(-1)).toEqual([['primary', 'misrouted']]);
    expect(routes.some(({ role }) => role === 'replica')).toBe(true);
    routes.length = 0;
    // The same statement with another constant, and the same text again.
    await cluster.query('select looks_harmless(1002)');
    await cluster.query('select looks_harmless(1002 + 1)');
    expect(routes[0]).toMatchObject({ role: 'primary', reason: 'write' });
    const { rows } = await cluster.query('select id from t where id > 1000 order by id', [], { target: 'primary' });
    expect(rows).toEqual([{ id: 1001 }, { id: 1002 }, { id: 1003 }]);
    expect(cluster.stats().routes.misrouted).toBeGreaterThan(0);
  });

  it('throws the primary’s own error when that refuses it, too', async () => {
    await expect(cluster.query('select looks_harmless(1)')).rejects.toMatchObject({ code: '23505' });
    await expect(cluster.query('selec 1')).rejects.toMatchObject({ code: '42601' });
    expect(last()?.role).toBe('primary');
  });

  it('goes by the new catalogue as soon as a definition has passed through', async () => {
    await cluster.query('create view later as select 1 as one');
    await cluster.query('select * from later');
    await until('it is known', async () => {
      await cluster.query('select * from later');
      return last()?.role === 'replica';
    });
    await cluster.write("create or replace view later as select nextval('s') as one").catch(() => undefined);
    await cluster.query('create sequence s');
    expect((await cluster.explain('select * from later')).class).toBe('read');
    await cluster.write(
      "set local lock_timeout = 1000; -- as migrations do\n/* 7 */ create or replace view later as select nextval('s')::int as one",
    );
    routes.length = 0;
    for (let i = 0; i < 20; i++) await cluster.query('select * from later');
    expect(routes.every(({ role }) => role === 'primary')).toBe(true);
  });

  it('asks the catalogue again when it meets a name that it does not know', async () => {
    await using elsewhere = await open(servers);
    await elsewhere.write('create table made_elsewhere (v int)');
    for (const replica of servers.replicas) await replica.waitForReplay();
    await cluster.query('select * from made_elsewhere');
    expect(last()?.role).toBe('primary');
    await until('it is known', async () => {
      await cluster.query('select * from made_elsewhere');
      return last()?.role === 'replica';
    });
  });

  it('asks the primary for what somebody else has just made, when a replica does not have it yet', async () => {
    await using elsewhere = await open(servers);
    for (const replica of servers.replicas) await replica.pauseReplay();
    await elsewhere.write('create table just_made (v int)');
    const before = cluster.stats().routes.misrouted;
    await until('the catalogue knows it and a replica does not', async () => {
      const { rows } = await cluster.session(() => cluster.query('select * from just_made'), { inherit: 'none' });
      expect(rows).toEqual([]);
      return cluster.stats().routes.misrouted > before;
    });
    for (const replica of servers.replicas) await replica.resumeReplay();
    await until('replicas have it', async () => {
      await cluster.session(() => cluster.query('select * from just_made'), { inherit: 'none' });
      return last()?.role === 'replica';
    });
    await expect(cluster.query('select nothing_of_that_name from t')).rejects.toMatchObject({ code: '42703' });
  });

  it('does not wait for a table that somebody has locked, to read the catalogue', async () => {
    await using other = await open(servers);
    await other.connection(async (client) => {
      await client.query('begin');
      await client.query('lock table t in access exclusive mode');
      // The lock is held until all of them are done: none of them waits for it.
      await cluster.explain('select 1 as one_more');
      await cluster.query('create table made_meanwhile (v int)');
      // Nothing is known of it until the lock is gone: the primary answers.
      await cluster.query('select * from made_meanwhile');
      expect(last()?.role).toBe('primary');
      await until('the pool has its connection back', () => nodeOf(cluster, 'primary').pool.waitingCount === 0);
      await client.query('rollback');
    });
    await until('it is known', async () => {
      await cluster.session(() => cluster.query('select * from made_meanwhile'), { inherit: 'none' });
      return last()?.role === 'replica';
    });
  });

  it('joins the transaction of its context', async () => {
    await cluster.transaction(async () => {
      await cluster.query('insert into t values (2000, 1)');
      expect((await cluster.query('select v from t where id = 2000')).rows).toEqual([{ v: 1 }]);
    });
    expect(routes.map(({ reason }) => reason)).toEqual(['transaction']);
  });

  it('warns once of what belongs to a connection, and says what to use instead', async () => {
    const warnings: WarningEvent[] = [];
    cluster.events.on('warning', (warning) => warnings.push(warning));
    for (const name of ['one', 'two']) await cluster.query(`set application_name = '${name}'`);
    await cluster.query('select pg_advisory_lock(1)');
    expect(last()).toMatchObject({ role: 'primary', reason: 'session-state' });
    expect(warnings.map(({ code }) => code)).toEqual(['session-state', 'session-state']);
    expect(warnings[0]?.message).toMatch(/VariableSetStmt.*connection\(\)/);
    expect(warnings[1]?.message).toMatch(/pg_advisory_lock/);
    expect(JSON.stringify(warnings)).not.toContain('one');
  });

  it('does as a leading comment says', async () => {
    await cluster.query('/* primary */ select 1');
    expect(last()).toMatchObject({ role: 'primary', reason: 'hint' });
    await cluster.query('/* replica */ select 1');
    expect(last()).toMatchObject({ role: 'replica', reason: 'hint' });
    await cluster.query('/* ladder: partition=user:42, max_staleness=5s */ select 1');
    // The next one, where the machine is so busy that its own is not known to be well.
    expect(['partition', 'next-in-order']).toContain(last()?.reason);
    await cluster.query('select 1 /* primary */');
    expect(last()?.role).toBe('replica');
    await cluster.query('/* replica */ update t set v = v where id = 1');
    expect(last()).toMatchObject({ role: 'primary', reason: 'write' });
    await expect(cluster.query('/* ladder: max_stalenes=5s */ select 1')).rejects.toMatchObject({
      code: 'LADDER_INVALID_OPTIONS',
      message: expect.stringContaining('max_staleness'),
    });
    await using lenient = createCluster({ primary: servers.primary.connectionString, onInvalidHint: 'ignore' });
    expect((await lenient.query('/* ladder: nonsense */ select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('explains what it found, and where it would go', async () => {
    expect(await cluster.explain('select * from calm', [], { consistency: 'eventual' })).toMatchObject({
      class: 'read',
      role: 'replica',
      reason: 'balanced',
    });
    expect(await cluster.explain('select * from t for update')).toMatchObject({
      class: 'write',
      because: 'a row lock',
      role: 'primary',
    });
    expect(await cluster.explain('select pg_advisory_lock(1)')).toMatchObject({
      class: 'session',
      reason: 'session-state',
    });
    const { because } = await cluster.explain('select * from later');
    expect(because).toBe('view public.later: nextval() needs the primary');
  });

  it('never runs a refused write twice, nor loses one, while connections are killed at random', async () => {
    const calls = size(150, 10_000);
    await cluster.write('create table calls (n int)');
    await cluster.write(
      "create function note(n int) returns int language plpgsql as 'begin insert into calls values (n); return n; end'",
    );
    await using trusting = await open(servers, { readOnlyFunctions: ['public.note'] });
    await trusting.explain('select 1');
    let refusedCount = 0;
    trusting.events.on('query', ({ role, errorCode }: QueryEvent) => {
      if (role === 'replica' && errorCode === '25006') refusedCount++;
    });
    let isOn = true;
    const killer = (async () => {
      while (isOn) {
        await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 50));
        const kill = (client: { query(text: string): Promise<unknown> }) =>
          client.query(
            "select pg_terminate_backend(pid) from (select pid from pg_stat_activity where pid <> pg_backend_pid() and query like '%note(%' limit 1) one",
          );
        await cluster.connection(kill).catch(() => undefined);
      }
    })();
    let acknowledged = 0;
    let unknown = 0;
    const failures: unknown[] = [];
    let next = 0;
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        // How many reach a replica at all depends on how soon those are well again.
        while (next < calls || refusedCount < calls * size(0.4, 0.9)) {
          const n = next++;
          // Another fingerprint each time: what was learned of one text says nothing of the next.
          const unlike = Array.from({ length: 14 }, (_, bit) => ((n >> bit) & 1 ? 'abs' : 'sign')).reduce(
            (of, f) => `${f}(${of})`,
            '0',
          );
          await trusting.query(`select note(${n}), ${unlike}`).then(
            () => acknowledged++,
            (error: { code?: string }) =>
              error.code === 'LADDER_WRITE_OUTCOME_UNKNOWN' ? unknown++ : failures.push(error),
          );
        }
      }),
    );
    isOn = false;
    await killer;
    const { rows } = await cluster.read<{ n: number; twice: number }>(
      'select count(*)::int as n, (count(*) - count(distinct n))::int as twice from calls',
      [],
      { target: 'primary' },
    );
    report('misrouted calls', {
      calls,
      'refused by replicas': refusedCount,
      acknowledged,
      unknown,
      failed: failures.length,
      rows: rows[0]?.n ?? 0,
    });
    expect(rows[0]?.twice).toBe(0);
    expect(rows[0]?.n).toBeGreaterThanOrEqual(acknowledged);
    expect(rows[0]?.n).toBeLessThanOrEqual(acknowledged + unknown);
  }, 300_000);
});
