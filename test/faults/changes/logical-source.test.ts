// What befalls a source that reads the log: it begins anew by itself, and leaves nothing behind.
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LogicalSource } from '../../../src/changes/logical-source.js';
import type { LogicalSourceOptions } from '../../../src/changes/source-ground.js';
import { parseLsn } from '../../../src/freshness/lsn.js';
import type { Fleet } from '../../../src/nodes/fleet.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { fleetOver, SourceLog } from '../../behaviour/changes/source-log.js';
import { RunningClock, until } from '../../behaviour/fixture.js';
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
  await ask(primary, 'create table t (id int primary key, v int not null default 0)');
  await ask(primary, 'create publication pg_ladder for table t');
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

function opened(options: LogicalSourceOptions = {}): SourceLog {
  const log = new SourceLog(new LogicalSource(fleet, options));
  logs.push(log);
  return log;
}

interface SlotRow extends pg.QueryResultRow {
  pid: number;
  name: string;
}
const slotsOn = (node: TestNode) =>
  ask<SlotRow>(
    node,
    "select active_pid as pid, slot_name as name from pg_replication_slots where slot_type = 'logical'",
  );

/** It is broken, begins anew within the bound, and tells what is written then. */
async function recovers(log: SourceLog, fault: () => Promise<unknown>): Promise<string[]> {
  const before = log.beginCount;
  log.take();
  await fault();
  const from = clock.now();
  await until('it begins anew', () => log.beginCount > before);
  expect(clock.now() - from).toBeLessThan(MOST_MILLIS);
  const reasons = log.reasons;
  expect(reasons).not.toEqual([]);
  await tells(log);
  return reasons;
}

let id = 0;
async function tells(log: SourceLog): Promise<void> {
  const node = await servers.currentPrimary();
  id++;
  await ask(node, `insert into t values (${id})`);
  const [row] = await ask<{ lsn: string }>(node, 'select concat(pg_current_wal_flush_lsn()) as lsn');
  await log.hasReached((parseLsn(row?.lsn ?? '') ?? 0n) - 64n);
  expect(log.take()).toContain(`public.t(id) ${id}`);
}

class App {
  readonly process: ChildProcess;
  readonly words: unknown[] = [];

  constructor() {
    const path = fileURLToPath(new URL('log-app.ts', import.meta.url));
    this.process = fork(path, [primary.connectionString], { execArgv: ['--import', 'tsx'] });
    this.process.on('message', (word) => this.words.push(word));
  }

  async hasBegun(): Promise<void> {
    await until('it has begun', () => this.words.includes('began'));
  }

  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
  }
}

describe('a source that reads the log', () => {
  it('begins anew when the server ends its connection, or takes its slot back', async () => {
    const log = opened();
    await log.hasBegun();
    const reasons = await recovers(log, () =>
      ask(primary, 'select pg_terminate_backend(active_pid) from pg_replication_slots'),
    );
    expect(reasons[0]).toContain('ended the connection');
  });

  it('begins anew when more of the log is retained than may be', async () => {
    await primary.configure({ max_slot_wal_keep_size: '1MB', wal_keep_size: '0', logical_decoding_work_mem: '64kB' });
    const log = opened();
    await log.hasBegun();
    const [slot] = await slotsOn(primary);
    // It stands still while the server writes on and forgets.
    const reasons = await recovers(log, async () => {
      process.kill(slot?.pid ?? 0, 'SIGSTOP');
      for (let i = 0; i < 3; i++)
        await ask(primary, 'select pg_switch_wal() from (select pg_logical_emit_message(false, $$x$$, $$y$$)) as w');
      const checkpoint = ask(primary, 'checkpoint').catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 300));
      process.kill(slot?.pid ?? 0, 'SIGCONT');
      await checkpoint;
    });
    expect(reasons[0]).toMatch(/slot|ended the connection/);
    await primary.configure({ max_slot_wal_keep_size: null, wal_keep_size: '64MB', logical_decoding_work_mem: null });
  });

  it('begins anew when the network is cut, or forgets its connections', async () => {
    const log = opened();
    await log.hasBegun();
    await recovers(log, async () => {
      primary.link.reset();
      await until('it is broken', () => log.reasons.length > 0);
      primary.link.restore();
    });
    const reasons = await recovers(log, async () => primary.link.forget());
    expect(reasons).toContain('the server is silent');
    await until('one slot is left', async () => (await slotsOn(primary)).length === 1);
  });

  it('makes its slot when a transaction ends that was open before, and leaves none behind when it is closed first', async () => {
    const other = new pg.Client(primary.connectionString);
    await other.connect();
    await other.query('begin; insert into t values (-3)');
    const waiting = opened();
    const closed = opened();
    await until('it waits', () => waiting.reasons.some((reason) => reason.includes('transaction')));
    await closed.subscription.close();
    await until('only one is left', async () => (await slotsOn(primary)).length === 1);
    await other.query('rollback');
    await other.end();
    await waiting.hasBegun();
  });

  it('begins anew when the server is restarted, which it does not hold up, killed or frozen', async () => {
    const log = opened();
    await log.hasBegun();
    await recovers(log, async () => {
      const from = clock.now();
      await primary.restart();
      expect(clock.now() - from).toBeLessThan(4_000);
    });
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
    await until('one slot is left', async () => (await slotsOn(primary)).length === 1);
  });
});

