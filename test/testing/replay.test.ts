import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { jitterSchedule, startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { bestOf } from '../behaviour/fixture.js';
import { open, query } from './query.js';

let cluster: TestCluster;
let primary: TestNode;
let replica: TestNode;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 1 });
  ({ primary } = cluster);
  replica = cluster.replicas[0]!;
  await query(primary, 'create table t (a int)');
  await replica.waitForReplay();
});
afterAll(() => cluster.stop());
afterEach(() => query(primary, 'delete from t'));

const countOn = (node: TestNode) => query(node, 'select count(*)::int from t');

describe('pausing replay', () => {
  it('holds a replica exactly where it is, until it is resumed', async () => {
    await query(primary, 'insert into t values (1)');
    await replica.waitForReplay();
    await replica.pauseReplay();
    const at = await query(replica, 'select pg_last_wal_replay_lsn()::text');
    await query(primary, 'insert into t values (2)');
    const received = async () => query(replica, 'select pg_last_wal_receive_lsn() > $1::pg_lsn', [at]);
    await expect.poll(received).toBe(true);
    expect(await query(replica, 'select pg_last_wal_replay_lsn()::text')).toBe(at);
    expect(await countOn(replica)).toBe(1);
    await replica.resumeReplay();
    await replica.waitForReplay();
    expect(await countOn(replica)).toBe(2);
  });

  it('says how far a replica is when it does not get where it should', async () => {
    await replica.pauseReplay();
    await query(primary, 'insert into t values (1)');
    await expect(replica.waitForReplay(undefined, { timeoutMillis: 50 })).rejects.toThrow(
      /50 ms for r1 to replay up to [0-9A-F]+\/[0-9A-F]+; it is at [0-9A-F]+\/[0-9A-F]+/,
    );
    await replica.resumeReplay();
  });

  it('is no business of a primary', async () => {
    await expect(primary.pauseReplay()).rejects.toMatchObject({ code: '55000' });
    await expect(primary.waitForReplay()).rejects.toThrow(/follows no other node/);
  });
});

describe('waiting for replay', () => {
  it('covers all that the primary has written, at every place of a page', async () => {
    const client = await open(primary);
    for (let round = 0; round < 60; round++) {
      await client.query('insert into t select 1 from generate_series(1, $1)', [1 + ((round * 7) % 40)]);
      await replica.waitForReplay(undefined, { timeoutMillis: 10_000 });
    }
    await client.end();
    expect(await countOn(replica)).toBe(await countOn(primary));
  });
});

describe('delaying replay', () => {
  it('shows a commit that much later, and no longer when it is taken back', async () => {
    await replica.delayReplay(300);
    const startedAt = performance.now();
    await query(primary, 'insert into t values (1)');
    await replica.waitForReplay();
    expect(performance.now() - startedAt).toBeGreaterThan(290);
    await replica.delayReplay(60_000);
    await query(primary, 'insert into t values (2)');
    await replica.delayReplay(0);
    await replica.waitForReplay(undefined, { timeoutMillis: 30_000 });
  });
});

describe('jitter', () => {
  const draw = (count: number, options: Parameters<typeof jitterSchedule>[0]) => {
    const schedule = jitterSchedule(options);
    return Array.from({ length: count }, () => schedule.next().value);
  };

  it('draws the same schedule from the same seed', () => {
    expect(draw(50, { seed: 7 })).toEqual(draw(50, { seed: 7 }));
    expect(draw(50, { seed: 7 })).not.toEqual(draw(50, { seed: 8 }));
  });

  it.each([0.1, 0.5, 0.9])('pauses %s of the time by its schedule, never longer than it may', (share) => {
    const steps = draw(20_000, { seed: 1, maxMillis: 80, share });
    const paused = steps.reduce((sum, step) => sum + step.pausedMillis, 0);
    const running = steps.reduce((sum, step) => sum + step.runningMillis, 0);
    expect(paused / (paused + running)).toBeCloseTo(share, 1.5);
    expect(Math.max(...steps.map((step) => step.pausedMillis))).toBeLessThanOrEqual(80);
    expect(Math.min(...steps.map((step) => step.pausedMillis))).toBeLessThan(1);
  });

  it('refuses a share of everything', async () => {
    await expect(replica.jitterReplay({ share: 1 })).rejects.toMatchObject({ code: 'LADDER_TEST_OPTIONS_INVALID' });
  });

  it('pauses a replica now and then, and leaves it running', async () => {
    const jitter = await replica.jitterReplay({ seed: 3, maxMillis: 40, share: 0.5 });
    const watcher = await open(replica);
    const pausedShare = async (): Promise<number> => {
      const seen = { paused: 0, running: 0 };
      const endsAt = performance.now() + 1_500;
      while (performance.now() < endsAt) {
        const { rows } = await watcher.query<{ state: string }>('select pg_get_wal_replay_pause_state() as state');
        seen[rows[0]?.state === 'not paused' ? 'running' : 'paused']++;
        await sleep(1);
      }
      return seen.paused / (seen.paused + seen.running);
    };
    // A machine that stands still prolongs whichever it is just then.
    const isHalf = (share: number): boolean => share > 0.25 && share < 0.75;
    expect(await bestOf(8, pausedShare, isHalf)).toSatisfy(isHalf);
    await watcher.end();
    await jitter.stop();
    await jitter.stop();
    expect(await query(replica, 'select pg_get_wal_replay_pause_state()')).toBe('not paused');
  });

  it('outlives the death of its server', async () => {
    const jitter = await replica.jitterReplay({ seed: 3, maxMillis: 10 });
    await replica.kill();
    await replica.restart();
    const paused = async () => query(replica, 'select pg_is_wal_replay_paused()');
    await expect.poll(paused, { interval: 2 }).toBe(true);
    await replica.kill();
    await jitter.stop();
    await replica.restart();
    expect(await paused()).toBe(false);
  });
});
