/** What pg-pool does, held for pools of ours and, so that tests make no mistake, for a bare `pg.Pool`. Here: where they differ by intention. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Pool, PoolClient } from 'pg';
import { describe, expect, it } from 'vitest';
import { runningMillis, until } from '../fixture.js';
import {
  admin,
  all,
  comparesPools,
  gate,
  inside,
  NO_PRIMARY_MILLIS,
  type Options,
  READ,
  root,
  routingPool,
  servers,
  WRITE,
} from './pools.js';

comparesPools();

routingPool((make) => {
  describe('differs from pg.Pool', () => {
    const backends = async (name: string): Promise<number[]> => {
      const { rows } = await admin.query<{ pid: number }>(
        'select pid from pg_stat_activity where application_name = $1 order by pid',
        [name],
      );
      return rows.map(({ pid }) => pid);
    };

    /** With its texts known for what they are. */
    async function makeKnowing(options?: Options): Promise<Pool> {
      const pool = await make(options);
      await pool.query(READ);
      return pool;
    }

    it('connect() opens no connection until a statement needs one', async () => {
      const pool = await makeKnowing({ application_name: 'late' });
      const before = await backends('late');
      const client = await pool.connect();
      expect((await client.query(READ)).rows).toEqual([{ body: 'item 1' }]);
      expect(inside(client).processID).toBeNull();
      expect(await backends('late')).toEqual(before);
      await client.query(WRITE);
      const pid = inside(client).processID as number;
      expect(await backends('late')).toEqual([...before, pid].sort((a, b) => a - b));
      expect(before).not.toContain(pid);
      client.release();
    });

    it('connect() succeeds where nobody takes connections, and a statement that needs one waits for a new primary', async () => {
      const entrance = await gate();
      const pool = await make({ max: 1 }, entrance.url);
      await until('it can write', async () => (await pool.query(WRITE)).rowCount === 1);
      (await pool.connect()).release(true);
      entrance.shut();
      const client = await pool.connect();
      const startedAt = performance.now();
      await expect(client.query(WRITE)).rejects.toMatchObject({ code: 'LADDER_NO_PRIMARY' });
      expect(performance.now() - startedAt).toBeGreaterThan(NO_PRIMARY_MILLIS / 2);
      client.release(true);
      expect(pool.totalCount).toBe(0);
    });

    it('connectionTimeoutMillis ends the wait of the statement that needs a connection', async () => {
      const entrance = await gate();
      const pool = await make({ max: 1, connectionTimeoutMillis: 150 }, entrance.url);
      // A first connection may take longer than that on a busy machine.
      const canWrite = () =>
        pool
          .query(WRITE)
          .then(({ rowCount }) => rowCount === 1)
          .catch(() => false);
      await until('it can write', canWrite);
      (await pool.connect()).release(true);
      entrance.mode = 'silent';
      const client = await pool.connect();
      const took = await runningMillis(() => expect(client.query(WRITE)).rejects.toThrow('timeout'));
      expect(took).toBeLessThan(1_000);
      client.release(true);
    });

    it('connect is emitted when a connection opens, and not before', async () => {
      const pool = await makeKnowing();
      const seen: PoolClient[] = [];
      pool.on('connect', (client) => seen.push(client));
      const client = await pool.connect();
      expect(seen).toEqual([]);
      await client.query(WRITE);
      await client.query(WRITE);
      const pid = inside(client).processID;
      expect(pid).toBeGreaterThan(0);
      expect(seen.map((connection) => inside(connection).processID)).toEqual([pid]);
      client.release();
    });

    it('onConnect and verify run when a connection opens, and what they object to fails the statement', async () => {
      let objection: Error | undefined;
      const seen: string[] = [];
      const pool = await make({
        onConnect: async (client: PoolClient) => {
          await client.query(`set app.number = 'hooked'`);
          seen.push(`onConnect ${inside(client).processID}`);
        },
        verify: (client: PoolClient, done: (error?: Error) => void) => {
          seen.push(`verify ${inside(client).processID}`);
          done(objection);
        },
      });
      seen.length = 0;
      const client = await pool.connect();
      expect(seen).toEqual([]);
      const { rows } = await client.query(`${WRITE} returning current_setting('app.number') as number`);
      expect(rows).toEqual([{ number: 'hooked' }]);
      const pid = inside(client).processID;
      expect(pid).toBeGreaterThan(0);
      expect(seen).toEqual([`onConnect ${pid}`, `verify ${pid}`]);
      objection = new Error('not this one');
      const other = await pool.connect();
      await expect(other.query(WRITE)).rejects.toThrow('not this one');
      other.release(true);
      client.release();
    });

    it('reads that it knows take no client, and wait for none', async () => {
      const pool = await makeKnowing({ max: 1 });
      await until('its client is back', () => pool.idleCount === pool.totalCount);
      (await pool.connect()).release(true);
      expect(pool.totalCount).toBe(0);
      let acquiredCount = 0;
      pool.on('acquire', () => acquiredCount++);
      const reads = all(5, () => pool.query(READ));
      expect([pool.totalCount, pool.waitingCount]).toEqual([0, 0]);
      for (const { rows } of await reads) expect(rows).toEqual([{ body: 'item 1' }]);
      expect([pool.totalCount, acquiredCount]).toEqual([0, 0]);
      const client = await pool.connect();
      expect((await pool.query(READ)).rowCount).toBe(1);
      const writing = pool.query(WRITE);
      expect(pool.waitingCount).toBe(1);
      client.release();
      expect((await writing).rowCount).toBe(1);
    });

    it('an error of a client to which nobody listens does not end the process', async () => {
      const index = JSON.stringify(new URL('../../../src/index.ts', import.meta.url).href);
      const primary = JSON.stringify(servers.primary.connectionString);
      const replicas = JSON.stringify(servers.replicas.map(({ connectionString }) => connectionString));
      const lost = async (maker: string, which: ('idle' | 'used')[]): Promise<string> => {
        const script = `import pg from 'pg';
          ${maker}
          const admin = new pg.Client(${primary});
          await admin.connect();
          const clients = { idle: await pool.connect(), used: await pool.connect() };
          for (const client of Object.values(clients)) await client.query('create temporary table mine ()');
          clients.idle.release();
          for (const which of ${JSON.stringify(which)}) {
            const ended = new Promise((resolve) => clients[which].once('end', resolve));
            await admin.query('select pg_terminate_backend($1)', [clients[which].processID]);
            await ended;
            console.log(which, 'is lost');
          }
          process.exit(0);`;
        const args = [...(maker.includes(index) ? ['--import', 'tsx'] : []), '--input-type=module', '-e', script];
        const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, timeout: 8_000 }).catch(
          ({ stderr }: { stderr: string }) => ({ stdout: /Unhandled 'error' event/.exec(stderr)?.[0] ?? stderr }),
        );
        return stdout;
      };
      const routing = `import { createCluster } from ${index};
        const pool = createCluster({ primary: ${primary}, replicas: ${replicas} }).pool();`;
      const plain = `const pool = new pg.Pool({ connectionString: ${primary} });`;
      const outcomes = [lost(routing, ['idle', 'used']), lost(plain, ['idle']), lost(plain, ['used'])];
      expect(await Promise.all(outcomes)).toEqual([
        'idle is lost\nused is lost\n',
        `Unhandled 'error' event`,
        `Unhandled 'error' event`,
      ]);
    });
  });
});
