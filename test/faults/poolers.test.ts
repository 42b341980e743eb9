import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { haproxy } from '../../bench/proxies/haproxy.js';
import { pgbouncer } from '../../bench/proxies/pgbouncer.js';
import { pgpool } from '../../bench/proxies/pgpool.js';
import { type Kind, RunningProxy } from '../../bench/proxies/proxy.js';
import type { Cluster } from '../../src/index.js';
import type { TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, replicaShare, report, size, until } from '../behaviour/fixture.js';
import { installed } from './installed.js';
import { layTable, nameCount, startServers } from './pooled-servers.js';
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
    await moreReads(size(400, 20_000));
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
          for (let i = 0; i < size(20, 1_000); i++) await divide(caller, i);
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
