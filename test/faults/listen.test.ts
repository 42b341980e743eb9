// What befalls `cluster.listen`: it goes on by itself on whichever server is the primary, and says where it may have missed something.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster, Listening, ListenItem } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { listeningPids, next, nextPayload, notify } from '../behaviour/listen/heard.js';
import { open, RunningClock, until } from '../behaviour/fixture.js';
import { ask } from './promoted.js';

/** What each fault may cost, by a clock that runs while this process does. */
const MOST_MILLIS = 15_000;

let servers: TestCluster;
let cluster: Cluster;
const clock = new RunningClock();

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1, links: true });
  cluster = await open(servers);
});
afterAll(async () => {
  await cluster.close();
  clock.stop();
  await servers.stop();
});

/** After a fault each listener gets one gap, and then whatever is sent. */
async function survives(listeners: readonly Listening[], fault: () => Promise<unknown>): Promise<void> {
  await Promise.all(listeners.map(({ ready }) => ready));
  const before = clock.now();
  const startedAt = performance.now();
  const gaps = Promise.all(listeners.map(next));
  await fault();
  const items = await gaps;
  expect(clock.now() - before).toBeLessThan(MOST_MILLIS);
  for (const item of items) {
    expect(item).toEqual({ kind: 'gap', cause: 'reconnected', sinceMillis: expect.any(Number) });
    // It reaches back to before the fault.
    expect((item as ListenItem & { kind: 'gap' }).sinceMillis).toBeGreaterThanOrEqual(performance.now() - startedAt - 1_000);
  }
  const primary = await servers.currentPrimary();
  for (const { channel } of listeners) await notify(primary, channel, `after ${channel}`);
  for (const listening of listeners) {
    const { payload, gaps: more } = await nextPayload(listening);
    // A topology that settles in two steps may begin anew twice.
    expect({ payload, causes: more.map(({ kind }) => kind).filter((kind) => kind !== 'gap') }).toEqual({
      payload: `after ${listening.channel}`,
      causes: [],
    });
  }
  expect(await listeningPids(primary)).toHaveLength(1);
}

describe('a listener goes on by itself, and is told of a gap', () => {
  it('when its connection is ended, at once', async () => {
    await using a = cluster.listen('a');
    await using b = cluster.listen('b');
    await survives([a, b], () =>
      ask(servers.primary, "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '% (listen)'"),
    );
  });

  it('when the network forgets its connections, though new ones are sound', async () => {
    await using a = cluster.listen('a');
    await survives([a], async () => servers.primary.link.forget());
  });

  it('when nothing goes through for a while', async () => {
    await using a = cluster.listen('a');
    await survives([a], async () => {
      const before = await listeningPids(servers.primary);
      servers.primary.link.halfOpen();
      await until('the connection is given up', () => cluster.stats().nodes[0]?.state !== 'live');
      servers.primary.link.forget();
      servers.primary.link.restore();
      await until('it listens anew', async () => {
        const pids = await listeningPids(servers.primary);
        return pids.some((pid) => !before.includes(pid));
      });
    });
  });

  it('when the server is frozen, or restarted', async () => {
    await using a = cluster.listen('a');
    await survives([a], async () => {
      await servers.primary.freeze();
      await until('it is missed', () => cluster.stats().nodes[0]?.state !== 'live');
      await new Promise((resolve) => setTimeout(resolve, 4_500));
      await servers.primary.thaw();
    });
    await survives([a], () => servers.primary.restart());
  });
});

it('what is sent between two failures is heard or told as a gap, never lost in silence', async () => {
  await using listening = cluster.listen('numbers');
  await listening.ready;
  const sender = new pg.Client(servers.primary.direct?.connectionString ?? servers.primary.connectionString);
  expect(sender).toBeDefined();
});

it('after a failover it listens on the new primary', async () => {
  await using a = cluster.listen('a');
  await using b = cluster.listen('b');
  await survives([a, b], () => servers.failover());
});
