import pg, { type QueryResult } from 'pg';
import { describe, expect, it } from 'vitest';
import { answered, comparesPools, eachPool, READ, WRITE } from './pools.js';

comparesPools();

eachPool((make) => {
  describe('query()', () => {
    it('takes a text, values, and both as one', async () => {
      const pool = await make();
      const values = [7, 'x'];
      const text = 'select $1::int as n, $2::text as t';
      const row = { n: 7, t: 'x' };
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      expect((await pool.query(text, values)).rows).toEqual([row]);
      expect((await pool.query({ text, values })).rows).toEqual([row]);
      expect((await pool.query({ text }, values)).rows).toEqual([row]);
      expect((await pool.query({ text, values: [0, ''] }, values)).rows).toEqual([row]);
      class Template {
        readonly values = values;
        get text(): string {
          return text;
        }
      }
      expect((await pool.query(new Template())).rows).toEqual([row]);
    });

    it('calls back instead of giving a promise, with and without values', async () => {
      const pool = await make();
      for (const run of [
        (callback: never) => pool.query('select 1 as one', callback),
        (callback: never) => pool.query('select $1::int as one', [1], callback),
        (callback: never) => pool.query({ text: 'select $1::int as one', values: [1] }, callback),
        (callback: never) => pool.query(READ, callback),
        (callback: never) => pool.query(READ, [], callback),
        (callback: never) => pool.query(READ, undefined as never, callback),
      ]) {
        const { error, result, returned } = await answered((callback) => run(callback as never));
        expect(returned).toBeUndefined();
        expect(error).toBeUndefined();
        expect(result?.rowCount).toBe(1);
      }
      for (const text of ['select nonsense', 'select nonsense from items', 'delete from nothing']) {
        const { error, result } = await answered((callback) => pool.query(text, callback));
        expect(error).toBeInstanceOf(pg.DatabaseError);
        expect(result).toBeUndefined();
      }
    });

    it('prefers its promise to a callback within the config, which is not called', async () => {
      const pool = await make();
      const called: unknown[] = [];
      for (const text of [READ, WRITE]) {
        const config = { text, callback: (...given: unknown[]) => called.push(given) };
        for (let i = 0; i < 2; i++) expect((await pool.query(config))?.rowCount).toBe(1);
      }
      expect(called).toEqual([]);
    });

    it('gives pg’s results: rows, rowCount, command, fields', async () => {
      const pool = await make();
      for (const text of [READ, READ, WRITE]) {
        const result = await pool.query(text);
        expect(result).toBeInstanceOf((pg as unknown as { Result: new () => object }).Result);
        expect(result.oid).toBeNull();
      }
      const selected = await pool.query('select id, body from items where id <= 2 order by id');
      expect(selected).toMatchObject({
        command: 'SELECT',
        rowCount: 2,
        rows: [
          { id: 1, body: 'item 1' },
          { id: 2, body: 'item 2' },
        ],
      });
      expect(selected.fields.map(({ name, dataTypeID }) => [name, dataTypeID])).toEqual([
        ['id', 23],
        ['body', 25],
      ]);
      expect(await pool.query('update items set body = body where id <= 3')).toMatchObject({
        command: 'UPDATE',
        rowCount: 3,
        rows: [],
      });
      expect(await pool.query('')).toMatchObject({ rows: [] });
      const several = (await pool.query('select 1 as a; select 2 as b')) as unknown as QueryResult[];
      expect(several.map(({ rows }) => rows)).toEqual([[{ a: 1 }], [{ b: 2 }]]);
    });

    it('gives rows as arrays on request', async () => {
      const pool = await make();
      const ask = { text: 'select id, body from items where id = $1', rowMode: 'array' as const };
      expect((await pool.query(ask, [3])).rows).toEqual([[3, 'item 3']]);
      const client = await pool.connect();
      expect((await client.query({ ...ask, values: [4] })).rows).toEqual([[4, 'item 4']]);
      client.release();
    });

    it('runs named statements again, and refuses another text under their name', async () => {
      const pool = await make({ max: 1 });
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      const ask = { name: 'named', text: 'update items set body = body where id = $1 returning id' };
      for (const id of [1, 2, 3]) expect((await client.query({ ...ask, values: [id] })).rows).toEqual([{ id }]);
      const { rows } = await client.query(`select count(*)::int as n from pg_prepared_statements where name = 'named'`);
      expect(rows).toEqual([{ n: 1 }]);
      await expect(client.query({ name: 'named', text: 'select 2' })).rejects.toThrow(/must be unique/);
      client.release();
      for (const id of [4, 5]) {
        const read = { name: 'read', text: 'select body from items where id = $1', values: [id] };
        expect((await pool.query(read)).rows).toEqual([{ body: `item ${id}` }]);
      }
    });

    it.each([
      ['reads', 'select id from items where id = $1'],
      ['writes', 'update items set body = body where id = $1 returning id'],
    ])('runs a named statement that %s by its name alone once its client has run it', async (_, text) => {
      const pool = await make();
      const client = await pool.connect();
      expect((await client.query({ name: 'alone', text, values: [1] })).rows).toEqual([{ id: 1 }]);
      const again = { name: 'alone', values: [2] } as unknown as { text: string };
      expect((await client.query(again)).rows).toEqual([{ id: 2 }]);
      client.release();
    });

    it('parses by the types of one query', async () => {
      const types = { getTypeParser: () => (value: string) => `parsed ${value}` } as unknown as typeof pg.types;
      const pool = await make();
      for (const text of ['select id from items where id = 1', 'update items set id = id where id = 1 returning id']) {
        for (let i = 0; i < 2; i++) {
          expect((await pool.query({ text, types })).rows).toEqual([{ id: 'parsed 1' }]);
          expect((await pool.query(text)).rows).toEqual([{ id: 1 }]);
        }
      }
    });

    it.each([
      ['numbers of 64 bits', [20]],
      ['numbers, truth values and texts', [16, 20, 23, 25]],
    ])('parses by the types of the pool, where those have their own way with %s', async (_, oids) => {
      const getTypeParser = ((oid: number, format: 'text') =>
        oids.includes(oid) ? (value: string) => `parsed ${value}` : pg.types.getTypeParser(oid, format)) as never;
      const pool = await make({ types: { getTypeParser } });
      const client = await pool.connect();
      const text = `select true as "16", 1::int8 as "20", 2::int4 as "23", 'x'::text as "25"`;
      const usual = { 16: true, 20: '1', 23: 2, 25: 'x' };
      const own = { 16: 'parsed t', 20: 'parsed 1', 23: 'parsed 2', 25: 'parsed x' };
      const expected = Object.fromEntries(
        Object.entries(usual).map(([oid, value]) => [
          oid,
          oids.includes(Number(oid)) ? own[Number(oid) as keyof typeof own] : value,
        ]),
      );
      expect((await client.query(text)).rows).toEqual([expected]);
      client.release();
      for (let i = 0; i < 2; i++) expect((await pool.query(text)).rows).toEqual([expected]);
    });

    it('writes JavaScript values as pg does', async () => {
      const pool = await make();
      const at = new Date('2020-02-02T02:02:02.000Z');
      const text =
        'select $1::timestamptz as at, $2::bytea as raw, $3::jsonb as doc, $4::int[] as list, $5::text as none';
      const values = [at, Buffer.from('raw'), { a: [1] }, [1, 2, null], undefined];
      const { rows } = await pool.query(text, values);
      expect(rows).toEqual([{ at, raw: Buffer.from('raw'), doc: { a: [1] }, list: [1, 2, null], none: null }]);
      const own = { toPostgres: () => 'own way' };
      expect((await pool.query('select $1::text as own', [own])).rows).toEqual([{ own: 'own way' }]);
      const broken = {
        toPostgres: () => {
          throw new Error('cannot be written');
        },
      };
      await expect(pool.query('select $1::text as own', [broken])).rejects.toThrow('cannot be written');
      await expect(pool.query('update items set body = $1', [broken])).rejects.toThrow('cannot be written');
    });

    it('says in pg’s words what it cannot run', async () => {
      const pool = await make();
      await expect(pool.query({} as { text: string })).rejects.toThrow(
        'A query must have either text or a name. Supplying neither is unsupported.',
      );
      for (const text of ['select $1::text as name', READ]) {
        await expect(pool.query(text, 'x' as unknown as string[])).rejects.toThrow('Query values must be an array');
      }
      expect((await pool.query(READ)).rowCount).toBe(1);
    });

    it('hands binary values to the parsers of a query that asks for them', async () => {
      const pool = await make();
      const types = {
        getTypeParser: (oid: number, format: string) => (raw: Buffer) => [oid, format, raw.toString('hex')],
      };
      const ask = { text: 'select id from items where id = $1', values: [258], binary: true, types };
      for (let i = 0; i < 2; i++) {
        expect((await pool.query(ask as unknown as { text: string })).rows).toEqual([
          { id: [23, 'binary', '00000102'] },
        ]);
      }
    });

    it('gives up every statement after the query_timeout of the pool', async () => {
      const pool = await make({ query_timeout: 60 });
      const text = 'update items set body = body where id = 8 and pg_sleep(0.4) is null';
      await expect(pool.query(text)).rejects.toThrow('Query read timeout');
      const client = await pool.connect();
      await expect(client.query(text)).rejects.toThrow('Query read timeout');
      client.release(true);
      expect((await pool.query(WRITE)).rowCount).toBe(1);
    });

    it('lets what a callback throws be known', async () => {
      const pool = await make();
      const client = await pool.connect();
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      try {
        for (const text of [READ, READ, WRITE]) {
          for (const from of [pool, client]) {
            const thrown = new Promise((resolve) => process.once('uncaughtException', resolve));
            const error = new Error('thrown by a callback');
            from.query(text, () => {
              throw error;
            });
            expect(await thrown).toBe(error);
          }
        }
      } finally {
        for (const other of others) process.on('uncaughtException', other);
      }
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
    });

    it('gives up a statement after its query_timeout, in pg’s words', async () => {
      const pool = await make();
      const text = 'update items set body = body where id = 6 and pg_sleep(0.3) is null';
      await expect(pool.query({ text, query_timeout: 20 } as { text: string })).rejects.toThrow('Query read timeout');
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    });

    it('runs a pg.Query, and answers with its result', async () => {
      const pool = await make();
      const result = await (pool.query(new pg.Query('select 8 as eight')) as unknown as Promise<QueryResult>);
      expect(result.rows).toEqual([{ eight: 8 }]);
      expect(pool.idleCount).toBe(1);
    });
  });
});
