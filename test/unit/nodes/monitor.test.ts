import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Monitor } from '../../../src/nodes/monitor.js';
import type { Node } from '../../../src/nodes/node.js';

vi.mock('../../../src/clock.js', () => import('../../played-clock.js'));

const PROBE_MILLIS = 100;
const IDLE_MILLIS = 5_000;
const ANSWER_MILLIS = 1;

/** A server that notes when it is asked, and answers a little later, unless it is down. */
function playedNode(name: string, role: 'primary' | 'replica' = 'replica') {
  const asked: number[] = [];
  const node = {
    name,
    role,
    asked,
    isDown: false,
    assessments: 0,
    observation: undefined as { sentAt: number } | undefined,
    health: { assess: () => node.assessments++ },
    probe: {
      observe: async () => {
        const sentAt = performance.now();
        asked.push(sentAt);
        await new Promise((resolve) => setTimeout(resolve, ANSWER_MILLIS));
        node.observation = node.isDown ? undefined : { sentAt };
        if (node.isDown) throw new Error('refused');
      },
    },
  };
  return node;
}

type Played = ReturnType<typeof playedNode>;
const as = (nodes: readonly Played[]) => nodes as unknown as readonly Node[];
const one = (node: Played) => node as unknown as Node;

const open: Monitor[] = [];
let awayMillis = 0;

function monitorOf(nodes: readonly Played[], over: { readonly monitor?: 'timer' | 'onDemand' } = {}) {
  let ticks = 0;
  const settings = { monitor: 'timer', probeMillis: PROBE_MILLIS, idleProbeMillis: IDLE_MILLIS, ...over };
  const heartbeat = { awake: (now: number) => now - awayMillis };
  const monitor = new Monitor(as(nodes), settings as never, heartbeat as never, () => ticks++);
  open.push(monitor);
  return { monitor, ticks: () => ticks };
}

const pass = (millis: number) => vi.advanceTimersByTimeAsync(millis);

/** How often it was asked within that time. @param each what happens every 10 ms */
async function askedWithin(node: Played, millis: number, each = (): void => undefined): Promise<number> {
  const before = node.asked.length;
  for (let t = 0; t < millis; t += 10) {
    each();
    await pass(10);
  }
  return node.asked.length - before;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
  awayMillis = 0;
});
afterEach(async () => {
  for (const monitor of open.splice(0)) monitor.stop();
  // What was asked is answered.
  await pass(ANSWER_MILLIS);
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

describe('a server is asked where it stands', () => {
  it('at once, every probeMillis under traffic, and every idleProbeMillis when nothing is', async () => {
    const node = playedNode('r1');
    const { monitor } = monitorOf([node]);
    monitor.start();
    await pass(0);
    expect(node.asked.length).toBe(1);
    const used = () => monitor.used(performance.now());
    expect(await askedWithin(node, 2_000, used)).toBeGreaterThanOrEqual(18);
    await pass(IDLE_MILLIS + PROBE_MILLIS);
    expect(await askedWithin(node, 10 * IDLE_MILLIS)).toBe(10);
    // The first use after that has everybody asked soon.
    expect(await askedWithin(node, 2 * PROBE_MILLIS, used)).toBeGreaterThanOrEqual(1);
  });

  it('less often where there are many', async () => {
    const nodes = Array.from({ length: 100 }, (_, i) => playedNode(`r${i}`));
    const { monitor } = monitorOf(nodes);
    monitor.start();
    await pass(1_000);
    let count = 0;
    for (const node of nodes) count -= node.asked.length;
    await askedWithin(nodes[0] as Played, 2_000, () => monitor.used(performance.now()));
    for (const node of nodes) count += node.asked.length;
    expect(count).toBeLessThanOrEqual(2 * 200 + 100);
  });

  it('not again while what came along with a read is young enough', async () => {
    const node = playedNode('r1');
    const { monitor } = monitorOf([node]);
    monitor.start();
    const along = () => {
      monitor.used(performance.now());
      if (node.observation !== undefined) node.observation = { sentAt: performance.now() };
    };
    await pass(10);
    expect(await askedWithin(node, 2_000, along)).toBe(0);
  });

  it('ever less often while it does not answer, up to idleProbeMillis', async () => {
    const node = playedNode('r1');
    node.isDown = true;
    const { monitor } = monitorOf([node]);
    monitor.start();
    await pass(60_000);
    const pauses = node.asked.slice(1).map((at, i) => at - (node.asked[i] as number) - ANSWER_MILLIS);
    expect(pauses.slice(0, 7)).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000]);
    expect(new Set(pauses.slice(6))).toEqual(new Set([IDLE_MILLIS]));
  });

  it('soon after a write on it, and after it was lost, and once for all that comes in between', async () => {
    const node = playedNode('p', 'primary');
    const { monitor } = monitorOf([node]);
    monitor.start();
    await pass(IDLE_MILLIS - 200);
    const before = node.asked.length;
    // What came along with a read was sent before the write returned.
    node.observation = { sentAt: performance.now() };
    monitor.wrote(one(node), performance.now());
    monitor.wrote(one(node), performance.now() + 10);
    await pass(30);
    expect(node.asked.length).toBe(before + 1);
    monitor.lost(one(node));
    await pass(60);
    expect(node.asked.length).toBe(before + 2);
  });

  it('at once when something is wrong with the primary, but for those that do not answer anyway', async () => {
    const [well, down] = [playedNode('r1'), playedNode('r2')];
    down.isDown = true;
    const { monitor } = monitorOf([well, down]);
    monitor.start();
    await pass(2_000);
    const before = [well.asked.length, down.asked.length];
    monitor.hastenAll();
    await pass(0);
    expect([well.asked.length, down.asked.length]).toEqual([(before[0] as number) + 1, before[1]]);
  });

  it('no more when it has left, and at once when it has joined', async () => {
    const [stays, leaves, joins] = [playedNode('r1'), playedNode('r2'), playedNode('r3')];
    const { monitor, ticks } = monitorOf([stays, leaves]);
    monitor.start();
    await pass(2 * IDLE_MILLIS + 100);
    const counts = () => [stays, leaves, joins].map(({ asked }) => asked.length);
    const [ofStaying = 0, ofLeaving = 0] = counts();
    const { assessments } = leaves;
    monitor.watch(as([stays, joins]));
    await pass(0);
    expect(counts()).toEqual([ofStaying, ofLeaving, 1]);
    await pass(2 * IDLE_MILLIS + 100);
    expect(counts()).toEqual([ofStaying + 2, ofLeaving, 3]);
    expect(leaves.assessments).toBe(assessments);
    expect(Math.min(ticks(), stays.assessments)).toBeGreaterThan(0);
  });

  it('on demand only when a statement comes, with no timer in between', async () => {
    const node = playedNode('r1');
    const { monitor } = monitorOf([node], { monitor: 'onDemand' });
    monitor.start();
    await pass(60_000);
    expect([node.asked.length, vi.getTimerCount()]).toEqual([0, 0]);
    monitor.used(performance.now());
    monitor.used(performance.now());
    await pass(PROBE_MILLIS + 10);
    expect([node.asked.length, vi.getTimerCount()]).toEqual([1, 0]);
    monitor.askOnDemand(performance.now());
    await pass(10);
    expect(node.asked.length).toBe(2);
  });
});

