import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, runningMillis, signal, until } from '../behaviour/fixture.js';

describe('reads that no replica can serve', () => {
  let servers: TestCluster;
  let cluster: Cluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    cluster = await open(servers, { primaryReadBudget: 2, waitMillis: 0 });
    await servers.replicas[0]?.pauseReplay();
    await cluster.write('create table if not exists t (v int)');
    await cluster.write('insert into t values (0)');
  });
  afterEach(async () => {
    await servers.replicas[0]?.resumeReplay();
    await cluster.close();
  });

  const fallback = () => cluster.stats().fallback;

  /** Two reads that keep both turns until they are let go. */
  async function holders(): Promise<{ readonly letGo: () => Promise<unknown> }> {
    const over = signal();
    const hold = async (): Promise<void> => {
      const rows = cluster.stream('select generate_series(1, 3) as i');
      await rows.next();
      await over.given;
      await rows.return(undefined);
    };
    const held = Promise.all([hold(), hold()]);
    await until('both turns are taken', () => fallback().inUse === 2);
    return {
      letGo: () => {
        over.give();
        return held;
      },
    };
  }

  it('run on the primary as many at a time as its budget allows; the others wait for their turn', async () => {
    const reads = Promise.all(Array.from({ length: 20 }, () => cluster.read('select pg_sleep(0.02)')));
    let most = 0;
    await until('all have run', () => {
      most = Math.max(most, cluster.stats().nodes[0]?.inFlight ?? 0);
      return fallback().admitted === 20 && fallback().inUse === 0;
    });
    await reads;
    expect(most).toBe(2);
    expect(fallback()).toMatchObject({ limit: 2, inUse: 0, waiting: 0, admitted: 20, refused: 0 });
    expect(cluster.stats().routes['behind-floor']).toBe(20);
  });

  it('give up at their own deadline, with an estimate of when to come again', async () => {
    const { letGo } = await holders();
    const startedAt = performance.now();
    let refused: unknown;
    const took = await runningMillis(async () => {
      refused = await cluster.read('select 1', [], { timeoutMillis: 150 }).catch((error: unknown) => error);
    });
    expect(performance.now() - startedAt).toBeGreaterThan(140);
    expect(took).toBeLessThan(500);
    expect(refused).toMatchObject({ code: 'LADDER_OVERLOADED', message: expect.stringContaining('primaryReadBudget') });
    expect((refused as { retryAfterMillis: number }).retryAfterMillis).toBeGreaterThan(0);
    expect(fallback()).toMatchObject({ inUse: 2, waiting: 0, refused: 1 });
    // A signal is the caller's own word, not a deadline.
    const mine = new Error('enough');
    await expect(cluster.read('select 1', [], { signal: AbortSignal.abort(mine) })).rejects.toBe(mine);
    const controller = new AbortController();
    const waiting = cluster.read('select 1', [], { signal: controller.signal });
    await until('it waits', () => fallback().waiting === 1);
    controller.abort(mine);
    await expect(waiting).rejects.toBe(mine);
    await letGo();
    expect(fallback()).toMatchObject({ inUse: 0, waiting: 0 });
  });

  it('queue by priority', async () => {
    const order: string[] = [];
    const { letGo } = await holders();
    const over = signal();
    const read = (name: string, priority: 'high' | 'normal' | 'low') =>
      cluster.session(
        async () => {
          const rows = cluster.stream('select generate_series(1, 3) as i');
          await rows.next();
          order.push(name);
          // However long it takes to begin, none of those behind it has its turn before.
          await over.given;
          await rows.return(undefined);
        },
        { priority },
      );
    const reads = [read('low', 'low'), read('low too', 'low'), read('normal', 'normal'), read('high', 'high')];
    await until('all wait', () => fallback().waiting === 4);
    await letGo();
    await until('two have begun', () => order.length >= 2);
    expect(order.sort()).toEqual(['high', 'normal']);
    over.give();
    await Promise.all(reads);
    expect(order.slice(2).sort()).toEqual(['low', 'low too']);
  });

  it('leave turns for others, however far ahead the token of one client is and however much it asks', async () => {
    const token = await cluster.session((session) => session.token());
    const controller = new AbortController();
    const { signal } = controller;
    const read = () =>
      cluster.session((session) => session.read('select pg_sleep(60)', [], { signal, timeoutMillis: 30_000 }), {
        token,
        inherit: 'none',
      });
    const flood = Promise.allSettled(Array.from({ length: 20 }, read));
    await until('it has its turn, and the others wait', () => fallback().inUse === 1 && fallback().waiting === 19);
    // The only one beside it waits for none of them.
    await cluster.session((session) => session.read('select 1'));
    expect(fallback()).toMatchObject({ inUse: 1, waiting: 19 });
    controller.abort();
    await flood;
  });

  it('are refused at once when enough of them wait', async () => {
    await servers.replicas[0]?.resumeReplay();
    await using narrow = await open(servers, { primaryReadBudget: 1, maxWaiting: 2, waitMillis: 0 });
    await servers.replicas[0]?.pauseReplay();
    await narrow.write('insert into t values (0)');
    const controller = new AbortController();
    const { signal } = controller;
    const waiting = Promise.allSettled([1, 2, 3].map(() => narrow.read('select pg_sleep(60)', [], { signal })));
    await until('two wait', () => narrow.stats().fallback.waiting === 2);
    const refused = narrow.read('select 1');
    await expect(refused).rejects.toMatchObject({
      code: 'LADDER_OVERLOADED',
      message: expect.stringContaining('maxWaiting'),
    });
    expect(narrow.stats().fallback).toMatchObject({ inUse: 1, waiting: 2, refused: 1 });
    controller.abort();
    await waiting;
  });

  it('say what they have waited for, and not merely that their time was over', async () => {
    const { letGo } = await holders();
    const waiting = Array.from({ length: 20 }, () => cluster.read('select 1', [], { timeoutMillis: 500 }));
    const codes = (await Promise.allSettled(waiting)).map((one) => (one.status === 'rejected' ? one.reason.code : ''));
    expect(new Set(codes)).toEqual(new Set(['LADDER_OVERLOADED']));
    await letGo();
  });

  it('leave the queue for a replica that has caught up meanwhile', async () => {
    const { letGo } = await holders();
    const waiting = Array.from({ length: 10 }, () => cluster.read('select 1'));
    await until('all wait', () => fallback().waiting === 10);
    await servers.replicas[0]?.resumeReplay();
    await Promise.all(waiting);
    expect(fallback()).toMatchObject({ inUse: 2, waiting: 0, admitted: 2, refused: 0 });
    await letGo();
  });

  it('share the budget with streams and read-only transactions, which hold their turn until they end', async () => {
    const rows = cluster.stream('select generate_series(1, 3) as i');
    await rows.next();
    await cluster.transaction(
      async (client) => {
        await client.query('select 1');
        expect(fallback().inUse).toBe(2);
        await expect(
          cluster.outsideTransaction(() => cluster.read('select 1', [], { timeoutMillis: 500 })),
        ).rejects.toMatchObject({
          code: 'LADDER_OVERLOADED',
        });
      },
      { readOnly: true },
    );
    expect(fallback().inUse).toBe(1);
    await rows.return(undefined);
    expect(fallback().inUse).toBe(0);
  });

  it('leave alone who asks for the primary by name, and who writes', async () => {
    const { letGo } = await holders();
    await cluster.read('select 1', [], { target: 'primary' });
    await cluster.write('insert into t values (1)');
    await cluster.transaction(() => cluster.read('select 1'));
    // None of them has waited for a turn.
    expect(fallback()).toMatchObject({ inUse: 2, waiting: 0 });
    await letGo();
  });
});

describe('a cluster without replicas', () => {
  it('has no budget: the primary is not the last rung, but the only one', async () => {
    await using servers = await startTestCluster({ replicas: 0 });
    await using cluster = await open(servers, { primaryReadBudget: 1 });
    await Promise.all(Array.from({ length: 10 }, () => cluster.read('select pg_sleep(0.01)')));
    expect(cluster.stats().fallback).toMatchObject({ admitted: 0, refused: 0 });
  });
});
