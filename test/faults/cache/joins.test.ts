// Reads that ask for the same at the same time are one statement, as far as each may be given its answer.
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, routeOf, type Session } from '../../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { open, until } from '../../behaviour/fixture.js';

const BY_ID = 'select id, value from numbers where id = $1';
const QUOTIENT = 'select id, 100 / value as value from numbers where id = $1';
const CACHED = { cache: true } as const;

let servers: TestCluster;
let writer: pg.Client;
const clusters: Cluster[] = [];

async function opened(): Promise<Cluster> {
  const cluster = await open(servers, { cache: true });
  clusters.push(cluster);
  await until('answers are kept', async () => {
    const isKept = async (text: string) => routeOf(await cluster.read(text, [0], CACHED))?.rung === 'memory';
    return (await isKept(BY_ID)) && (await isKept(QUOTIENT));
  });
  return cluster;
}

const sessionOf = (cluster: Cluster): Session => cluster.session((session) => session, { inherit: 'none' });

const valueIn = async (reading: Promise<pg.QueryResult>): Promise<unknown> => {
  const { rows } = await reading.catch((error: Error) => ({ rows: [{ value: error.message }] }));
  return (rows[0] as { value: unknown } | undefined)?.value;
};

/**
 * In one turn: a read that asks for nothing, on a replica that stands still, and one of a session
 * that has written since.
 */
async function together(cluster: Cluster, text: string, id: number): Promise<unknown[]> {
  for (const replica of servers.replicas) await replica.pauseReplay();
  const [other, own] = [sessionOf(cluster), sessionOf(cluster)];
  await own.write('update numbers set value = 50 where id = $1', [id]);
  return Promise.all([valueIn(other.read(text, [id], CACHED)), valueIn(own.read(text, [id], CACHED))]);
}

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 2 });
  writer = new pg.Client(servers.primary.connectionString);
  await writer.connect();
  await writer.query('create table numbers (id int primary key, value int not null)');
  await writer.query('insert into numbers select i, i from generate_series(0, 100) as i');
  await writer.query('update numbers set value = 1 where id = 0');
  for (const replica of servers.replicas) await replica.waitForReplay();
});
afterEach(async () => {
  for (const replica of servers.replicas) {
    await replica.resumeReplay();
    await replica.waitForReplay();
  }
  for (const cluster of clusters.splice(0)) await cluster.close();
});
afterAll(async () => {
  await writer.end();
  await servers.stop();
});

const countOf = (cluster: Cluster, role?: 'primary') =>
  cluster
    .stats()
    .nodes.filter((node) => role === undefined || node.role === role)
    .reduce((sum, { statementCount }) => sum + statementCount, 0);

describe('a read that asks for caches', () => {
  it('is one statement also where the primary answers, whose answers are not kept', async () => {
    const cluster = await opened();
    for (const replica of servers.replicas) await replica.pauseReplay();
    const own = sessionOf(cluster);
    await own.write('update numbers set value = 70 where id = 7');
    const before = countOf(cluster, 'primary');
    for (let i = 0; i < 3; i++) {
      const result = await own.read(BY_ID, [7], CACHED);
      expect([routeOf(result)?.rung, result.rows]).toEqual(['primary', [{ id: 7, value: 70 }]]);
    }
    expect(countOf(cluster, 'primary') - before).toBe(3);
  });

  it('is one statement also where its connection may have been set up otherwise meanwhile', async () => {
    const cluster = await opened();
    const text = "select value, now() as at, 'set' as word from numbers where id = $1";
    for (let i = 0; i < 3; i++) {
      const before = countOf(cluster);
      const { rows } = await cluster.read(text, [8], { cache: { scope: 'all' } });
      expect(rows).toEqual([{ value: 8, at: expect.any(Date), word: 'set' }]);
      expect(countOf(cluster) - before).toBeLessThanOrEqual(1);
    }
  });
});

describe('a read that joins one that is under way', () => {
  it('takes no answer that misses what its own session has written', async () => {
    expect(await together(await opened(), BY_ID, 2)).toEqual([2, 50]);
  });

  it('is told of no error from before its session wrote', async () => {
    await writer.query('update numbers set value = 0 where id = 4');
    for (const replica of servers.replicas) await replica.waitForReplay();
    expect(await together(await opened(), QUOTIENT, 4)).toEqual(['division by zero', 2]);
  });

  it('shares an error with all who ask for no more', async () => {
    await writer.query('update numbers set value = 0 where id = 5');
    for (const replica of servers.replicas) await replica.waitForReplay();
    const cluster = await opened();
    const before = countOf(cluster);
    const values = await Promise.all(
      Array.from({ length: 50 }, () => valueIn(sessionOf(cluster).read(QUOTIENT, [5], CACHED))),
    );
    expect(new Set(values)).toEqual(new Set(['division by zero']));
    expect(countOf(cluster) - before).toBe(1);
  });

  it('does not wait for ever for one that hangs, and is one of one more', async () => {
    const cluster = await opened();
    await writer.query('begin');
    await writer.query('lock table numbers in access exclusive mode');
    // What it has logged travels with the next commit.
    await cluster.write("select pg_logical_emit_message(true, '', '')");
    for (const replica of servers.replicas) await replica.waitForReplay();
    const before = countOf(cluster);
    const reading = Array.from({ length: 5 }, () => valueIn(sessionOf(cluster).read(BY_ID, [9], CACHED)));
    await until('one of those that wait is sent', () => countOf(cluster) - before === 2);
    await writer.query('commit');
    expect(await Promise.all(reading)).toEqual([9, 9, 9, 9, 9]);
    expect(countOf(cluster) - before).toBeLessThanOrEqual(3);
  });

  it('sees nothing older than what its session has read', async () => {
    const cluster = await opened();
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    await r2.pauseReplay();
    await writer.query('update numbers set value = 60 where id = 6');
    await r1.waitForReplay();
    for (let round = 0; round < 20; round++) {
      const [other, own] = [sessionOf(cluster), sessionOf(cluster)];
      // One is at home on the replica that stands still, the other has seen more.
      await valueIn(other.read('select 1 as value', [], { target: { node: 'r2' } }));
      await until('r1 has what was written', async () => {
        const reading = own.read(BY_ID, [6], { target: { node: 'r1' }, consistency: 'strong' });
        return (await valueIn(reading)) === 60;
      });
      const [before, after] = await Promise.all([
        valueIn(other.read(BY_ID, [6], CACHED)),
        valueIn(own.read(BY_ID, [6], CACHED)),
      ]);
      expect([6, 60]).toContain(before);
      expect(after).toBe(60);
    }
  });
});
