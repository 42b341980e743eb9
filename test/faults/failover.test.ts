import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { type Cluster, createCluster, type TokenLostEvent, type TopologyEvent } from '../../src/index.js';
import { startTestCluster, type TestNode } from '../../src/testing/index.js';
import { nodeOf, open, report, signal, size, until } from '../behaviour/fixture.js';
import { type Acknowledged, Traffic } from './traffic.js';

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));
const named = ({ name, connectionString }: TestNode) => ({ name, connectionString });
const keyOf = ({ caller, v }: Acknowledged) => `${caller}:${v}`;

async function ask<Row extends pg.QueryResultRow>(node: TestNode, text: string): Promise<Row[]> {
  const client = new pg.Client(node.connectionString);
  await client.connect();
  const { rows } = await client.query<Row>(text);
  await client.end();
  return rows;
}

/** The rows that a server has. */
async function rowsOn(node: TestNode): Promise<Set<string>> {
  return new Set((await ask<Acknowledged>(node, 'select caller, v from rows')).map(keyOf));
}

const rowsOf = (node: TestNode) => ask<{ v: number }>(node, 'select v from t');

const isPrimary = (cluster: Cluster, name: string) => () =>
  cluster.stats().nodes.some((node) => node.name === name && node.role === 'primary' && node.state === 'live');

describe('failovers under 64 callers', () => {
  it('writes go on within 2 s of each promotion, no read fails, and no acknowledged write that survived is missed', async () => {
    await using servers = await startTestCluster({ replicas: 3 });
    await using cluster = await open(servers);
    const changes: TopologyEvent[] = [];
    cluster.events.on('topology', (change) => changes.push(change));
    const traffic = await Traffic.start(cluster, 0.2);
    let primary = servers.primary;
    const failovers = size(3, 10);
    for (let i = 0; i < failovers; i++) {
      await pause(500);
      const others = servers.nodes.filter((node) => node !== primary);
      const heir = others[i % others.length] as TestNode;
      await primary.kill();
      await pause(200);
      await heir.promote();
      const promotedAt = performance.now();
      await Promise.all(others.filter((node) => node !== heir).map((node) => node.follow(heir)));
      await until('writes go on', () => traffic.lastWriteAt > promotedAt, 5_000);
      report(`failover ${i + 1}`, { 'ms from promotion to the first write': traffic.lastWriteAt - promotedAt });
      expect(traffic.lastWriteAt - promotedAt).toBeLessThan(2_000);
      await primary.follow(heir);
      primary = heir;
    }
    await until('the old primaries are replicas that serve', () =>
      cluster.stats().nodes.every(({ role, state }) => role === 'primary' || state === 'live' || state === 'probation'),
    );
    await traffic.stop();

    const survived = await rowsOn(primary);
    expect(traffic.missed.filter((row) => survived.has(keyOf(row)))).toEqual([]);
    expect(traffic.readReports).toEqual({});
    // What was under way when the primary was killed may have committed or not; nothing else fails.
    expect(
      Object.keys(traffic.writeReports).filter((what) => !what.startsWith('LADDER_WRITE_OUTCOME_UNKNOWN')),
    ).toEqual([]);
    expect(changes.filter(({ change }) => change === 'promotion').map(({ timeline }) => timeline)).toEqual(
      Array.from({ length: failovers }, (_, i) => i + 2),
    );
    expect(cluster.stats().timeline).toBe(failovers + 1);

    // A process that starts now knows nothing of all that but what the servers tell.
    await using fresh = createCluster({ nodes: servers.nodes.map(named) });
    for (const token of traffic.tokens.slice(-50)) {
      const { rows } = await fresh.session(() => fresh.read<Acknowledged>('select caller, v from rows'), {
        token,
        inherit: 'none',
      });
      expect(rows.length).toBeGreaterThan(0);
    }
    const all = await fresh.session(() => fresh.read<Acknowledged>('select caller, v from rows'), {
      token: traffic.tokens.at(-1),
      inherit: 'none',
    });
    expect(new Set(all.rows.map(keyOf))).toEqual(survived);
  }, 240_000);
});

