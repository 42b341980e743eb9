/**
 * `npm run bench:notify`: what triggers that notify cost: commits per second of clients that each insert one row at a time, with
 * and without the triggers, and with a listener. Notifying commits wait for each other, so the price grows with the clients.
 */
import pg from 'pg';
import { notifyInstallSql, notifyRemoveSql } from '../src/changes/notify-triggers.js';
import { startTestCluster } from '../src/testing/index.js';
import { interruptible } from './interruption.js';
import { count } from './options.js';
import { median, ratioOf } from './rounds.js';

const ROUND_MILLIS = 500;
const CLIENT_COUNTS = [1, 16];
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
  console.log('| clients | synchronous_commit | without, commits/s | with triggers | ratio (95 %) |');
  console.log('| ---: | --- | ---: | ---: | --- |');
  for (const synchronous of ['on', 'off']) {
    for (const clientCount of CLIENT_COUNTS) {
      const clients = await Promise.all(
        Array.from({ length: clientCount }, () => opened(connectionString, synchronous)),
      );
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
      console.log(`| ${clientCount} | ${synchronous} | ${base} | ${price} | ${ratio.toFixed(3)} (${low} to ${high}) |`);
      await Promise.all(clients.map((client) => client.end()));
    }
  }
  await admin.end();
  console.log(`\nMedian of ${rounds} interleaved rounds of ${ROUND_MILLIS} ms; PostgreSQL ${servers.version}.`);
  return 0;
});

async function opened(connectionString: string, synchronous: string): Promise<pg.Client> {
  const client = new pg.Client(connectionString);
  await client.connect();
  await client.query(`set synchronous_commit = ${synchronous}`);
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
