/** Reads that are sent a second time: never so many that an outage multiplies the traffic, and always enough for the loss of one server. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster, ClusterBehaviour, WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { nodeOf, open, report, size, until } from '../behaviour/fixture.js';

/** A replica ends the session that asks this, with 57P01; the primary answers. */
const FATAL_ON_REPLICAS =
  'select case when pg_is_in_recovery() then pg_terminate_backend(pg_backend_pid()) end as ended';
const NOTHING = { share: 0, perSecond: 0 };

let servers: TestCluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 2 });
  await using cluster = await open(servers);
  await cluster.write(`create sequence runs; create role app login password 'app' connection limit 12;
    create table t (id int primary key); insert into t values (1)`);
  for (const replica of servers.replicas) await replica.waitForReplay();
});
afterAll(() => servers.stop());

const sentBy = (cluster: Cluster) => cluster.stats().nodes.reduce((sum, { statementCount }) => sum + statementCount, 0);
/** Pools that hold that many connections. */
const roomy = (max: number, behaviour: ClusterBehaviour = {}): Promise<Cluster> => {
  const roomyNode = ({ connectionString }: TestNode) => ({ connectionString, max });
  return open(servers, {
    primary: roomyNode(servers.primary),
    replicas: servers.replicas.map((node) => ({ name: node.name, ...roomyNode(node) })),
    ...behaviour,
  });
};

describe('a storm', () => {
  it('of replicas that end every session is no multiplier: at most 1.25 statements are sent for one that is asked', async () => {
    const connections = size(1, 5);
    const perSecond = size(1, 10);
    const count = size(240, 5_000);
    await using cluster = await roomy(connections, {
      lane: false,
      primaryReadBudget: connections,
      primaryWaitMillis: 120_000,
      retryBudget: { perSecond },
    });
    const before = sentBy(cluster);
    const outcomes: Record<string, number> = {};
    const note = (word: string) => {
      outcomes[word] = (outcomes[word] ?? 0) + 1;
    };
    const running: Promise<unknown>[] = [];
    const startedAt = performance.now();
    while (running.length < count) {
      const reading = cluster.read(FATAL_ON_REPLICAS);
      running.push(
        reading.then(
          () => note('answered'),
          (error: { code?: string }) => note(error.code ?? 'no code'),
        ),
      );
      // 500 a second.
      const ahead = startedAt + 2 * running.length - performance.now();
      if (ahead > 2) await new Promise((resolve) => setTimeout(resolve, ahead));
    }
    await Promise.all(running);
    // Where the machine has other work it takes longer than the budget looks back.
    const windows = Math.ceil((performance.now() - startedAt) / 10_000);
    const again = sentBy(cluster) - before - count;
    const { retries } = cluster.stats();
    report('replicas that end every session', { asked: count, ratio: 1 + again / count, windows, ...outcomes });
    expect(again).toBeLessThanOrEqual(0.2 * count + windows * (10 * perSecond + connections));
    if (windows === 1) expect(again).toBeLessThanOrEqual(0.25 * count);
    expect(retries.drawnCount).toBeGreaterThan(0);
    // Nobody hears of anything else than what the servers have said.
    expect(Object.keys(outcomes).filter((word) => !['answered', '57P01'].includes(word))).toEqual([]);
  });

  it('of lost writes sends none of them again', async () => {
    await using cluster = await open(servers);
    const count = 20;
    const codes = await Promise.all(
      Array.from({ length: count }, () =>
        cluster.write("select nextval('runs'), pg_terminate_backend(pg_backend_pid())").then(
          () => 'answered',
          (error: { code?: string }) => error.code,
        ),
      ),
    );
    expect(new Set(codes)).toEqual(new Set(['LADDER_WRITE_OUTCOME_UNKNOWN']));
    const { rows } = await cluster.read<{ n: string }>('select last_value as n from runs', [], { target: 'primary' });
    expect(Number(rows[0]?.n)).toBe(count);
  });
});

