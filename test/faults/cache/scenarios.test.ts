// What could make a kept answer wrong, one after the other, on servers that are held where it matters.
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type CacheOptions, type Cluster, routeOf, type Session } from '../../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { open, until } from '../../behaviour/fixture.js';
import { untilCommitsWait, waitingCommits } from '../../testing/commits-wait.js';
import { ask, isPrimary } from '../promoted.js';

const BY_ID = 'select id, value from numbers where id = $1';
const CACHED = { cache: true } as const;

let servers: TestCluster;
const clusters: Cluster[] = [];

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 2, links: true });
  await ask(servers.primary, 'create table numbers (id int primary key, value int not null)');
  await ask(servers.primary, 'insert into numbers select i, i from generate_series(0, 100) as i');
  for (const replica of servers.replicas) await replica.waitForReplay();
});
afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.close();
  // The failover comes last.
  if (!servers.primary.running) return;
  for (const replica of servers.replicas) {
    replica.link.restore();
    await replica.resumeReplay();
    await replica.waitForReplay();
  }
});
afterAll(() => servers.stop());

async function opened(options: CacheOptions = {}): Promise<Cluster> {
  const cluster = await open(servers, { cache: { maxStalenessMillis: 60_000, ...options }, waitMillis: 0 });
  clusters.push(cluster);
  await until('answers are kept', async () => routeOf(await cluster.read(BY_ID, [0], CACHED))?.rung === 'memory');
  return cluster;
}

const sessionOf = (cluster: Cluster): Session => cluster.session((session) => session, { inherit: 'none' });

/** A session that reads on that replica from now on. */
async function at({ name }: TestNode, cluster: Cluster): Promise<Session> {
  const session = sessionOf(cluster);
  await session.read('select 1', [], { target: { node: name } });
  return session;
}

async function shown(session: Session | Cluster, id: number, options: object = CACHED) {
  const result = await session.read<{ value: number }>(BY_ID, [id], options);
  return { value: result.rows[0]?.value, rung: routeOf(result)?.rung };
}

const set = (id: number, value: number) => ask(servers.primary, `update numbers set value = ${value} where id = ${id}`);
const replicas = () => servers.replicas as [TestNode, TestNode];

