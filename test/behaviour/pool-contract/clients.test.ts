import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import pg, { type PoolClient } from 'pg';
import { describe, expect, it } from 'vitest';
import { until } from '../fixture.js';
import { admin, all, answered, comparesPools, eachPool, inside, isAlive, pidOf, servers } from './pools.js';

comparesPools();

eachPool((make) => {
  describe('a client', () => {
    it('is one of pg’s', async () => {
      const pool = await make();
      const client = await pool.connect();
      expect(client).toBeInstanceOf(EventEmitter);
      expect(client).toBeInstanceOf(pg.Client);
      client.release();
    });

    it('tells where it is connected to', async () => {
      const pool = await make();
      const client = await pool.connect();
      const { hostname, port, username, pathname } = new URL(servers.primary.connectionString);
      expect([client.host, client.port, client.user, client.database]).toEqual([
        hostname,
        Number(port),
        username,
        pathname.slice(1),
      ]);
      client.release();
    });

    it('shows the password to nobody who prints it', async () => {
      const pool = await make();
      const client = await pool.connect();
      const { password } = servers.primary;
      expect((client as unknown as { password: string }).password).toBe(password);
      expect(Object.keys(client)).not.toContain('password');
      expect(inspect(client, { depth: 3 })).not.toContain(password);
      client.release();
    });

    it('knows the process that serves it', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      expect(inside(client).processID).toBe(await pidOf(client));
      client.release();
    });

    it('tells whether it is in a transaction, and whether that has failed', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      expect(client.getTransactionStatus()).toBe('I');
      await client.query('begin');
      expect(client.getTransactionStatus()).toBe('T');
      await expect(client.query('select nonsense')).rejects.toMatchObject({ code: '42703' });
      // The error is told ahead of what the server says of its state.
      await until('it knows', () => client.getTransactionStatus() === 'E', 1_000);
      await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
      await client.query('rollback');
      expect(client.getTransactionStatus()).toBe('I');
      client.release();
    });

    it('commits and rolls back', async () => {
      const pool = await make();
      const client = await pool.connect();
      const count = async () => (await client.query('select from items where id in (-10, -11)')).rowCount;
      await client.query('begin');
      await client.query('insert into items values (-10)');
      expect(await count()).toBe(1);
      await client.query('rollback');
      expect(await count()).toBe(0);
      await client.query('begin');
      await client.query('insert into items values (-11)');
      await client.query('commit');
      expect(await count()).toBe(1);
      await client.query('delete from items where id = -11');
      client.release();
    });

    it('runs what is sent without waiting in its order', async () => {
      const pool = await make();
      const client = await pool.connect();
      const texts = [
        'create temporary table steps (n int)',
        'insert into steps values (1)',
        'select count(*)::int as n from steps',
        'insert into steps values (2)',
        'select count(*)::int as n from steps',
        'select body from items where id = 9',
      ];
      const order: number[] = [];
      const results = await Promise.all(
        texts.map((text, i) =>
          client.query(text).then((result) => {
            order.push(i);
            return result.rows[0];
          }),
        ),
      );
      expect(results).toEqual([undefined, undefined, { n: 1 }, undefined, { n: 2 }, { body: 'item 9' }]);
      expect(order).toEqual([0, 1, 2, 3, 4, 5]);
      client.release();
    });

    it('calls back with null for no error, also by a callback within the config', async () => {
      const pool = await make();
      const client = await pool.connect();
      for (const text of ['select body from items where id = $1', 'update items set body = body where id = $1']) {
        const given = await answered((callback) => client.query(text, [1], callback));
        const within = await answered((callback) =>
          client.query({ text, values: [1], callback } as { text: string; values: number[] }),
        );
        for (const { error, result, returned } of [given, within]) {
          expect([error, result?.rowCount, returned]).toEqual([null, 1, undefined]);
        }
      }
      const { error, result } = await answered((callback) => client.query('select nonsense', callback));
      expect(error).toMatchObject({ code: '42703' });
      expect(result).toBeUndefined();
      client.release();
    });

    it('throws at once when it is given nothing to run, or no function to call', async () => {
      const pool = await make();
      const client = await pool.connect();
      expect(() => client.query(null as unknown as string)).toThrow('Client was passed a null or undefined query');
      expect(() => client.query('select 1', [], 'no function' as never)).toThrow('callback is not a function');
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
    });

    it('refuses to connect a second time', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      const message = 'Client has already been connected. You cannot reuse a client.';
      await expect(client.connect()).rejects.toThrow(message);
      const { error } = await answered((callback) => client.connect(callback));
      expect(error?.message).toBe(message);
      expect((await client.query('select from mine')).rowCount).toBe(0);
      client.release();
    });

    it('hears notices', async () => {
      const pool = await make();
      const client = await pool.connect();
      const heard = new Promise<{ message: string | undefined }>((resolve) => client.on('notice', resolve));
      await client.query(`do $$ begin raise notice 'by the way'; end $$`);
      expect((await heard).message).toBe('by the way');
      client.release();
    });

    it('hears notifications while it listens', async () => {
      const pool = await make();
      const client = await pool.connect();
      const heard = new Promise((resolve) => client.on('notification', resolve));
      await client.query('listen news');
      await admin.query(`notify news, 'extra'`);
      expect(await heard).toMatchObject({ channel: 'news', payload: 'extra', processId: inside(admin).processID });
      await client.query('unlisten *');
      client.release();
    });

    it('parses by its own type parsers, and the pool’s other clients do not', async () => {
      const pool = await make();
      const [client, other] = [await pool.connect(), await pool.connect()];
      client.setTypeParser(23, (text: string) => `${text} as text`);
      for (const text of ['select id from items where id = 1', 'update items set id = id where id = 1 returning id']) {
        expect((await client.query(text)).rows).toEqual([{ id: '1 as text' }]);
        expect((await other.query(text)).rows).toEqual([{ id: 1 }]);
      }
      expect((client.getTypeParser as (oid: number) => (text: string) => unknown)(23)('2')).toBe('2 as text');
      client.release();
      other.release();
    });

    it('quotes identifiers and literals', async () => {
      const pool = await make();
      const client = await pool.connect();
      expect(client.escapeIdentifier('a"b')).toBe('"a""b"');
      expect(client.escapeLiteral(`it's`)).toBe(`'it''s'`);
      expect(client.escapeLiteral('back\\slash')).toBe(` E'back\\\\slash'`);
      client.release();
    });

    it('is not binary and does not pipeline unless the pool is told so', async () => {
      const plain = await make();
      const plainClient = await plain.connect();
      expect([inside(plainClient).binary, inside(plainClient).pipeline]).toEqual([false, false]);
      plainClient.release();
      const pool = await make({ pipeline: true });
      const client = await pool.connect();
      expect(inside(client).pipeline).toBe(true);
      const results = await all(3, (i) => client.query('select $1::int as n', [i]));
      expect(results.map(({ rows }) => rows[0])).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }]);
      client.release();
    });

    it('can be ended, with a promise or a callback, and then refuses to run anything', async () => {
      const pool = await make();
      for (const end of [
        (client: PoolClient) => client.end(),
        (client: PoolClient) => new Promise<void>((resolve) => client.end(() => resolve())),
      ]) {
        const client = await pool.connect();
        await client.query('create temporary table mine ()');
        const pid = inside(client).processID as number;
        const isTold = new Promise<void>((resolve) => client.once('end', resolve));
        await end(client);
        await isTold;
        await until('its connection is closed', async () => !(await isAlive(pid)));
        await expect(client.query('select from mine')).rejects.toThrow('Client was closed and is not queryable');
        client.release();
        expect(pool.totalCount).toBe(0);
      }
    });

    it('tells when it has nothing more to do', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      const drained = new Promise<void>((resolve) => client.once('drain', resolve));
      await client.query('insert into mine default values');
      await drained;
      expect((await client.query('select from mine')).rowCount).toBe(1);
      client.release();
    });

    it('does not keep listeners of one user for the next', async () => {
      const pool = await make();
      const client = await pool.connect();
      const count = client.listenerCount('error');
      for (let i = 0; i < 3; i++) {
        client.release();
        expect(await pool.connect()).toBe(client);
        await client.query('update items set body = body where id = 1');
        expect((await client.query('select body from items where id = 1')).rowCount).toBe(1);
      }
      expect(client.listenerCount('error')).toBe(count);
      client.release();
    });
  });
});
