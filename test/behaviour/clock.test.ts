/** What the library makes of a monotonic clock that does not run as it should, as under a virtual machine that was stopped, or a test that plays the time after the fact. */
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, replicaShare, until } from './fixture.js';

const played = vi.hoisted(() => ({ offsetMillis: 0, stoodAt: undefined as number | undefined }));
vi.mock('../../src/clock.js', async (original) => ({
  ...(await original<typeof import('../../src/clock.js')>()),
  performance: { now: () => played.stoodAt ?? performance.now() + played.offsetMillis },
}));

const BOUND_MILLIS = 400;
/** The time of day is corrected by up to a second without being set: a clock that stands still for less is not told from that. It is looked at twice a second. */
const NOTICED_MILLIS = 1_500 + BOUND_MILLIS + 600;

describe('a read with maxStalenessMillis', () => {
  let servers: TestCluster;
  let writer: pg.Client;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    writer = new pg.Client(servers.primary.connectionString);
    await writer.connect();
    await writer.query('create table counter (value int not null); insert into counter values (0)');
  });
  afterAll(async () => {
    await writer.end();
    await servers.stop();
  });
  beforeEach(() => {
    Object.assign(played, { offsetMillis: 0, stoodAt: undefined });
  });

  it.each([
    ['goes back by a minute', () => ({ offsetMillis: -60_000 })],
    ['stands still for a while', () => ({ stoodAt: performance.now() })],
  ])('is no older than that when the clock %s', async (_, disturb) => {
    await servers.replicas[0]?.waitForReplay();
    await using cluster = await open(servers);
    const read = async () => {
      const { rows } = await cluster.read<{ value: number }>('select value from counter', [], {
        maxStalenessMillis: BOUND_MILLIS,
      });
      return rows[0]?.value;
    };
    for (let i = 0; i < 20; i++) await read();
    expect(replicaShare(cluster)).toBeGreaterThan(0);
    await servers.replicas[0]?.pauseReplay();
    try {
      const before = await read();
      await writer.query('update counter set value = value + 1');
      Object.assign(played, disturb());
      await new Promise((resolve) => setTimeout(resolve, NOTICED_MILLIS));
      // As long as it stands nothing can be waited for with a bound, either.
      if (played.stoodAt !== undefined) played.offsetMillis = played.stoodAt - performance.now();
      played.stoodAt = undefined;
      for (let i = 0; i < 50; i++) expect(await read()).toBe((before ?? Number.NaN) + 1);
    } finally {
      await servers.replicas[0]?.resumeReplay();
    }
    const { statementCount = 0 } = cluster.stats().nodes.find(({ role }) => role === 'replica') ?? {};
    await until('reads go to the replica again', async () => {
      await read();
      return (cluster.stats().nodes.find(({ role }) => role === 'replica')?.statementCount ?? 0) > statementCount;
    });
  });
});
