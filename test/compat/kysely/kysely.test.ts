/** Kysely is handed the pool and nothing else: its dialect reserves a connection for every query, and gives it back right after. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Kysely, PostgresDialect, sql } from 'kysely';
import Cursor from 'pg-cursor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jitter, openStage, readYourWrites, type Stage } from '../workload.js';

interface Database {
  people: { id: number; name: string; age: number };
}

const root = fileURLToPath(new URL('../../..', import.meta.url));

describe('Kysely through the pool', () => {
  let stage: Stage;
  let db: Kysely<Database>;

  beforeAll(async () => {
    stage = await openStage();
    db = new Kysely<Database>({ dialect: new PostgresDialect({ pool: stage.pool, cursor: Cursor }) });
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  const nameOf = async (id: number, on: Kysely<Database> = db): Promise<string | undefined> =>
    (await on.selectFrom('people').select('name').where('id', '=', id).executeTakeFirst())?.name;

  it('inserts a row and reads it back at once', async () => {
    const inserted = await db.insertInto('people').values({ id: 100, name: 'Ada', age: 36 }).returningAll().execute();
    expect(inserted).toEqual([{ id: 100, name: 'Ada', age: 36 }]);
    expect(await db.selectFrom('people').selectAll().where('id', '=', 100).execute()).toEqual(inserted);
  });

  it('updates and deletes, tells how many rows that were, and reads the outcome at once', async () => {
    await db.insertInto('people').values({ id: 101, name: 'Alan', age: 41 }).execute();
    const updated = await db.updateTable('people').set({ name: 'Turing' }).where('id', '=', 101).executeTakeFirst();
    expect(updated.numUpdatedRows).toBe(1n);
    expect(await nameOf(101)).toBe('Turing');
    const deleted = await db.deleteFrom('people').where('id', '=', 101).executeTakeFirst();
    expect(deleted.numDeletedRows).toBe(1n);
    expect(await nameOf(101)).toBeUndefined();
  });

  it('joins, counts and runs raw SQL', async () => {
    const pairs = await db
      .selectFrom('people as elder')
      .innerJoin('people as next', (join) => join.on(sql`next.id`, '=', sql`elder.id + 1`))
      .select(['elder.name as elder', 'next.name as next'])
      .where('elder.id', '<', 3)
      .orderBy('elder.id')
      .execute();
    expect(pairs).toEqual([
      { elder: 'P0', next: 'P1' },
      { elder: 'P1', next: 'P2' },
      { elder: 'P2', next: 'P3' },
    ]);
    const { rows } = await sql<{ count: string }>`select count(*) from people where id < ${32}`.execute(db);
    expect(rows).toEqual([{ count: '32' }]);
  });

  it('commits a transaction, which sees its own writes', async () => {
    const within = await db.transaction().execute(async (trx) => {
      await trx.insertInto('people').values({ id: 110, name: 'Grace', age: 85 }).execute();
      return nameOf(110, trx);
    });
    expect(within).toBe('Grace');
    expect(await nameOf(110)).toBe('Grace');
  });

  it('rolls a transaction back when it throws', async () => {
    const failed = db.transaction().execute(async (trx) => {
      await trx.insertInto('people').values({ id: 111, name: 'Nobody', age: 0 }).execute();
      throw new Error('changed my mind');
    });
    await expect(failed).rejects.toThrow('changed my mind');
    expect(await nameOf(111)).toBeUndefined();
  });

  it('controls a transaction by hand, with a savepoint to go back to', async () => {
    const trx = await db.startTransaction().setIsolationLevel('repeatable read').execute();
    await trx.insertInto('people').values({ id: 112, name: 'kept', age: 1 }).execute();
    const within = await trx.savepoint('before').execute();
    await within.insertInto('people').values({ id: 113, name: 'dropped', age: 1 }).execute();
    await within.rollbackToSavepoint('before').execute();
    await trx.commit().execute();
    expect(await nameOf(112)).toBe('kept');
    expect(await nameOf(113)).toBeUndefined();
  });

  it('reads in a read-only transaction what was written before it, and cannot write there', async () => {
    await db.updateTable('people').set({ name: 'Lovelace' }).where('id', '=', 100).execute();
    const readOnly = db.transaction().setAccessMode('read only');
    const seen = await readOnly.execute(async (trx) => [await nameOf(100, trx), await nameOf(110, trx)]);
    expect(seen).toEqual(['Lovelace', 'Grace']);
    const write = readOnly.execute((trx) => trx.deleteFrom('people').where('id', '=', 100).execute());
    await expect(write).rejects.toMatchObject({ code: '25006' });
    expect(await nameOf(100)).toBe('Lovelace');
  });

  it('keeps one connection, and what is set on it, for as long as it is reserved', async () => {
    const tenant = await db.connection().execute(async (connection) => {
      await sql`select set_config('app.tenant', 'seven', false)`.execute(connection);
      await nameOf(1, connection);
      const { rows } = await sql<{ tenant: string }>`select current_setting('app.tenant') as tenant`.execute(
        connection,
      );
      return rows[0]?.tenant;
    });
    expect(tenant).toBe('seven');
  });

  it('streams rows in order, the ones just written included', async () => {
    await db.insertInto('people').values({ id: 120, name: 'last', age: 9 }).execute();
    const ids: number[] = [];
    for await (const { id } of db.selectFrom('people').select('id').orderBy('id').stream(7)) ids.push(id);
    expect(ids.slice(0, 32)).toEqual(Array.from({ length: 32 }, (_, id) => id));
    expect(ids.at(-1)).toBe(120);
  });

  it('streams within a transaction what that wrote', async () => {
    const names = await db.transaction().execute(async (trx) => {
      await trx.updateTable('people').set({ name: 'streamed' }).where('id', '=', 110).execute();
      const found: string[] = [];
      const rows = trx.selectFrom('people').select('name').where('id', '>=', 110).orderBy('id').stream(1);
      for await (const { name } of rows) found.push(name);
      return found;
    });
    expect(names).toEqual(['streamed', 'kept', 'last']);
  });

  it('gives the connection back when a stream is left early, more often than there are connections', async () => {
    for (let round = 0; round < 25; round++) {
      for await (const { id } of db.selectFrom('people').select('id').orderBy('id').stream(5)) {
        expect(id).toBe(0);
        break;
      }
    }
    expect(await nameOf(1)).toBe('P1');
  });

  it('reports the error of a stream where its rows are read, and goes on', async () => {
    const inverses = db.selectFrom('people').select(sql<number>`1 / (id - 3)`.as('inverse')).orderBy('id');
    const drain = async (): Promise<number> => {
      let count = 0;
      for await (const _ of inverses.stream(2)) count++;
      return count;
    };
    await expect(drain()).rejects.toMatchObject({ code: '22012' });
    expect(await nameOf(1)).toBe('P1');
  });

  it('hands pg’s own error to the caller when a key exists already', async () => {
    const twice = db.insertInto('people').values({ id: 1, name: 'again', age: 0 }).execute();
    await expect(twice).rejects.toMatchObject({ name: 'error', code: '23505', constraint: 'people_pkey' });
    expect(await nameOf(1)).toBe('P1');
  });

  it('reads its own writes from replicas whose replay is paused half of the time', async () => {
    await jitter(stage.servers);
    const { stale, share } = await readYourWrites('kysely', stage.cluster, {
      save: (id, age) => db.updateTable('people').set({ age }).where('id', '=', id).execute(),
      age: async (id) => (await db.selectFrom('people').select('age').where('id', '=', id).executeTakeFirst())?.age,
    });
    expect(stale).toBe(0);
    expect(share).toBeGreaterThanOrEqual(0.7);
  });

  it('ends the pool with db.destroy()', async () => {
    await db.destroy();
    expect(stage.pool.ended).toBe(true);
    await expect(nameOf(1)).rejects.toThrow('driver has already been destroyed');
  });
});

describe('the example for Kysely', () => {
  it('saves a name and reads it back from a replica', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', 'examples/kysely.ts'], {
      cwd: root,
      timeout: 25_000,
      env: { ...process.env, TSX_TSCONFIG_PATH: 'examples/tsconfig.json' },
    });
    expect(stdout).toMatch(/→ primary \(write\)\n[\s\S]*→ r1 [\s\S]*read back: Ada\n/);
  });
});
