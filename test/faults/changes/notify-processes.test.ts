// Several processes that hear triggers: they do not keep each other busy, and one that is frozen does not hold up the queue.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NotifySource } from '../../../src/changes/notify-source.js';
import { listenOn, NOTIFY_SETTINGS } from '../../../src/changes/notify-statements.js';
import { notifyInstallSql } from '../../../src/changes/notify-triggers.js';
import type { Fleet } from '../../../src/nodes/fleet.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { fleetOver, SourceLog } from '../../behaviour/changes/source-log.js';
import { until } from '../../behaviour/fixture.js';
import { ask } from '../promoted.js';

const PROCESS_COUNT = 6;
/** Without a bound, six of them write some 20,000 bytes in that time. */
const MOST_BYTES = 4_000;
const QUIET_MILLIS = 4_000;

let servers: TestCluster;
let fleet: Fleet;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 0, settings: { wal_level: 'replica' } });
  await ask(servers.primary, 'create table t (id int primary key)');
  for (const text of notifyInstallSql([{ schema: 'public', name: 't' }])) await ask(servers.primary, text);
  fleet = await fleetOver(servers);
});
afterAll(async () => {
  await fleet?.close();
  await servers?.stop();
});

async function insertedBytes(): Promise<number> {
  const [row] = await ask<{ bytes: string }>(
    servers.primary,
    "select concat(pg_current_wal_insert_lsn() - '0/0') as bytes",
  );
  return Number(row?.bytes);
}

describe('several processes that hear triggers', () => {
  it('leave an idle primary alone, whatever the watermarks of the others write', async () => {
    const logs = Array.from({ length: PROCESS_COUNT }, () => new SourceLog(new NotifySource(fleet)));
    try {
      await Promise.all(logs.map((log) => log.hasBegun()));
      await ask(servers.primary, 'insert into t values (1)');
      for (const log of logs) await until('it has told that', () => log.take().includes('public.t'));
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const before = await insertedBytes();
      await new Promise((resolve) => setTimeout(resolve, QUIET_MILLIS));
      expect((await insertedBytes()) - before).toBeLessThan(MOST_BYTES);
    } finally {
      await Promise.all(logs.map((log) => log.subscription.close()));
    }
  });
});

describe('a process that is frozen while much is notified', () => {
  it('does not hold up the queue, which would fail commits once it is full', async () => {
    const listening = await frozenListener();
    try {
      // More than sockets hold: its backend is stuck in sending.
      for (let round = 0; round < 8; round++) {
        await ask(
          servers.primary,
          `select count(pg_notify('pg_ladder_changes', concat(n + ${round} * 100000))) from generate_series(1, 100000) as n`,
        );
      }
      const usage = "select pg_notification_queue_usage() as usage, pg_notify('pg_ladder_changes', '')";
      const used = async (): Promise<number> =>
        (await ask<{ usage: number }>(servers.primary, usage))[0]?.usage ?? Number.NaN;
      expect(await used()).toBeGreaterThan(0);
      await until('the server lets go of it', async () => (await used()) === 0);
    } finally {
      listening.kill('SIGKILL');
    }
  }, 90_000);
});

/** A process that listens as the source does, and has been stopped. */
async function frozenListener(): Promise<ChildProcess> {
  const pgPath = createRequire(import.meta.url).resolve('pg');
  const program = `
    const { Client } = require(process.argv[1]);
    const client = new Client(process.argv[2]);
    client.on('error', () => {});
    client.connect().then(() => client.query(process.argv[3])).then(() => process.stdout.write('listens'));`;
  const args = [pgPath, servers.primary.connectionString, `${NOTIFY_SETTINGS}; ${listenOn('pg_ladder_frozen')}`];
  const child = spawn(process.execPath, ['-e', program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  child.kill('SIGSTOP');
  return child;
}
