/**
 * How long after a commit it counts as reached, and what reading the log costs a process, at 1,000
 * commits a second. The writers are a process of their own.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { LogicalSource } from '../src/changes/logical-source.js';
import { parseLsn } from '../src/freshness/lsn.js';
import { Fleet } from '../src/nodes/fleet.js';
import { settingsFrom } from '../src/options/cluster.js';
import { Publisher } from '../src/publisher.js';
import { startTestCluster } from '../src/testing/index.js';

const COMMITS_PER_SECOND = 1_000;
const SECONDS = 10;
const CLIENT_COUNT = 4;
const TICK_MILLIS = 5;
const ROWS = 10_000;

/** By the wall clock, which both processes share. */
const wallMillis = (): number => performance.timeOrigin + performance.now();

interface Commit {
  readonly lsn: string;
  readonly at: number;
}

async function write(connectionString: string): Promise<void> {
  const pool = new pg.Pool({ connectionString, max: CLIENT_COUNT });
  const startedAt = performance.now();
  let sent = 0;
  const commit = async (): Promise<void> => {
    const id = 1 + Math.floor(Math.random() * ROWS);
    const client = await pool.connect();
    await client.query('update t set v = v + 1 where id = $1', [id]);
    const at = wallMillis();
    // One in ten, so that the question does not take more of the machine than what it asks about.
    if (sent % 10 === 0) {
      const { rows } = await client.query<{ lsn: string }>('select concat(pg_current_wal_flush_lsn()) as lsn');
      process.send?.({ lsn: rows[0]?.lsn ?? '', at } satisfies Commit);
    }
    client.release();
  };
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(SECONDS, (performance.now() - startedAt) / 1_000) * COMMITS_PER_SECOND;
      while (sent < due) {
        sent++;
        void commit();
      }
      if (due < SECONDS * COMMITS_PER_SECOND) return;
      clearInterval(timer);
      resolve();
    }, TICK_MILLIS);
  });
  while (pool.waitingCount > 0 || pool.idleCount < pool.totalCount)
    await new Promise((resolve) => setTimeout(resolve, 10));
  await pool.end();
  process.disconnect?.();
}

async function measure(): Promise<void> {
  const servers = await startTestCluster({ replicas: 0 });
  const { connectionString } = servers.primary;
  const pool = new pg.Pool({ connectionString });
  await pool.query('create table t (id int primary key, v int not null)');
  await pool.query('insert into t select i, 0 from generate_series(1, $1::int) as i', [ROWS]);
  await pool.query('create publication pg_ladder for table t');
  const fleet = new Fleet(settingsFrom(connectionString), new Publisher('bench'));
  fleet.start();
  const reached: { readonly lsn: bigint; readonly at: number }[] = [];
  let commitCount = 0;
  const source = new LogicalSource(fleet);
  const subscription = await new Promise<{ close(): Promise<void> }>((resolve) => {
    const opened = source.subscribe({
      began: () => resolve(opened),
      changed: () => commitCount++,
      reached: (lsn) => reached.push({ lsn, at: wallMillis() }),
      broken: (reason) => process.stdout.write(`${reason}\n`),
    });
  });
  const commits: { readonly lsn: bigint; readonly at: number }[] = [];
  const before = process.cpuUsage();
  const startedAt = performance.now();
  const writer = fork(fileURLToPath(import.meta.url), [connectionString], { execArgv: ['--import', 'tsx'] });
  writer.on('message', ({ lsn, at }: Commit) => commits.push({ lsn: parseLsn(lsn) ?? 0n, at }));
  await new Promise((resolve) => writer.once('exit', resolve));
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(before);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const delays = commits
    .map(({ lsn, at }) => {
      const found = reached.find((one) => one.lsn >= lsn);
      return found === undefined ? Number.POSITIVE_INFINITY : Math.max(0, found.at - at);
    })
    .sort((a, b) => a - b);
  const share = (part: number): string => (delays[Math.floor(delays.length * part)] ?? Number.NaN).toFixed(1);
  process.stdout.write(
    `${commitCount} commits in ${seconds.toFixed(1)} s: reached after p50 ${share(0.5)} ms, p99 ${share(0.99)} ms ` +
      `(${delays.length} asked); ${((user + system) / 1e4 / seconds).toFixed(1)} % of a core, ` +
      `${((user + system) / commitCount).toFixed(0)} us a commit\n`,
  );
  await subscription.close();
  await fleet.close();
  await pool.end();
  await servers.stop();
}

await (process.argv[2] === undefined ? measure() : write(process.argv[2]));
