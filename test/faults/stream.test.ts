import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { nodeOf, open, runningMillis, until } from '../behaviour/fixture.js';

const ROWS = 400;
const SLOW_START = 'select i from (select pg_sleep(2)) s, generate_series(1, 10) i';
const ENDLESS = 'select i, pg_sleep(0.005) from generate_series(1, 100000) i';
const LONG = `select i, pg_sleep(0.005) from generate_series(1, ${ROWS}) i`;

describe('a stream whose server is lost', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let r1: TestNode;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2, links: true });
    [r1] = servers.replicas as [TestNode];
  });
  afterEach(async () => {
    // Whatever has become of its streams.
    await cluster.close();
    await r1.thaw();
    r1.link.restore();
    if (!r1.running) await r1.restart();
  });
  afterAll(() => servers.stop());

  const losses: [string, () => unknown][] = [
    ['is killed', () => r1.kill()],
    ['is reset', () => r1.link.reset()],
    ['freezes', () => r1.freeze()],
    ['falls silent', () => r1.link.halfOpen()],
  ];
  const readAll = async (text: string, seen: number[], options = {}): Promise<string> => {
    try {
      for await (const { i } of cluster.stream<{ i: number }>(text, [], { batchRows: 10, ...options })) seen.push(i);
      return 'ended';
    } catch (error) {
      const { code, name } = error as Error & { code?: unknown };
      return typeof code === 'string' ? code : name;
    }
  };
  const started = async () => {
    cluster = await open(servers, { hangMillis: 300 });
    await until('both are known', () => nodeOf(cluster, 'r1').state === 'live');
    return { target: { node: 'r1' } };
  };

  it.each(losses)('is read elsewhere when it %s before its first row', async (_, lose) => {
    cluster = await open(servers, {
      hangMillis: 300,
      // none waits for another one's connection, and so none has its rows before the loss
      replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString, max: 40 })),
    });
    const nodes: string[] = [];
    cluster.events.on('route', ({ node }) => nodes.push(node));
    const seen: number[][] = [];
    const reading: Promise<string>[] = [];
    await until('one of them is on the server that is lost, and all run', () => {
      if (nodes.includes('r1')) return nodes.length === seen.length;
      const rows: number[] = [];
      seen.push(rows);
      reading.push(readAll(SLOW_START, rows));
      return false;
    });
    await lose();
    expect(new Set(await Promise.all(reading))).toEqual(new Set(['ended']));
    expect(seen.every((rows) => rows.length === 10)).toBe(true);
    expect(nodes.length).toBeGreaterThan(seen.length);
  });

  it('ends, however late it is lost: also when all has been sent but the last word', async () => {
    cluster = await open(servers, {
      replicas: [{ name: 'r1', connectionString: r1.connectionString }],
      hangMillis: 300,
    });
    const text = 'select i from generate_series(1, 10) i';
    for (let millis = 0; millis <= 120; millis += 10) {
      const target = { node: 'r1' };
      const all = async (): Promise<string[]> =>
        Promise.all(Array.from({ length: 4 }, () => readAll(text, [], { target })));
      await until('it answers all of them', async () => new Set(await all()).has('ended'));
      r1.link.delay(30);
      const readings = Array.from({ length: 4 }, async (): Promise<[how: string, count: number]> => {
        const seen: number[] = [];
        return [await readAll(text, seen), seen.length];
      });
      await new Promise((resolve) => setTimeout(resolve, millis));
      r1.link.reset();
      // With rows handed out it fails, if it was not all over.
      for (const [how, count] of await Promise.all(readings))
        expect(how === 'ended' ? count === 10 : count > 0).toBe(true);
      r1.link.restore();
    }
    await cluster.close();
  });

  it.each(losses)('fails when it %s after some of its rows', async (_, lose) => {
    const options = await started();
    const seen: number[] = [];
    const reading = readAll(LONG, seen, options);
    await until('there are rows', () => seen.length > 20);
    await lose();
    expect(await reading).not.toBe('ended');
    expect(seen.length).toBeLessThan(ROWS);
    expect(seen).toEqual(seen.map((__, index) => index + 1));
  });

  it.each([
    ['timeoutMillis', (millis: number) => ({ timeoutMillis: millis }), 'LADDER_TIMEOUT'],
    ['a signal', (millis: number) => ({ signal: AbortSignal.timeout(millis) }), 'TimeoutError'],
  ])('ends by %s, also on a server that is not found to hang', async (_, more, code) => {
    cluster = await open(servers, { hangMillis: 300_000 });
    let isFrozenInTime = false;
    // On a slow machine it may end before there are rows.
    for (let millis = 700; !isFrozenInTime; millis *= 2) {
      const seen: number[] = [];
      let isOver = false;
      const reading = readAll(ENDLESS, seen, { target: { node: 'r1' }, ...more(millis) }).finally(() => {
        isOver = true;
      });
      await until('there are rows', () => seen.length > 20 || isOver);
      await r1.freeze();
      isFrozenInTime = !isOver;
      const took = await runningMillis(async () => expect(await reading).toBe(code));
      expect(took).toBeLessThan(millis + 2_000);
      await r1.thaw();
    }
  });

  it('does not hold up close() when it is left on a server that is frozen', async () => {
    const options = await started();
    for await (const row of cluster.stream<{ i: number }>(LONG, [], { batchRows: 10, ...options })) {
      if (row.i < 20) continue;
      await r1.freeze();
      break;
    }
    await cluster.close();
  });
});
