import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster, NodeEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { bestOf, nodeOf, open, percentile, RunningClock, report, size, until } from '../behaviour/fixture.js';
import { query } from '../testing/query.js';
import { Traffic } from './traffic.js';

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));

describe('under 64 callers, with a primary and three replicas', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let traffic: Traffic;
  let r1: TestNode;
  const events: NodeEvent[] = [];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 3, links: true });
    r1 = servers.replicas[0] as TestNode;
    cluster = await open(servers);
    cluster.events.on('node', (event) => events.push(event));
    traffic = await Traffic.start(cluster, 0.1);
  });
  afterAll(async () => {
    await traffic.stop();
    await cluster.close();
    await servers.stop();
    expect(traffic.missed).toEqual([]);
  });
  beforeEach(() => {
    events.length = 0;
  });

  /**
   * Brings the fault about for a while, ends it, and waits until r1 answers reads again. However slow the machine is,
   * the fault lasts until all callers have gone on beside it, and until it `isShown`.
   */
  async function suffer(
    what: string,
    begin: () => unknown,
    end: () => unknown,
    millis: number,
    isShown = (): boolean => true,
  ): Promise<void> {
    traffic.reset();
    await begin();
    try {
      const goesOn = traffic.goesOn(3);
      await pause(millis);
      await until('each caller has its reads answered beside the fault', goesOn);
      await untilOfR1('the fault is noticed, and what hung there runs elsewhere', isShown);
    } finally {
      await end();
    }
    const { readCount } = traffic;
    const endedAt = performance.now();
    const before = nodeOf(cluster, 'r1').statementCount;
    await untilOfR1('r1 answers reads again', () => nodeOf(cluster, 'r1').statementCount > before + 20);
    const back = performance.now() - endedAt;
    report(what, { reads: readCount, 'over 1 s': traffic.slowCount, 'ms until traffic is back': back });
    expect(traffic.readReports).toEqual({});
    expect(traffic.writeReports).toEqual({});
    expect(traffic.slowCount).toBeLessThanOrEqual(64);
    expect(traffic.mostFallbacks).toBeLessThanOrEqual(cluster.stats().fallback.limit);
  }

  /** Fails with all that is known of r1. */
  async function untilOfR1(what: string, holds: () => boolean): Promise<void> {
    await until(what, holds).catch((error: unknown) => {
      throw new Error(JSON.stringify({ what, events, nodes: cluster.stats().nodes }), { cause: error });
    });
  }

  const causes = () => events.filter(({ node }) => node === 'r1').map(({ cause }) => cause);
  const states = () => events.filter(({ node }) => node === 'r1').map(({ state }) => state);

  it.each<[string, (node: TestNode) => unknown, (node: TestNode) => unknown, number]>([
    ['killed', (node) => node.kill(), (node) => node.restart(), 1_000],
    ['frozen', (node) => node.freeze(), (node) => node.thaw(), 1_500],
    ['behind a link that has gone silent', (node) => node.link.halfOpen(), (node) => node.link.restore(), 1_500],
    ['behind a link that resets', (node) => node.link.reset(), (node) => node.link.restore(), 1_000],
    [
      'behind a link that drips',
      (node) => node.link.drip({ bytes: 3, everyMillis: 50 }),
      (node) => node.link.restore(),
      1_500,
    ],
    ['behind a link that is 2 s late', (node) => node.link.delay(2_000), (node) => node.link.restore(), 1_500],
  ])('no read fails while a replica is %s, and it comes back by a slow start', async (what, begin, end, millis) => {
    const { retried } = cluster.stats().routes;
    await suffer(
      what,
      () => begin(r1),
      () => end(r1),
      size(0.7, 4) * millis,
      // What hung there ran elsewhere, and did not merely wait for the end of the fault.
      () =>
        states().includes('ejected') && (!causes().includes('it hangs') || cluster.stats().routes.retried > retried),
    );
    expect(states()).toContain('probation');
    // On a busy machine one that drips may be found far slower than the others before it is found to hang.
    if (!causes().some((cause) => /hangs|far more slowly/.test(cause ?? ''))) expect(what).toMatch(/killed|resets/);
  });

  it('a replica that answers far more slowly than the others is ejected, although it never fails', async () => {
    traffic.reset();
    // On a busy machine it may be taken for hung instead: then it is all to do again.
    const isEjectedForThat = async (): Promise<boolean> => {
      await until('r1 has served for a while', () => nodeOf(cluster, 'r1').state === 'live');
      r1.link.delay(350);
      try {
        await until('it is ejected', () => nodeOf(cluster, 'r1').state === 'ejected');
        return nodeOf(cluster, 'r1').ejectedFor?.includes('far more slowly') === true;
      } finally {
        r1.link.restore();
      }
    };
    expect(await bestOf(8, isEjectedForThat, (holds) => holds)).toBe(true);
    await until('it is back', () => nodeOf(cluster, 'r1').state === 'probation');
    expect(traffic.readReports).toEqual({});
  }, 180_000);

  it('no read fails while a replica is cut off from the primary: it answers whoever does not mind', async () => {
    await suffer(
      'cut off from the primary',
      () => r1.cutReplication(),
      () => r1.restoreReplication(),
      size(1_000, 12_000),
    );
  });

  it('reads that wait for a pool full of slow queries are sent elsewhere, and overload ejects nobody', async () => {
    const { ejectionCount } = nodeOf(cluster, 'r1');
    const controller = new AbortController();
    let slow: Promise<unknown> = Promise.resolve();
    const fill = () => {
      const options = { target: { node: 'r1' }, consistency: 'eventual', signal: controller.signal } as const;
      // Endless, as far as those are concerned that would wait there: about twenty of the callers.
      slow = Promise.allSettled(Array.from({ length: 10 }, () => cluster.read('select pg_sleep(60)', [], options)));
    };
    const empty = () => {
      controller.abort();
      return slow;
    };
    await suffer('full of slow queries', fill, empty, 1_500);
    expect(nodeOf(cluster, 'r1').ejectionCount).toBe(ejectionCount);
  });

  it('no read fails when the library’s own connections are cut', async () => {
    const cut =
      "select pg_terminate_backend(pid) from pg_stat_activity where query like '%in_recovery%' and pid <> pg_backend_pid()";
    await suffer(
      'the monitor’s connections cut',
      async () => {
        for (const node of servers.nodes) await query(node, cut);
      },
      () => undefined,
      500,
    );
  });

  it('no read fails when all replicas are killed: the primary answers, and never more of them than its budget allows', async () => {
    const { admitted } = cluster.stats().fallback;
    await suffer(
      'all replicas killed',
      () => Promise.all(servers.replicas.map((replica) => replica.kill())),
      () => Promise.all(servers.replicas.map((replica) => replica.restart())),
      size(1_000, 5_000),
    );
    expect(cluster.stats().fallback.admitted).toBeGreaterThan(admitted);
  });

  it('no read fails when all replicas freeze', async () => {
    await suffer(
      'all replicas frozen',
      () => Promise.all(servers.replicas.map((replica) => replica.freeze())),
      () => Promise.all(servers.replicas.map((replica) => replica.thaw())),
      size(1_500, 5_000),
    );
  });

  it('stats() and events tell of every node what became of it', () => {
    const { nodes } = cluster.stats();
    expect(nodes.reduce((sum, { readShare }) => sum + readShare, 0)).toBeCloseTo(1);
    expect(nodeOf(cluster, 'r1').ejectionCount).toBeGreaterThanOrEqual(6);
    for (const { latencyMillis } of nodes)
      expect(latencyMillis?.p99).toBeGreaterThanOrEqual(latencyMillis?.p50 ?? Number.NaN);
  });
});