describe('a kept answer', () => {
  it('is older than what a transaction under way may have read', async () => {
    const cluster = await opened();
    const session = sessionOf(cluster);
    await until('it is kept', async () => (await shown(cluster, 90)).rung === 'memory');
    await set(90, 900);
    for (const replica of servers.replicas) await replica.waitForReplay();
    await session.transaction(
      async (client) => {
        const { rows } = await client.query('select value from numbers where id = 90');
        expect(rows).toEqual([{ value: 900 }]);
        const outside = await cluster.outsideTransaction(() => shown(session, 90));
        expect(outside.value).toBe(900);
      },
      { readOnly: true },
    );
    expect((await shown(session, 90)).value).toBe(900);
  });

  it('is never one of the primary, whose log is ahead of what it shows while a commit waits for a standby', async () => {
    const cluster = await opened();
    for (const replica of servers.replicas) await replica.pauseReplay();
    const reader = sessionOf(cluster);
    // Only the primary has this.
    await reader.write('update numbers set value = 0 where id = 99');
    await servers.primary.configure({ synchronous_standby_names: 'nobody' });
    try {
      const probed = await untilCommitsWait(servers.primary);
      const count = await waitingCommits(servers.primary);
      const writer = sessionOf(cluster);
      const writing = writer.write('update numbers set value = 100 where id = 1');
      await until('its commit waits, too', async () => (await waitingCommits(servers.primary)) > count);
      // What is known of the log is the commit's end, or more.
      await reader.read('select 2', [], { consistency: 'strong' });
      for (let i = 0; i < 2; i++) expect(await shown(reader, 1)).toEqual({ value: 1, rung: 'primary' });
      await servers.primary.configure({ synchronous_standby_names: '' });
      await Promise.all([writing, probed()]);
      expect((await shown(writer, 1)).value).toBe(100);
    } finally {
      await servers.primary.configure({ synchronous_standby_names: '' });
    }
  });

  it('is not taken the place of by one that was read where less was to be seen', async () => {
    const cluster = await opened();
    const [r1, r2] = replicas();
    await r1.pauseReplay();
    const writer = sessionOf(cluster);
    await writer.write('update numbers set value = 200 where id between 20 and 39');
    const atLeast = await writer.token();
    await r2.waitForReplay();
    let id = 19;
    // Where one replica is busy, sessions leave it.
    await until('the replica that is behind has answered', async () => {
      const [ahead, behind] = [await at(r2, cluster), await at(r1, cluster)];
      expect((await shown(ahead, ++id, { ...CACHED, atLeast })).value).toBe(200);
      if ((await shown(sessionOf(cluster), id)).rung !== 'memory') return false;
      // It asks for what is younger than that, and its server gives what is older.
      return (await shown(behind, id, { cache: { maxStalenessMillis: 0 } })).value === id;
    });
    expect(await shown(sessionOf(cluster), id)).toEqual({ value: 200, rung: 'memory' });
  });

  it('is none where it was forgotten while it was read', async () => {
    const cluster = await opened();
    for (const { link } of servers.replicas) link.delay(400);
    const reading = shown(sessionOf(cluster), 3);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await cluster.cache.forget({ tables: ['numbers'] });
    expect(await reading).toEqual({ value: 3, rung: 'replica' });
    for (const { link } of servers.replicas) link.restore();
    expect((await shown(sessionOf(cluster), 3)).rung).toBe('replica');
  });

  it('is as old as what it was read of, however late its answer came', async () => {
    const cluster = await opened();
    const acknowledged: { value: number; at: number }[] = [];
    let isOver = false;
    const writing = (async () => {
      const writer = new pg.Client(servers.primary.connectionString);
      await writer.connect();
      for (let value = 1_000; !isOver; value++) {
        await writer.query('update numbers set value = $1 where id = 4', [value]);
        acknowledged.push({ value, at: performance.now() });
      }
      await writer.end();
    })();
    await until('there were writes', () => acknowledged.length > 10);
    const boundMillis = 100;
    let startedAt = 0;
    let value: number | undefined = 0;
    await until('a replica answers late', async () => {
      await cluster.cache.forget({ tables: ['numbers'] });
      for (const { link } of servers.replicas) link.delay(250);
      const { rung } = await shown(sessionOf(cluster), 4);
      for (const { link } of servers.replicas) link.restore();
      startedAt = performance.now();
      ({ value } = await shown(sessionOf(cluster), 4, { cache: { maxStalenessMillis: boundMillis } }));
      return rung === 'replica';
    });
    isOver = true;
    await writing;
    const due = acknowledged.filter((write) => write.at < startedAt - boundMillis).at(-1);
    expect(due?.value).toBeGreaterThan(1_000);
    expect(value).toBeGreaterThanOrEqual(due?.value ?? 0);
  });

  it('binds its session: a replica that is behind it does not answer the next read', async () => {
    const cluster = await opened();
    const [r1, r2] = replicas();
    await r2.pauseReplay();
    await set(5, 500);
    await r1.waitForReplay();
    for (let round = 0; round < 10; round++) {
      const session = await at(r2, cluster);
      const id = 40 + round;
      await set(id, 500);
      await r1.waitForReplay();
      await shown(await at(r1, cluster), id);
      // An eventual read is given it at once, whatever is known of how much it shows.
      const consistency = round % 2 === 0 ? 'eventual' : 'session';
      if (consistency === 'session') await sessionOf(cluster).read('select 3', [], { consistency: 'strong' });
      const kept = await shown(session, id, { ...CACHED, consistency });
      const next = await shown(session, id, { cache: false });
      expect([kept.value, next.value]).toEqual([kept.value, kept.value === 500 ? 500 : next.value]);
      if (consistency === 'eventual') expect(kept).toEqual({ value: 500, rung: 'memory' });
    }
  });

  it('is asked by no strong read, none with a target, and none in a transaction', async () => {
    const cluster = await opened();
    const session = sessionOf(cluster);
    await shown(session, 6);
    const rungs = async (options: object) => (await shown(session, 6, options)).rung;
    expect(await rungs(CACHED)).toBe('memory');
    for (const options of [{ consistency: 'strong' }, { target: 'replica' }, { target: 'primary' }, { cache: false }])
      expect(await rungs({ ...CACHED, ...options })).not.toBe('memory');
    for (const hint of ['primary', 'replica', 'ladder: consistency=strong']) {
      const result = await cluster.query(`/* ${hint} */ ${BY_ID}`, [6], CACHED);
      expect(routeOf(result)?.rung).not.toBe('memory');
    }
    await cluster.transaction(
      async () => {
        expect(routeOf(await cluster.read(BY_ID, [6]))?.rung).toBe('replica');
        await expect(cluster.read(BY_ID, [6], CACHED)).rejects.toMatchObject({ code: 'LADDER_INVALID_OPTIONS' });
        await cluster.outsideTransaction(async () => {
          await shown(cluster, 6);
          expect((await shown(cluster, 6)).rung).toBe('memory');
        });
      },
      { readOnly: true },
    );
  });

  it('is passed on in tokens that carry reads, and is asked for what tokens stand for', async () => {
    const cluster = await opened();
    const [r1, r2] = replicas();
    await shown(sessionOf(cluster), 7);
    await r2.pauseReplay();
    await set(7, 700);
    await r1.waitForReplay();
    // Who has the writer's token is not shown what was kept before.
    const writer = sessionOf(cluster);
    await writer.write('update numbers set value = 701 where id = 7');
    const token = await writer.token();
    expect((await shown(sessionOf(cluster), 7, { ...CACHED, atLeast: token })).value).toBe(701);
    await r1.waitForReplay();
    expect((await shown(await at(r1, cluster), 7, { ...CACHED, atLeast: token })).value).toBe(701);
    // And who has the token of one that was shown the new one sees it on servers, too.
    const carried = await cluster.session(
      async (session) => {
        await session.read('select 1', [], { target: { node: 'r2' } });
        await until('the new one is given', async () => (await shown(session, 7)).value === 701);
        return session.token();
      },
      { inherit: 'none', monotonicAcrossRequests: true },
    );
    for (const consistency of ['session', 'strong'] as const) {
      const later = cluster.session((session) => shown(session, 7, { cache: false, consistency }), {
        inherit: 'none',
        token: carried,
      });
      expect((await later).value).toBe(701);
    }
  });
});

describe('after a failover', () => {
  it('what the new primary never had is not given, whatever was kept', async () => {
    const cluster = await opened();
    const [r1, r2] = replicas();
    const session = await at(r2, cluster);
    await shown(session, 8);
    await r1.cutReplication();
    await set(9, 900);
    await r2.waitForReplay();
    await until('the lost row is kept', async () => {
      // On a machine that is busy the session may have read on the other one before.
      await cluster.cache.forget({ tables: ['numbers'] });
      await shown(session, 8);
      await shown(session, 9);
      return (await shown(sessionOf(cluster), 9)).value === 900;
    });
    await servers.primary.kill();
    await r1.promote();
    await until('r1 is the primary', isPrimary(cluster, 'r1'));
    for (const consistency of ['session', 'eventual'] as const) {
      expect((await shown(sessionOf(cluster), 9, { ...CACHED, consistency })).value).toBe(9);
      // What both had is still good.
      expect((await shown(sessionOf(cluster), 8, { ...CACHED, consistency })).value).toBe(8);
    }
  });
});
