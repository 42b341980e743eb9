/** What pg-pool does, held for pools of ours and, so that tests make no mistake, for a bare `pg.Pool`.  */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { PoolClient } from 'pg';
import { describe, expect, it } from 'vitest';
import { until } from '../fixture.js';
import {
  AFTER_END,
  all,
  answered,
  comparesPools,
  eachPool,
  inside,
  isAlive,
  root,
  servers,
  taken,
  WRITE,
  wait,
} from './pools.js';

comparesPools();

eachPool((make, kind) => {
  describe('idleTimeoutMillis', () => {
    it('removes a client that idled for so long', async () => {
      const pool = await make({ idleTimeoutMillis: 20 });
      const removed = new Promise((resolve) => pool.on('remove', resolve));
      const client = await pool.connect();
      client.release();
      expect(pool.idleCount).toBe(1);
      expect(await removed).toBe(client);
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
    });

    it('removes it also when another one was thrown away meanwhile', async () => {
      const pool = await make({ idleTimeoutMillis: 20 });
      const removed: PoolClient[] = [];
      pool.on('remove', (client) => removed.push(client));
      const [idle, broken] = [await pool.connect(), await pool.connect()];
      idle.release();
      broken.release(new Error('broken'));
      await until('both are gone', () => removed.length === 2, 1_000);
      expect(new Set(removed)).toEqual(new Set([idle, broken]));
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
    });

    it('makes room for new clients, again and again', async () => {
      const pool = await make({ idleTimeoutMillis: 1 });
      for (let i = 0; i < 5; i++) {
        const updating = pool.query(`update items set body = body where id = 3`);
        expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
        expect((await updating).rowCount).toBe(1);
        await until('it is gone', () => pool.totalCount === 0, 1_000);
      }
    });

    it('does not touch a client that is in use', async () => {
      const pool = await make({ idleTimeoutMillis: 10 });
      for (let i = 0; i < 3; i++) {
        const client = await pool.connect();
        await wait(25);
        expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
        expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
        client.release();
        expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
      }
    });

    it('of 0 keeps idle clients', async () => {
      const pool = await make({ idleTimeoutMillis: 0 });
      (await pool.connect()).release();
      await wait(30);
      expect(pool.idleCount).toBe(1);
    });
  });

  describe('maxLifetimeSeconds', () => {
    it('removes an idle client when its time is over', async () => {
      const pool = await make({ maxLifetimeSeconds: 0.05 });
      const removed = new Promise((resolve) => pool.on('remove', resolve));
      const client = await pool.connect();
      client.release();
      expect(pool.totalCount).toBe(1);
      expect(await removed).toBe(client);
      expect([pool.totalCount, pool.expiredCount]).toEqual([0, 0]);
    });

    it('lets a client that is in use finish, counts it as expired, and removes it afterwards', async () => {
      const pool = await make({ maxLifetimeSeconds: 0.05 });
      const client = await pool.connect();
      expect(pool.expiredCount).toBe(0);
      await client.query('select pg_sleep(0.09)');
      expect([pool.totalCount, pool.expiredCount]).toEqual([1, 1]);
      client.release();
      expect([pool.totalCount, pool.expiredCount]).toEqual([0, 0]);
      const next = await pool.connect();
      expect(next).not.toBe(client);
      expect([pool.totalCount, pool.expiredCount]).toEqual([1, 0]);
      next.release();
    });
  });

  describe('maxUses', () => {
    it('closes a client that was used so often, and then opens another one', async () => {
      const pool = await make({ maxUses: 2 });
      const first = await pool.connect();
      await first.query('create temporary table mine ()');
      const pid = inside(first).processID as number;
      first.release();
      const second = await pool.connect();
      expect(second).toBe(first);
      expect(await isAlive(pid)).toBe(true);
      second.release();
      expect(pool.totalCount).toBe(0);
      await until('its connection is closed', async () => !(await isAlive(pid)));
      const third = await pool.connect();
      expect(third).not.toBe(first);
      third.release();
    });

    it('gives those who wait a new client when the one that they waited for is used up', async () => {
      const pool = await make({ max: 1, maxUses: 2 });
      const first = await pool.connect();
      const [second, third] = [pool.connect(), pool.connect()];
      expect(pool.waitingCount).toBe(2);
      first.release();
      expect(await second).toBe(first);
      expect(pool.waitingCount).toBe(1);
      (await second).release();
      expect(await third).not.toBe(first);
      expect(pool.waitingCount).toBe(0);
      (await third).release();
    });
  });

  describe('end()', () => {
    it('of a pool that was never used resolves, or calls back, and says so', async () => {
      const pool = await make();
      const ending = pool.end();
      expect(pool.ending).toBe(true);
      expect(await ending).toBeUndefined();
      expect(pool.ended).toBe(true);
      const other = await make();
      const { returned, error } = await answered((callback) => other.end(callback));
      expect([returned, error, other.ended]).toEqual([undefined, undefined, true]);
    });

    it('lets statements finish that were asked for before', async () => {
      const pool = await make({ max: 20 });
      let count = 0;
      for (let i = 0; i < 20; i++) {
        void pool.query('update items set body = body where id = $1', [i + 100]).then(() => count++);
      }
      await pool.end();
      expect(count).toBe(20);
      expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([0, 0, 0]);
    });

    it('waits for the clients that are out', async () => {
      const pool = await make();
      const client = await pool.connect();
      const idle = await pool.connect();
      idle.release();
      let isEnded = false;
      const ending = pool.end().then(() => {
        isEnded = true;
      });
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      await wait(10);
      expect([pool.ending, pool.ended, isEnded, pool.totalCount]).toEqual([true, false, false, 1]);
      client.release();
      await ending;
      expect([pool.ended, pool.totalCount]).toEqual([true, 0]);
    });

    it('waits for a connection that is being opened, and for whom it is', async () => {
      const pool = await make();
      const connecting = pool.connect();
      const querying = pool.query(WRITE);
      const ending = pool.end();
      expect(pool.totalCount).toBe(2);
      const client = await connecting;
      expect((await client.query(WRITE)).rowCount).toBe(1);
      expect((await querying).rowCount).toBe(1);
      expect(pool.ended).toBe(false);
      client.release();
      await ending;
      expect([pool.ended, pool.totalCount]).toEqual([true, 0]);
    });

    it('closes the connections', async () => {
      const pool = await make();
      const clients = await all(2, () => pool.connect());
      for (const client of clients) await client.query('create temporary table mine ()');
      const pids = clients.map((client) => inside(client).processID as number);
      for (const client of clients) client.release();
      expect(await Promise.all(pids.map(isAlive))).toEqual([true, true]);
      await pool.end();
      await until('they are closed', async () => !(await Promise.all(pids.map(isAlive))).includes(true));
    });

    it('refuses everything after it, in pg-pool’s words', async () => {
      const pool = await make();
      await pool.end();
      await expect(pool.connect()).rejects.toThrow(AFTER_END);
      await expect(pool.query('select 1')).rejects.toThrow(AFTER_END);
      await expect(pool.query('select body from items')).rejects.toThrow(AFTER_END);
      await expect(pool.end()).rejects.toThrow('Called end on pool more than once');
      const [error, client] = await taken(pool);
      expect(error?.message).toBe(AFTER_END);
      expect(client).toBeUndefined();
      const querying = await answered((callback) => pool.query('select body from items', callback));
      expect(querying.error?.message).toBe(AFTER_END);
      const ending = await answered((callback) => pool.end(callback));
      expect(ending.error?.message).toBe('Called end on pool more than once');
    });
  });

  describe('allowExitOnIdle', () => {
    /** Runs two statements in a process of its own, which is left to end by itself. */
    async function exits(allowExitOnIdle: boolean): Promise<string> {
      const index = JSON.stringify(new URL('../../../src/index.ts', import.meta.url).href);
      const config = JSON.stringify({
        connectionString: servers.primary.connectionString,
        idleTimeoutMillis: 300,
        ...(allowExitOnIdle ? { allowExitOnIdle } : {}),
      });
      const replicas = JSON.stringify(
        servers.replicas.map(({ connectionString }) => ({ connectionString, allowExitOnIdle: true })),
      );
      const makers: Record<string, string> = {
        bare: `import pg from 'pg'; const pool = new pg.Pool(${config});`,
        alone: `import { createCluster } from ${index}; const pool = createCluster({ primary: ${config} }).pool();`,
        write: `import { createCluster } from ${index};
          const pool = createCluster({ primary: ${config}, replicas: ${replicas} }).pool({ intent: 'write' });`,
        auto: `import { createCluster } from ${index};
          const pool = createCluster({ primary: ${config}, replicas: ${replicas} }).pool();`,
      };
      const script = `${makers[kind]}
        pool.on('remove', () => console.log('removed'));
        pool.query('${WRITE}', () => {
          console.log('first');
          setTimeout(() => pool.query('${WRITE}', () => console.log('second')), 20);
        });`;
      const args = [...(kind === 'bare' ? [] : ['--import', 'tsx']), '--input-type=module', '-e', script];
      const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, timeout: 8_000 });
      return stdout;
    }

    it('lets the process end while clients idle', async () => {
      expect(await exits(true)).toBe('first\nsecond\n');
    });

    // One that opens at connect() without anything of ours, and one with all of it: a process of ours takes its time to start.
    if (kind === 'bare' || kind === 'write') {
      it('without it, the process ends when idleTimeoutMillis has ended the clients', async () => {
        expect(await exits(false)).toBe('first\nsecond\nremoved\n');
      });
    }
  });
});
