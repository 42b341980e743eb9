import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster, RouteEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, percentile, replicaShare, report, size, until } from './fixture.js';

const READERS = 8;

describe('what others write', () => {
  let servers: TestCluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    await using cluster = await open(servers);
    await cluster.write('create table counter (value int not null)');
    await cluster.write('insert into counter values (0)');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());

  /** Another process, as far as the library can tell: it raises the counter until it is stopped. */
  async function startWriter(pauseMillis: number): Promise<{ acknowledged: () => number; stop: () => Promise<void> }> {
    const client = new pg.Client(servers.primary.connectionString);
    await client.connect();
    const { rows } = await client.query<{ value: number }>('select value from counter');
    let acknowledged = rows[0]?.value ?? 0;
    let isRunning = true;
    const writing = (async () => {
      while (isRunning) {
        await client.query('update counter set value = value + 1');
        acknowledged++;
        if (pauseMillis > 0) await new Promise((resolve) => setTimeout(resolve, pauseMillis));
      }
      await client.end();
    })();
    return {
      acknowledged: () => acknowledged,
      stop: () => {
        isRunning = false;
        return writing;
      },
    };
  }

  const valueIn = async (reading: ReturnType<Cluster['read']>) => (await reading).rows[0]?.['value'] as number;

  it.each([
    ['under replay that is paused half of the time', true, 0],
    ['when it is quiet', false, 5],
  ])(
    'a strong read sees every write, by anyone, that had returned before it began: %s',
    async (what, isJittered, pauseMillis) => {
      await using cluster = await open(servers);
      const jitters = isJittered
        ? await Promise.all(servers.replicas.map((r, i) => r.jitterReplay({ seed: 7 + i, maxMillis: 300, share: 0.5 })))
        : [];
      const writer = await startWriter(pauseMillis);
      const reads = size(800, 20_000);
      const millis: number[] = [];
      let stale = 0;
      const round = (): Promise<unknown> =>
        Promise.all(
          Array.from({ length: READERS }, async () => {
            for (let i = 0; i < reads / READERS; i++) {
              const atLeast = writer.acknowledged();
              const startedAt = performance.now();
              const value = await valueIn(cluster.read('select value from counter', [], { consistency: 'strong' }));
              millis.push(performance.now() - startedAt);
              if (value < atLeast) stale++;
              // Eight readers without a pause would leave the two cores nothing to replay with.
              if (pauseMillis > 0) await new Promise((resolve) => setTimeout(resolve, 1));
            }
          }),
        );
      // How many that are depends on how soon the servers get to replay: a slow machine may need more than one round.
      await until('enough of them are answered by replicas', async () => {
        await round();
        return replicaShare(cluster) > (isJittered ? 0.1 : 0.5);
      });
      await writer.stop();
      await Promise.all(jitters.map((jitter) => jitter.stop()));
      report(`${reads} strong reads ${what}`, {
        stale,
        'share on replicas': replicaShare(cluster),
        'p50 ms': percentile(millis, 0.5),
        'p99 ms': percentile(millis, 0.99),
      });
      expect(stale).toBe(0);
    },
  );

  it('a session never sees less than it has seen: over changes of node, the primary in between, and a token handed on', async () => {
    await using cluster = await open(servers, { secrets: ['a secret for the tests of sessions'] });
    const jitter = await servers.replicas[0]?.jitterReplay({ seed: 3, maxMillis: 200, share: 0.6 });
    const writer = await startWriter(0);
    const reads = size(800, 20_000);
    let backwards = 0;
    let moved = 0;
    const round = (): Promise<unknown> =>
      Promise.all(
        Array.from({ length: READERS }, async (_, reader) => {
          let token: string | undefined;
          let seen = 0;
          for (let i = 0; i < reads / READERS / 20; i++) {
            token = await cluster.session(
              async (session) => {
                for (let j = 0; j < 20; j++) {
                  // Now and then somewhere else, as partition keys, balancing and hints make a session move.
                  const where = [undefined, 'primary', { node: 'r1' }, { node: 'r2' }][(i * 7 + j * 3 + reader) % 11];
                  const options =
                    where === undefined ? { partitionKey: `key ${(i + j) % 5}` } : { target: where as 'primary' };
                  const value = await valueIn(cluster.read('select value from counter', [], options)).catch(
                    (error: { code?: string }) => {
                      if (error.code !== 'LADDER_NO_CANDIDATE') throw error;
                      return seen;
                    },
                  );
                  if (value < seen) backwards++;
                  if (value > seen) moved++;
                  seen = value;
                }
                return session.token();
              },
              { token, inherit: 'none', monotonicAcrossRequests: true },
            );
          }
        }),
      );
    await until('sessions have moved, and seen something new, and replicas have answered them', async () => {
      await round();
      return moved > reads / 50 && replicaShare(cluster) > 0.2;
    });
    await writer.stop();
    await jitter?.stop();
    report(`${reads} reads in sessions that move`, {
      backwards,
      'saw something new': moved,
      'share on replicas': replicaShare(cluster),
    });
    expect(backwards).toBe(0);
  });

  it('reads side by side count too: the next one has what either of them has seen', async () => {
    await using cluster = await open(servers);
    const writer = await startWriter(0);
    await servers.replicas[1]?.pauseReplay();
    let backwards = 0;
    for (let round = 0; round < size(20, 500); round++) {
      await cluster.session(
        async () => {
          // The one that shows the past ends last, so that it is the session's latest read.
          const read = (node: string, text: string) =>
            valueIn(cluster.read(text, [], { target: { node }, consistency: 'eventual' }));
          const both = [
            read('r1', 'select value from counter'),
            read('r2', 'select value, pg_sleep(0.01) from counter'),
          ];
          const seen = Math.max(...(await Promise.all(both)));
          if ((await valueIn(cluster.read('select value from counter'))) < seen) backwards++;
        },
        { inherit: 'none' },
      );
    }
    await writer.stop();
    await servers.replicas[1]?.resumeReplay();
    expect(backwards).toBe(0);
  });

  it('sends the reads of one partition key to one replica, and others elsewhere; freshness comes first', async () => {
    await using cluster = await open(servers);
    for (const replica of servers.replicas) await replica.waitForReplay();
    const nodes = new Map<string, Set<string>>();
    let key = '';
    cluster.events.on('route', (event) => nodes.set(key, (nodes.get(key) ?? new Set()).add(event.node)));
    // A replica that is held up by other work is passed over for a moment.
    await until('each key is read at one place', async () => {
      nodes.clear();
      const before = cluster.stats().routes.partition;
      for (let i = 0; i < 20; i++) {
        key = `user:${i}`;
        for (let j = 0; j < 3; j++) await cluster.session(() => cluster.read('select 1'), { partitionKey: key });
      }
      return cluster.stats().routes.partition - before === 60 && [...nodes.values()].every((set) => set.size === 1);
    });
    expect(new Set([...nodes.values()].flatMap((set) => [...set]))).toEqual(new Set(['r1', 'r2']));

    const [ofR1] = [...nodes].find(([, set]) => set.has('r1')) ?? [];
    await servers.replicas[0]?.pauseReplay();
    key = 'behind';
    await cluster.session(
      async () => {
        await cluster.write('update counter set value = value + 1');
        await servers.replicas[1]?.waitForReplay();
        await cluster.read('select value from counter');
      },
      { partitionKey: ofR1 },
    );
    expect(nodes.get('behind')).toEqual(new Set(['primary', 'r2']));
    await servers.replicas[0]?.resumeReplay();
  });

  it('keeps a session on one replica while that one is fresh enough', async () => {
    await using remote = await startTestCluster({ replicas: 2, links: true });
    // A session leaves a replica that is far slower than another: with a long way to both, no busy machine makes one look so.
    for (const { link } of remote.replicas) link?.delay(80);
    await using cluster = await open(remote);
    // Nor one that stands still, in each round.
    await until('a session stays on its replica', async () => {
      const nodes: string[] = [];
      const heard = ({ node, reason }: RouteEvent) => nodes.push(`${node} ${reason}`);
      cluster.events.on('route', heard);
      await cluster.session(async () => {
        for (let i = 0; i < 20; i++) await cluster.read('select 1');
      });
      cluster.events.off('route', heard);
      const [, ...others] = nodes;
      return others.length === 19 && new Set(others).size === 1 && others[0]?.endsWith('affinity') === true;
    });
  });
});
