import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { haproxy, haproxyBalanced } from '../../bench/proxies/haproxy.js';
import { pgbouncer, pgbouncerSessions } from '../../bench/proxies/pgbouncer.js';
import { pgpool } from '../../bench/proxies/pgpool.js';
import { type Kind, RunningProxy } from '../../bench/proxies/proxy.js';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, replicaShare, report, size, until } from '../behaviour/fixture.js';
import { installed } from './installed.js';
import { Traffic } from './traffic.js';

interface Program {
  readonly title: string;
  readonly kind: Kind;
  /** Whether a connection of ours is one connection of the server for as long as it lives, and it shows. */
  readonly isDirect: boolean;
}

const programs: readonly Program[] = [
  { title: 'PgBouncer with transaction pooling', kind: pgbouncer, isDirect: false },
  { title: 'HAProxy', kind: haproxy, isDirect: true },
  { title: 'Pgpool-II', kind: pgpool, isDirect: true },
];

/** What a lost connection is called: by us for a write, by pg, and by Node. */
const LOST = /^(LADDER_WRITE_OUTCOME_UNKNOWN|ECONN[A-Z]+|EPIPE|no code: Connection terminated)/;
const isLaneOff = process.env['LANE'] === 'off';

/** A primary and two replicas whose replay stumbles. */
async function startServers(): Promise<TestCluster> {
  const servers = await startTestCluster({ replicas: 2 });
  await Promise.all(servers.replicas.map((replica, index) => replica.jitterReplay({ seed: index + 1 })));
  return servers;
}

function connectionStrings({ primary, replicas }: TestCluster) {
  return { primary: primary.connectionString, replicas: replicas.map(({ connectionString }) => connectionString) };
}

/** Numbers by caller, with nothing that keeps a number from being there twice. */
async function layTable(cluster: Cluster): Promise<void> {
  await cluster.write('drop table if exists rows');
  await cluster.write('create table rows (caller int, v int)');
  await cluster.write('create index on rows (caller)');
}

/** The most statements that the library has named on one of the primary's connections. */
async function nameCount(cluster: Cluster): Promise<number> {
  const text = "select count(*)::int as n from pg_prepared_statements where name like 'ladder%'";
  const answers = await Promise.all(Array.from({ length: 10 }, () => cluster.write<{ n: number }>(text)));
  return Math.max(...answers.map(({ rows }) => rows[0]?.n ?? 0));
}

/** How many connections of clients the servers have, beside those of this question and of the jitter. */
async function connectionCount(servers: TestCluster): Promise<number> {
  let sum = 0;
  for (const { connectionString } of servers.nodes) {
    const client = new pg.Client({ connectionString });
    await client.connect();
    const { rows } = await client.query<{ n: number }>(
      "select count(*)::int as n from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() and query !~ 'wal_replay'",
    );
    await client.end();
    sum += rows[0]?.n ?? 0;
  }
  return sum;
}

/** Sockets of this process. */
const socketCount = (): number => process.getActiveResourcesInfo().filter((name) => name.startsWith('TCP')).length;

