import pg from 'pg';
import Cursor from 'pg-cursor';
import { describe, expect, it } from 'vitest';
import { startTestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from '../behaviour/fixture.js';
import { query } from '../testing/query.js';
import { pause } from './pool-pause.js';

describe('cluster.pool() under faults', () => {
  it('fails what waits behind a BEGIN that found no primary, and settles what waits on a client that is ended', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers, { primaryWaitMillis: 400 });
    const pool = cluster.pool();
    pool.on('error', () => undefined);
    await pool.query('create table t (v int)');
    await servers.replicas[0]?.waitForReplay();
    const client = await pool.connect();
    await client.end();
    const ended = client.query('insert into t values (0)');
    await Promise.allSettled([ended]);
    client.release();

    await servers.primary.kill();
    const other = await pool.connect();
    const all = ['begin', 'insert into t values (1)', 'commit'].map((text) => other.query(text));
    const settled = Promise.allSettled(all);
    await expect(all[0]).rejects.toThrow();
    await servers.primary.restart();
    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await until('writes go on', () =>
      other.query('insert into t values (2)').then(
        () => true,
        () => false,
      ),
    );
    expect((await other.query('select v from t where v > 0')).rows).toEqual([{ v: 2 }]);
    other.release();
    for (let i = 0; i < 8; i++) {
      const opening = await cluster.pool().connect();
      const writing = opening.query('insert into t values (3)');
      void opening.end();
      await Promise.allSettled([writing]);
      opening.release();
    }
  }, 30_000);

  it('misses nothing of a transaction in which a statement was given up, and which was committed all the same', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers);
    const pool = cluster.pool();
    await pool.query('create table t (v int)');
    await servers.replicas[0]?.waitForReplay();
    for (const isBetween of [true, false]) {
      await cluster.session(async () => {
        await pool.query('truncate t');
        const client = await pool.connect();
        await client.query('begin');
        const slow = { text: 'insert into t select 1 from pg_sleep(0.2)', query_timeout: 50 };
        await expect(client.query(slow)).rejects.toThrow('Query read timeout');
        if (isBetween) {
          await client.query('select 1');
          // So that it is known where the primary stood before the end.
          await cluster.read('select 1');
        }
        await servers.replicas[0]?.waitForReplay();
        await servers.replicas[0]?.pauseReplay();
        await client.query('commit');
        client.release();
        expect((await cluster.read('select v from t')).rows).toEqual([{ v: 1 }]);
        await servers.replicas[0]?.resumeReplay();
      });
    }
  }, 30_000);

  it('rolls back at once what was begun on a replica that is gone, with a cursor in it or without', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers);
    const pool = cluster.pool();
    pool.on('error', () => undefined);
    await until('it is known', async () => (await cluster.explain('begin read only')).class !== undefined);
    const client = await pool.connect();
    client.on('error', () => undefined);
    await client.query('begin read only');
    const { rows } = await client.query<{ pid: number; there: boolean }>(
      'select pg_backend_pid() as pid, pg_is_in_recovery() as there',
    );
    expect(rows[0]?.there).toBe(true);
    await cluster.read('select pg_terminate_backend($1)', [rows[0]?.pid], { target: { node: 'r1' } });
    await pause(100);
    await expect(client.query(new Cursor('select 1')).read(1)).rejects.toThrow();
    await expect(client.query('rollback')).rejects.toThrow();
    client.release(true);
    expect(nodeOf(cluster, 'r1').inFlight).toBe(0);
  }, 30_000);

  it('keeps a session on the primary while a write that was cut off may still commit', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers);
    const pool = cluster.pool();
    await pool.query('create table t (v int)');
    for (const replica of servers.replicas) await replica.waitForReplay();
    await until('it is known', async () => (await cluster.explain('select v from t')).class === 'read');
    await pool.query('select v from t');
    await cluster.session(async () => {
      const client = await pool.connect();
      // Held up on the server until the test lets it go.
      const holder = new pg.Client(servers.primary.connectionString);
      await holder.connect();
      await holder.query('begin; lock table t in share row exclusive mode');
      const writing = client.query('insert into t select 1');
      await until('it runs there', async () => {
        const text = "select 1 from pg_stat_activity where query = 'insert into t select 1' and state = 'active'";
        return (await query(servers.primary, text)) === 1;
      });
      // As a tool does that gives up: the server does not notice before it has committed.
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
      await expect(writing).rejects.toThrow('Connection terminated unexpectedly');
      client.release();
      expect((await cluster.explain('select v from t')).role).toBe('primary');
      await holder.query('rollback');
      await holder.end();
      await until('it has committed', async () => {
        const { rows } = await cluster.read('select v from t');
        return rows.length === 1;
      });
      expect((await pool.query('select v from t')).rows).toEqual([{ v: 1 }]);
    });
  }, 30_000);
});