describe('a process that reads the log', () => {
  it('leaves neither slot nor lock behind when it is killed, or frozen', async () => {
    for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
      const app = new App();
      try {
        await app.hasBegun();
        const log = opened({ lock: 7n });
        await until('it waits', () => log.reasons.length > 0);
        const [slot] = await slotsOn(primary);
        const from = clock.now();
        app.process.kill(signal);
        await until('its slot is gone', async () => !(await slotsOn(primary)).some(({ name }) => name === slot?.name));
        const goneMillis = clock.now() - from;
        await log.hasBegun();
        const takenMillis = clock.now() - from;
        process.stdout.write(
          `  ${signal}: slot gone after ${Math.round(goneMillis)} ms, taken over after ${Math.round(takenMillis)} ms\n`,
        );
        expect(goneMillis).toBeLessThan(signal === 'SIGKILL' ? 2_000 : 7_000);
        expect(takenMillis).toBeLessThan(MOST_MILLIS);
        await log.subscription.close();
      } finally {
        await app.end();
      }
    }
  });

  it('leaves no backend behind that waits for an open transaction', async () => {
    const other = new pg.Client(primary.connectionString);
    await other.connect();
    await other.query('begin; insert into t values (-1)');
    const app = new App();
    await until('it waits', () => app.words.some((word) => String(word).includes('transaction')));
    await app.end();
    await until('no slot is left', async () => (await slotsOn(primary)).length === 0);
    await other.query('rollback');
    await other.end();
  });
});

describe('the log of a replica', () => {
  it('is read where that is asked for, unless it would wait for an old transaction', async () => {
    const replica = servers.replicas[0] as TestNode;
    const other = new pg.Client(primary.connectionString);
    await other.connect();
    await other.query('begin; insert into t values (-2)');
    const log = opened({ node: 'r1' });
    await until('it says so', () => log.reasons.some((reason) => reason.includes('stays open on the primary')));
    expect(await slotsOn(replica)).toEqual([]);
    await other.query('rollback');
    await other.end();
    await log.hasBegun();
    expect((await slotsOn(replica)).length).toBe(1);
    expect(await slotsOn(primary)).toEqual([]);
    await tells(log);
  });
});

describe('a primary that is another one', () => {
  it('is read from there on, as is a replica that follows it', async () => {
    const log = opened();
    await log.hasBegun();
    const onReplica = opened({ node: 'r1' });
    await onReplica.hasBegun();
    const replica = servers.replicas[0] as TestNode;
    await recovers(log, async () => {
      await primary.kill();
      await replica.promote();
    });
    expect(log.start?.timeline).toBe(2);
    await onReplica.hasBegun();
    await until('it is on the new timeline', () => onReplica.start?.timeline === 2);
  });
});
