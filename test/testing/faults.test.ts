import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { footprintOf, remainsOf } from './leftovers.js';
import { isPendingAfter, open, query } from './query.js';

let cluster: TestCluster;
let primary: TestNode;
let r1: TestNode;
let r2: TestNode;

beforeAll(async () => {
  cluster = await startTestCluster();
  ({ primary } = cluster);
  [r1, r2] = cluster.replicas as [TestNode, TestNode];
  await query(primary, 'create table t (a int)');
});
afterAll(() => cluster.stop());

describe('a frozen node', () => {
  it('accepts connections, answers nothing, and goes on when it thaws', async () => {
    const client = await open(r1);
    await r1.freeze();
    const answer = client.query('select 1 as one');
    const newcomer = query(r1, 'select 2');
    expect(await isPendingAfter(200, Promise.race([answer, newcomer]))).toBe(true);
    await r1.thaw();
    expect((await answer).rows).toEqual([{ one: 1 }]);
    expect(await newcomer).toBe(2);
    await client.end();
  });

  it('says at once that it is frozen when something is asked of it', async () => {
    await r2.freeze();
    await expect(r2.configure({ work_mem: '1MB' })).rejects.toThrow(/Node r2 is frozen: thaw\(\) it first/);
    await r2.thaw();
  });

  it('can be killed and restarted', async () => {
    await r1.freeze();
    await r1.kill();
    await r1.restart();
    expect(await query(r1, 'select 1')).toBe(1);
  });
});

describe('a killed node', () => {
  it('breaks its connections, is gone when kill() resolves, and comes back at the same port', async () => {
    const client = await open(primary);
    const { port } = primary;
    const answer = client.query('select pg_sleep(10)');
    const failed = expect(answer).rejects.toThrow();
    await primary.kill();
    await failed;
    expect(primary.running).toBe(false);
    await expect(query(primary, 'select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(primary.configure({})).rejects.toThrow(/Node primary is down/);
    await primary.restart();
    expect(primary.port).toBe(port);
    await query(primary, 'insert into t values (1)');
    await Promise.all([r1.waitForReplay(), r2.waitForReplay()]);
  });

  it('leaves no process and no shared memory', async () => {
    const footprint = await footprintOf(r1);
    expect(remainsOf([footprint]).length).toBeGreaterThan(5);
    await r1.kill();
    expect(remainsOf([footprint])).toEqual([expect.stringContaining('pg-ladder-')]); // its directory
    await r1.restart();
  });

  it('has lost nothing that was committed', async () => {
    await query(primary, 'insert into t select generate_series(1, 1000)');
    const count = await query(primary, 'select count(*)::int from t');
    await primary.kill();
    await primary.restart();
    expect(await query(primary, 'select count(*)::int from t')).toBe(count);
  });
});

describe('a replica that is cut off', () => {
  it('gets nothing more until its replication is restored', async () => {
    await r1.cutReplication();
    expect(await query(r1, 'select count(*)::int from pg_stat_wal_receiver')).toBe(0);
    await query(primary, 'create table later (a int)');
    await r2.waitForReplay();
    expect(await query(r1, `select to_regclass('later')`)).toBeNull();
    await r1.restoreReplication();
    await r1.waitForReplay();
    expect(await query(r1, `select to_regclass('later')::text`)).toBe('later');
  });

  it('stays cut off through a restart', async () => {
    await r1.cutReplication();
    await r1.restart();
    expect(await query(r1, 'select count(*)::int from pg_stat_wal_receiver')).toBe(0);
    await r1.restoreReplication();
  });

  it('is one of all when the primary is cut off', async () => {
    await primary.cutReplication();
    expect(await query(primary, 'select count(*)::int from pg_stat_replication')).toBe(0);
    await primary.restoreReplication();
    expect(await query(primary, 'select count(*)::int from pg_stat_replication')).toBe(2);
  });
});
