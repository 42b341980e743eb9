import type { Pool, PoolClient } from 'pg';
import { describe, expect, it } from 'vitest';
import type { WarningEvent } from '../../../src/index.js';
import { until, withClient } from '../fixture.js';
import { cluster, pool, servers, told, usesPool } from './pooled.js';

/** Not in pg's types, and yet what tools use to cancel a statement. */
function pidOf(client: object): number | null {
  return (client as { processID: number | null }).processID;
}

async function isReplica(client: Pool | PoolClient): Promise<boolean> {
  const { rows } = await client.query<{ on: string }>(`select v as on from server_of limit 1 /* ${Math.random()} */`);
  expect(rows).toHaveLength(1);
  return told().every((route) => route.startsWith('r'));
}

usesPool();

describe('cluster.pool(): a client', () => {
  it('has no server until its first statement shows which it needs', async () => {
    await withClient(pool, async (client) => {
      expect(pidOf(client)).toBeNull();
      expect(client.getTransactionStatus()).toBe('I');
      expect(await isReplica(client)).toBe(true);
      expect(pidOf(client)).toBeNull();
      await client.query(`insert into notes (body) values ('first')`);
      expect(pidOf(client)).toBeGreaterThan(0);
    });
  });

  it('stays on the primary from its first write until it is released', async () => {
    await withClient(pool, async (client) => {
      await client.query(`insert into notes (body) values ('sticky')`);
      const { rows } = await client.query('select lastval() = max(id) as is from notes');
      expect(rows).toEqual([{ is: true }]);
      await client.query('select v from server_of');
      expect(told().every((route) => route.startsWith('primary:'))).toBe(true);
    });
    await until('the replicas have caught up', async () => withClient(pool, isReplica));
    // Also with a connection that is open already.
    await withClient(pool, async (client) => {
      await client.query(`update notes set body = 'stuck' where body = 'sticky'`);
      told();
      await client.query('select v from server_of');
      expect(told()).toEqual(['primary:session-state']);
    });
  });

  it('begins and ends a transaction with the reason of one', async () => {
    told();
    await withClient(pool, async (client) => {
      await client.query('begin');
      await client.query('select v from server_of');
      await client.query('commit');
    });
    expect(told()).toEqual(['primary:transaction', 'primary:transaction', 'primary:transaction']);
  });

  it('keeps the order of statements that are not awaited', async () => {
    await withClient(pool, async (client) => {
      const results = await Promise.all([
        client.query(`select v as order_1 from server_of`),
        client.query(`insert into notes (body) values ('ordered') returning body`),
        client.query(`select count(*)::int as n from notes where body = 'ordered'`),
        client.query(`delete from notes where body = 'ordered'`),
        client.query(`select count(*)::int as n from notes where body = 'ordered'`),
      ]);
      expect(results.map(({ rows }) => rows[0])).toEqual([
        { order_1: 'here' },
        { body: 'ordered' },
        { n: 1 },
        undefined,
        { n: 0 },
      ]);
    });
  });

  it('runs a transaction on the primary, and COMMIT moves what its session must see', async () => {
    for (const replica of servers.replicas) await replica.pauseReplay();
    await cluster.session(async () => {
      await withClient(pool, async (client) => {
        await client.query('begin');
        await client.query(`insert into notes (body) values ('committed')`);
        expect(client.getTransactionStatus()).toBe('T');
        await client.query('commit');
      });
      const { rows } = await pool.query(`select body from notes where body = 'committed'`);
      expect(rows).toHaveLength(1);
    });
  });

  it('leaves nothing behind of a transaction that is rolled back', async () => {
    await withClient(pool, async (client) => {
      await client.query('begin');
      await client.query(`insert into notes (body) values ('undone')`);
      await client.query('rollback');
    });
    expect((await pool.query(`select 1 from notes where body = 'undone'`)).rows).toEqual([]);
  });

  it('runs BEGIN READ ONLY on a replica that has what its session wrote, and is free again after COMMIT', async () => {
    await cluster.session(async () => {
      await pool.query(`insert into notes (body) values ('before')`);
      told();
      await withClient(pool, async (client) => {
        await client.query('begin isolation level repeatable read read only');
        const { rows } = await client.query(
          `select pg_is_in_recovery() as standby, exists (select from notes where body = 'before') as sees`,
        );
        expect(rows).toEqual([{ standby: true, sees: true }]);
        expect(client.getTransactionStatus()).toBe('T');
        await expect(client.query(`insert into notes (body) values ('never')`)).rejects.toMatchObject({
          code: '25006',
        });
        await client.query('rollback');
        expect(told()).toEqual([expect.stringMatching(/^r\d:/)]);
        await client.query(`insert into notes (body) values ('after')`);
        expect(told()).toEqual(['primary:write']);
      });
    });
    await pool.query(`delete from notes where body in ('before', 'after')`);
  });

  it('runs a serializable read-only transaction on the primary, since no replica can', async () => {
    await withClient(pool, async (client) => {
      await client.query('begin isolation level serializable read only');
      expect((await client.query('select pg_is_in_recovery() as standby')).rows).toEqual([{ standby: false }]);
      await client.query('commit');
    });
  });

  it('refuses an advisory lock in a transaction on a replica, where it would lock nobody out', async () => {
    await withClient(pool, async (client) => {
      await client.query('begin read only');
      await expect(client.query('select pg_advisory_xact_lock(1)')).rejects.toMatchObject({
        code: 'LADDER_READ_ONLY_TRANSACTION',
      });
      await client.query('rollback');
    });
  });

  it('reads by its own settings once it has any, also when it is taken out again', async () => {
    const small = cluster.pool();
    await withClient(small, async (client) => {
      await client.query(`set app.tenant = 'blue'`);
      expect((await client.query('select tenant()')).rows).toEqual([{ tenant: 'blue' }]);
    });
    told();
    await withClient(small, async (client) => {
      expect((await client.query('select tenant()')).rows).toEqual([{ tenant: 'blue' }]);
      expect(told()).toEqual(['primary:session-state']);
    });
  });

  it('does not keep to the primary after settings of one transaction', async () => {
    const small = cluster.pool();
    await withClient(small, async (client) => {
      await client.query('begin');
      await client.query(`set local app.tenant = 'red'`);
      await client.query('commit');
    });
    await until('the replicas have caught up', async () => withClient(small, isReplica));
  });

  it('is discarded, and its user told, when it is released inside a transaction', async () => {
    const warnings: WarningEvent[] = [];
    cluster.events.on('warning', (warning) => warnings.push(warning));
    const client = await pool.connect();
    await client.query('begin');
    await client.query(`insert into notes (body) values ('abandoned')`);
    client.release();
    expect(pool.totalCount).toBe(0);
    expect(warnings.map(({ code }) => code)).toEqual(['released-in-transaction']);
    await until('it is rolled back', async () => {
      const { rows } = await cluster.write(
        `select count(*)::int as n from pg_locks where relation = 'notes'::regclass`,
      );
      return (rows[0] as { n: number }).n === 0;
    });
    expect((await cluster.write(`select 1 from notes where body = 'abandoned'`)).rows).toEqual([]);
  });

  it('commits what is on its way when it is released without waiting', async () => {
    const client = await pool.connect();
    await client.query('begin');
    await client.query(`insert into notes (body) values ('hasty')`);
    const committing = client.query('commit');
    client.release();
    await committing;
    expect((await cluster.write(`delete from notes where body = 'hasty'`)).rowCount).toBe(1);
  });

  it('never joins a transaction of the code around it', async () => {
    await cluster.transaction(async (tx) => {
      await tx.query(`insert into notes (body) values ('within')`);
      expect((await pool.query(`select 1 from notes where body = 'within'`)).rows).toEqual([]);
      await tx.query(`delete from notes where body = 'within'`);
    });
  });

  it('leaves no listener behind when it never had a connection of its own', async () => {
    const client = await pool.connect();
    client.release();
    const { stream } = (client as unknown as { connection: { stream: NodeJS.EventEmitter } }).connection;
    const count = (): number => stream.eventNames().reduce((sum, name) => sum + stream.listenerCount(name), 0);
    const before = count();
    for (let i = 0; i < 20; i++) await withClient(pool, (same) => same.query('select v from server_of'));
    expect(count()).toBe(before);
  });

  it('reads in the session that a lazy query is returned from', async () => {
    for (const replica of servers.replicas) await replica.pauseReplay();
    await pool.query(`insert into notes (body) values ('lazy')`);
    const text = `select 1 from notes where body = 'lazy'`;
    const then: PromiseLike<number>['then'] = (resolve, reject) =>
      pool
        .query(text)
        .then(({ rows }) => rows.length)
        .then(resolve, reject);
    // oxlint-disable-next-line unicorn/no-thenable
    const lazy = () => Object.fromEntries([['then', then]]) as unknown as PromiseLike<number>;
    // Only a session that does not mind sees nothing of it.
    expect(await cluster.session(lazy)).toBe(1);
    expect(await cluster.session(lazy, { consistency: 'eventual' })).toBe(0);
    await cluster.write(`delete from notes where body = 'lazy'`);
  });
});