describe.each(programs)('behind $title, one before each server', ({ title, kind, isDirect }) => {
  const binary = installed(kind);
  if (binary === undefined) return it.skip(`needs ${title}, which is not installed here`, () => undefined);
  let servers: TestCluster;
  let proxies: RunningProxy[];
  let cluster: Cluster;
  let traffic: Traffic;
  let socketsBefore: number;
  let failedWriteCount: number;
  /** Of all that was started, also when the rest was not. */
  const endings: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    servers = await startServers();
    endings.push(() => servers.stop());
    const urls = servers.nodes.map(({ connectionString }) => connectionString);
    proxies = await Promise.all(
      urls.map(async (url) => {
        // Each has the whole recipe, and serves the server that is its first.
        const all = { primary: url, replicas: urls.filter((other) => other !== url) };
        const proxy = await RunningProxy.start(kind, binary, all);
        endings.push(() => proxy.stop());
        return proxy;
      }),
    );
    const [primary = '', ...replicas] = proxies.map(({ entries }) => entries.primary);
    socketsBefore = socketCount();
    failedWriteCount = 0;
    cluster = await open(servers, { primary, replicas });
    endings.push(() => cluster.close());
    await layTable(cluster);
    traffic = await Traffic.start(cluster, 0.2);
    endings.push(() => traffic.stop());
  });
  afterAll(async () => {
    for (const end of endings.reverse()) await end();
  });

  const moreReads = async (n: number) => {
    const from = traffic.readCount;
    await until(`${n} more reads`, () => traffic.readCount >= from + n, 120_000);
  };
  const usedAgain = async (name: string) => {
    const { statementCount } = nodeOf(cluster, name);
    await until(`${name} answers again`, () => nodeOf(cluster, name).statementCount > statementCount + 20);
  };
  const writesAgain = async () => {
    const from = traffic.acknowledged.length;
    await until('writes are acknowledged', () => traffic.acknowledged.length > from + 20);
  };
  /** Shows what failed, and forgets it. */
  const failures = (what: string): { reads: string[]; writes: string[] } => {
    const count = (reports: Record<string, number>) => Object.values(reports).reduce((sum, n) => sum + n, 0);
    const [readFailures, writeFailures] = [count(traffic.readReports), count(traffic.writeReports)];
    report(`${title}, ${what}`, {
      reads: traffic.readCount,
      'failed reads': readFailures,
      'failed writes': writeFailures,
    });
    failedWriteCount += writeFailures;
    const told = { reads: Object.keys(traffic.readReports), writes: Object.keys(traffic.writeReports) };
    traffic.reset();
    return told;
  };

  it('every session sees what it wrote, mostly on replicas, while their replay stumbles', async () => {
    await moreReads(size(1_000, 20_000));
    report(title, { reads: traffic.readCount, stale: traffic.missed.length, 'on replicas': replicaShare(cluster) });
    expect(traffic.missed).toEqual([]);
    expect(replicaShare(cluster)).toBeGreaterThan(0.5);
    expect(failures('calm')).toEqual({ reads: [], writes: [] });
  });

  it.skipIf(isLaneOff)(
    isDirect
      ? 'statements are named and connections shared, and what fails there fails alone'
      : 'no statement is named and no connection shared, and what fails fails alone',
    async () => {
      const wrong: unknown[] = [];
      const divide = async (caller: number, i: number): Promise<void> => {
        const text = `select ${i % 8} * 1000 + $1::int + 0 / $2::int as n`;
        const divisor = (caller + i) % 10 === 0 ? 0 : 1;
        const asked = caller % 2 === 0 ? cluster.read(text, [caller, divisor]) : cluster.query(text, [caller, divisor]);
        const answer = await asked.then(
          ({ rows }) => rows[0]?.['n'],
          ({ code }: { code: unknown }) => code,
        );
        if (answer !== (divisor === 0 ? '22012' : (i % 8) * 1000 + caller)) wrong.push({ caller, i, answer });
      };
      await Promise.all(
        Array.from({ length: 16 }, async (_, caller) => {
          for (let i = 0; i < size(30, 1_000); i++) await divide(caller, i);
        }),
      );
      expect(wrong).toEqual([]);
      const shared = ['r1', 'r2'].map((name) => nodeOf(cluster, name).lane.statementCount);
      const named = await nameCount(cluster);
      report(title, { shared: shared.join(' and '), 'named on a connection': named });
      if (isDirect) {
        expect(Math.min(...shared)).toBeGreaterThan(0);
        expect(named).toBeGreaterThan(0);
      } else expect([...shared, named]).toEqual([0, 0, 0]);
    },
  );

  it('no read fails when it is restarted before a replica', async () => {
    await proxies[1]?.restart();
    await moreReads(200);
    expect(failures('restarted before a replica')).toEqual({ reads: [], writes: [] });
  });

  it('a replica that is killed behind it is left, and both are used again when they are back', async () => {
    await servers.replicas[1]?.kill();
    await until('r2 is found lost', () => ['ejected', 'unknown'].includes(nodeOf(cluster, 'r2').state));
    await moreReads(200);
    await servers.replicas[1]?.restart();
    await Promise.all([usedAgain('r1'), usedAgain('r2')]);
    expect(failures('a replica killed behind it')).toEqual({ reads: [], writes: [] });
  });

  it('a write whose connection is lost says so, when it is restarted before the primary, and when that is killed', async () => {
    await proxies[0]?.restart();
    await writesAgain();
    const restarted = failures('restarted before the primary');
    expect(restarted.reads).toEqual([]);
    expect(restarted.writes.filter((what) => !LOST.test(what))).toEqual([]);
    // Callers that have something to write wait from then on, and soon all of them do.
    await servers.primary.kill();
    await servers.primary.restart();
    await writesAgain();
    const killed = failures('the primary killed behind it');
    expect([...killed.reads, ...killed.writes].filter((what) => !LOST.test(what))).toEqual([]);
  });

  it('everything goes on after all of them are restarted at once', async () => {
    await Promise.all(proxies.map((proxy) => proxy.restart()));
    await writesAgain();
    await Promise.all([usedAgain('r1'), usedAgain('r2')]);
    const { reads, writes } = failures('all restarted at once');
    // A read that loses its second connection, too, fails: it might be what brings servers down.
    expect([...reads, ...writes].filter((what) => !LOST.test(what))).toEqual([]);
  });

  it('no session has missed a write of its own, none was lost, and none was done twice', async () => {
    await traffic.stop();
    expect(traffic.missed).toEqual([]);
    const { rows } = await cluster.write<{ caller: number; v: number; n: number }>(
      'select caller, v, count(*)::int as n from rows group by caller, v',
    );
    expect(rows.filter(({ n }) => n !== 1)).toEqual([]);
    const written = new Set(rows.map(({ caller, v }) => `${caller}/${v}`));
    expect(traffic.acknowledged.filter(({ caller, v }) => !written.has(`${caller}/${v}`))).toEqual([]);
    expect(written.size - traffic.acknowledged.length).toBeLessThanOrEqual(failedWriteCount);
  });

  it('nothing is left when the cluster is closed', async () => {
    await cluster.close();
    await until('no socket is left', () => socketCount() <= socketsBefore);
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await until('no connection is left on the servers', async () => (await connectionCount(servers)) === 0);
  });
});

