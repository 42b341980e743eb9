/**
 * TypeORM makes its pool itself, with its option `driver`: handed one that makes cluster.pool(), it works as it does
 * on pg, and its sessions read their writes.
 */
import 'reflect-metadata';
import { DataSource, EntitySchema, QueryFailedError, type Repository } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jitter, openStage, readYourWrites, type Stage } from '../workload.js';
import { driverOf } from './driver.js';

interface Person {
  id: number;
  name: string;
  age: number;
}

const Person = new EntitySchema<Person>({
  name: 'people',
  columns: { id: { type: Number, primary: true }, name: { type: 'text' }, age: { type: Number } },
});

interface Note {
  id: number;
  text: string;
  createdAt: Date;
}

const Note = new EntitySchema<Note>({
  name: 'notes',
  columns: {
    id: { type: Number, primary: true, generated: true },
    text: { type: 'text' },
    createdAt: { type: 'timestamptz', createDate: true },
  },
});

describe('TypeORM on cluster.pool()', () => {
  let stage: Stage;
  let db: DataSource;
  let people: Repository<Person>;

  beforeAll(async () => {
    stage = await openStage();
    db = new DataSource({ type: 'postgres', driver: driverOf(stage.cluster), entities: [Person, Note] });
    await db.initialize();
    people = db.getRepository(Person);
  });
  afterAll(async () => {
    await db.destroy();
    await stage[Symbol.asyncDispose]();
  });

  it('reads back at once what it inserted, updated and deleted', async () => {
    await people.insert({ id: 100, name: 'Ada', age: 36 });
    expect(await people.findOneBy({ id: 100 })).toEqual({ id: 100, name: 'Ada', age: 36 });
    expect((await people.update(100, { age: 37 })).affected).toBe(1);
    expect(await people.findOneByOrFail({ id: 100 })).toMatchObject({ age: 37 });
    expect((await people.delete(100)).affected).toBe(1);
    expect(await people.findOneBy({ id: 100 })).toBeNull();
  });

  it('saves an entity, which looks for its row first and writes in a transaction, and reads it back', async () => {
    const person = await people.save({ id: 101, name: 'Bob', age: 1 });
    expect(await people.findOneBy({ id: 101 })).toEqual({ id: 101, name: 'Bob', age: 1 });
    person.age = 2;
    await people.save(person);
    expect(await people.findOneBy({ id: 101 })).toEqual({ id: 101, name: 'Bob', age: 2 });
    await people.remove(person);
    expect(await people.existsBy({ id: 101 })).toBe(false);
  });

  it('commits a transaction, which sees its own writes, and reads it back', async () => {
    const seenWithin = await db.transaction('REPEATABLE READ', async (manager) => {
      await manager.insert(Person, { id: 110, name: 'Cleo', age: 50 });
      await manager.increment(Person, { id: 110 }, 'age', 1);
      return manager.findOneBy(Person, { id: 110 });
    });
    expect(seenWithin).toMatchObject({ age: 51 });
    expect(await people.findOneBy({ id: 110 })).toMatchObject({ age: 51 });
  });

  it('rolls a transaction back when it throws, and reads no row of it', async () => {
    const failing = db.transaction(async (manager) => {
      await manager.insert(Person, { id: 120, name: 'Dan', age: 1 });
      expect(await manager.countBy(Person, { id: 120 })).toBe(1);
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await people.countBy({ id: 120 })).toBe(0);
  });

  it('rolls a nested transaction back to its savepoint, and commits the outer one', async () => {
    await db.transaction(async (outer) => {
      await outer.insert(Person, { id: 130, name: 'Eve', age: 1 });
      const inner = outer.transaction(async (manager) => {
        await manager.insert(Person, { id: 131, name: 'Fay', age: 1 });
        throw new Error('not her');
      });
      await expect(inner).rejects.toThrow('not her');
    });
    expect((await people.findBy([{ id: 130 }, { id: 131 }])).map(({ id }) => id)).toEqual([130]);
  });

  it('keeps one connection for a query runner, with reads and a transaction of the user’s own', async () => {
    const runner = db.createQueryRunner();
    try {
      expect(await runner.query('select name from people where id = $1', [1])).toEqual([{ name: 'P1' }]);
      await runner.startTransaction();
      await runner.manager.update(Person, 1, { name: 'renamed' });
      await runner.rollbackTransaction();
      await runner.startTransaction();
      await runner.manager.update(Person, 2, { name: 'renamed' });
      await runner.commitTransaction();
      expect(await runner.query('select name from people where id in (1, 2) order by id')).toEqual([
        { name: 'P1' },
        { name: 'renamed' },
      ]);
    } finally {
      await runner.release();
    }
  });

  it('locks rows for an update (for update)', async () => {
    const locked = await db.transaction((manager) =>
      manager.findOneOrFail(Person, { where: { id: 0 }, lock: { mode: 'pessimistic_write' } }),
    );
    expect(locked.name).toBe('P0');
  });

  it('streams every row, more often than the pool has connections', async () => {
    for (let round = 0; round < 25; round++) {
      const ids: number[] = [];
      const builder = people.createQueryBuilder('p').select('p.id', 'id').where('p.id < 20').orderBy('p.id');
      for await (const row of await builder.stream()) ids.push((row as unknown as { id: number }).id);
      expect(ids).toEqual(Array.from({ length: 20 }, (_, i) => i));
    }
  });

  it('reports a duplicate key as its QueryFailedError, each time, and gives the connection back', async () => {
    for (let attempt = 0; attempt < 25; attempt++) {
      const error: unknown = await people.insert({ id: 0, name: 'twice', age: 0 }).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(QueryFailedError);
      expect(error).toMatchObject({ driverError: { code: '23505', constraint: 'people_pkey' } });
    }
    expect(await people.findOneByOrFail({ id: 0 })).toMatchObject({ name: 'P0' });
  });

  it('creates the tables of its entities (synchronize), and uses them at once', async () => {
    await db.synchronize();
    const { id, createdAt } = await db.getRepository(Note).save({ text: 'first' });
    expect(await db.getRepository(Note).findOneBy({ id })).toEqual({ id, text: 'first', createdAt });
  });

  it('may be destroyed and initialized again: each time with a pool of its own', async () => {
    const second = new DataSource({ type: 'postgres', driver: driverOf(stage.cluster), entities: [Person] });
    for (let round = 0; round < 2; round++) {
      await second.initialize();
      expect(await second.getRepository(Person).findOneByOrFail({ id: 0 })).toMatchObject({ name: 'P0' });
      await second.destroy();
    }
    expect(await people.findOneByOrFail({ id: 0 })).toMatchObject({ name: 'P0' });
  });

  it('is never stale in sessions while replay is paused half of the time, and reads on replicas', async () => {
    await jitter(stage.servers);
    const { stale, share } = await readYourWrites('TypeORM', stage.cluster, {
      save: (id, age) => people.update(id, { age }),
      age: async (id) => (await people.findOneBy({ id }))?.age,
    });
    expect(stale).toBe(0);
    expect(share).toBeGreaterThanOrEqual(0.7);
  });
});
