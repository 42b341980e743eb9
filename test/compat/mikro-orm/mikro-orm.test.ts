/**
 * MikroORM 6 takes a Knex dialect in `driverOptions`: with one that connects by cluster.pool() it works as it does on
 * pg, and its sessions read their writes.
 */
import {
  defineEntity,
  IsolationLevel,
  LockMode,
  MikroORM,
  p,
  type SqlEntityManager,
  UniqueConstraintViolationException,
} from '@mikro-orm/postgresql';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jitter, openStage, readYourWrites, type Stage } from '../workload.js';
import { dialectOf } from './dialect.js';

const Person = defineEntity({
  name: 'Person',
  tableName: 'people',
  properties: { id: p.integer().primary(), name: p.text(), age: p.integer() },
});

const Event = defineEntity({
  name: 'Event',
  tableName: 'events',
  properties: {
    id: p.integer().primary().autoincrement(),
    day: p.date(),
    at: p.datetime(),
    local: p.datetime().columnType('timestamp(3)'),
  },
});

describe('MikroORM on cluster.pool()', () => {
  let stage: Stage;
  let orm: MikroORM;
  /** An entity manager that has loaded nothing yet: whatever it finds comes from the database. */
  const em = (): SqlEntityManager => orm.em.fork();

  beforeAll(async () => {
    stage = await openStage();
    orm = await MikroORM.init({
      dbName: 'postgres',
      entities: [Person, Event],
      driverOptions: { client: dialectOf(stage.pool) },
    });
  });
  afterAll(async () => {
    await orm.close();
    await stage[Symbol.asyncDispose]();
  });

  it('reads back at once what it persisted, changed and removed', async () => {
    const writer = em();
    const person = writer.create(Person, { id: 100, name: 'Ada', age: 36 });
    await writer.flush();
    expect(await em().findOne(Person, 100)).toMatchObject({ id: 100, name: 'Ada', age: 36 });
    person.age = 37;
    await writer.flush();
    expect(await em().findOneOrFail(Person, 100)).toMatchObject({ age: 37 });
    await writer.remove(person).flush();
    expect(await em().findOne(Person, 100)).toBeNull();
  });

  it('reads back at once what it wrote without entities', async () => {
    expect(await em().insert(Person, { id: 101, name: 'Bob', age: 1 })).toBe(101);
    expect(await em().nativeUpdate(Person, { id: 101 }, { age: 2 })).toBe(1);
    expect(await em().qb(Person).select('age').where({ id: 101 }).execute()).toEqual([{ age: 2 }]);
    expect(await em().upsert(Person, { id: 101, name: 'Bob', age: 3 })).toMatchObject({ age: 3 });
    expect(await em().execute('select age from people where id = ?', [101])).toEqual([{ age: 3 }]);
    expect(await em().nativeDelete(Person, { id: 101 })).toBe(1);
    expect(await em().count(Person, { id: 101 })).toBe(0);
  });

  it('commits a transaction, which sees its own writes, and reads it back', async () => {
    const seenWithin = await em().transactional(
      async (inner) => {
        await inner.insert(Person, { id: 110, name: 'Cleo', age: 50 });
        await inner.nativeUpdate(Person, { id: 110 }, { age: 51 });
        return (await inner.findOneOrFail(Person, 110)).age;
      },
      { isolationLevel: IsolationLevel.REPEATABLE_READ },
    );
    expect(seenWithin).toBe(51);
    expect(await em().findOne(Person, 110)).toMatchObject({ age: 51 });
  });

  it('rolls a transaction back when it throws, and reads no row of it', async () => {
    const failing = em().transactional(async (inner) => {
      await inner.insert(Person, { id: 120, name: 'Dan', age: 1 });
      expect(await inner.count(Person, { id: 120 })).toBe(1);
      throw new Error('changed my mind');
    });
    await expect(failing).rejects.toThrow('changed my mind');
    expect(await em().count(Person, { id: 120 })).toBe(0);
  });

  it('rolls a nested transaction back to its savepoint, and commits the outer one', async () => {
    await em().transactional(async (outer) => {
      await outer.insert(Person, { id: 130, name: 'Eve', age: 1 });
      const inner = outer.transactional(async (nested) => {
        await nested.insert(Person, { id: 131, name: 'Fay', age: 1 });
        throw new Error('not her');
      });
      await expect(inner).rejects.toThrow('not her');
    });
    expect((await em().find(Person, { id: [130, 131] })).map(({ id }) => id)).toEqual([130]);
  });

  it('reads on a replica in a read-only transaction, which refuses writes', async () => {
    await em().insert(Person, { id: 140, name: 'Gus', age: 7 });
    const seen = await em().transactional(
      async (inner) => {
        const rows: unknown[] = await inner.execute('select pg_is_in_recovery() as "isReplica"');
        return [...rows, await inner.findOneOrFail(Person, 140)];
      },
      { readOnly: true },
    );
    expect(seen).toMatchObject([{ isReplica: true }, { name: 'Gus' }]);
    const write = em().transactional((inner) => inner.nativeUpdate(Person, { id: 140 }, { age: 8 }), {
      readOnly: true,
    });
    await expect(write).rejects.toMatchObject({ code: '25006' });
  });

  it('locks rows for an update (for update)', async () => {
    const locked = await em().transactional((inner) =>
      inner.findOneOrFail(Person, 0, { lockMode: LockMode.PESSIMISTIC_WRITE }),
    );
    expect(locked.name).toBe('P0');
  });

  it('reports a duplicate key as its UniqueConstraintViolationException, each time, and gives the connection back', async () => {
    for (let attempt = 0; attempt < 25; attempt++) {
      const error: unknown = await em()
        .insert(Person, { id: 0, name: 'twice', age: 0 })
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(UniqueConstraintViolationException);
      expect(error).toMatchObject({ code: '23505', constraint: 'people_pkey' });
    }
    expect(await em().findOneOrFail(Person, 0)).toMatchObject({ name: 'P0' });
  });

  it('creates the table of an entity, and reads its dates and times as on a connection of its own', async () => {
    await orm.schema.execute(await orm.schema.getUpdateSchemaSQL({ safe: true }));
    const at = new Date('2026-03-29T01:30:00.123Z');
    const writer = em();
    writer.create(Event, { day: '2026-03-29', at, local: at });
    await writer.flush();
    expect(await em().findOneOrFail(Event, { day: '2026-03-29' })).toMatchObject({ day: '2026-03-29', at, local: at });
  });

  it('leaves the pool open when it is closed', async () => {
    const driverOptions = { client: dialectOf(stage.pool) };
    const second = await MikroORM.init({ dbName: 'postgres', entities: [Person, Event], driverOptions });
    expect(await second.isConnected()).toBe(true);
    await second.close();
    expect(await em().findOneOrFail(Person, 0)).toMatchObject({ name: 'P0' });
  });

  it('is never stale in sessions while replay is paused half of the time, and reads on replicas', async () => {
    await jitter(stage.servers);
    const { stale, share } = await readYourWrites('MikroORM', stage.cluster, {
      save: async (id, age) => {
        const writer = em();
        writer.getReference(Person, id).age = age;
        await writer.flush();
      },
      age: async (id) => (await em().findOne(Person, id))?.age,
    });
    expect(stale).toBe(0);
    expect(share).toBeGreaterThanOrEqual(0.7);
  });
});
