import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import pg, { type PoolClient, type PoolConfig } from 'pg';
import { describe, expect, it } from 'vitest';
import {
  Absent,
  comparesPools,
  eachConnectingPool,
  eachPool,
  inside,
  NOWHERE,
  pidOf,
  READ,
  Troubled,
  taken,
  WRITE,
} from './pools.js';

comparesPools();

eachPool((make) => {
  describe('the pool itself', () => {
    it('is a pg.Pool that has nothing open yet', async () => {
      const pool = await make();
      expect(pool).toBeInstanceOf(pg.Pool);
      expect(pool).toBeInstanceOf(EventEmitter);
      const { totalCount, idleCount, waitingCount, expiredCount, ending, ended } = pool;
      expect({ totalCount, idleCount, waitingCount, expiredCount, ending, ended }).toEqual({
        totalCount: 0,
        idleCount: 0,
        waitingCount: 0,
        expiredCount: 0,
        ending: false,
        ended: false,
      });
    });

    it('is called as pg’s own by its constructor, and so are its clients: tools tell them by that', async () => {
      const pool = await make();
      const client = await pool.connect();
      expect([pool.constructor.name, client.constructor.name]).toEqual(['BoundPool', 'Client']);
      client.release();
      const named = await make({ Client: Troubled });
      const own = await named.connect();
      expect([named.constructor.name, own.constructor.name]).toEqual(['BoundPool', 'Troubled']);
      own.release();
    });

    it('shows the password of its options to nobody who lists or prints them', async () => {
      const pool = await make({ password: 'open sesame' });
      expect((pool.options as PoolConfig).password).toBe('open sesame');
      expect(Object.keys(pool.options)).not.toContain('password');
      expect(inspect(pool, { depth: 10 })).not.toContain('open sesame');
    });

    it('shows the key of its TLS options to nobody who lists or prints them', async () => {
      const pool = await make({ ssl: { key: 'open sesame' } }, NOWHERE);
      const { ssl } = pool.options as { ssl: { key: string } };
      expect(ssl.key).toBe('open sesame');
      expect(Object.keys(ssl)).toEqual([]);
      expect(inspect(pool, { depth: 10 })).not.toContain('open sesame');
    });

    it('has pg-pool’s defaults for what it was not told', async () => {
      const { options } = await make();
      expect(options).toMatchObject({
        max: 10,
        min: 0,
        maxUses: Number.POSITIVE_INFINITY,
        allowExitOnIdle: false,
        maxLifetimeSeconds: 0,
        idleTimeoutMillis: 10_000,
      });
    });

    it('leaves the options that it was given as they were', async () => {
      const given = { max: 3, application_name: 'mine' };
      const pool = await make(given);
      (await pool.connect()).release();
      expect(given).toEqual({ max: 3, application_name: 'mine' });
      expect(pool.options.max).toBe(3);
    });

    it('hands its options on to its clients', async () => {
      const pool = await make({ binary: true, application_name: 'handed on' });
      const client = await pool.connect();
      expect(inside(client).binary).toBe(true);
      const { rows } = await client.query(`select current_setting('application_name') as name, 7 as seven`);
      expect(rows).toEqual([{ name: 'handed on', seven: 7 }]);
      client.release();
    });

    it('hands its connection string on to whatever class of clients it was given', async () => {
      Absent.asked.length = 0;
      const pool = await make({ Client: Absent }, NOWHERE);
      await expect(pool.query('insert into items values (0)')).rejects.toThrow('nobody there');
      expect(new Set(Absent.asked)).toEqual(new Set([NOWHERE]));
      expect(Absent.asked.length).toBeGreaterThan(0);
    });

    it('makes clients of the class that it was given, with the methods of that class', async () => {
      class Shouting extends pg.Client {
        readonly suffix = '!';
        shout(text: string): string {
          return text.toUpperCase() + this.suffix;
        }
      }
      const pool = await make({ Client: Shouting });
      const client = (await pool.connect()) as unknown as Shouting & PoolClient;
      expect(client.shout('hello')).toBe('HELLO!');
      expect(client.suffix).toBe('!');
      client.release();
    });

    it('answers with promises of the class that it was given', async () => {
      class Vow<T> extends Promise<T> {}
      const pool = await make({ Promise: Vow });
      const connecting = pool.connect();
      expect(connecting).toBeInstanceOf(Vow);
      const client = await connecting;
      const asking = client.query('select 1 as one');
      expect(asking).toBeInstanceOf(Vow);
      expect((await asking).rows).toEqual([{ one: 1 }]);
      client.release();
      const failing = pool.query('select nonsense');
      expect(failing).toBeInstanceOf(Vow);
      await expect(failing).rejects.toMatchObject({ code: '42703' });
      for (const text of [READ, WRITE, READ]) {
        const querying = pool.query(text);
        expect(querying).toBeInstanceOf(Vow);
        expect((await querying).rowCount).toBe(1);
      }
      const ending = pool.end();
      expect(ending).toBeInstanceOf(Vow);
      await ending;
      const late = [pool.connect(), pool.query('select 1'), pool.end()];
      for (const promise of late) expect(promise).toBeInstanceOf(Vow);
      expect((await Promise.allSettled(late)).map(({ status }) => status)).toEqual([
        'rejected',
        'rejected',
        'rejected',
      ]);
    });

    it('tells the log function that it was given what it does', async () => {
      const told: string[] = [];
      const pool = await make({ log: (message: string) => told.push(message), maxUses: 1 });
      told.length = 0;
      const client = await pool.connect();
      expect(told).toContain('connecting new client');
      expect(told).toContain('new client connected');
      expect(told).not.toContain('remove expended client');
      client.release();
      expect(told).toContain('remove expended client');
      await pool.end();
      expect(told).toContain('ending');
    });
  });
});

