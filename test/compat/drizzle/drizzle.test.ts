/** Drizzle is handed the pool and nothing else: it queries the pool itself, and reserves a connection for a transaction only. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { asc, count, eq, gte, lt, sql } from 'drizzle-orm';
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jitter, openStage, readYourWrites, type Stage } from '../workload.js';

const people = pgTable('people', {
  id: integer().primaryKey(),
  name: text().notNull(),
  age: integer().notNull(),
});

const root = fileURLToPath(new URL('../../..', import.meta.url));

describe('Drizzle through the pool', () => {
  let stage: Stage;
  let db: NodePgDatabase<{ people: typeof people }>;

  beforeAll(async () => {
    stage = await openStage();
    db = drizzle({ client: stage.pool, schema: { people } });
  });
  afterAll(() => stage[Symbol.asyncDispose]());

  const nameOf = async (id: number, on: Pick<typeof db, 'select'> = db): Promise<string | undefined> =>
    (await on.select({ name: people.name }).from(people).where(eq(people.id, id)))[0]?.name;

  it('inserts a row and reads it back at once', async () => {
    const inserted = await db.insert(people).values({ id: 100, name: 'Ada', age: 36 }).returning();
    expect(inserted).toEqual([{ id: 100, name: 'Ada', age: 36 }]);
    expect(await db.select().from(people).where(eq(people.id, 100))).toEqual(inserted);
  });

  it('updates and deletes, tells how many rows that were, and reads the outcome at once', async () => {
    await db.insert(people).values({ id: 101, name: 'Alan', age: 41 });
    const updated = await db.update(people).set({ name: 'Turing' }).where(eq(people.id, 101));
    expect(updated.rowCount).toBe(1);
    expect(await nameOf(101)).toBe('Turing');
    const deleted = await db.delete(people).where(eq(people.id, 101));
    expect(deleted.rowCount).toBe(1);
    expect(await nameOf(101)).toBeUndefined();
  });

  it('counts, queries by the schema and runs raw SQL', async () => {
    expect(await db.select({ count: count() }).from(people).where(lt(people.id, 32))).toEqual([{ count: 32 }]);
    expect(await db.$count(people, lt(people.id, 32))).toBe(32);
    const found = await db.query.people.findMany({
      columns: { name: true },
      where: lt(people.id, 2),
      orderBy: asc(people.id),
    });
    expect(found).toEqual([{ name: 'P0' }, { name: 'P1' }]);
    const { rows } = await db.execute(sql`select name from people where id = ${3}`);
    expect(rows).toEqual([{ name: 'P3' }]);
  });

  it('runs a prepared query, over and over and with other values', async () => {
    const byId = db
      .select({ name: people.name })
      .from(people)
      .where(eq(people.id, sql.placeholder('id')))
      .prepare('name_by_id');
    for (let id = 0; id < 20; id++) expect(await byId.execute({ id })).toEqual([{ name: `P${id}` }]);
    await db.update(people).set({ name: 'prepared' }).where(eq(people.id, 20));
    expect(await byId.execute({ id: 20 })).toEqual([{ name: 'prepared' }]);
  });

  it('gets times as the text that its own type parsers ask for, side by side with pg’s dates', async () => {
    const noon = { at: sql<string>`timestamp '2000-01-02 12:00:00'` };
    expect(await db.select(noon).from(people).where(eq(people.id, 1))).toEqual([{ at: '2000-01-02 12:00:00' }]);
    const { rows } = await stage.pool.query<{ at: unknown }>(`select timestamp '2000-01-02 12:00:00' as at`);
    expect(rows[0]?.at).toBeInstanceOf(Date);
  });

  it('commits a transaction, which sees its own writes', async () => {
    const within = await db.transaction(async (tx) => {
      await tx.insert(people).values({ id: 110, name: 'Grace', age: 85 });
      return nameOf(110, tx);
    });
    expect(within).toBe('Grace');
    expect(await nameOf(110)).toBe('Grace');
  });

  it('rolls a transaction back when it throws', async () => {
    const failed = db.transaction(async (tx) => {
      await tx.insert(people).values({ id: 111, name: 'Nobody', age: 0 });
      throw new Error('changed my mind');
    });
    await expect(failed).rejects.toThrow('changed my mind');
    expect(await nameOf(111)).toBeUndefined();
  });

  it('goes back to a savepoint when a transaction within a transaction throws', async () => {
    await db.transaction(
      async (tx) => {
        await tx.insert(people).values({ id: 112, name: 'kept', age: 1 });
        const inner = tx.transaction(async (nested) => {
          await nested.insert(people).values({ id: 113, name: 'dropped', age: 1 });
          nested.rollback();
        });
        await expect(inner).rejects.toThrow('Rollback');
      },
      { isolationLevel: 'repeatable read' },
    );
    expect(await nameOf(112)).toBe('kept');
    expect(await nameOf(113)).toBeUndefined();
  });

  it('reads in a read-only transaction what was written before it, and cannot write there', async () => {
    await db.update(people).set({ name: 'Lovelace' }).where(eq(people.id, 100));
    const seen = await db.transaction(async (tx) => [await nameOf(100, tx), await nameOf(110, tx)], {
      accessMode: 'read only',
    });
    expect(seen).toEqual(['Lovelace', 'Grace']);
    const write = db.transaction((tx) => tx.delete(people).where(gte(people.id, 100)), { accessMode: 'read only' });
    await expect(write).rejects.toMatchObject({ cause: { code: '25006' } });
    expect(await nameOf(100)).toBe('Lovelace');
  });

  it('gives connections back, also after transactions that fail, more often than there are connections', async () => {
    const failures = await Promise.allSettled(
      Array.from({ length: 25 }, () => db.transaction((tx) => tx.execute(sql`select 1 / 0`))),
    );
    for (const failure of failures) {
      expect(failure).toMatchObject({ status: 'rejected', reason: { cause: { code: '22012' } } });
    }
    expect(await db.transaction((tx) => nameOf(1, tx))).toBe('P1');
  });

  it('hands Drizzle’s error, with pg’s as its cause, to the caller when a key exists already', async () => {
    const twice = db.insert(people).values({ id: 1, name: 'again', age: 0 });
    await expect(twice).rejects.toMatchObject({
      query: expect.stringContaining('insert into "people"'),
      cause: { name: 'error', code: '23505', constraint: 'people_pkey' },
    });
    expect(await nameOf(1)).toBe('P1');
  });

  it('reads its own writes from replicas whose replay is paused half of the time', async () => {
    await jitter(stage.servers);
    const { stale, share } = await readYourWrites('drizzle', stage.cluster, {
      save: (id, age) => db.update(people).set({ age }).where(eq(people.id, id)),
      age: async (id) => (await db.select({ age: people.age }).from(people).where(eq(people.id, id)))[0]?.age,
    });
    expect(stale).toBe(0);
    expect(share).toBeGreaterThanOrEqual(0.7);
  });
});

describe('the example for Drizzle', () => {
  it('saves a name and reads it back from a replica', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', 'examples/drizzle.ts'], {
      cwd: root,
      timeout: 25_000,
      env: { ...process.env, TSX_TSCONFIG_PATH: 'examples/tsconfig.json' },
    });
    expect(stdout).toMatch(/→ primary \(write\)\n[\s\S]*→ r1 [\s\S]*read back: Ada\n/);
  });
});
