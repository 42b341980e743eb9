// What `auto` learns of a mixed workload on real servers. It weighs after so many reads, not after so long: however busy
// the machine is, it has seen as much.
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { AdviceVerdict, CacheOptions, Cluster, CourseState, StatementAdvice } from '../../../src/index.js';
import { createCluster, routeOf } from '../../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { Random } from '../../simulation/random.js';
import { until as held, open, report } from '../fixture.js';
import { type Kind, kinds, SCHEMA, statementsOf, Traffic } from './auto-workload.js';

const READS_BETWEEN_WEIGHINGS = 100;
const pace = vi.hoisted(() => ({ readCount: 0, weighedAt: 0 }));
vi.mock('../../../src/cache/auto-pace.js', () => ({
  PACE: {
    get periodMillis() {
      if (pace.readCount - pace.weighedAt < READS_BETWEEN_WEIGHINGS) return Number.POSITIVE_INFINITY;
      pace.weighedAt = pace.readCount;
      return 0;
    },
    samplesPerSecond: 20_000,
    textsPerSecond: 2_000,
    hashedPerSecond: 2 ** 27,
  },
}));
const onRead = (): void => {
  pace.readCount++;
};

/** Some thousand reads of a machine that may have other work. */
const PATIENCE_MILLIS = 100_000;
vi.setConfig({ testTimeout: 3 * PATIENCE_MILLIS });
const until = (what: string, holds: () => boolean | Promise<boolean>): Promise<void> =>
  held(what, holds, PATIENCE_MILLIS);

const FAST = { probeMillis: 20, idleProbeMillis: 20 };
const BOUND_MILLIS = 3_000;
const MOSTLY_PAYING = { paying: 0.94, payingAtFirst: 0.02, changing: 0.02, others: 0.02 };

let servers: TestCluster;
let writer: pg.Client;
let clusters: Cluster[] = [];
/** Tables of which all rows change all the time. */
let written: string[] = [];
let isOver = false;
let writing: Promise<void>;