describe('a primary that dies with writes that no other server has', () => {
  it('loses them: the session is told once, waits for nothing, and a replica that has them is never read', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    await using cluster = await open(servers);
    await cluster.write('create table t (id int, v text)');
    await cluster.write("insert into t values (1, 'kept')");
    for (const replica of servers.replicas) await replica.waitForReplay();
    const lost: TokenLostEvent[] = [];
    cluster.events.on('tokenLost', (event) => lost.push(event));

    await cluster.session(async (session) => {
      const [r1, r2] = servers.replicas as [TestNode, TestNode];
      const token = await session.token();
      // r1 is promoted without the newest writes; r2 has them, and so has left the common history.
      await r1.cutReplication();
      await cluster.write("insert into t select i, 'lost' from generate_series(2, 2000) i");
      await r2.waitForReplay();
      const lostToken = await session.token();
      await servers.primary.kill();
      await r1.promote();
      await until('the promotion is noticed', isPrimary(cluster, 'r1'));
      // Followed without a copy: it keeps what it received, past every new position.
      await r2.configure({
        primary_conninfo: `host=${r1.host} port=${r1.port} user=postgres password=${r1.password} application_name=r2`,
      });
      const startedAt = performance.now();
      for (let i = 0; i < 50; i++) {
        const { rows } = await cluster.read<{ id: number }>("select id from t where v <> 'new'");
        expect(rows).toEqual([{ id: 1 }]);
        await cluster.write("insert into t values (0, 'new')");
        const own = await cluster.read<{ n: number }>("select count(*)::int as n from t where v = 'new'");
        expect(own.rows).toEqual([{ n: i + 1 }]);
      }
      expect(performance.now() - startedAt).toBeLessThan(5_000);
      for (const consistency of ['eventual', 'strong', 'session'] as const) {
        const { rows } = await cluster.read("select 1 from t where v = 'lost'", [], { consistency });
        expect(rows).toEqual([]);
      }
      expect(nodeOf(cluster, 'r2').state).not.toBe('live');
      expect(nodeOf(cluster, 'r2').problem).toContain('timeline 2');
      expect(lost[0]).toEqual({ isCertain: true, count: 1 });
      expect(cluster.stats().tokens).toMatchObject({ lost: lost.length, uncertain: 0 });

      await using fresh = createCluster({ nodes: servers.nodes.map(named) });
      for (const old of [token, lostToken]) {
        const { rows } = await fresh.session(() => fresh.read("select 1 from t where v = 'lost'"), {
          token: old,
          inherit: 'none',
        });
        expect(rows).toEqual([]);
      }
      expect(nodeOf(fresh, 'r2').statementCount).toBe(0);

      await r2.follow(r1);
      await until('r2, built anew, serves again', async () => {
        await cluster.read('select 1');
        return ['live', 'probation'].includes(nodeOf(cluster, 'r2').state);
      });
    });
  }, 60_000);
});

describe('a primary that dies right after a write', () => {
  it('leaves it open whether that is lost, where nobody had asked for its position: that is told, too', async () => {
    await using servers = await startTestCluster({ replicas: 1, links: true });
    const [r1] = servers.replicas as [TestNode];
    await using cluster = await open(servers);
    const lost: TokenLostEvent[] = [];
    cluster.events.on('tokenLost', (event) => lost.push(event));
    await cluster.write('create table t (v int)');
    await r1.waitForReplay();
    const lonely = async () => {
      await cluster.write('insert into t values (1)');
      // Before the library asks for the write's position.
      servers.primary.link.halfOpen();
      await servers.primary.kill();
      await r1.promote();
      await until('the promotion is noticed', isPrimary(cluster, 'r1'));
      await cluster.read('select v from t');
    };
    await cluster.session(lonely, { inherit: 'none' });
    expect(lost).toEqual([{ isCertain: false, count: 1 }]);
    expect(cluster.stats().tokens).toMatchObject({ lost: 0, uncertain: 1 });
  });
});

