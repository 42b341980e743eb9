import pg, { type PoolClient } from 'pg';
import { describe, expect, it } from 'vitest';
import { RunningClock, until } from '../fixture.js';
import {
  admin,
  all,
  answered,
  comparesPools,
  eachConnectingPool,
  eachPool,
  gate,
  inside,
  kill,
  Troubled,
  taken,
  wait,
} from './pools.js';

comparesPools();

/** On a machine that is busy, to open a connection may take longer than the pool waits. */
async function patiently<T>(take: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await take();
    } catch (error) {
      if (tries === 50) throw error;
    }
  }
}

eachPool((make) => {
  describe('errors', () => {
    it('of statements reach who asked, as pg’s own, and cost the pool nothing', async () => {
      const pool = await make({ max: 2 });
      const errors = await all(12, () => pool.query(`select 'asd' + 1`).catch((error: unknown) => error));
      expect(errors).toHaveLength(12);
      for (const error of errors) {
        expect(error).toBeInstanceOf(pg.DatabaseError);
        expect(error).toMatchObject({ code: '22P02', severity: 'ERROR' });
      }
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    });

    it('of twenty statements in a row leave a pool of one working', async () => {
      const pool = await make({ max: 1 });
      const codes: string[] = [];
      for (let i = 0; i < 20; i++)
        await pool.query('not sql').catch(({ code }: pg.DatabaseError) => codes.push(code ?? ''));
      expect(codes).toEqual(Array(20).fill('42601'));
      expect(pool.waitingCount).toBe(0);
      expect((await pool.query('select $1::text as name', ['hi'])).rows).toEqual([{ name: 'hi' }]);
    });

    it('tell in their stack who asked', async () => {
      const pool = await make();
      async function whoAsks(): Promise<void> {
        await pool.query('select nonsense from items');
      }
      const error = await whoAsks().catch((reason: unknown) => reason);
      expect((error as Error).stack).toContain('whoAsks');
    });

    it('are what query(null) and query(undefined) get, as a rejection', async () => {
      const pool = await make();
      for (const nothing of [null, undefined]) {
        await expect(pool.query(nothing as unknown as string)).rejects.toThrow(
          'Client was passed a null or undefined query',
        );
        expect(pool.totalCount).toBe(0);
      }
      const { error, returned } = await answered((callback) => pool.query(null as unknown as string, callback));
      expect(error).toBeInstanceOf(TypeError);
      expect(returned).toBeUndefined();
    });

    it('are what a function in place of a statement gets, later', async () => {
      const pool = await make();
      const { error, returned } = await answered((callback) => pool.query(callback as unknown as string));
      expect(error?.message).toBe('Passing a function as the first parameter to pool.query is not supported');
      expect(returned).toBeUndefined();
      expect(pool.totalCount).toBe(0);
    });

    it('of an idle client remove it, and reach the pool’s listeners with it', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      inside(client).tag = 'the idle one';
      const pid = inside(client).processID as number;
      client.release();
      const told = new Promise<[Error, PoolClient]>((resolve) => pool.on('error', (...args) => resolve(args)));
      await kill(pid);
      const [error, whose] = await told;
      expect(error).toMatchObject({ code: '57P01' });
      expect(whose).toBe(client);
      expect((error as Error & { client?: { tag?: string } }).client?.tag).toBe('the idle one');
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
    });

    it('of an idle client are told once, and so is its removal', async () => {
      const pool = await make();
      const told: string[] = [];
      for (const event of ['error', 'remove'] as const) pool.on(event, () => told.push(event));
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      client.on('end', () => told.push('end'));
      client.release();
      await kill(inside(client).processID as number);
      await until('it has ended', () => told.includes('end') && told.includes('remove'), 1_000);
      await wait(5);
      expect(told.sort()).toEqual(['end', 'error', 'remove']);
    });

    it('that an idle client emits reach its own listeners, too', async () => {
      const pool = await make();
      const client = await pool.connect();
      client.release();
      const told: unknown[] = [];
      pool.on('error', (error, whose) => told.push('pool', error, whose));
      client.on('error', (error) => told.push('client', error));
      const error = new Error('as expected');
      client.emit('error', error);
      expect(told).toEqual(['pool', error, client, 'client', error]);
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
    });

    it('of a client in use reach its listeners and not the pool’s, and leave it in the pool', async () => {
      const pool = await make();
      const client = await pool.connect();
      const told: unknown[] = [];
      pool.on('error', () => told.push('pool'));
      client.on('error', (error) => told.push('client', error));
      const error = new Error('as expected');
      client.emit('error', error);
      expect(told).toEqual(['client', error]);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('reach who asked when the connection is lost under query()', async () => {
      const pool = await make({ max: 1, application_name: 'lost under way' });
      const failing = pool.query('update items set body = body where id = 4 and pg_sleep(20) is null');
      const { error } = await answered((callback) => {
        failing.catch(callback);
        void until('it runs', async () => {
          const { rows } = await admin.query<{ pid: number }>(
            `select pid from pg_stat_activity where application_name = 'lost under way' and query like 'update items%'`,
          );
          if (rows[0] !== undefined) await kill(rows[0].pid);
          return rows[0] !== undefined;
        });
      });
      expect(error).toMatchObject({ code: '57P01' });
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    });
  });

  describe('connectionTimeoutMillis in line', () => {
    it('ends the wait for a client, and the next in line still gets it', async () => {
      const pool = await make({ connectionTimeoutMillis: 80, max: 1 });
      const client = await patiently(() => pool.connect());
      const [error, none] = await taken(pool);
      expect(error?.message).toBe('timeout exceeded when trying to connect');
      expect([none, pool.waitingCount]).toEqual([undefined, 0]);
      const next = pool.connect();
      client.release();
      expect(await next).toBe(client);
      (await next).release();
    });

    it('ends the wait of query() for a client, and the pool works on', async () => {
      const pool = await make({ connectionTimeoutMillis: 80, max: 1 });
      const client = await patiently(() => pool.connect());
      const text = 'update items set body = body where id = 7';
      await expect(pool.query(text)).rejects.toThrow('timeout exceeded when trying to connect');
      const { error, result } = await answered((callback) => pool.query(text, callback));
      expect(error?.message).toBe('timeout exceeded when trying to connect');
      expect(result).toBeUndefined();
      client.release();
      expect((await patiently(() => pool.query(text))).rowCount).toBe(1);
    });
  });
});

eachConnectingPool((make, kind) => {
  describe('without a server', () => {
    // Where others could take its place, it is waited for.
    const code = kind === 'write' ? 'LADDER_NO_PRIMARY' : 'ECONNREFUSED';

    it('connect() fails with an error and a function in place of release, and leaves nothing behind', async () => {
      const entrance = await gate();
      entrance.shut();
      const pool = await make({}, entrance.url);
      await expect(pool.connect()).rejects.toMatchObject({ code });
      const [error, client, done] = await taken(pool);
      expect(error).toMatchObject({ code });
      expect(client).toBeUndefined();
      expect(done).toBeTypeOf('function');
      expect(done()).toBeUndefined();
      expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([0, 0, 0]);
    });

    it('query() fails with an error', async () => {
      const entrance = await gate();
      entrance.shut();
      const pool = await make({}, entrance.url);
      await expect(pool.query('select 1')).rejects.toMatchObject({ code });
      const { error, result } = await answered((callback) => pool.query('select $1::int', [1], callback));
      expect(error).toMatchObject({ code });
      expect([result, pool.totalCount]).toEqual([undefined, 0]);
    });

    it('those who wait get their turn, and their error, too', async () => {
      const entrance = await gate();
      entrance.mode = 'resetting';
      const pool = await make({ max: 1 }, entrance.url);
      const results = await Promise.allSettled([pool.connect(), pool.connect(), pool.query('select 1')]);
      for (const result of results) {
        expect(result.status).toBe('rejected');
        const { message } = (result as PromiseRejectedResult).reason as Error;
        const words = /ECONNRESET|Connection terminated unexpectedly/;
        expect(message).toMatch(kind === 'write' ? /no node takes writes/ : words);
      }
      expect([pool.totalCount, pool.waitingCount]).toEqual([0, 0]);
    });
  });

  describe('connectionTimeoutMillis', () => {
    it('ends the wait for a server that accepts and never answers, in pg-pool’s words', async () => {
      const entrance = await gate();
      entrance.mode = 'silent';
      const pool = await make({ connectionTimeoutMillis: 40 }, entrance.url);
      const clock = new RunningClock();
      const [error, client, done] = await taken(pool);
      expect(clock.now()).toBeLessThan(1_000);
      clock.stop();
      expect(error?.message).toBe('Connection terminated due to connection timeout');
      expect(error?.cause).toBeInstanceOf(Error);
      expect([client, typeof done, pool.totalCount]).toEqual([undefined, 'function', 0]);
      for (let i = 0; i < 3; i++) {
        await expect(pool.connect()).rejects.toThrow('Connection terminated due to connection timeout');
        await expect(pool.query('select 1')).rejects.toThrow('Connection terminated due to connection timeout');
      }
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
    });

    it('ends the wait for a server that stops answering new connections, and is none when it answers again', async () => {
      const entrance = await gate();
      const pool = await make({ connectionTimeoutMillis: 150, max: 1 }, entrance.url);
      await patiently(() => pool.query('select 1'));
      const client = await patiently(() => pool.connect());
      client.release(true);
      entrance.mode = 'silent';
      await expect(pool.connect()).rejects.toThrow('Connection terminated due to connection timeout');
      entrance.mode = 'open';
      expect((await patiently(() => pool.query('select 1 as one'))).rows).toEqual([{ one: 1 }]);
    });
  });

  describe('a connection that takes its time', () => {
    it('which fails lets the next one in line connect', async () => {
      const pool = await make({ Client: Troubled, connectionTimeoutMillis: 2_000, max: 1 });
      const error = new Error('no luck');
      Troubled.next.push({ afterMillis: 20, error });
      const failing = pool.connect();
      const next = pool.query('select $1::text as name', ['hi']);
      await expect(failing).rejects.toBe(error);
      expect((await next).rows).toEqual([{ name: 'hi' }]);
      expect(Troubled.next).toEqual([]);
    });

    it('goes to the pool when the one for whom it was opened has given up', async () => {
      const pool = await make({ Client: Troubled, connectionTimeoutMillis: 1_500, max: 1 });
      // The first fails when more than half of the second one's time is over; the second connects when all of it is.
      Troubled.next.push({ afterMillis: 900, error: new Error('no luck') }, { afterMillis: 1_050 });
      let callCount = 0;
      const failing = taken(pool);
      const error = await new Promise<Error | undefined>((resolve) => {
        pool.connect((reason) => {
          callCount++;
          resolve(reason);
        });
      });
      expect(error?.message).toBe('timeout exceeded when trying to connect');
      expect((await failing)[0]?.message).toBe('no luck');
      await until('it is idle', () => pool.idleCount === 1);
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      expect([callCount, pool.totalCount, Troubled.next.length]).toEqual([1, 1, 0]);
    });
  });
});