/** Sixteen sessions that write and read for a while. @returns how many reads there were, and those that were stale */
async function pairs(cluster: Cluster): Promise<{ reads: number; stale: unknown[] }> {
  await layTable(cluster);
  await cluster.write('insert into rows select i, 0 from generate_series(1, 16) i');
  const stale: unknown[] = [];
  let reads = 0;
  await Promise.all(
    Array.from({ length: 16 }, (_, index) =>
      cluster.session(
        async () => {
          const caller = index + 1;
          for (let v = 1; v <= size(20, 500); v++) {
            await cluster.write('update rows set v = $1 where caller = $2', [v, caller]);
            for (let i = 0; i < 4; i++, reads++) {
              const { rows } = await cluster.read('select v from rows where caller = $1', [caller]);
              if (rows[0]?.['v'] !== v) stale.push({ caller, v, rows });
            }
          }
        },
        { inherit: 'none' },
      ),
    ),
  );
  return { reads, stale };
}

describe('behind one program for all servers', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startServers();
  });
  afterAll(async () => {
    await servers.stop();
  });

  const bouncer = installed(pgbouncerSessions);
  it.skipIf(bouncer === undefined)(
    'PgBouncer with session pooling: statements are named and connections shared where one says so',
    async () => {
      await using proxy = await RunningProxy.start(pgbouncerSessions, bouncer ?? '', connectionStrings(servers));
      const { primary, replicas } = proxy.entries;
      for (const isTold of [false, true]) {
        const told = isTold ? { lane: true, namedStatements: true } : {};
        await using cluster = await open(servers, { primary, replicas: [...replicas], ...told });
        expect((await pairs(cluster)).stale).toEqual([]);
        const shared = cluster.stats().nodes.reduce((sum, { lane }) => sum + lane.statementCount, 0);
        const named = await nameCount(cluster);
        expect([shared > 0, named > 0]).toEqual([isTold, isTold]);
      }
    },
  );

  const balancer = installed(haproxyBalanced);
  it.skipIf(balancer === undefined)(
    'HAProxy, with one name for two replicas in turn against all advice: nothing stale is read, and most goes to the primary',
    async () => {
      await using proxy = await RunningProxy.start(haproxyBalanced, balancer ?? '', connectionStrings(servers));
      const { primary, replicas } = proxy.entries;
      await using cluster = await open(servers, { primary, replicas: [...replicas] });
      const { reads, stale } = await pairs(cluster);
      const onReplicas = 1 - cluster.stats().routes['no-candidate'] / reads;
      report('HAProxy, one name for two replicas', { reads, stale: stale.length, 'on replicas': onReplicas });
      expect(stale).toEqual([]);
    },
  );
});
