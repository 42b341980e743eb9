/**
 * `monotonicAcrossRequests` on the primary: a synchronous standby shows a commit while the primary still waits for another one, and whoever has seen it there
 * sees it on the primary, too, in the next session.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster, SessionOptions } from '../../src/index.js';
import { carriedBy } from '../../src/session/carried-session.js';
import type { Session } from '../../src/session/session.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, until } from './fixture.js';

const VALUE = 'select value from counter';
const TO_PRIMARY = { target: 'primary' } as const;

describe('what was seen on a replica before the primary shows it', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let hasty: Cluster;
  let writer: Client;
  let commit: Promise<unknown>;
  let value = 0;

  beforeAll(async () => {
    servers = await startTestCluster({
      replicas: 2,
      synchronousReplicas: 2,
      settings: { synchronous_commit: 'local' },
    });
    // The primary waits for as long as it takes.
    cluster = await open(servers, { waitMillis: 10_000, hangMillis: 10_000 });
    hasty = await open(servers, { waitMillis: 20, hangMillis: 200 });
    await cluster.write('create table counter (value int)');
    await cluster.write('create table other (value int)');
    await cluster.write('insert into counter values (0)');
    writer = new Client(servers.primary.connectionString);
    await writer.connect();
    await writer.query('set synchronous_commit = remote_apply');
  });
  afterAll(async () => {
    await writer?.end();
    await Promise.all([cluster?.close(), hasty?.close()]);
    await servers?.stop();
  });
  beforeEach(async () => {
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    await servers.replicas[1]?.pauseReplay();
    commit = writer.query('update counter set value = $1', [++value]);
    await until('r1 shows it', async () => (await on('r1')) === value);
    expect(await on('primary')).toBe(value - 1);
  });
  afterEach(async () => {
    await servers.replicas[1]?.resumeReplay();
    await commit;
  });

  const on = async (node: string) => valueIn(cluster.read(VALUE, [], { target: { node }, consistency: 'eventual' }));
  const valueIn = async (read: Promise<{ rows: Record<string, unknown>[] }>) => (await read).rows[0]?.['value'];
  const across = (options: SessionOptions = {}): SessionOptions => ({
    inherit: 'none',
    monotonicAcrossRequests: true,
    ...options,
  });
  /** Lets the primary show it, after a while in which a read that does not wait is over. */
  const showLater = async () => {
    await sleep(150);
    await servers.replicas[1]?.resumeReplay();
  };
  /** A position above that commit, of somebody who has not looked. */
  const tokenAbove = () =>
    cluster.session(
      async (session) => {
        await session.write('insert into other values (1)');
        return session.token();
      },
      { inherit: 'none' },
    );

  it('is seen on the primary in a session that starts from the token', async () => {
    let shown: Promise<void> | undefined;
    const token = await cluster.session(async (session) => {
      expect(await valueIn(session.read(VALUE, [], { target: { node: 'r1' } }))).toBe(value);
      shown = showLater();
      return session.token();
    }, across());
    const next = cluster.session((session) => valueIn(session.read(VALUE, [], TO_PRIMARY)), across({ token }));
    expect(await next).toBe(value);
    await shown;
  });

  it('is no matter of sessions whose tokens carry writes alone', async () => {
    const token = await cluster.session(
      async (session) => {
        await session.read(VALUE, [], { target: { node: 'r1' } });
        return session.token();
      },
      { inherit: 'none' },
    );
    const next = cluster.session((session) => valueIn(session.read(VALUE, [], TO_PRIMARY)), { inherit: 'none', token });
    expect(await next).toBe(value - 1);
  });

  it.each([
    ['a read', (session: Session) => valueIn(session.read(VALUE, [], TO_PRIMARY))],
    ['a transaction', (session: Session) => session.transaction((client) => valueIn(client.query(VALUE)))],
  ])('is waited for by %s on the primary, whoever made the token', async (_what, read) => {
    const token = await tokenAbove();
    const reading = cluster.session((session) => read(session), across({ token }));
    await showLater();
    expect(await reading).toBe(value);
  });

  it('is waited for by a read that names its token itself', async () => {
    const atLeast = await tokenAbove();
    const reading = cluster.session(
      (session) => valueIn(session.read(VALUE, [], { ...TO_PRIMARY, atLeast })),
      across(),
    );
    await showLater();
    expect(await reading).toBe(value);
  });

  it('is waited for where a token without a position lets reads fall back to the primary', async () => {
    const reading = cluster.session(async (session) => {
      session.observe(carriedBy(session).primaryOnlyToken());
      return valueIn(session.read(VALUE));
    }, across());
    await showLater();
    expect(await reading).toBe(value);
  });

  it('is waited for in the same session when a read that ran beside it on another replica ended last', async () => {
    let shown: Promise<void> | undefined;
    const reading = cluster.session(
      async (session) => {
        const read = (node: string, text: string) =>
          valueIn(session.read(text, [], { target: { node }, consistency: 'eventual' }));
        const seen = await Promise.all([read('r1', VALUE), read('r2', 'select value, pg_sleep(0.05) from counter')]);
        expect(seen).toEqual([value, value - 1]);
        shown = showLater();
        return valueIn(session.read(VALUE, [], TO_PRIMARY));
      },
      { inherit: 'none' },
    );
    expect(await reading).toBe(value);
    await shown;
  });

  it('is in no token when the primary does not show it within hangMillis', async () => {
    const token = hasty.session(async (session) => {
      await session.read(VALUE, [], { target: { node: 'r1' } });
      return session.token();
    }, across());
    await expect(token).rejects.toMatchObject({ code: 'LADDER_POSITION_UNAVAILABLE' });
  });
});
