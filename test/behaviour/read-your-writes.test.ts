import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster, ClusterBehaviour, LabelledNodes } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, percentile, readsOf, replicaShare, report, size, until } from './fixture.js';

const SESSIONS = 16;
const PAIRS = size(800, 20_000);

interface Outcome {
  readonly stale: number;
  readonly readMillis: readonly number[];
}

/** Each worker writes and reads its own row, over and over, without a pause. */
async function writeThenRead(cluster: Cluster, around: (work: () => Promise<void>) => Promise<void>): Promise<Outcome> {
  let stale = 0;
  const readMillis: number[] = [];
  await cluster.write('update counters set value = 0');
  await Promise.all(
    Array.from({ length: SESSIONS }, (_, id) =>
      around(async () => {
        for (let value = 1; value <= PAIRS / SESSIONS; value++) {
          await cluster.write('update counters set value = $1 where id = $2', [value, id]);
          const startedAt = performance.now();
          const { rows } = await cluster.read<{ value: number }>('select value from counters where id = $1', [id]);
          readMillis.push(performance.now() - startedAt);
          if (rows[0]?.value !== value) stale++;
        }
      }),
    ),
  );
  return { stale, readMillis };
}

describe('a read after a write, while every replica’s replay is paused half of the time', () => {
  let servers: TestCluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    await using cluster = await open(servers);
    await cluster.write('create table counters (id int primary key, value int not null)');
    await cluster.write('insert into counters select i, 0 from generate_series(0, $1) i', [SESSIONS - 1]);
    await cluster.write(`create role lazy login superuser password '${servers.primary.password}'`);
    await cluster.write('alter role lazy set synchronous_commit = off');
    for (const [i, replica] of servers.replicas.entries()) {
      await replica.waitForReplay();
      await replica.jitterReplay({ seed: i + 1, maxMillis: 300, share: 0.5 });
    }
  });
  afterAll(() => servers.stop());

  async function show(
    what: string,
    options: Partial<LabelledNodes> & ClusterBehaviour,
    around: (cluster: Cluster) => (work: () => Promise<void>) => Promise<void>,
    leastShare: number,
  ): Promise<{ stale: number }> {
    await using cluster = await open(servers, options);
    let stale = 0;
    let readMillis: readonly number[] = [];
    let share = 0;
    // How many that are depends on how soon the servers get to replay: a slow machine may need more than one round.
    await until(`a share of ${leastShare} runs on replicas`, async () => {
      const before = readsOf(cluster);
      const round = await writeThenRead(cluster, around(cluster));
      stale += round.stale;
      readMillis = round.readMillis;
      share = replicaShare(cluster, before);
      expect(readMillis).toHaveLength(PAIRS);
      return share > leastShare;
    });
    report(`${PAIRS} pairs ${what}`, {
      stale,
      'share on replicas': share,
      'p50 ms': percentile(readMillis, 0.5),
      'p99 ms': percentile(readMillis, 0.99),
      nudges: cluster.stats().nudgeCount,
    });
    return { stale };
  }

  const inSessions = (cluster: Cluster) => (work: () => Promise<void>) => cluster.session(work);

  it('is never stale in a session, and mostly runs on a replica', async () => {
    const { stale } = await show('in sessions', {}, inSessions, 0.6);
    expect(stale).toBe(0);
  });

  it('is never stale when nothing waits for a replica (waitMillis: 0)', async () => {
    const { stale } = await show('with waitMillis 0', { waitMillis: 0 }, inSessions, 0.1);
    expect(stale).toBe(0);
  });

  it('is never stale outside any session: the process is the session then', async () => {
    const { stale } = await show('outside any session', {}, () => (work) => work(), 0.6);
    expect(stale).toBe(0);
  });

  it('is never stale when commits do not wait for the disk (synchronous_commit = off)', async () => {
    const primary = servers.primary.connectionString.replace('//postgres:', '//lazy:');
    const { stale } = await show('with synchronous_commit off', { primary }, inSessions, 0.3);
    expect(stale).toBe(0);
  });

  it('would be stale with consistency eventual: the servers do lag in these tests', async () => {
    await using cluster = await open(servers, { consistency: 'eventual' });
    await until('a read is stale', async () => (await writeThenRead(cluster, inSessions(cluster))).stale > 0);
  });
});
