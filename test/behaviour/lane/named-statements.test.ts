import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import { describe, expect, it } from 'vitest';
import { createCluster } from '../../../src/index.js';
import { open } from '../fixture.js';
import { primaryUrl, servers, sharesConnections, warm } from './shared-connections.js';

sharesConnections();

describe('statements that come again', () => {
  const names = (of: string) =>
    `select count(*)::int as n from pg_prepared_statements where name like 'pgladder%' and statement like '${of}%'`;

  it('are prepared on the connections of the pools, too, by their exact text', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 } });
    for (let i = 0; i < 5; i++) {
      await cluster.write('update t set v = v where id = $1', [i]);
      // Equal but for a constant: under one name the second would get the first one's answer.
      expect((await cluster.write('select 1 as n where $1', [true])).rows).toEqual([{ n: 1 }]);
      expect((await cluster.write('select 2 as n where $1', [true])).rows).toEqual([{ n: 2 }]);
    }
    expect((await cluster.write(names('update t'))).rows).toEqual([{ n: 1 }]);
    expect((await cluster.write(names('select _ as n'))).rows).toEqual([{ n: 2 }]);
  });

  it('are not, with namedStatements: false, nor those that come once', async () => {
    await using off = createCluster({ primary: { connectionString: primaryUrl, max: 1 }, namedStatements: false });
    for (let i = 0; i < 5; i++) await off.write('update t set v = v where id = $1', [i]);
    expect((await off.write(names(''))).rows).toEqual([{ n: 0 }]);
    await using on = createCluster({ primary: { connectionString: primaryUrl, max: 1 }, lane: false });
    for (let i = 0; i < 50; i++) await on.write(`update t set v = v where id = $1 and v <> ${-i}`, [i]);
    expect((await on.write(names(''))).rows).toEqual([{ n: 0 }]);
  });

  it('are no more than 256 on a connection, the oldest making room', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 } });
    for (let i = 0; i < 400; i++) {
      for (let again = 0; again < 3; again++)
        await cluster.write(`update t set v = v where id = $1 and v <> ${-i}`, [i]);
    }
    const { rows } = await cluster.write<{ n: number }>(names('update'));
    expect(rows[0]?.n).toBeLessThanOrEqual(256);
    const named = async (i: number) =>
      (await cluster.write(names(`update t set v = v where id = $1 and v <> ${-i}`))).rows;
    expect([await named(0), await named(399)]).toEqual([[{ n: 0 }], [{ n: 1 }]]);
  });

  it('go on when the table changes under them, and when somebody closes them', async () => {
    await using cluster = await open(servers, { primary: { connectionString: primaryUrl, max: 1 } });
    await cluster.write('create table changing (id int primary key, v int)');
    await cluster.write('insert into changing values (1, 1)');
    const text = 'select * from changing where id = $1';
    for (let i = 0; i < 3; i++) await cluster.write(text, [1]);
    await servers.replicas[0]?.waitForReplay();
    await warm(cluster, text, [1]);
    // Not through the library, which would notice.
    const [other] = [new pg.Client({ connectionString: primaryUrl })];
    await other.connect();
    await other.query('alter table changing add column added int default 5');
    await other.end();
    await servers.replicas[0]?.waitForReplay();
    const added = [{ id: 1, v: 1, added: 5 }];
    expect((await cluster.write(text, [1])).rows).toEqual(added);
    expect(
      (await Promise.all(Array.from({ length: 20 }, () => cluster.read(text, [1])))).every(
        ({ rows }) => JSON.stringify(rows) === JSON.stringify(added),
      ),
    ).toBe(true);
    await cluster.write('deallocate all');
    expect((await cluster.write(text, [1])).rows).toEqual(added);
    for (let i = 0; i < 3; i++) expect((await cluster.write(text, [1])).rows).toEqual(added);
  });

  it('leave no answer to whoever has the connection next, be it COPY or a cursor', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 }, lane: false });
    const fail = (text: string) => expect(cluster.write(text, [0])).rejects.toMatchObject({ code: '22012' });
    for (let i = 0; i < 3; i++) {
      const text = `select ${i} / v from (select $1::int as v) as given`;
      for (let again = 0; again < 3; again++) await fail(text);
      await cluster.connection(async (client) => {
        const copied = await client.query(copyTo('copy (select 1) to stdout')).toArray();
        expect(Buffer.concat(copied).toString()).toBe('1\n');
      });
      await fail(text);
      await cluster.connection(async (client) => {
        expect(await client.query(new Cursor('select 1 as v')).read(2)).toEqual([{ v: 1 }]);
      });
      await cluster.transaction(async (client) => {
        const copied = await client.query(copyTo('copy (select 2) to stdout')).toArray();
        expect(Buffer.concat(copied).toString()).toBe('2\n');
      });
    }
  });

  it('mean what they mean without a name as soon as a definition has passed through the library', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 } });
    await cluster.write('create table renewed (at timestamp)');
    await cluster.write("insert into renewed values ('2020-01-01T00:00:00')");
    const text = 'select count(*)::int as n from renewed where at = $1';
    for (let i = 0; i < 3; i++) await cluster.write(text, ['2020-01-01T05:00:00+05:00']);
    await cluster.write("alter table renewed alter at type timestamptz using at at time zone 'utc'");
    expect((await cluster.write(text, ['2020-01-01T05:00:00+05:00'])).rows).toEqual([{ n: 1 }]);
  });

  it('leave a value that throws to pg, and go on', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 } });
    const text = 'select $1::text as v';
    const value = {
      toPostgres: () => {
        throw new Error('this value throws');
      },
    };
    for (let i = 0; i < 3; i++) {
      await expect(cluster.write(text, [value])).rejects.toThrow('this value throws');
      expect((await cluster.write(text, ['a'])).rows).toEqual([{ v: 'a' }]);
    }
  });

  it('are not prepared in transactions, where a failure cannot be mended', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 } });
    for (let i = 0; i < 3; i++) {
      await cluster.transaction(async () => {
        await cluster.write('update t set v = v where id = $1', [1]);
      });
    }
    expect((await cluster.write(names('update'))).rows).toEqual([{ n: 0 }]);
  });
});
