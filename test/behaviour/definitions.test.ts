/** What a definition that the library sees does to reads: those that it cannot have touched go on as reads. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, size, until } from './fixture.js';

const FUNCTION_COUNT = size(500, 10_000);

let servers: TestCluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
  const client = new pg.Client(servers.primary.connectionString);
  await client.connect();
  await client.query(`create table orders (id int primary key); insert into orders values (1);
    create view busy as select * from orders;
    do $$ begin
      for i in 1..${FUNCTION_COUNT} loop
        execute format('create function f%s(a int) returns int language sql stable as ''select a + %s''', i, i);
      end loop;
    end $$`);
  await client.end();
  await servers.replicas[0]?.waitForReplay();
});
afterAll(() => servers.stop());

describe('definitions that pass through the library', () => {
  const reasonOf = async (cluster: Awaited<ReturnType<typeof open>>, text: string): Promise<string> => {
    const before = cluster.stats().routes;
    await cluster.query(text, [], { consistency: 'eventual' });
    const after = cluster.stats().routes;
    const [changed = 'none'] = Object.entries(after).filter(([reason, n]) => n !== before[reason as 'write']);
    return String(changed[0] ?? changed);
  };

  it('leave reads that they cannot touch where they are, throughout', async () => {
    await using cluster = await open(servers);
    const reads = ['select count(*) from orders', 'select * from busy', 'select f1(1)'];
    for (const text of reads)
      await until('it is known to read', async () => (await reasonOf(cluster, text)) !== 'write');
    for (let i = 0; i < 20; i++) {
      const made = `made_${i}`;
      for (const text of [
        `create table ${made} (id serial primary key, name text)`,
        `create index on ${made} (name)`,
        `alter table ${made} add column note text`,
        `drop table ${made}`,
      ]) {
        await cluster.query(text);
        for (const read of reads) expect([text, read, await reasonOf(cluster, read)]).not.toContain('write');
      }
    }
  });

  it('are gone by at once by what they touch, also behind a view', async () => {
    await using cluster = await open(servers);
    const text = 'select * from busy';
    await until('it is known to read', async () => (await reasonOf(cluster, text)) !== 'write');
    await cluster.write('create function notes() returns bool language plpgsql as $$ begin return true; end $$');
    await until('it is known to read', async () => (await reasonOf(cluster, text)) !== 'write');
    await cluster.write('alter table orders enable row level security');
    expect(await reasonOf(cluster, text)).toBe('write');
    await until('it is known to read again', async () => (await reasonOf(cluster, text)) !== 'write');
    await cluster.write('create policy seen on orders using (notes())');
    expect(await reasonOf(cluster, text)).toBe('write');
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await reasonOf(cluster, text)).toBe('write');
  });
});
