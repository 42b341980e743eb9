import { describe, expect, it } from 'vitest';
import { createCluster, type TokenLostEvent, type TopologyEvent } from '../../src/index.js';
import { startTestCluster, type TestNode } from '../../src/testing/index.js';
import { nodeOf, open, percentile, RunningClock, report, size, until } from '../behaviour/fixture.js';
import { ask, isPrimary, named } from './promoted.js';
import { type Acknowledged, Traffic } from './traffic.js';

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));

const keyOf = ({ caller, v }: Acknowledged) => `${caller}:${v}`;

/** The rows that a server has. */
async function rowsOn(node: TestNode): Promise<Set<string>> {
  return new Set((await ask<Acknowledged>(node, 'select caller, v from rows')).map(keyOf));
}

describe('failovers under 64 callers', () => {
  it('writes go on within 2 s of each promotion, no read fails, and no acknowledged write that survived is missed', async () => {
    await using servers = await startTestCluster({ replicas: 3 });
    await using cluster = await open(servers);
    const changes: TopologyEvent[] = [];
    cluster.events.on('topology', (change) => changes.push(change));
    const traffic = await Traffic.start(cluster, 0.2);
    let primary = servers.primary;
    const failovers = size(2, 10);
    const waitedMillis: number[] = [];
    for (let i = 0; i < failovers; i++) {
      await pause(500);
      const others = servers.nodes.filter((node) => node !== primary);
      const heir = others[i % others.length] as TestNode;
      await primary.kill();
      await pause(200);
      await heir.promote();
      const promotedAt = traffic.now();
      await Promise.all(others.filter((node) => node !== heir).map((node) => node.follow(heir)));
      await until('writes go on', () => traffic.lastWriteAt > promotedAt);
      waitedMillis.push(traffic.lastWriteAt - promotedAt);
      report(`failover ${i + 1}`, { 'ms from promotion to the first write': waitedMillis[i] ?? 0 });
      await primary.follow(heir);
      primary = heir;
    }
    // By a clock that runs while this process does; a busy machine may hold up the servers in one of the short form's.
    expect(size(Math.min(...waitedMillis), Math.max(...waitedMillis))).toBeLessThan(2_000);
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
    const waitMillis = 3_000;
    await using cluster = await open(servers, { waitMillis });
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
      const clock = new RunningClock();
      const took: number[] = [];
      for (let i = 0; i < 50; i++) {
        const startedAt = clock.now();
        const { rows } = await cluster.read<{ id: number }>("select id from t where v <> 'new'");
        expect(rows).toEqual([{ id: 1 }]);
        await cluster.write("insert into t values (0, 'new')");
        const own = await cluster.read<{ n: number }>("select count(*)::int as n from t where v = 'new'");
        expect(own.rows).toEqual([{ n: i + 1 }]);
        took.push(clock.now() - startedAt);
      }
      clock.stop();
      expect(percentile(took, 0.5)).toBeLessThan(waitMillis);
      for (const consistency of ['eventual', 'strong', 'session'] as const) {
        const { rows } = await cluster.read("select 1 from t where v = 'lost'", [], { consistency });
        expect(rows).toEqual([]);
      }
      expect(nodeOf(cluster, 'r2').state).not.toBe('live');
      expect(nodeOf(cluster, 'r2').problem).toContain('timeline 2');
      expect(lost[0]).toEqual({ isCertain: true, count: 1, cluster: 'postgres' });
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
    expect(lost).toEqual([{ isCertain: false, count: 1, cluster: 'postgres' }]);
    expect(cluster.stats().tokens).toMatchObject({ lost: 0, uncertain: 1 });
  });
});
