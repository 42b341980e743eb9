import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open } from './fixture.js';

describe('events', () => {
  let servers: TestCluster;
  let cluster: Cluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    cluster = await open(servers);
    await cluster.write('create table secrets (word text)');
    await servers.replicas[0]?.waitForReplay();
  });
  afterAll(async () => {
    await cluster.close();
    await servers.stop();
  });

  it('tell on the emitter and on diagnostics_channel where a statement went and how it ended', async () => {
    const heard: unknown[] = [];
    const listener = (event: unknown) => heard.push(event);
    const channels = ['pg-ladder:route', 'pg-ladder:query'];
    for (const name of channels) subscribe(name, listener);
    cluster.events.on('route', listener).on('query', listener);
    await cluster.read('select 1', [], { consistency: 'eventual' });
    await expect(cluster.write("insert into secrets values ('xyzzy'), ((1/0)::text)")).rejects.toMatchObject({
      code: '22012',
    });
    for (const name of channels) unsubscribe(name, listener);
    cluster.events.removeAllListeners();
    await cluster.read('select 1');
    const [route, routeAgain, query, , write, , failed] = heard;
    expect(heard).toHaveLength(8);
    expect(route).toBe(routeAgain);
    expect(route).toMatchObject({ node: 'r1', role: 'replica', reason: 'balanced' });
    expect(query).toMatchObject({ node: 'r1', rowCount: 1, errorCode: undefined });
    expect(write).toMatchObject({ node: 'primary', role: 'primary', reason: 'write' });
    expect(failed).toMatchObject({ node: 'primary', rowCount: null, errorCode: '22012' });
    expect(JSON.stringify(heard)).not.toMatch(/xyzzy|secrets|postgres:/);
  });

  it('say which statement it was by its digest, wherever it was sent, and never by its text', async () => {
    const digests: (string | undefined)[] = [];
    const { digest } = await cluster.explain("select word from secrets where word = 'a'");
    cluster.events.on('query', (event) => digests.push(event.digest));
    await cluster.read("select word from secrets where word = 'b'");
    await cluster.query("select word from secrets where word = 'c'");
    await cluster.transaction(async (client) => {
      await client.query("select word from secrets where word = 'd'");
      await cluster.query("select word from secrets where word = 'e'");
    });
    for await (const _ of cluster.stream("select word from secrets where word = 'f'"));
    const pool = cluster.pool();
    await pool.query("select word from secrets where word = 'g'");
    const client = await pool.connect();
    await client.query('begin');
    await client.query("select word from secrets where word = 'h'");
    await client.query('commit');
    client.release();
    await pool.end();
    cluster.events.removeAllListeners();
    expect(digests.filter((each) => each === digest)).toHaveLength(7);
    expect(digests.every((each) => each !== undefined && /^18:[0-9a-f]{16}$/.test(each))).toBe(true);
  });

  it('do not let a listener’s mistake fail a write that was committed', async () => {
    const caught = new Promise((resolve) => {
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      process.once('uncaughtException', (error) => {
        for (const other of others) process.on('uncaughtException', other);
        resolve(error);
      });
    });
    cluster.events.once('query', () => {
      throw new Error('a bug of the listener');
    });
    await cluster.write("insert into secrets values ('plugh')");
    expect(await caught).toMatchObject({ message: 'a bug of the listener' });
  });

  it('and stats say where every statement went, in a snapshot that never changes', async () => {
    const before = cluster.stats();
    await cluster.session(async () => {
      await cluster.write("insert into secrets values ('again')");
      await cluster.read('select count(*) from secrets');
    });
    const after = cluster.stats();
    expect(Object.isFrozen(before) && Object.isFrozen(before.nodes)).toBe(true);
    expect(after.routes.write - before.routes.write).toBe(1);
    const count = (stats: typeof after) => Object.values(stats.routes).reduce((sum, n) => sum + n, 0);
    expect(count(after) - count(before)).toBe(2);
    expect(after.nodes.map((n) => [n.name, n.role, n.state])).toEqual([
      ['primary', 'primary', 'live'],
      ['r1', 'replica', 'live'],
    ]);
    expect(after.clusterId).toBe(servers.clusterId);
  });
});