describe('who waits', () => {
  it('for a replica has that one asked in quick succession, and the primary now and then', async () => {
    const [primary, awaited, other] = [playedNode('p', 'primary'), playedNode('r1'), playedNode('r2')];
    const { monitor } = monitorOf([primary, awaited, other]);
    monitor.start();
    await pass(1_000);
    const nodes = [primary, awaited, other];
    const before = nodes.map(({ asked }) => asked.length);
    let isReached = false;
    const waiting = monitor.until(() => isReached, 5_000, as([awaited]));
    await pass(200);
    const [ofPrimary, ofAwaited, ofOther] = nodes.map(({ asked }, i) => asked.length - (before[i] as number));
    expect(ofAwaited).toBeGreaterThanOrEqual(40);
    expect(ofPrimary).toBeGreaterThanOrEqual(3);
    expect(ofPrimary).toBeLessThanOrEqual(5);
    expect(ofOther).toBeLessThanOrEqual(3);
    isReached = true;
    monitor.wake();
    expect(await waiting).toBe(true);
    const after = awaited.asked.length;
    await pass(1_000);
    expect(awaited.asked.length - after).toBeLessThanOrEqual(1_000 / PROBE_MILLIS + 1);
  });

  it('for a primary has all asked, also those that do not answer', async () => {
    const down = playedNode('r1');
    down.isDown = true;
    const { monitor } = monitorOf([playedNode('r2'), down]);
    monitor.start();
    await pass(30_000);
    const waiting = monitor.until(() => false, 1_000, 'primary');
    // What is due by then is not yet.
    await pass(200);
    const before = down.asked.length;
    await pass(500);
    expect(down.asked.length - before).toBeGreaterThanOrEqual(9);
    await pass(500);
    expect(await waiting).toBe(false);
  });

  it('on demand has a timer as long as he waits', async () => {
    const node = playedNode('r1');
    const { monitor } = monitorOf([node], { monitor: 'onDemand' });
    const waiting = monitor.until(() => node.asked.length >= 5, 1_000, as([node]));
    for (let t = 0; t < 100; t++) {
      await pass(1);
      monitor.wake();
    }
    expect(await waiting).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('gives up after his time, not counting that in which the process did not run', async () => {
    const { monitor } = monitorOf([playedNode('r1')]);
    let outcome: boolean | undefined;
    void monitor
      .until(() => false, 1_000, 'anything')
      .then((isReached) => {
        outcome = isReached;
      });
    await pass(500);
    awayMillis = 700;
    await pass(600);
    expect(outcome).toBeUndefined();
    await pass(590);
    expect(outcome).toBeUndefined();
    await pass(20);
    expect(outcome).toBe(false);
  });

  it('gives up when he is told to, and is not held up by what is reached already or has stopped', async () => {
    const { monitor } = monitorOf([playedNode('r1')]);
    const giveUp = new AbortController();
    const waiting = monitor.until(() => false, 1_000, 'anything', giveUp.signal);
    giveUp.abort();
    expect(await waiting).toBe(false);
    expect(await monitor.until(() => false, 1_000, 'anything', giveUp.signal)).toBe(false);
    expect(await monitor.until(() => true, 1_000, 'anything')).toBe(true);
    const [stopped, resting] = [monitor.until(() => false, 1_000, 'anything'), monitor.rest(60_000)];
    monitor.stop();
    expect(await stopped).toBe(false);
    await resting;
    await monitor.rest(60_000);
    expect(await monitor.until(() => false, 1_000, 'anything')).toBe(false);
  });
});
