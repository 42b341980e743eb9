/** By what connections write their answers, on real servers: known where it was asked for, alike where they are set up alike. */
import pg, { type PoolClient } from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type RouteRecord, routeRecordOf } from '../../src/execute/route.js';
import type { Cluster, ClusterBehaviour } from '../../src/index.js';
import type { SettledSource } from '../../src/nodes/answer-source.js';
import type { AnswerSources } from '../../src/nodes/answer-sources.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { open as openPlain, until } from './fixture.js';

const inner = vi.hoisted(() => ({ sources: [] as unknown[] }));

vi.mock('../../src/nodes/fleet.js', async (original) => {
  const { Fleet, ...rest } = await original<typeof import('../../src/nodes/fleet.js')>();
  class SeenFleet extends Fleet {
    constructor(...given: ConstructorParameters<typeof Fleet>) {
      super(...given);
      inner.sources.push(this.answerSources);
    }
  }
  return { ...rest, Fleet: SeenFleet };
});

/** With caches, so that it is asked for. */
const open: typeof openPlain = (servers, options) => openPlain(servers, { cache: true, ...options });

/** What the cluster that was opened last knows of its replicas. */
const answerSources = (): AnswerSources => inner.sources.at(-1) as AnswerSources;

const READ = "select '\\x01'::bytea as bytes, 1::int8 as number";
const isLaneOff = process.env['LANE'] === 'off';