async function write(): Promise<void> {
  while (!isOver) {
    for (const statement of written) await writer.query(statement);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function opened(cache: CacheOptions): Promise<Cluster> {
  // While others write all the time, a session may be shown an earlier answer of tables only that it has not read since.
  const cluster = await open(servers, { ...FAST, cache: { monotonic: 'tables', ...cache } });
  clusters.push(cluster);
  await cluster.explain('select 1');
  return cluster;
}

/** What each server has logged as an error. */
const errorsOf = (): Promise<string[][]> =>
  Promise.all(servers.nodes.map(async (node) => (await node.log()).match(/^.*(?:ERROR|FATAL):.*$/gm) ?? []));

/** Whether the role that may not read the statistics has asked where they are. */
async function wasAsked(node: TestNode): Promise<boolean> {
  const client = new pg.Client(node.connectionString);
  await client.connect();
  const { rowCount } = await client.query(`select from renamed.pg_stat_statements
    where query like '%pg_extension as e%' and userid = 'stranger'::regrole`);
  await client.end();
  return rowCount === 1;
}

/** The digests of the statements of a kind. */
async function digestsOf(cluster: Cluster, kind: Kind): Promise<ReadonlySet<string>> {
  const random = new Random(1);
  const found = await Promise.all(kinds[kind].map((ask) => cluster.explain(ask(random).text)));
  return new Set(found.map(({ digest }) => digest));
}

function adviceOn(cluster: Cluster, digests: ReadonlySet<string>): readonly StatementAdvice[] {
  return (cluster.cache.stats().advice?.statements ?? []).filter(({ digest }) => digests.has(digest));
}

function countIn(cluster: Cluster, digests: ReadonlySet<string>, word: CourseState | AdviceVerdict): number {
  return adviceOn(cluster, digests).filter(({ state, verdict }) => state === word || verdict === word).length;
}

beforeAll(async () => {
  servers = await startTestCluster({
    replicas: 2,
    settings: { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.track': 'all' },
  });
  writer = new pg.Client(servers.primary.connectionString);
  await writer.connect();
  for (const text of SCHEMA) await writer.query(text);
  // In a schema that no search path names.
  await writer.query('create schema "of statistics"; create extension pg_stat_statements schema "of statistics"');
  for (const replica of servers.replicas) await replica.waitForReplay();
  writing = write();
});
afterEach(async () => {
  const closing = clusters;
  clusters = [];
  written = [];
  await Promise.all(closing.map((cluster) => cluster.close()));
});
afterAll(async () => {
  isOver = true;
  await writing;
  await writer.end();
  await servers.stop();
});

describe('auto', () => {
  it("only says what would pay with 'observe': each read runs as without it", async () => {
    const cluster = await opened({ auto: 'observe', maxStalenessMillis: BOUND_MILLIS });
    written = ['update ticks set at = at + 1'];
    const [paying, changing] = [await digestsOf(cluster, 'paying'), await digestsOf(cluster, 'changing')];
    const traffic = new Traffic(cluster, { paying: 0.4, payingAtFirst: 0, changing: 0.15, others: 0.45 }, 1, onRead);
    await until('all six are found', () => countIn(cluster, paying, 'pays') === paying.size);
    await until('both that change are told', () => countIn(cluster, changing, 'changing') === changing.size);
    await until('texts that are written anew are told', () =>
      cluster.cache.stats().advice!.statements.some(({ verdict }) => verdict === 'anew'),
    );
    await until('what is never kept is told', () =>
      cluster.cache
        .stats()
        .advice!.statements.some(
          ({ because, verdict, state }) => /random/.test(because) && verdict === 'never' && state === 'watching',
        ),
    );
    await traffic.stop();
    expect(traffic.fromMemory).toEqual({ paying: 0, payingAtFirst: 0, changing: 0, others: 0 });
    const { advice } = cluster.cache.stats();
    expect(advice?.mode).toBe('observe');
    expect(new Set(advice!.statements.map(({ state }) => state))).toEqual(new Set(['watching']));
    const best = advice!.statements[0]!;
    expect(paying).toContain(best.digest);
    expect(best.savedMillisPerSecond).toBeGreaterThan(0);
    expect(best.savedStatementsPerSecond).toBeLessThanOrEqual(best.callsPerSecond);
    const { cache } = await cluster.explain(kinds.paying[1]!(new Random(1)).text);
    expect(cache).toMatchObject({ rung: undefined, because: 'nothing asks for it' });
    expect(cache?.advice?.tables).toBe('public.categories');
  });

  it("serves the six that pay with 'on', those that paid at first no more, and never what changes", async () => {
    const cluster = await opened({ auto: 'on', maxStalenessMillis: BOUND_MILLIS, audit: 1 });
    written = ['update ticks set at = at + 1'];
    const paying = await digestsOf(cluster, 'paying');
    const atFirst = await digestsOf(cluster, 'payingAtFirst');
    const traffic = new Traffic(cluster, { paying: 0.5, payingAtFirst: 0.4, changing: 0.05, others: 0.05 }, 2, onRead);
    await until('the six and the three are served', () =>
      [paying, atFirst].every((digests) => countIn(cluster, digests, 'serving') === digests.size),
    );
    written.push('update prices set price = price + 1');
    await until('the three are dropped', () => countIn(cluster, atFirst, 'serving') === 0);
    traffic.mix = MOSTLY_PAYING;
    const before = { reads: traffic.readCount, statements: statementsOf(cluster) };
    await until('a thousand reads', () => traffic.readCount - before.reads >= 1_000);
    const cut = (traffic.readCount - before.reads) / (statementsOf(cluster) - before.statements);
    await until('the six are still served', () => countIn(cluster, paying, 'serving') === paying.size);
    await traffic.stop();
    const { audit } = cluster.cache.stats();
    report('statements that reach PostgreSQL', { cut, ...audit });
    expect(cut).toBeGreaterThan(5);
    expect(traffic.fromMemory).toMatchObject({ changing: 0, others: 0 });
    expect(traffic.oldestMillis).toBeLessThanOrEqual(BOUND_MILLIS);
    expect(audit.sameCount).toBeGreaterThan(0);
    expect(audit.wrongCount).toBe(0);
    const served = kinds.paying[1]!(new Random(1)).text;
    expect((await cluster.explain(served)).cache).toMatchObject({ isKept: true, advice: { state: 'serving' } });
    // What is not asked for again takes no place.
    const { entryCount } = cluster.cache.stats().memory;
    for (let i = 0; i < 50; i++) await cluster.read('select id, name from categories where id = $1', [1_000 + i]);
    expect(cluster.cache.stats().memory.entryCount).toBe(entryCount);
    // What a call, a session or a rule says comes first.
    expect(routeOf(await cluster.read(served, [], { cache: false }))?.rung).toBe('replica');
    await cluster.session(
      (session) => session.read(served).then((result) => expect(routeOf(result)?.rung).toBe('replica')),
      {
        cache: false,
      },
    );
  });

  it('begins with what the servers have counted, where they do and may say so, and without an error where not', async () => {
    const text = 'select count(*) from products a, products b where a.category = b.category and a.id < 300';
    for (const replica of servers.replicas) {
      const client = new pg.Client(replica.connectionString);
      await client.connect();
      for (let i = 0; i < 3; i++) await client.query(text);
      await client.end();
    }
    const cluster = await opened({ auto: 'observe' });
    await cluster.read('select 1');
    await until('the servers have told', () => cluster.cache.stats().advice!.seededCount > 0);
    const { digest } = await cluster.explain(text);
    const [advice] = adviceOn(cluster, new Set([digest]));
    expect(advice).toMatchObject({ verdict: 'unknown', callsPerSecond: 0 });
    expect(advice?.serverMillis).toBeGreaterThan(0);
    await cluster.read(text);
    await cluster.read(text);

    await writer.query('alter schema "of statistics" rename to renamed; revoke all on schema renamed from public');
    await writer.query(`create role stranger login password '${servers.primary.password}'`);
    for (const replica of servers.replicas) await replica.waitForReplay();
    const before = await errorsOf();
    const urlOf = ({ host, port, password }: TestNode) => `postgres://stranger:${password}@${host}:${port}/postgres`;
    const strange = createCluster({
      primary: urlOf(servers.primary),
      replicas: servers.replicas.map((node) => urlOf(node)),
      name: 'strange',
      cache: { auto: 'observe' },
    });
    clusters.push(strange);
    await strange.ready();
    await strange.read('select 1');
    await until('all servers were asked', async () => (await Promise.all(servers.nodes.map(wasAsked))).every(Boolean));
    await strange.close();
    expect(strange.cache.stats().advice?.seededCount).toBe(0);
    expect(await errorsOf()).toEqual(before);
  });

  it('leaves what a rule says to the rule', async () => {
    const text = kinds.paying[1]!(new Random(1)).text;
    const cluster = await opened({ auto: 'observe', rules: [{ tables: ['categories'] }] });
    await until('the rule fits', async () => routeOf(await cluster.read(text))?.rung === 'memory');
    for (let i = 0; i < 20; i++) await cluster.read(text);
    const { digest } = await cluster.explain(text);
    expect(adviceOn(cluster, new Set([digest]))).toEqual([]);
  });
});