describe('who is the primary is asked, not assumed', () => {
  it('whatever the labels say, and when there are none', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    const [r1, r2] = servers.replicas.map((node) => node.connectionString) as [string, string];
    const hosts = servers.nodes.map(({ host, port }) => `${host}:${port}`).reverse();
    for (const options of [
      { primary: { name: 'a', connectionString: r1 }, replicas: [servers.primary.connectionString, r2] },
      { nodes: [r2, servers.primary.connectionString, r1] },
      `postgres://postgres:${servers.primary.password}@${hosts.join(',')}/postgres?application_name=asks`,
    ]) {
      await using cluster = createCluster(options);
      // At once: nothing is known yet, and the first guess is wrong.
      await Promise.all([cluster.write('create table if not exists t (v int)'), cluster.read('select 1')]);
      await cluster.ready();
      const { nodes } = cluster.stats();
      expect(nodes.map(({ role }) => role).sort()).toEqual(['primary', 'replica', 'replica']);
      expect(nodes.find(({ role }) => role === 'primary')?.statementCount).toBeGreaterThan(0);
    }
  });

  it('and a promotion behind a quiet process’s back is noticed by its next write', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers, { probeMillis: 60_000, idleProbeMillis: 60_000 });
    await cluster.write('create table t (v int)');
    await servers.primary.kill();
    await servers.replicas[0]?.promote();
    await cluster.write('insert into t values (1)');
    const { rows } = await cluster.read('select v from t');
    expect(rows).toEqual([{ v: 1 }]);
    expect(nodeOf(cluster, 'r1').role).toBe('primary');
  });

  it('a promoted server tells so by itself with its next answer, before anybody asks', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    const [r1] = servers.replicas as [TestNode];
    await using cluster = await open(servers, { probeMillis: 60_000, idleProbeMillis: 60_000 });
    await cluster.read('select 1', [], { target: 'replica' });
    await r1.promote();
    await cluster.read('select 1', [], { target: { node: 'r1' } });
    await until('it is noticed', isPrimary(cluster, 'r1'), 1_000);
  });

  it('and a process that starts while a server is frozen does not wait for that one', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    await servers.replicas[0]?.freeze();
    await using cluster = createCluster({ nodes: servers.nodes.map(named) });
    const startedAt = performance.now();
    await Promise.all([cluster.write('create table t (v int)'), cluster.read('select 1')]);
    expect(performance.now() - startedAt).toBeLessThan(3_000);
    await servers.replicas[0]?.thaw();
  });

  it('a write that reaches a server which has become a replica runs on the primary instead, once', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    const [r1] = servers.replicas as [TestNode];
    await using cluster = await open(servers, { probeMillis: 60_000, idleProbeMillis: 60_000 });
    await cluster.write('create table t (v int)');
    await r1.waitForReplay();
    await r1.promote();
    await servers.primary.follow(r1);
    await cluster.write('insert into t values (1)');
    expect((await cluster.read('select v from t', [], { target: 'primary' })).rows).toEqual([{ v: 1 }]);
    expect(nodeOf(cluster, 'r1').role).toBe('primary');
  });
});

describe('two servers that take writes', () => {
  it('the later timeline wins, and the one that was left gets nothing more', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    await using cluster = await open(servers);
    await cluster.write('create table t (v int)');
    for (const replica of servers.replicas) await replica.waitForReplay();
    await servers.primary.freeze();
    await servers.replicas[0]?.promote();
    await until('the promotion is noticed', isPrimary(cluster, 'r1'));
    await servers.primary.thaw();
    await until(
      'the old primary answers',
      () => nodeOf(cluster, 'primary').problem?.includes('takes writes beside') === true,
    );
    for (let i = 0; i < 20; i++) await cluster.write('insert into t values ($1)', [i]);
    expect(nodeOf(cluster, 'r1').role).toBe('primary');
    expect(await rowsOf(servers.primary)).toEqual([]);

    await using cautious = createCluster({
      nodes: servers.nodes.map(named),
      onTwoPrimaries: 'refuse',
      primaryWaitMillis: 200,
    });
    await expect(cautious.write('insert into t values (99)')).rejects.toMatchObject({ code: 'LADDER_TWO_PRIMARIES' });
  });

  it('a write that was waiting for a connection when the second one turned up is not sent, either', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = createCluster({
      nodes: servers.nodes.map((node) => ({ ...named(node), max: 1 })),
      onTwoPrimaries: 'refuse',
      primaryWaitMillis: 800,
    });
    await cluster.write('create table t (v int)');
    const isContested = signal();
    const holding = cluster.transaction(() => isContested.given);
    const waiting = [
      cluster.write('insert into t values (1)'),
      cluster.transaction((client) => client.query('insert into t values (1)')),
    ].map((one) => one.catch((error: unknown) => error));
    const pool = cluster.pool({ intent: 'write' });
    await servers.replicas[0]?.promote();
    await until('both are seen', () => cluster.stats().topology.at(-1)?.change === 'contested');
    isContested.give();
    await holding;
    for (const error of await Promise.all(waiting)) expect(error).toMatchObject({ code: 'LADDER_TWO_PRIMARIES' });
    await expect(pool.query('insert into t values (1)')).rejects.toMatchObject({ code: 'LADDER_TWO_PRIMARIES' });
    expect(await rowsOf(servers.primary)).toEqual([]);
  });

  it('on one timeline none of them gets a write until one is gone', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    await using cluster = await open(servers, { primaryWaitMillis: 300 });
    await cluster.write('create table t (v int)');
    for (const replica of servers.replicas) await replica.waitForReplay();
    await servers.primary.kill();
    // Each is promoted without knowing of the other: both are on timeline 2 now.
    await Promise.all([r1.promote(), r2.promote()]);
    await until('both are seen', () => cluster.stats().topology.at(-1)?.change === 'contested');
    const refused = await cluster.write('insert into t values (1)').catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'LADDER_TWO_PRIMARIES', message: expect.stringContaining('"r1" and "r2"') });
    await r2.kill();
    await until('r1 is alone', isPrimary(cluster, 'r1'));
    await cluster.write('insert into t values (1)');
    expect((await cluster.read('select v from t')).rows).toEqual([{ v: 1 }]);
  });
});
