/**
 * Knex takes a pool as `connectionPool` (since 3.3): what it builds, its transactions and (with releaseOnce) its
 * streams work there, and its sessions read their writes.
 */
import { once } from 'node:events';
import createKnex, { type Knex } from 'knex';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jitter, openStage, readYourWrites, type Stage } from '../workload.js';
import { releaseOnce } from './release-once.js';

interface Person {
  id: number;
  name: string;
  age: number;
}

describe('Knex on cluster.pool()', () => {
  let stage: Stage;
  let knex: Knex;
  const people = (on: Knex = knex) => on<Person>('people');

  beforeAll(async () => {
    stage = await openStage();
    knex = createKnex({ client: 'pg', connectionPool: stage.pool });
  });
  afterAll(async () => {
    await knex.destroy();
    await stage[Symbol.asyncDispose]();
  });

  it('reads back at once what it inserted, updated and deleted', async () => {
    expect(await people().insert({ id: 100, name: 'Ada', age: 36 }).returning('id')).toEqual([{ id: 100 }]);
    expect(await people().where({ id: 100 }).first()).toEqual({ id: 100, name: 'Ada', age: 36 });
    expect(await people().where({ id: 100 }).update({ age: 37 })).toBe(1);
    expect(await people().where({ id: 100 }).pluck('age')).toEqual([37]);
    expect(await people().where({ id: 100 }).delete()).toBe(1);
    expect(await people().where({ id: 100 }).first()).toBeUndefined();
  });

  it('inserts or updates in one statement (on conflict), and reads the outcome', async () => {
    for (const age of [1, 2]) await people().insert({ id: 101, name: 'Bob', age }).onConflict('id').merge();
    expect(await people().where({ id: 101 })).toEqual([{ id: 101, name: 'Bob', age: 2 }]);
  });

  it('commits a transaction, which sees its own writes, and reads it back', async () => {
    const seenWithin = await knex.transaction(async (trx) => {
      await people(trx).insert({ id: 110, name: 'Cleo', age: 50 });
      await people(trx).where({ id: 110 }).increment('age', 1);
      return people(trx).where({ id: 110 }).first('age');
    });
    expect(seenWithin).toEqual({ age: 51 });
    expect(await people().where({ id: 110 }).first('age')).toEqual({ age: 51 });
  });

  it('rolls a transaction back when it throws, and reads no row of it', async () => {
    const failing = knex.transaction(async (trx) => {
      await people(trx).insert({ id: 120, name: 'Dan', age: 1 });
      expect(await people(trx).where({ id: 120 })).toHaveLength(1);
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await people().where({ id: 120 })).toEqual([]);
  });

  it('rolls a nested transaction back to its savepoint, and commits the outer one', async () => {
    await knex.transaction(async (outer) => {
      await people(outer).insert({ id: 130, name: 'Eve', age: 1 });
      const inner = outer.transaction(async (trx) => {
        await people(trx).insert({ id: 131, name: 'Fay', age: 1 });
        throw new Error('not her');
      });
      await expect(inner).rejects.toThrow('not her');
    });
    expect(await people().whereIn('id', [130, 131]).pluck('id')).toEqual([130]);
  });

  it('reads on a replica in a read-only transaction, which refuses writes', async () => {
    await people().insert({ id: 140, name: 'Gus', age: 7 });
    const options = { readOnly: true, isolationLevel: 'repeatable read' } as const;
    const seen = await knex.transaction(async (trx) => {
      const { rows } = await trx.raw<{ rows: unknown[] }>('select pg_is_in_recovery() as "isReplica"');
      return [...rows, await people(trx).where({ id: 140 }).first('name')];
    }, options);
    expect(seen).toEqual([{ isReplica: true }, { name: 'Gus' }]);
    const write = knex.transaction((trx) => people(trx).where({ id: 140 }).update({ age: 8 }), options);
    await expect(write).rejects.toMatchObject({ code: '25006' });
  });

  it('locks rows for an update (for update), outside and inside a transaction', async () => {
    expect(await people().where({ id: 0 }).forUpdate().pluck('name')).toEqual(['P0']);
    expect(await knex.transaction((trx) => people(trx).where({ id: 0 }).forUpdate().pluck('name'))).toEqual(['P0']);
  });

  it('reports a duplicate key as pg does, each time, and gives the connection back', async () => {
    for (let attempt = 0; attempt < 25; attempt++) {
      const failing = people().insert({ id: 0, name: 'twice', age: 0 });
      await expect(failing).rejects.toMatchObject({ code: '23505', constraint: 'people_pkey' });
    }
    expect(await people().where({ id: 0 }).pluck('name')).toEqual(['P0']);
  });

  it('gives a statement up after its timeout, and goes on', async () => {
    const failing = knex.raw('select pg_sleep(5)').timeout(100);
    await expect(failing).rejects.toMatchObject({ name: 'KnexTimeoutError' });
    expect(await people().where({ id: 0 }).pluck('name')).toEqual(['P0']);
  });

  it('changes the schema, and uses the new table at once', async () => {
    await knex.schema.createTable('notes', (table) => {
      table.increments('id');
      table.text('text').notNullable();
    });
    expect(await knex.schema.hasTable('notes')).toBe(true);
    await knex('notes').insert({ text: 'first' });
    expect(await knex('notes').select('text')).toEqual([{ text: 'first' }]);
  });

  it('leaves the pool open when it is destroyed', async () => {
    const second = createKnex({ client: 'pg', connectionPool: stage.pool });
    expect(await people(second).where({ id: 0 }).pluck('name')).toEqual(['P0']);
    await second.destroy();
    expect(await people().where({ id: 0 }).pluck('name')).toEqual(['P0']);
  });

  describe('streams, with releaseOnce(pool)', () => {
    let streaming: Knex;

    // not destroyed: Knex gives a stream's connection back once more after it, and has no pool then
    beforeAll(() => {
      streaming = createKnex({ client: 'pg', connectionPool: releaseOnce(stage.pool) });
    });

    it('gives every row, more often than the pool has connections', async () => {
      for (let round = 0; round < 25; round++) {
        const ids: number[] = [];
        for await (const { id } of people(streaming).where('id', '<', 20).orderBy('id').stream()) ids.push(id);
        expect(ids).toEqual(Array.from({ length: 20 }, (_, i) => i));
      }
    });

    it('may be left early, more often than the pool has connections', async () => {
      for (let round = 0; round < 25; round++) {
        let rows = 0;
        for await (const _ of streaming.select(streaming.raw('generate_series(1, 100000)')).stream()) {
          if (++rows === 10) break;
        }
        expect(rows).toBe(10);
      }
      expect(await people(streaming).where({ id: 0 }).pluck('name')).toEqual(['P0']);
    });

    it('leaves a transaction its connection when a stream is read to its end long after its query', async () => {
      const released = once(stage.pool, 'release');
      const rows = people(streaming).where('id', '<', 5).stream();
      await released;
      await streaming.transaction(async (trx) => {
        await people(trx).insert({ id: 150, name: 'Hal', age: 1 });
        const closed = once(rows, 'close');
        expect(await rows.toArray()).toHaveLength(5);
        await closed;
        await people(trx).where({ id: 150 }).update({ age: 2 });
      });
      expect(await people().where({ id: 150 }).first('age')).toEqual({ age: 2 });
    });

    it('fails as the statement does', async () => {
      const reading = async (): Promise<void> => {
        for await (const _ of streaming.select(streaming.raw('1 / (3 - generate_series(1, 5))')).stream());
      };
      await expect(reading()).rejects.toMatchObject({ code: '22012' });
    });
  });

  it('is never stale in sessions while replay is paused half of the time, and reads on replicas', async () => {
    await jitter(stage.servers);
    const { stale, share } = await readYourWrites('Knex', stage.cluster, {
      save: (id, age) => people().where({ id }).update({ age }),
      age: async (id) => (await people().where({ id }).first('age'))?.age,
    });
    expect(stale).toBe(0);
    expect(share).toBeGreaterThanOrEqual(0.7);
  });
});