eachConnectingPool((make) => {
  describe('set-up of connections', () => {
    it('connect is told before connect() answers', async () => {
      const pool = await make();
      const order: unknown[] = [];
      pool.on('connect', (client) => order.push(client));
      const client = await pool.connect();
      expect(order).toEqual([client]);
      expect(inside(client).processID).toBe(await pidOf(client));
      client.release();
    });

    it('connect comes once for each connection, with its client, before that is used', async () => {
      const pool = await make();
      const seen: PoolClient[] = [];
      pool.on('connect', (client) => {
        seen.push(client);
        void client.query(`set app.number = 'set up'`);
      });
      const client = await pool.connect();
      const { rows } = await client.query(
        `insert into items values (-2) on conflict (id) do update set id = -2 returning current_setting('app.number') as number`,
      );
      expect(rows).toEqual([{ number: 'set up' }]);
      await client.query('delete from items where id = -2');
      expect(seen).toEqual([client]);
      client.release();
      (await pool.connect()).release();
      expect(seen).toHaveLength(1);
    });

    it('onConnect runs once on every connection, before connect() answers, and is waited for', async () => {
      let count = 0;
      const pool = await make({
        onConnect: async (client: PoolClient) => {
          count++;
          await client.query(`set app.number = 'hooked'`);
          inside(client).tag = 'hooked';
        },
      });
      count = 0;
      const clients = [await pool.connect(), await pool.connect()];
      expect(count).toBe(2);
      for (const client of clients) {
        expect(inside(client).tag).toBe('hooked');
        expect((await client.query(`select current_setting('app.number') as n`)).rows).toEqual([{ n: 'hooked' }]);
        client.release();
      }
      const again = await pool.connect();
      expect(clients).toContain(again);
      again.release();
      expect((await pool.query(`select current_setting('app.number') as n`)).rows).toEqual([{ n: 'hooked' }]);
      expect(count).toBe(2);
    });

    it.each([
      [
        'throws',
        () => {
          throw new Error('not today');
        },
      ],
      ['rejects', () => Promise.reject(new Error('not today'))],
    ])(
      'onConnect that %s fails connect() and query(), leaves nothing behind, and may do better next time',
      async (_, fail) => {
        let mustFail = true;
        const pool = await make({ max: 2, onConnect: () => (mustFail ? fail() : undefined) });
        for (let i = 0; i < 5; i++) {
          await expect(pool.connect()).rejects.toThrow('not today');
          await expect(pool.query('select 1')).rejects.toThrow('not today');
        }
        expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
        mustFail = false;
        const clients = [await pool.connect(), await pool.connect()];
        for (const client of clients) {
          expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
          client.release();
        }
        expect(pool.totalCount).toBe(2);
      },
    );

    it('verify sees each new client once, and what it objects to fails connect()', async () => {
      const verified: PoolClient[] = [];
      let objection: Error | undefined = new Error('not this one');
      const pool = await make({
        verify: (client: PoolClient, done: (error?: Error) => void) => {
          verified.push(client);
          done(objection);
        },
      });
      verified.length = 0;
      const [error, client] = await taken(pool);
      expect(error).toBe(objection);
      expect([client, pool.totalCount]).toEqual([undefined, 0]);
      objection = undefined;
      const good = await pool.connect();
      good.release();
      (await pool.connect()).release();
      expect(verified).toHaveLength(2);
      expect(verified[1]).toBe(good);
    });
  });
});
