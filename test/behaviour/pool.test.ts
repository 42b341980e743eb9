import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg, { type Pool, type PoolClient } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cluster, createCluster, type RouteEvent, type WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, until, withClient } from './fixture.js';

let servers: TestCluster;
let cluster: Cluster;
let pool: Pool;
let routes: string[] = [];

const told = (): string[] => routes.splice(0);

/** Not in pg's types, and yet what tools use to cancel a statement. */
function pidOf(client: object): number | null {
  return (client as { processID: number | null }).processID;
}

async function isReplica(client: Pool | PoolClient): Promise<boolean> {
  const { rows } = await client.query<{ on: string }>(`select v as on from server_of limit 1 /* ${Math.random()} */`);
  expect(rows).toHaveLength(1);
  return told().every((route) => route.startsWith('r'));
}

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 2 });
  await using first = await open(servers);
  await first.write('create table server_of (v text)');
  await first.write(`insert into server_of values ('here')`);
  await first.write('create table notes (id serial primary key, body text not null unique)');
  await first.write(
    'create function tenant() returns text language sql stable return current_setting($$app.tenant$$, true)',
  );
  for (const replica of servers.replicas) await replica.waitForReplay();
});
afterAll(() => servers.stop());

beforeEach(async () => {
  cluster = await open(servers);
  routes = [];
  cluster.events.on('route', ({ node, reason }: RouteEvent) => routes.push(`${node}:${reason}`));
  // The catalogue is read by then: before, everything is a write.
  await until(
    'the catalogue is known',
    async () => (await cluster.explain('select v from server_of')).class === 'read',
  );
  pool = cluster.pool();
  told();
  return async () => {
    await cluster.close();
    for (const replica of servers.replicas) await replica.resumeReplay();
  };
});

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

  it('never joins a transaction of the code around it', async () => {
    await cluster.transaction(async (tx) => {
      await tx.query(`insert into notes (body) values ('within')`);
      expect((await pool.query(`select 1 from notes where body = 'within'`)).rows).toEqual([]);
      await tx.query(`delete from notes where body = 'within'`);
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
