import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { describe, expect, it } from 'vitest';
import { answered, comparesPools, eachPool } from './pools.js';

comparesPools();

eachPool((make) => {
  describe('submittables', () => {
    const TEXTS = [
      ['a read', 'select id from items where id > 0 order by id'],
      ['a write', 'update items set body = body where id > 0 returning id'],
    ] as const;

    it.each(TEXTS)('a cursor over %s is returned, gives rows in portions, and closes', async (_, text) => {
      const pool = await make();
      const client = await pool.connect();
      const cursor = new Cursor<{ id: number }>(text);
      expect(client.query(cursor)).toBe(cursor);
      expect(await cursor.read(10)).toHaveLength(10);
      const rest = await new Promise((resolve, reject) => {
        cursor.read(1_000, (error, rows) => (error ? reject(error) : resolve(rows.length)));
      });
      expect(rest).toBe(290);
      await cursor.close();
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('a cursor takes values, and passes on what the server has against it', async () => {
      const pool = await make();
      const client = await pool.connect();
      const cursor = client.query(new Cursor('select $1::int + i as n from generate_series(1, 3) i', [10]));
      expect(await cursor.read(2)).toEqual([{ n: 11 }, { n: 12 }]);
      await cursor.close();
      const failing = client.query(new Cursor('select nonsense'));
      await expect(failing.read(1)).rejects.toMatchObject({ code: '42703' });
      const failingLate = client.query(new Cursor('select 1 / (3 - i) as n from generate_series(1, 5) i'));
      await expect(failingLate.read(5)).rejects.toMatchObject({ code: '22012' });
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
    });

    it.each(TEXTS)('a stream over %s gives all rows, and lets the next statement wait', async (_, text) => {
      const pool = await make();
      const client = await pool.connect();
      const stream = client.query(new QueryStream(text, [], { batchSize: 50 }));
      const next = client.query(`update items set body = body where id = 1 returning 'next' as what`);
      let count = 0;
      for await (const row of stream) {
        expect(row.id).toBeGreaterThan(0);
        count++;
      }
      expect(count).toBe(300);
      expect((await next).rows).toEqual([{ what: 'next' }]);
      client.release();
    });

    it('a stream that is left early lets its client be used again', async () => {
      const pool = await make();
      const client = await pool.connect();
      for await (const row of client.query(new QueryStream('select i from generate_series(1, 1000) i'))) {
        expect(row).toEqual({ i: 1 });
        break;
      }
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
    });

    it('COPY takes rows in, and gives them out', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table copied (id int, body text)');
      const writing = client.query(copyFrom('copy copied from stdin'));
      const lines = Array.from({ length: 500 }, (_, i) => `${i}\trow ${i}\n`);
      await pipeline(Readable.from(lines), writing);
      expect(writing.rowCount).toBe(500);
      const reading = client.query(copyTo('copy (select * from copied order by id) to stdout'));
      const chunks: Buffer[] = [];
      for await (const chunk of reading) chunks.push(chunk as Buffer);
      expect(Buffer.concat(chunks).toString()).toBe(lines.join(''));
      expect((await client.query('select count(*)::int as n from copied')).rows).toEqual([{ n: 500 }]);
      const failing = client.query(copyFrom('copy copied from stdin'));
      await expect(pipeline(Readable.from(['no number\tx\n']), failing)).rejects.toMatchObject({ code: '22P02' });
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
    });

    it('COPY of a table gives out what was committed', async () => {
      const pool = await make();
      const client = await pool.connect();
      const chunks: Buffer[] = [];
      const reading = client.query(copyTo('copy (select body from items where id in (1, 2) order by id) to stdout'));
      for await (const chunk of reading) chunks.push(chunk as Buffer);
      expect(Buffer.concat(chunks).toString()).toBe('item 1\nitem 2\n');
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('a pg.Query tells of its rows and of its end, or of its error', async () => {
      const pool = await make();
      const client = await pool.connect();
      const told: unknown[] = [];
      const query = new pg.Query('select i from generate_series(1, 2) i');
      expect(client.query(query)).toBe(query);
      query.on('row', (row) => told.push(row));
      await new Promise((resolve) => query.on('end', resolve));
      expect(told).toEqual([{ i: 1 }, { i: 2 }]);
      const failing = client.query(new pg.Query('select nonsense'));
      expect(await new Promise((resolve) => failing.on('error', resolve))).toMatchObject({ code: '42703' });
      const { error, result } = await answered((callback) =>
        (client.query as (query: unknown, callback: unknown) => unknown)(new pg.Query('select 4 as four'), callback),
      );
      expect(error).toBeNull();
      expect(result?.rows).toEqual([{ four: 4 }]);
      client.release();
    });
  });
});
