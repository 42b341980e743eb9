// What befalls `cluster.listen`: it goes on by itself on whichever server is the primary, and says where it may have missed something.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster, ListenItem, Listening } from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { open, RunningClock, size, until } from '../behaviour/fixture.js';
import { listeningPids, next, nextPayload, notify } from '../behaviour/listen/heard.js';
import { ask } from './promoted.js';

/** What each fault may cost, by a clock that runs while this process does. */
const MOST_MILLIS = 15_000;

const END_LISTENERS = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like '% (listen)'";

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
  const gaps = Promise.all(listeners.map(next));
  await fault();
  const items = await gaps;
  expect(clock.now() - before).toBeLessThan(MOST_MILLIS);
  for (const item of items) {
    expect(item).toEqual({ kind: 'gap', cause: 'reconnected', sinceMillis: expect.any(Number) });
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
}

describe('a listener goes on by itself, and is told of a gap', () => {
  it('when its connection is ended, at once', async () => {
    await using a = cluster.listen('a');
    await using b = cluster.listen('b');
    await survives([a, b], () => ask(servers.primary, END_LISTENERS));
    expect(await listeningPids(servers.primary)).toHaveLength(1);
  });

  it('when the network forgets its connections, though new ones are sound', async () => {
    await using a = cluster.listen('a');
    await survives([a], async () => servers.primary.link.forget());
  });

  it('when the server is restarted', async () => {
    await using a = cluster.listen('a');
    await survives([a], () => servers.primary.restart());
  });
});

it('is ready only when the server has answered', async () => {
  await using keeper = cluster.listen('keeper');
  await keeper.ready;
  servers.primary.link.halfOpen();
  await using late = cluster.listen('late');
  let isReady = false;
  const ready = late.ready.then(() => {
    isReady = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(isReady).toBe(false);
  servers.primary.link.restore();
  await ready;
  await notify(servers.primary, 'late', 'now');
  expect((await nextPayload(late)).payload).toBe('now');
});

it('a server that stands still for a moment loses nothing', async () => {
  await using listening = cluster.listen('still');
  await listening.ready;
  await servers.primary.freeze();
  await until('it is missed', () => cluster.stats().nodes[0]?.state !== 'live');
  await servers.primary.thaw();
  await notify(servers.primary, 'still', 'after');
  expect((await nextPayload(listening)).payload).toBe('after');
});

it('of what is sent between many losses, all is heard or lies at a gap', async () => {
  await using listening = cluster.listen('numbers');
  await listening.ready;
  const count = size(15, 500);
  const items: ListenItem[] = [];
  const loop = (async () => {
    for await (const item of listening) {
      items.push(item);
      if (item.kind === 'notification' && item.payload === 'last') break;
    }
  })();
  let sent = 0;
  const send = (): string => `select pg_notify('numbers', '${++sent}')`;
  for (let round = 0; round < count; round++) {
    const texts = [send(), send(), END_LISTENERS, send(), send()];
    for (const text of texts) await ask(servers.primary, text);
    if (round % 2 === 0) await until('one listens', async () => (await listeningPids(servers.primary)).length === 1);
  }
  await until('one listens', async () => (await listeningPids(servers.primary)).length === 1);
  await until('the last one is heard', async () => {
    await notify(servers.primary, 'numbers', 'last');
    return items.some((item) => 'payload' in item && item.payload === 'last');
  });
  await loop;
  let before = 0;
  let isKnown = true;
  for (const item of items) {
    if (item.kind === 'gap') isKnown = false;
    else {
      const number = item.payload === 'last' ? sent + 1 : Number(item.payload);
      expect(isKnown ? number : number > before).toEqual(isKnown ? before + 1 : true);
      before = number;
      isKnown = true;
    }
  }
  expect(items.filter(({ kind }) => kind === 'gap').length).toBeGreaterThan(0);
});

it('after a failover it listens on the new primary', async () => {
  await using a = cluster.listen('a');
  await using b = cluster.listen('b');
  const [heir] = servers.replicas;
  await survives([a, b], async () => {
    await servers.primary.kill();
    await heir?.promote();
  });
  expect(await listeningPids(heir as TestNode)).toHaveLength(1);
});
