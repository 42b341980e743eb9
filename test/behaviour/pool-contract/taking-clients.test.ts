import type { PoolClient } from 'pg';
import { describe, expect, it } from 'vitest';
import { until } from '../fixture.js';
import {
  Absent,
  all,
  answered,
  comparesPools,
  eachPool,
  inside,
  isAlive,
  kill,
  RELEASED_TWICE,
  type Release,
  taken,
  wait,
} from './pools.js';

comparesPools();

eachPool((make) => {
  describe('connect()', () => {
    it('gives a promise of a client that can be queried and released', async () => {
      const pool = await make();
      const client = await pool.connect();
      expect((await client.query('select $1::text as name', ['hi'])).rows).toEqual([{ name: 'hi' }]);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('gives its callback no error, the client and a function that releases it, and returns nothing', async () => {
      const pool = await make();
      let returned: unknown = 'something';
      const [error, client, done] = await new Promise<[unknown, PoolClient | undefined, Release]>((resolve) => {
        returned = pool.connect((...given) => resolve(given));
      });
      expect(returned).toBeUndefined();
      expect(error).toBeUndefined();
      expect(client && inside(client).release).toBe(done);
      const { result } = await answered((callback) => client?.query('select 3 as three', callback));
      expect(result?.rows).toEqual([{ three: 3 }]);
      expect(pool.idleCount).toBe(0);
      done();
      expect(pool.idleCount).toBe(1);
    });

    it('never calls back before it has returned, not even with an idle client at hand', async () => {
      const pool = await make();
      for (const idleBefore of [0, 1]) {
        expect(pool.idleCount).toBe(idleBefore);
        let isCalled = false;
        const calling = taken(pool).then(([, , done]) => {
          isCalled = true;
          done();
        });
        expect(isCalled).toBe(false);
        await calling;
        expect(isCalled).toBe(true);
      }
    });

    it('hands out the same client again when it is idle', async () => {
      const pool = await make();
      const first = await pool.connect();
      inside(first).tag = 'mine';
      first.release();
      const second = await pool.connect();
      expect(second).toBe(first);
      expect(inside(second).tag).toBe('mine');
      second.release();
      expect(pool.totalCount).toBe(1);
    });

    it('gives each client its own connection, and keeps what was set on it', async () => {
      const pool = await make();
      const clients = await all(3, () => pool.connect());
      for (const [i, client] of clients.entries()) {
        await client.query(`set app.number = '${i}'; create temporary table t${i} as select ${i} as n`);
      }
      for (const [i, client] of clients.entries()) {
        const { rows } = await client.query(`select current_setting('app.number') as number, n from t${i}`);
        expect(rows).toEqual([{ number: String(i), n: i }]);
      }
      expect(new Set(clients.map((client) => inside(client).processID)).size).toBe(3);
      for (const client of clients) client.release();
    });
  });

  describe('release()', () => {
    it('throws each time that it is called once more, whichever way', async () => {
      const pool = await make();
      const client = await pool.connect();
      client.release();
      expect(() => client.release()).toThrow(RELEASED_TWICE);
      expect(() => client.release(true)).toThrow(RELEASED_TWICE);
      const [, again, done] = await taken(pool);
      done();
      expect(() => done()).toThrow(RELEASED_TWICE);
      expect(() => again?.release()).toThrow(RELEASED_TWICE);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('with an old release function throws although the client has been handed out anew', async () => {
      const pool = await make({ max: 1 });
      const [, client, done] = await taken(pool);
      done();
      const again = await pool.connect();
      expect(again).toBe(client);
      expect(() => done()).toThrow(RELEASED_TWICE);
      again.release();
    });

    it.each([
      ['true', true],
      ['an error', new Error('I do not trust it')],
    ])('with %s closes the connection, and the next client is another one', async (_, reason) => {
      const pool = await make({ max: 1 });
      const removed: PoolClient[] = [];
      pool.on('remove', (client) => removed.push(client));
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      const pid = inside(client).processID as number;
      expect(pid).toBeGreaterThan(0);
      client.release(reason);
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
      await until('its connection is closed', async () => removed.length === 1 && !(await isAlive(pid)));
      expect(removed).toEqual([client]);
      const next = await pool.connect();
      expect(next).not.toBe(client);
      next.release();
    });

    it('of a client that is ending removes it, and the pool works on', async () => {
      const pool = await make({ max: 1 });
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      const ending = client.end();
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
      await ending;
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    });

    it('of a client whose connection was lost removes it, and the pool works on', async () => {
      const pool = await make({ max: 1 });
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      // Pg tells twice: of the server's last word, and of the socket's end.
      const failing = new Promise((resolve) => client.on('error', resolve));
      await kill(inside(client).processID as number);
      expect(await failing).toBeInstanceOf(Error);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
      await expect(client.query('select from mine')).rejects.toThrow(
        'Client has encountered a connection error and is not queryable',
      );
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
      expect((await pool.query('insert into items values (-1)')).rowCount).toBe(1);
      expect(pool.totalCount).toBe(1);
      await pool.query('delete from items where id = -1');
    });
  });

  describe('sizing', () => {
    it('lets those wait for whom there is no room, and serves them in their order', async () => {
      const pool = await make({ max: 1 });
      const client = await pool.connect();
      const order: number[] = [];
      const waiting = all(3, (i) =>
        pool.connect().then((next) => {
          order.push(i);
          expect(next).toBe(client);
          next.release();
        }),
      );
      expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 0, 3]);
      client.release();
      await waiting;
      expect(order).toEqual([0, 1, 2]);
      expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
    });

    it('opens as many connections as poolSize says, and no more', async () => {
      const pool = await make({ poolSize: 4 });
      expect(pool.options.max).toBe(4);
      const names = await all(15, async (i) => {
        const client = await pool.connect();
        const { rows } = await client.query('select $1::int as i', [i]);
        client.release();
        return rows[0].i;
      });
      expect(names).toEqual(Array.from({ length: 15 }, (_, i) => i));
      expect(pool.totalCount).toBe(4);
    });

    it('sends one statement at a time over one connection', async () => {
      const pool = await make({ max: 1, application_name: 'one at a time' });
      const text = `update items set body = body where id = 2 returning (
        select count(*)::int from pg_stat_activity where application_name = 'one at a time' and state = 'active') as n`;
      const results = await all(10, () => pool.query(text));
      expect(results.map(({ rows }) => rows[0].n)).toEqual(Array(10).fill(1));
      expect(pool.totalCount).toBe(1);
    });

    it('keeps min clients however long they idle', async () => {
      const pool = await make({ max: 2, min: 2, idleTimeoutMillis: 10 });
      const clients = [await pool.connect(), await pool.connect()];
      for (const client of clients) {
        client.release();
        await wait(25);
      }
      expect([pool.totalCount, pool.idleCount]).toEqual([2, 2]);
    });

    it.each([
      ['one after the other', 20],
      ['at the same time', 0],
    ])('removes idle clients above min, and not more, when they are released %s', async (_, millis) => {
      const pool = await make({ max: 2, min: 1, idleTimeoutMillis: 10 });
      const clients = [await pool.connect(), await pool.connect()];
      expect(pool.totalCount).toBe(2);
      for (const client of clients) {
        client.release();
        if (millis > 0) await wait(millis);
      }
      await wait(40);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it.each([
      ['maxUses', { maxUses: 1 }],
      ['maxLifetimeSeconds', { maxLifetimeSeconds: 0.05 }],
    ])('removes a client for %s even when that leaves fewer than min', async (_, options) => {
      const pool = await make({ max: 1, min: 1, ...options });
      (await pool.connect()).release();
      await until('it is gone', () => pool.totalCount === 0, 1_000);
      expect(pool.idleCount).toBe(0);
    });
  });

  describe('events', () => {
    it('acquire comes each time that a client is taken', async () => {
      const pool = await make({ max: 3 });
      const seen: PoolClient[] = [];
      pool.on('acquire', (client) => seen.push(client));
      await all(10, async () => (await pool.connect()).release());
      await all(10, () => pool.query('update items set body = body where id = 5'));
      expect(seen).toHaveLength(20);
      expect(new Set(seen).size).toBeLessThanOrEqual(3);
    });

    it('release comes each time that one is given back, with the reason first', async () => {
      const pool = await make({ max: 3 });
      const seen: [unknown, PoolClient][] = [];
      pool.on('release', (...given) => seen.push(given));
      await all(10, async () => (await pool.connect()).release());
      await all(10, () => pool.query('update items set body = body where id = 5'));
      expect(seen).toHaveLength(20);
      for (const [error, client] of seen) {
        expect(error).not.toBeInstanceOf(Error);
        expect(inside(client).release).toBeTypeOf('function');
      }
      const client = await pool.connect();
      const reason = new Error('I do not like it');
      client.release(reason);
      expect(seen.at(-1)).toEqual([reason, client]);
    });

    it('connect does not come for a client that could not connect', async () => {
      const pool = await make({ Client: Absent });
      let count = 0;
      pool.on('connect', () => count++);
      await expect(pool.query('insert into items values (0)')).rejects.toThrow('nobody there');
      expect([count, pool.totalCount]).toEqual([0, 0]);
    });

    it('remove comes when the connection is closed', async () => {
      const pool = await make();
      const removing = new Promise((resolve) => pool.on('remove', resolve));
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      let isClosed = false;
      client.on('end', () => {
        isClosed = true;
      });
      client.release(true);
      expect(await removing).toBe(client);
      await until('its own end is told', () => isClosed, 1_000);
    });
  });
});