describe('a primary that freezes', () => {
  it('does not hold up reads that a replica can answer, and keeps its writes waiting rather than in doubt', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers);
    await cluster.write('create table t (v int)');
    await servers.replicas[0]?.waitForReplay();
    await cluster.read('select 1');
    await servers.primary.freeze();
    const write = cluster.write('insert into t values (1)');
    const stuck = cluster.session(() => cluster.read('select 1', [], { target: 'primary' }));
    await until('it is found hung', () => nodeOf(cluster, 'primary').state === 'unknown');
    const clock = new RunningClock();
    const took: number[] = [];
    for (let i = 0; i < 50; i++) {
      const startedAt = clock.now();
      await cluster.session(() => cluster.read('select 1'), { inherit: 'none' });
      took.push(clock.now() - startedAt);
    }
    clock.stop();
    // Held up by the primary each would take as long as that is waited for, 500 ms or more.
    expect(percentile(took, 0.5)).toBeLessThan(250);
    expect(nodeOf(cluster, 'r1').statementCount).toBeGreaterThanOrEqual(50);
    await servers.primary.thaw();
    await write;
    expect((await stuck).rowCount).toBe(1);
    const { rows } = await cluster.read('select v from t');
    expect(rows).toEqual([{ v: 1 }]);
  });
});
