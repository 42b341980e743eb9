import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { PoolClient } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { describe, expect, it } from 'vitest';
import { open, until, withClient } from '../fixture.js';
import { cluster, pool, servers, told, usesPool } from './pooled.js';

usesPool();

describe('cluster.pool(): a client', () => {
  it('streams reads from a replica, and writes with RETURNING from the primary', async () => {
    await withClient(pool, async (client) => {
      const cursor = client.query(new Cursor('select i from generate_series(1, 10) i'));
      expect(await cursor.read(3)).toHaveLength(3);
      expect(told()[0]).toMatch(/^r\d:/);
      await cursor.close();
      const rows: unknown[] = [];
      for await (const row of client.query(new QueryStream('select i from generate_series(1, 250) i'))) rows.push(row);
      expect(rows).toHaveLength(250);
      expect(told()[0]).toMatch(/^r\d:/);
      const inserting = client.query(new Cursor(`insert into notes (body) values ('cursor') returning body`));
      expect(await inserting.read(10)).toEqual([{ body: 'cursor' }]);
      await inserting.close();
      expect(told()).toEqual(['primary:write']);
      expect((await client.query(`delete from notes where body = 'cursor'`)).rowCount).toBe(1);
    });
  });

  it('copies out of a replica, and into the primary, where its session finds the rows', async () => {
    for (const replica of servers.replicas) await replica.pauseReplay();
    await cluster.session(
      () =>
        withClient(pool, async (client) => {
          const out = client.query(copyTo('copy (select v from server_of) to stdout'));
          const chunks: Buffer[] = [];
          for await (const chunk of out) chunks.push(chunk as Buffer);
          expect(Buffer.concat(chunks).toString()).toBe('here\n');
          expect(told()[0]).toMatch(/^r\d:/);
        }),
      { consistency: 'eventual' },
    );
    await cluster.session(async () => {
      await withClient(pool, async (client) => {
        await pipeline(Readable.from(['copied\n']), client.query(copyFrom('copy notes (body) from stdin')));
      });
      expect((await pool.query(`select body from notes where body = 'copied'`)).rows).toHaveLength(1);
      await pool.query(`delete from notes where body = 'copied'`);
    });
  });

  it('comes back to the pool with a cursor that was left open, whose connection is closed after a while', async () => {
    const client = await pool.connect();
    const cursor = client.query(new Cursor('select i from generate_series(1, 10) i'));
    await cursor.read(1);
    client.release();
    const again = await pool.connect();
    expect((await again.query('select v from server_of')).rows).toEqual([{ v: 'here' }]);
    again.release();
    const openCursors = async (): Promise<number> => {
      const inFlight = cluster.stats().nodes.map((node) => node.inFlight);
      return inFlight.reduce((sum, count) => sum + count, 0);
    };
    expect(await openCursors()).toBe(1);
    await until('the cursor is given up', async () => (await openCursors()) === 0, 15_000);
  });

  it('streams to the end what is read after its release', async () => {
    const client = await pool.connect();
    const stream = client.query(new QueryStream('select i from generate_series(1, 2000) i'));
    client.release();
    const rows: unknown[] = [];
    for await (const row of stream) rows.push(row);
    expect(rows).toHaveLength(2_000);
  });

  it('uses its own type parsers wherever its reads run', async () => {
    await withClient(pool, async (client) => {
      client.setTypeParser(20, (text: string) => BigInt(text));
      expect((await client.query('select count(*) as n from server_of')).rows).toEqual([{ n: 1n }]);
      expect(told()[0]).toMatch(/^r\d:/);
    });
  });

  it('listens on its own connection', async () => {
    await withClient(pool, async (client) => {
      const heard = new Promise((resolve) => client.on('notification', ({ payload }) => resolve(payload)));
      await client.query('listen news');
      await cluster.write(`select pg_notify('news', 'hello')`);
      expect(await heard).toBe('hello');
      await client.query('unlisten *');
    });
  });

  it('belongs to the session that asked for it, also when another one’s release brought it', async () => {
    await using narrow = await open(servers, {
      primary: { connectionString: servers.primary.connectionString, max: 1 },
    });
    const one = narrow.pool();
    for (const replica of servers.replicas) await replica.pauseReplay();
    const save = (body: string): Promise<number> =>
      narrow.session(async () => {
        await one.query('insert into notes (body) values ($1)', [body]);
        return (await one.query('select body from notes where body = $1', [body])).rows.length;
      });
    const bodies = ['queue 1', 'queue 2', 'queue 3', 'queue 4'];
    expect(await Promise.all(bodies.map(save))).toEqual([1, 1, 1, 1]);
    await narrow.write('delete from notes where body = any($1)', [bodies]);
  });

  it('keeps to the session of whoever asks, also in callbacks', async () => {
    // Opened in some session that is long over: pg would call back in that one.
    await cluster.session(() => pool.query(`insert into notes (body) values ('opens')`));
    for (const replica of servers.replicas) await replica.pauseReplay();
    const seen = await cluster.session(
      () =>
        new Promise<number>((resolve, reject) => {
          pool.query(`insert into notes (body) values ('called')`, (failure: Error | undefined) => {
            if (failure) reject(failure);
            pool.query(`select 1 from notes where body = 'called'`, (error: Error | undefined, result) => {
              if (error) reject(error);
              else resolve(result.rows.length);
            });
          });
        }),
      { inherit: 'none' },
    );
    expect(seen).toBe(1);
    const inSession = await new Promise<unknown>((resolve, reject) => {
      cluster.session((session) => {
        pool.connect((_, client, release) => {
          client?.query('select v from server_of', (error) => {
            release();
            if (error) reject(error);
            else resolve(cluster.currentSession() === session);
          });
        });
      });
    });
    expect(inSession).toBe(true);
    await cluster.write(`delete from notes where body in ('opens', 'called')`);
  });

  it('goes by what was left on a connection, as far as a pool of one does', async () => {
    await using narrow = await open(servers, {
      primary: { connectionString: servers.primary.connectionString, max: 1 },
    });
    await narrow.explain('select 1');
    const one = narrow.pool();
    await one.query('select tenant()');
    await one.query(`set app.tenant = 'left behind'`);
    expect((await one.query('select tenant()')).rows).toEqual([{ tenant: 'left behind' }]);
    await withClient(one, (client) => client.query('discard all'));
    expect((await one.query('select tenant()')).rows).not.toEqual([{ tenant: 'left behind' }]);
  });

  it('never shows less than it has shown within a transaction', async () => {
    await cluster.write(`insert into notes (body) values ('seen')`);
    for (const replica of servers.replicas) {
      await replica.waitForReplay();
      await replica.pauseReplay();
    }
    // By somebody else: nothing that this session has written.
    await using others = await open(servers);
    await others.write(`update notes set body = 'seen later' where body = 'seen'`);
    await cluster.session(
      async () => {
        await withClient(pool, async (client) => {
          await client.query('begin');
          expect((await client.query(`select 1 from notes where body = 'seen later'`)).rowCount).toBe(1);
          await client.query('commit');
        });
        expect((await pool.query(`select 1 from notes where body = 'seen later'`)).rowCount).toBe(1);
      },
      { inherit: 'none' },
    );
    await cluster.write(`delete from notes where body = 'seen later'`);
  });

  it('goes by a setting that nobody waited for', async () => {
    await using narrow = await open(servers, {
      primary: { connectionString: servers.primary.connectionString, max: 1 },
    });
    await narrow.explain('select 1');
    const one = narrow.pool();
    const client = await one.connect();
    const setting = client.query(`set app.tenant = 'hasty'`);
    client.release();
    await setting;
    expect((await withClient(one, (same) => same.query('select tenant()'))).rows).toEqual([{ tenant: 'hasty' }]);
  });

  it('hears notifications outside any session, whoever it was that opened the connection', async () => {
    const client = await pool.connect();
    const heardIn = new Promise<unknown>((resolve) => {
      client.on('notification', () => resolve(cluster.currentSession()));
    });
    await cluster.session(() => client.query('listen rumours'));
    await cluster.write(`select pg_notify('rumours', '')`);
    expect(await heardIn).toBeUndefined();
    client.release();
  });

  it('reports an error where it was awaited', async () => {
    async function whoAsks(client: PoolClient): Promise<void> {
      await client.query('select missing from server_of');
    }
    const error = await withClient(pool, whoAsks).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: '42703' });
    expect((error as Error).stack).toContain('whoAsks');
    async function whoAsksThePool(): Promise<void> {
      await pool.query('select 1 / (length(v) - 4) from server_of');
    }
    await whoAsksThePool().catch(() => undefined);
    const again = await whoAsksThePool().catch((reason: unknown) => reason);
    expect(again).toMatchObject({ code: '22012' });
    expect((again as Error).stack).toContain('whoAsksThePool');
    await until('nothing is under way', () => pool.totalCount === pool.idleCount);
  });
});
