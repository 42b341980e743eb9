import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, readsOf, replicaShare, report, size, until } from './fixture.js';

/** A counter that another client raises, and when each value was acknowledged. */
class Stamps {
  readonly #acknowledgedAt: number[] = [];

  note(): void {
    this.#acknowledgedAt.push(performance.now());
  }

  /** The value that everybody must see who accepts nothing older than `moment`. */
  at(moment: number): number {
    let low = 0;
    let high = this.#acknowledgedAt.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#acknowledgedAt[middle] as number) <= moment) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

describe('maxStalenessMillis', () => {
  let servers: TestCluster;
  let writer: pg.Client;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    writer = new pg.Client(servers.primary.connectionString);
    await writer.connect();
    await writer.query('create table stamps (value int not null)');
    await writer.query('insert into stamps values (0)');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(async () => {
    await writer.end();
    await servers.stop();
  });

  async function readAll(
    cluster: Cluster,
    bound: number,
    stamps: Stamps,
    reads: number,
  ): Promise<{ over: number; slackMillis: number }> {
    let over = 0;
    let slackMillis = 0;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let i = 0; i < reads / 8; i++) {
          const startedAt = performance.now();
          const { rows } = await cluster.read<{ value: number }>('select value from stamps', [], {
            maxStalenessMillis: bound,
          });
          if ((rows[0]?.value ?? -1) < stamps.at(startedAt - bound)) over++;
          slackMillis += cluster.stats().nodes.reduce((sum, n) => sum + (n.stalenessMillis ?? 0), 0) / 2;
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
      }),
    );
    return { over, slackMillis: slackMillis / reads };
  }

  it.each([30, 150, 1_000])('is never exceeded while replay is paused and delayed at random: %i ms', async (bound) => {
    await using cluster = await open(servers, { consistency: 'eventual' });
    await writer.query('update stamps set value = 0');
    for (const replica of servers.replicas) await replica.waitForReplay();
    const jitters = await Promise.all(
      servers.replicas.map((replica, i) => replica.jitterReplay({ seed: bound + i, maxMillis: 300, share: 0.5 })),
    );
    const stamps = new Stamps();
    let isWriting = true;
    const writing = (async () => {
      while (isWriting) {
        await writer.query('update stamps set value = value + 1');
        stamps.note();
      }
    })();
    const reads = size(400, 34_000);
    let [over, slackMillis] = [0, 0];
    // How many that are depends on how soon the servers get to replay: a slow machine may need more than one round.
    await until('enough of them are answered by replicas', async () => {
      const round = await readAll(cluster, bound, stamps, reads);
      over += round.over;
      slackMillis = round.slackMillis;
      return replicaShare(cluster) > (bound >= 150 ? 0.5 : 0.1);
    });
    isWriting = false;
    await writing;
    await Promise.all(jitters.map((jitter) => jitter.stop()));
    report(`${reads} reads within ${bound} ms`, {
      over,
      'share on replicas': replicaShare(cluster),
      'mean proven staleness ms': slackMillis,
    });
    expect(over).toBe(0);
  });

  it('is never exceeded through an applied delay and cut replication', async () => {
    await using cluster = await open(servers, { consistency: 'eventual' });
    await writer.query('update stamps set value = 0');
    for (const replica of servers.replicas) await replica.waitForReplay();
    const [delayed, cut] = servers.replicas;
    await delayed?.delayReplay(100);
    const stamps = new Stamps();
    let isWriting = true;
    const writing = (async () => {
      while (isWriting) {
        await writer.query('update stamps set value = value + 1');
        stamps.note();
      }
    })();
    const cutting = (async () => {
      while (isWriting) {
        await cut?.cutReplication();
        await new Promise((resolve) => setTimeout(resolve, 250));
        await cut?.restoreReplication();
        await new Promise((resolve) => setTimeout(resolve, 150));
      }
    })();
    const reads = size(400, 20_000);
    let [over, slackMillis] = [0, 0];
    await until('enough of them are answered by replicas', async () => {
      const round = await readAll(cluster, 200, stamps, reads);
      over += round.over;
      slackMillis = round.slackMillis;
      return replicaShare(cluster) > 0.3;
    });
    isWriting = false;
    await Promise.all([writing, cutting]);
    await delayed?.delayReplay(0);
    report(`${reads} reads within 200 ms, one replica delayed and one cut off`, {
      over,
      'share on replicas': replicaShare(cluster),
      'mean proven staleness ms': slackMillis,
    });
    expect(over).toBe(0);
  });

  it('does not take an idle primary for a lagging replica', async () => {
    await using cluster = await open(servers);
    // While the machine stands still nobody learns anything of a replica: then it is all to do again.
    await until('a second of reads is answered by replicas', async () => {
      const before = readsOf(cluster);
      for (let i = 0; i < 20; i++) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        await cluster.read('select value from stamps', [], { maxStalenessMillis: 400 });
      }
      return replicaShare(cluster, before) === 1;
    });
  });

  it('sends reads to the primary when no replica can be shown to be that young', async () => {
    await using cluster = await open(servers);
    for (const replica of servers.replicas) await replica.cutReplication();
    await writer.query('update stamps set value = value + 1');
    const { rows } = await writer.query<{ value: number }>('select value from stamps');
    await new Promise((resolve) => setTimeout(resolve, 120));
    const read = await cluster.read('select value from stamps', [], { maxStalenessMillis: 100 });
    expect(read.rows).toEqual(rows);
    expect(cluster.stats().routes['too-stale']).toBe(1);
    for (const replica of servers.replicas) await replica.restoreReplication();
  });

  it('is never wider for a session than the life of a token: one that has expired must have nothing left to say', async () => {
    await using cluster = await open(servers, { tokenLifetimeMillis: 10_000, maxLagMillis: 60_000 });
    await Promise.all(servers.replicas.map((replica) => replica.pauseReplay()));
    await writer.query('update stamps set value = value + 1');
    const route = async (consistency: 'session' | 'eventual') =>
      (await cluster.explain('select 1', [], { consistency })).reason;
    expect(await route('session')).toBe('balanced');
    await until('the session may not read there any more', async () => (await route('session')) === 'too-stale');
    expect(nodeOf(cluster, 'r1').stalenessMillis).toBeGreaterThan(4_900);
    expect(await route('eventual')).toBe('balanced');
    await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
  });

  it('without a bound, takes a replica that lags more than maxLagMillis out until it has caught up', async () => {
    await using cluster = await open(servers, { maxLagMillis: 2_000, consistency: 'eventual' });
    const seen: string[] = [];
    cluster.events.on('node', (event) => seen.push(`${event.node} ${event.state}`));
    await servers.replicas[0]?.pauseReplay();
    await writer.query('update stamps set value = value + 1');
    await until('r1 lags', () => nodeOf(cluster, 'r1').state === 'lagging');
    const before = nodeOf(cluster, 'r1').statementCount;
    for (let i = 0; i < 20; i++) await cluster.read('select 1');
    expect(nodeOf(cluster, 'r1').statementCount).toBe(before);
    await servers.replicas[0]?.resumeReplay();
    await until('r1 is back', () => nodeOf(cluster, 'r1').state === 'live');
    expect(seen).toEqual(['r1 lagging', 'r1 live']);
  });
});
