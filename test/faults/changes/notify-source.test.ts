// What befalls a source that hears triggers: it begins anew by itself, and leaves nothing behind.
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { NotifySource, type NotifySourceOptions } from '../../../src/changes/notify-source.js';
import { notifyInstallSql } from '../../../src/changes/notify-triggers.js';
import { parseLsn } from '../../../src/freshness/lsn.js';
import type { Fleet } from '../../../src/nodes/fleet.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { fleetOver, SourceLog } from '../../behaviour/changes/source-log.js';
import { RunningClock, until } from '../../behaviour/fixture.js';
import { untilCommitsWait, waitingCommits } from '../../testing/commits-wait.js';
import { ask } from '../promoted.js';

/** What each fault may cost, by a clock that runs while this process does. */
const MOST_MILLIS = 10_000;

let servers: TestCluster;
let fleet: Fleet;
let primary: TestNode;
const logs: SourceLog[] = [];
const clock = new RunningClock();

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1, links: true });
  primary = servers.primary;
  await ask(primary, 'create table t (id int primary key)');
  for (const text of notifyInstallSql([{ schema: 'public', name: 't' }])) await ask(primary, text);
  await servers.replicas[0]?.waitForReplay();
  fleet = await fleetOver(servers);
});
afterEach(async () => {
  for (const log of logs.splice(0)) await log.subscription.close();
});
afterAll(async () => {
  await fleet.close();
  clock.stop();
  await servers.stop();
});

async function opened(options: NotifySourceOptions = {}): Promise<SourceLog> {
  const log = new SourceLog(new NotifySource(fleet, options));
  logs.push(log);
  await log.hasBegun();
  return log;
}

const listeners = async (node: TestNode): Promise<number> =>
  (await ask(node, "select from pg_stat_activity where application_name like '% (changes)'")).length;

let id = 0;
async function tells(log: SourceLog): Promise<void> {
  const node = await servers.currentPrimary();
  id++;
  await ask(node, `insert into t values (${id})`);
  const lsn = await positionOf(node);
  await ask(node, "select pg_logical_emit_message(true, 'other', repeat('x', 200))");
  await log.hasReached(lsn);
  expect(log.take()).toContain('public.t');
}

async function positionOf(node: TestNode): Promise<bigint> {
  const [row] = await ask<{ lsn: string }>(node, 'select concat(pg_current_wal_insert_lsn()) as lsn');
  return (parseLsn(row?.lsn ?? '') ?? 0n) - 64n;
}

/** It is broken, begins anew within the bound, and tells what is written then. */
async function recovers(log: SourceLog, fault: () => Promise<unknown>): Promise<string[]> {
  const before = log.beginCount;
  log.take();
  await fault();
  const from = clock.now();
  await until('it begins anew', () => log.beginCount > before);
  expect(clock.now() - from).toBeLessThan(MOST_MILLIS);
  const { reasons } = log;
  expect(reasons).not.toEqual([]);
  await tells(log);
  return reasons;
}

describe('a source that hears triggers begins anew by itself', () => {
  it('when the network is cut, or forgets its connections', async () => {
    const log = await opened();
    await recovers(log, async () => {
      primary.link.reset();
      await until('it is broken', () => log.reasons.length > 0);
      primary.link.restore();
    });
    const reasons = await recovers(log, async () => primary.link.forget());
    expect(reasons).toContain('the server does not answer');
  });

  it('when the server is restarted, which it does not hold up, killed or frozen', async () => {
    const log = await opened();
    await recovers(log, () => primary.restart());
    await recovers(log, async () => {
      await primary.kill();
      await until('it is broken', () => log.reasons.length > 0);
      await primary.restart();
    });
    await recovers(log, async () => {
      await primary.freeze();
      await until('it is broken', () => log.reasons.length > 0);
      await primary.thaw();
    });
    await until('one listens', async () => (await listeners(primary)) === 1);
  });
});

describe('a standby that commits have to wait for', () => {
  it('holds back what is reached, and does not break the source', async () => {
    const log = await opened();
    const replica = servers.replicas[0] as TestNode;
    await replica.freeze();
    await primary.configure({ synchronous_standby_names: '*' });
    const probed = await untilCommitsWait(primary);
    const count = await waitingCommits(primary);
    const writer = new pg.Client(primary.connectionString);
    await writer.connect();
    log.take();
    const written = writer.query('insert into t values (-1)');
    await until('its commit waits', async () => (await waitingCommits(primary)) > count);
    const lsn = await positionOf(primary);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(log.reachedLsn < lsn + 64n).toBe(true);
    expect(log.take()).toEqual([]);
    await replica.thaw();
    await primary.configure({ synchronous_standby_names: null });
    await Promise.all([written, probed()]);
    await writer.end();
    await log.hasReached(lsn);
    expect(log.take()).toEqual(['public.t']);
  });
});

describe('a primary that is another one', () => {
  it('is heard from there on', async () => {
    const log = await opened();
    const replica = servers.replicas[0] as TestNode;
    await replica.waitForReplay();
    await recovers(log, async () => {
      await primary.kill();
      await replica.promote();
    });
    expect(log.start?.timeline).toBe(2);
  });
});