describe('an empty budget', () => {
  it('lets a read fail with the first error, which says so, and is told once', async () => {
    await using cluster = await open(servers, { retryBudget: NOTHING, lane: false });
    const warnings: WarningEvent[] = [];
    cluster.events.on('warning', (warning) => warnings.push(warning));
    let refused: { code?: string; message?: string } | undefined;
    await until('a read is not run again', async () => {
      await cluster.read(FATAL_ON_REPLICAS).catch((error: { message: string }) => {
        if (error.message.includes('budget')) refused = error;
      });
      return refused !== undefined;
    });
    expect(refused).toMatchObject({ code: '57P01', message: expect.stringMatching(/the retry budget is empty\)$/) });
    expect(cluster.stats().retries).toMatchObject({ refusedCount: 1, retryBudgetEmpty: true });
    expect(warnings.map(({ code }) => code)).toEqual(['retry-budget-empty']);
  });
});

describe('the loss of one server', () => {
  // Each has its own victim: one that is just back gets few reads.
  it.each([
    ['on connections of their own', { lane: false }, 'r1'],
    ['on a shared connection', { lane: { connections: 1 } }, 'r2'],
  ])(
    'is survived by all reads that are under way there %s, with no budget at all beside that',
    async (_, lane, name) => {
      if (lane.lane !== false && process.env['LANE'] === 'off') return;
      await using cluster = await roomy(40, { ...lane, retryBudget: NOTHING, hangMillis: 5_000 });
      const read = () => cluster.read<{ id: number }>('select id from t where id = $1', [1]);
      const victim = servers.replicas.find((replica) => replica.name === name) as TestNode;
      // Connections are there, and the statement is known to be short.
      for (let round = 0; round < 4; round++) await Promise.all(Array.from({ length: 120 }, read));
      await victim.freeze();
      try {
        const answers = Promise.all(Array.from({ length: 120 }, read));
        answers.catch(() => undefined);
        await until('many are under way on it', () => nodeOf(cluster, name).inFlight >= 10);
        const { inFlight } = nodeOf(cluster, name);
        await victim.kill();
        expect((await answers).every(({ rows }) => rows[0]?.id === 1)).toBe(true);
        expect(cluster.stats().retries).toMatchObject({ refusedCount: 0 });
        report('reads under way on a replica that is killed', { inFlight, again: cluster.stats().retries.drawnCount });
      } finally {
        await victim.restart();
      }
    },
  );
});

describe('a replica that has no room for connections', () => {
  it('is asked by few, is never ejected for it, and is used again when it has', async () => {
    const as = ({ host, port }: TestNode) => ({
      host,
      port,
      user: 'app',
      password: 'app',
      database: 'postgres',
      max: 12,
    });
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    await using cluster = await open(servers, {
      primary: as(servers.primary),
      replicas: [
        { name: 'r1', ...as(r1) },
        { name: 'r2', ...as(r2) },
      ],
      lane: false,
    });
    const others: pg.Client[] = [];
    for (;;) {
      const other = new pg.Client(as(r1));
      const isFull = await other.connect().then(
        () => false,
        (error: { code?: string }) => error.code === '53300',
      );
      if (isFull) break;
      others.push(other);
    }
    const read = () => cluster.read('select 1');
    await until('r1 is asked less', async () => {
      await Promise.all(Array.from({ length: 4 }, read));
      return nodeOf(cluster, 'r1').heldBackCount > 20;
    });
    expect(nodeOf(cluster, 'r1')).toMatchObject({ ejectionCount: 0, readCount: 0, state: 'live' });
    await Promise.all(others.map((other) => other.end()));
    await until('r1 reads again', async () => {
      await Promise.all(Array.from({ length: 4 }, read));
      return nodeOf(cluster, 'r1').readCount > 0;
    });
  });
});
