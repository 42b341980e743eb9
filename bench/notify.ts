/**
 * `npm run bench:notify`: what triggers that notify cost: commits per second of clients that each insert one row at a time, with
 * and without the triggers. A commit that notifies flushes alone, one after the other: the price grows with the clients, and with
 * what a flush takes. So it is measured as the disk is, with flushes that take one millisecond more, and without any.
 */
import pg from 'pg';
import { notifyInstallSql, notifyRemoveSql } from '../src/changes/notify-triggers.js';
import { startTestCluster } from '../src/testing/index.js';
import { interruptible } from './interruption.js';
import { count } from './options.js';
import { median, ratioOf } from './rounds.js';

const ROUND_MILLIS = 500;
const CLIENT_COUNTS = [1, 16];
/** What a client sets, by what the table calls it. */
const FLUSHES: Readonly<Record<string, string>> = {
  'as the disk is': 'set synchronous_commit = on',
  '1 ms more': 'set synchronous_commit = on; set commit_siblings = 0; set commit_delay = 1000',
  none: 'set synchronous_commit = off',
};
const TABLE = { schema: 'public', name: 'orders' };

process.exitCode = await interruptible(async (signal) => {
  const rounds = count('rounds', process.argv[2] ?? '15', 1, 1_000);
  await using servers = await startTestCluster({
    replicas: 0,
    settings: { fsync: true, synchronous_commit: true, wal_level: 'replica', max_connections: 50 },
  });
  const { connectionString } = servers.primary;
  const admin = new pg.Client(connectionString);
  await admin.connect();
  await admin.query('create table orders (id int, v int)');
  console.log('| clients | flush | without, commits/s | with triggers | ratio (95 %) |');
  console.log('| ---: | --- | ---: | ---: | --- |');
  for (const [flush, settings] of Object.entries(FLUSHES)) {
    for (const clientCount of CLIENT_COUNTS) {
      const clients = await Promise.all(Array.from({ length: clientCount }, () => opened(connectionString, settings)));
      const [without, withTriggers]: [number[], number[]] = [[], []];
      for (let round = 0; round < rounds; round++) {
        for (const isWith of round % 2 === 0 ? [false, true] : [true, false]) {
          signal.throwIfAborted();
          await admin.query('truncate orders');
          for (const text of isWith ? notifyInstallSql([TABLE]) : notifyRemoveSql()) await admin.query(text);
          (isWith ? withTriggers : without).push(await commitsPerSecond(clients));
        }
      }
      const { ratio, interval } = ratioOf(withTriggers, without);
      const [low, high] = interval.map((bound) => bound.toFixed(3));
      const [base, price] = [without, withTriggers].map((speeds) => Math.round(median(speeds)).toLocaleString('en'));
      console.log(`| ${clientCount} | ${flush} | ${base} | ${price} | ${ratio.toFixed(3)} (${low} to ${high}) |`);
      await Promise.all(clients.map((client) => client.end()));
    }
  }
  await admin.end();
  console.log(`\nMedian of ${rounds} interleaved rounds of ${ROUND_MILLIS} ms; PostgreSQL ${servers.version}.`);
  return 0;
});

async function opened(connectionString: string, settings: string): Promise<pg.Client> {
  const client = new pg.Client(connectionString);
  await client.connect();
  await client.query(settings);
  return client;
}

async function commitsPerSecond(clients: readonly pg.Client[]): Promise<number> {
  const from = performance.now();
  let commitCount = 0;
  await Promise.all(
    clients.map(async (client) => {
      while (performance.now() - from < ROUND_MILLIS) {
        await client.query({ name: 'insert', text: 'insert into orders values (1, 1)' });
        commitCount++;
      }
    }),
  );
  return (commitCount * 1_000) / (performance.now() - from);
}
