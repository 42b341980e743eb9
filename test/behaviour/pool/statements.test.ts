import pg, { type Pool } from 'pg';
import { describe, expect, it } from 'vitest';
import { createCluster } from '../../../src/index.js';
import { open, until, withClient } from '../fixture.js';
import { cluster, pool, servers, told, usesPool } from './pooled.js';

usesPool();

describe('cluster.pool(): a statement by itself', () => {
  it('is a pg.Pool to whoever asks', () => {
    expect(pool).toBeInstanceOf(pg.Pool);
    expect(pool.constructor.name).toBe('BoundPool');
    expect(pool.options.max).toBe(10);
  });

  it('reads on a replica and writes on the primary, and its session sees what it wrote', async () => {
    for (const replica of servers.replicas) await replica.pauseReplay();
    await cluster.session(async () => {
      await pool.query('insert into notes (body) values ($1)', ['mine']);
      const { rows } = await pool.query('select body from notes where body = $1', ['mine']);
      expect(rows).toEqual([{ body: 'mine' }]);
      expect(told()).toEqual(['primary:write', 'primary:behind-floor']);
    });
    for (const replica of servers.replicas) await replica.resumeReplay();
    await cluster.session(
      async () => {
        await pool.query('select body from notes');
        expect(told()[0]).toMatch(/^r\d:/);
      },
      { consistency: 'eventual' },
    );
  });

  it('takes no client for a read that it knows', async () => {
    await pool.query('select v from server_of');
    await until('its client is back', () => pool.idleCount === pool.totalCount);
    const { totalCount } = pool;
    const busy = await Promise.all(Array.from({ length: 10 }, () => pool.connect()));
    const { rows } = await pool.query('select v from server_of');
    expect(rows).toEqual([{ v: 'here' }]);
    expect(totalCount).toBeLessThanOrEqual(1);
    for (const client of busy) client.release();
  });

  it('runs once more on the primary what a replica refuses', async () => {
    await cluster.write(
      `create or replace function sly() returns int language plpgsql stable as $$ begin perform nextval('notes_id_seq'); return 1; end $$`,
    );
    for (const replica of servers.replicas) await replica.waitForReplay();
    const { rows } = await pool.query('select sly() as one');
    expect(rows).toEqual([{ one: 1 }]);
    const after = await withClient(pool, (client) => client.query('select sly() as one'));
    expect(after.rows).toEqual([{ one: 1 }]);
  });

  it('finishes reads that are under way before end() resolves', async () => {
    await pool.query('select v from server_of');
    const reads = Array.from({ length: 20 }, () => pool.query('select v from server_of'));
    let isRead = false;
    void Promise.all(reads).then(() => {
      isRead = true;
    });
    await pool.end();
    expect(isRead).toBe(true);
    await expect(pool.query('select v from server_of')).rejects.toThrow(
      'Cannot use a pool after calling end on the pool',
    );
  });
});

describe('cluster.pool(): set-up of connections', () => {
  it('tells connect listeners of every connection before it is used, on replicas too', async () => {
    pool.on('connect', (client) => {
      void client.query(`set app.tenant = 'green'`);
    });
    for (let i = 0; i < 4; i++) {
      expect((await pool.query('select tenant()')).rows).toEqual([{ tenant: 'green' }]);
    }
    expect(told().some((route) => route.startsWith('r'))).toBe(true);
    await withClient(pool, async (client) => {
      expect((await client.query('select tenant()')).rows).toEqual([{ tenant: 'green' }]);
      await client.query(`insert into notes (body) values (tenant())`);
      expect((await client.query(`delete from notes where body = 'green'`)).rowCount).toBe(1);
    });
  });

  it('runs the cluster’s onConnect on its own connections, too', async () => {
    await using other = await open(servers, { onConnect: (client) => void client.query(`set app.tenant = 'cluster'`) });
    const own = other.pool();
    await withClient(own, async (client) => {
      await client.query('begin');
      expect((await client.query('select tenant()')).rows).toEqual([{ tenant: 'cluster' }]);
      await client.query('commit');
    });
    expect((await own.query('select tenant()')).rows).toEqual([{ tenant: 'cluster' }]);
  });
});

describe('cluster.pool({ intent })', () => {
  it('read: runs transactions on a replica, READ ONLY, and never writes', async () => {
    const reading = cluster.pool({ intent: 'read' });
    await withClient(reading, async (client) => {
      await client.query('begin');
      expect((await client.query('select pg_is_in_recovery() as standby')).rows).toEqual([{ standby: true }]);
      await expect(client.query(`insert into notes (body) values ('no')`)).rejects.toMatchObject({ code: '25006' });
      await client.query('rollback');
    });
  });

  it('read: keeps to one replica for settings, and closes that connection afterwards', async () => {
    const reading = cluster.pool({ intent: 'read' });
    await withClient(reading, async (client) => {
      await client.query(`set app.tenant = 'reader'`);
      expect((await client.query('select tenant()')).rows).toEqual([{ tenant: 'reader' }]);
    });
    for (let i = 0; i < 20; i++)
      expect((await cluster.read('select tenant()')).rows).not.toEqual([{ tenant: 'reader' }]);
  });

  it('write: sends everything to the primary, and reads elsewhere see it', async () => {
    const writing = cluster.pool({ intent: 'write' });
    for (const replica of servers.replicas) await replica.pauseReplay();
    await cluster.session(async () => {
      await writing.query(`insert into notes (body) values ('written')`);
      expect((await writing.query('select pg_is_in_recovery() as standby')).rows).toEqual([{ standby: false }]);
      expect((await pool.query(`select body from notes where body = 'written'`)).rows).toHaveLength(1);
      await writing.query(`delete from notes where body = 'written'`);
    });
  });

  it('says that it needs a pg.Pool, whose options it takes over', async () => {
    const odd = Object.create(new pg.Pool(), { Client: { value: undefined } }) as Pool;
    const other = createCluster({ primary: { pool: odd } });
    expect(() => other.pool()).toThrow('expected node "primary" to have a pg.Pool');
    await other.close();
  });

  it('says which option it does not know', () => {
    expect(() => cluster.pool({ intent: 'both' as 'read' })).toThrow('pool: intent');
  });

  it('ends with the cluster, and is refused after it', async () => {
    await pool.query('select v from server_of');
    await cluster.close();
    expect(pool.ended).toBe(true);
    expect(() => cluster.pool()).toThrow('the cluster was closed');
  });
});
