/** Where PostgreSQL's grammar cannot be loaded, everything is a write: nothing rejects, one warning tells of it, and a later load is tried. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Cluster, WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, until } from './fixture.js';

const program = vi.hoisted(() => ({ isMissing: true, tries: 0, error: new Error('no WebAssembly here') }));
vi.mock('../../src/sql/grammar-program.js', async (original) => {
  const { instantiate } = await original<typeof import('../../src/sql/grammar-program.js')>();
  return {
    instantiate: (options: Parameters<typeof instantiate>[0]) => {
      program.tries++;
      return program.isMissing ? Promise.reject(program.error) : instantiate(options);
    },
  };
});

const IS_REPLICA = 'select pg_is_in_recovery() as is';
const READ = 'select v from kept where id = 1';

describe('a cluster whose grammar cannot be loaded', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  const warnings: WarningEvent[] = [];
  const nodes: string[] = [];
  let startedAt: number;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    cluster = await open(servers);
    cluster.events.on('warning', (warning) => warnings.push(warning));
    cluster.events.on('route', ({ node }) => nodes.push(node));
    startedAt = performance.now();
    await cluster.write('create table kept (id int primary key, v int)');
    await cluster.write('insert into kept values (1, 1)');
  });
  afterAll(async () => {
    await cluster.close();
    await servers.stop();
  });

  it('runs every statement of query() and of a pool on the primary, and rejects none', async () => {
    expect(await cluster.explain(READ)).toMatchObject({ class: 'write', node: 'primary' });
    nodes.length = 0;
    for (const text of [READ, 'begin; commit', "set work_mem to '5MB'", 'create temp table mine ()', IS_REPLICA]) {
      await cluster.query(text);
    }
    expect(new Set(nodes)).toEqual(new Set(['primary']));

    const pool = cluster.pool();
    for (let i = 0; i < 50; i++) expect((await pool.query(IS_REPLICA)).rows).toEqual([{ is: false }]);
    expect(pool.totalCount).toBe(1);
    const client = await pool.connect();
    for (const text of ['begin', 'update kept set v = v + 1', READ, 'commit', READ]) await client.query(text);
    expect((await client.query(IS_REPLICA)).rows).toEqual([{ is: false }]);
    client.release();
    await pool.end();
  });

  it('streams, and reads by read(), from replicas as before', async () => {
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    const rows: unknown[] = [];
    for await (const row of cluster.stream(IS_REPLICA)) rows.push(row);
    expect(rows).toEqual([{ is: true }]);
    expect((await cluster.read(IS_REPLICA)).rows).toEqual([{ is: true }]);
  });

  it('rejects with the errors of the statements themselves', async () => {
    await expect(cluster.query('select 1/0')).rejects.toMatchObject({ code: '22012' });
    await expect(cluster.query('selec 1')).rejects.toMatchObject({ code: '42601' });
  });

  it('tells of it once, with what to do', async () => {
    expect(warnings.map(({ code }) => code)).toEqual(['grammar']);
    expect(warnings[0]?.message).toMatch(/every statement for a write.*keep pg-ladder out of the bundle/s);
    expect(warnings[0]?.cause).toBe(program.error);
  });

  it('does not try to load it for each statement', async () => {
    for (let i = 0; i < 50; i++) await cluster.query(READ);
    // One a second at most.
    expect(program.tries).toBeLessThanOrEqual(1 + (performance.now() - startedAt) / 1_000);
  });

  it('tries again later: then reads go to replicas, those of clients that were open before, too', async () => {
    const pool = cluster.pool();
    const client = await pool.connect();
    await client.query(READ);
    program.isMissing = false;
    await until('it is loaded', async () => (await cluster.explain(READ)).class === 'read', 60_000);
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    nodes.length = 0;
    await cluster.query(READ);
    await pool.query(READ);
    expect(nodes).toEqual(['r1', 'r1']);
    client.release();
    const again = await pool.connect();
    nodes.length = 0;
    await again.query(READ);
    expect(nodes).toEqual(['r1']);
    again.release();
    expect(warnings).toHaveLength(1);
  }, 90_000);
});
