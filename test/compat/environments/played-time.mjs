// An application's test under Sinon, in a process of its own: the library comes by `import` or by `require`, and the time is played before that or after.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import sinon from 'sinon';

const [how, when, primary, replica] = process.argv.slice(2);
const file = '../../../src/index.ts';
const later = setTimeout;
// Without the functions by which pg itself goes on, and Node: with these faked, a bare pg.Pool stands still, too.
const toFake = [
  'setTimeout',
  'clearTimeout',
  'setImmediate',
  'clearImmediate',
  'setInterval',
  'clearInterval',
  'Date',
  'performance',
  'hrtime',
  'queueMicrotask',
];
const play = () => sinon.useFakeTimers({ toFake, now: 0 });

let clock;
if (when === 'before') clock = play();
const { createCluster } = how === 'require' ? createRequire(import.meta.url)(file) : await import(file);
const cluster = createCluster({ primary, replicas: [{ name: 'r1', connectionString: replica }], waitMillis: 10_000 });
await cluster.ready();
const READ = 'select v from played where id = 1';
for (let i = 0; i < 50; i++) await cluster.read(READ);
clock ??= play();

const two = await Promise.all([cluster.read('select 1 as n'), cluster.read('select 2 as n')]);
assert.deepEqual(
  two.map(({ rows }) => rows[0].n),
  [1, 2],
);
for (let i = 0; i < 4; i++) {
  await cluster.session(async () => {
    const { rows } = await cluster.write('update played set v = v + 1 where id = 1 returning v');
    clock.tick(10_000);
    assert.deepEqual((await cluster.read(READ)).rows, rows);
    assert.deepEqual((await cluster.read(READ, [], { target: 'replica' })).rows, rows);
  });
}
const pool = cluster.pool();
await Promise.all([pool.query(READ), pool.query(READ), pool.query('update played set v = v')]);
const client = await pool.connect();
await client.query('begin');
await client.query(READ);
await client.query('commit');
client.release();
await cluster.transaction((tx) => tx.query(READ), { readOnly: true });
await assert.rejects(cluster.read('select pg_sleep(20)', [], { timeoutMillis: 50 }), { code: 'LADDER_TIMEOUT' });
await cluster.close();
clock.restore();
later(() => process.exit(), 0);
process.stdout.write('done');