describe('by what connections write their answers', () => {
  let servers: TestCluster;
  let replicas: [TestNode, TestNode];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2, settings: { log_statement: 'all' } });
    replicas = servers.replicas as [TestNode, TestNode];
    await using first = await open(servers);
    await first.write('create role reader; create schema other');
    for (const replica of replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());

  const read = async (cluster: Cluster, node = replicas[0].name): Promise<RouteRecord> => {
    const record = routeRecordOf(await cluster.read(READ, [], { target: { node } }));
    if (record === undefined) throw new Error('not answered by the library');
    return record;
  };
  /** Sources are asked for behind reads, so that it may take one or two. */
  const knownSource = async (cluster: Cluster, node?: string): Promise<SettledSource> => {
    let source: RouteRecord['source'];
    await until('the source is known', async () => {
      ({ source } = await read(cluster, node));
      return source?.settings !== undefined;
    });
    return source as SettledSource;
  };
  const settingsWith = async (onConnect?: ClusterBehaviour['onConnect']): Promise<string> => {
    await using cluster = await open(servers, onConnect === undefined ? {} : { onConnect });
    return (await knownSource(cluster)).settings;
  };
  const setting = (text: string) => async (client: PoolClient) => {
    await client.query(text);
  };

  it('onConnect decides it by roles and settings, the same way each time', async () => {
    const plain = await settingsWith();
    const others = [];
    for (const text of [
      'set role reader',
      'set search_path = other',
      "set timezone = 'Pacific/Auckland'",
      'set bytea_output = escape',
      'set extra_float_digits = 0',
      "set pg_trgm.similarity_threshold = '0.7'",
    ])
      others.push(await settingsWith(setting(text)));
    expect(new Set([plain, ...others]).size).toBe(1 + others.length);
    expect(await settingsWith(setting("set application_name = 'shop'; set statement_timeout = '1min'"))).toBe(plain);
    // pg sends it behind whatever it was given before.
    const unawaited = (client: PoolClient): void => void client.query("set timezone = 'Pacific/Auckland'");
    expect(await settingsWith(unawaited)).toBe(others[2]);
  });

  it('replicas of one set-up are alike, on connections of the pool and shared ones', async () => {
    await using cluster = await open(servers);
    const [one, two] = [await knownSource(cluster, replicas[0].name), await knownSource(cluster, replicas[1].name)];
    expect(two.settings).toBe(one.settings);
    expect(two.server).not.toBe(one.server);
    expect(answerSources().current?.settings).toBe(one.settings);
    if (isLaneOff) return;
    const sharedCount = (): number => cluster.stats().nodes.reduce((sum, { lane }) => sum + lane.statementCount, 0);
    await until('a connection is shared', async () => {
      await cluster.read(READ);
      return sharedCount() > 3;
    });
    const before = sharedCount();
    let record: RouteRecord | undefined;
    await until('one more statement is', async () => {
      record = routeRecordOf(await cluster.read(READ));
      return sharedCount() > before;
    });
    expect(record?.source?.settings).toBe(one.settings);
    expect(answerSources().problem).toBeUndefined();
  });

  it('parsers that onConnect sets belong to it', async () => {
    await using cluster = await open(servers, {
      onConnect: (client) => client.setTypeParser(20, (text) => BigInt(text)),
    });
    const { types } = await knownSource(cluster);
    const parse = types.getTypeParser(20, 'text') as (text: string) => unknown;
    expect(parse('1')).toBe(1n);
    expect(types.getTypeParser(25, 'text')).toBe(pg.types.getTypeParser(25, 'text'));
  });

  it('of the primary it is known how answers are parsed, and nothing else is asked', async () => {
    await using cluster = await open(servers, { onConnect: (client) => client.setTypeParser(20, BigInt) });
    const source = routeRecordOf(await cluster.write(READ))?.source;
    expect(source?.settings).toBeUndefined();
    expect(source?.types.getTypeParser(20, 'text')).toBe(BigInt);
    expect(answerSources().current).toBeUndefined();
  });

  it('replicas that are set up differently have nothing in common, until they are alike', async () => {
    let differs = true;
    await using cluster = await open(servers, {
      lane: false,
      onConnect: async (client, { name }) => {
        if (differs && name === replicas[1].name) await client.query("set timezone = 'Pacific/Auckland'");
      },
    });
    const { settings } = await knownSource(cluster, replicas[0].name);
    expect(answerSources().current?.settings).toBe(settings);
    await knownSource(cluster, replicas[1].name);
    expect(answerSources().current).toBeUndefined();
    const { name: one } = replicas[0];
    const { name: two } = replicas[1];
    expect(answerSources().problem).toBe(`connections of the nodes "${one}" and "${two}" differ in TimeZone`);
    differs = false;
    await ask(replicas[1], "select pg_terminate_backend(pid) from pg_stat_activity where application_name = ''");
    await until('it is over', () => answerSources().current !== undefined);
    await until('the other one answers again', () =>
      knownSource(cluster, two).then(
        () => true,
        () => false,
      ),
    );
    expect([answerSources().current?.settings, answerSources().problem]).toEqual([settings, undefined]);
  });

  it('is doubted where a transaction has set something, and found out behind the next read', async () => {
    await using cluster = await open(servers, {
      lane: false,
      replicas: [{ name: replicas[0].name, connectionString: replicas[0].connectionString, max: 1 }],
    });
    const before = await knownSource(cluster);
    const text = 'set bytea_output = escape';
    await cluster.transaction((client) => client.query(text), { readOnly: true });
    expect((await read(cluster)).source).toMatchObject({ settings: undefined, types: before.types });
    const after = await knownSource(cluster);
    expect(after.settings).not.toBe(before.settings);
    expect(answerSources().current?.settings).toBe(after.settings);
    await cluster.read(`select set_config('bytea_output', 'hex', false)`, [], { target: 'replica' });
    expect((await read(cluster)).source?.settings).toBeUndefined();
    expect((await knownSource(cluster)).settings).toBe(before.settings);
    await cluster.transaction((client) => client.query('select 1'), { readOnly: true });
    expect((await knownSource(cluster)).settings).toBe(before.settings);
  });

  it('is doubted where the owner of a pool uses it, too', async () => {
    const pool = new pg.Pool({ connectionString: replicas[0].connectionString, max: 1 });
    {
      await using cluster = await open(servers, { lane: false, replicas: [{ name: replicas[0].name, pool }] });
      const before = await knownSource(cluster);
      await pool.query('set bytea_output = escape');
      expect((await read(cluster)).source?.settings).toBeUndefined();
      expect((await knownSource(cluster)).settings).not.toBe(before.settings);
      expect((await read(cluster)).source?.settings).toBeDefined();
    }
    expect((await pool.query('show bytea_output')).rows).toEqual([{ bytea_output: 'escape' }]);
    await pool.end();
  });

  it('follows a server that is configured anew', async () => {
    await using cluster = await open(servers);
    const before = await knownSource(cluster);
    await ask(replicas[0], "alter system set timezone = 'Pacific/Auckland'", 'select pg_reload_conf()');
    try {
      await until('a read is answered by the new configuration', async () => {
        const { source } = await read(cluster);
        return source?.settings !== undefined && source.settings !== before.settings;
      });
      if (!isLaneOff) await until('shared connections have heard of it', () => answerSources().problem === undefined);
      expect(answerSources().current?.settings).not.toBe(before.settings);
    } finally {
      await ask(replicas[0], 'alter system reset timezone', 'select pg_reload_conf()');
    }
  });

  it('nothing is sent, and nothing known, without caches', async () => {
    const askedCount = async (): Promise<number> => {
      const logs = await Promise.all(servers.nodes.map((node) => node.log()));
      return logs.reduce((sum, log) => sum + log.split("pg_catalog.concat(setting, '='").length - 1, 0);
    };
    const before = await askedCount();
    {
      await using cluster = await openPlain(servers);
      for (let i = 0; i < 10; i++) expect((await read(cluster)).source?.settings).toBeUndefined();
      expect([answerSources().current, answerSources().problem]).toEqual([undefined, undefined]);
    }
    expect(await askedCount()).toBe(before);
    await settingsWith();
    expect(await askedCount()).toBeGreaterThan(before);
  });

  async function ask(node: TestNode, ...texts: string[]): Promise<void> {
    const client = new pg.Client({ connectionString: node.connectionString, application_name: 'test' });
    await client.connect();
    for (const text of texts) await client.query(text);
    await client.end();
  }
});
