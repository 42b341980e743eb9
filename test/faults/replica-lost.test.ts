import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Cluster, createCluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, RunningClock, report, until } from '../behaviour/fixture.js';

describe('when servers go away under 32 readers', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let failures: unknown[];
  let slowestMillis: number;
  let isReading: boolean;
  let readers: Promise<unknown>;
  let count: number;
  let clock: RunningClock;

  beforeEach(async () => {
    servers = await startTestCluster({ replicas: 2 });
    cluster = await open(servers);
    await cluster.write('create table t (id int primary key, v int)');
    await cluster.write('insert into t values (1, 1)');
    failures = [];
    slowestMillis = 0;
    clock = new RunningClock();
    count = 0;
    isReading = true;
    readers = Promise.all(
      Array.from({ length: 32 }, async (_, reader) => {
        while (isReading) {
          const startedAt = clock.now();
          // Half of them take so long that they are still under way when the killing, which blocks this process for a while, is
          // done; and they are more than one replica's pool holds, so that each replica has some.
          const seconds = reader % 2 === 0 ? 0.15 : 0.002;
          await cluster
            .read('select v, pg_sleep($1) from t where id = 1', [seconds])
            .catch((error: unknown) => failures.push(error));
          slowestMillis = Math.max(slowestMillis, clock.now() - startedAt);
          count++;
        }
      }),
    );
    await until('they read', () => count > 200);
  });
  afterEach(async () => {
    isReading = false;
    await readers;
    clock.stop();
    await cluster.close();
    await servers.stop();
  });

  const moreReads = async (n: number) => {
    const from = count;
    await until(`${n} more reads`, () => count > from + n);
  };

  it('loses no read when a replica is killed, and uses it again when it is back', async () => {
    // Longer than the killing can take on a busy machine, so that some of them are under way on r1 when it is done.
    const long = Array.from({ length: 12 }, () => cluster.read('select pg_sleep(2)'));
    await moreReads(100);
    await servers.replicas[0]?.kill();
    await Promise.all(long);
    await moreReads(300);
    expect(nodeOf(cluster, 'r1').state).toBe('ejected');
    await servers.replicas[0]?.restart();
    await until('r1 is back', () => nodeOf(cluster, 'r1').state === 'probation');
    const before = nodeOf(cluster, 'r1').statementCount;
    await until('r1 answers reads again', () => nodeOf(cluster, 'r1').statementCount > before);
    report('a replica killed and restarted', { reads: count, failures: failures.length, 'slowest ms': slowestMillis });
    expect(failures).toEqual([]);
    expect(cluster.stats().routes.retried).toBeGreaterThan(0);
  });

  it('loses no read when a replica is shut down', async () => {
    await servers.replicas[0]?.restart();
    await moreReads(300);
    expect(failures).toEqual([]);
  });

  it('loses no read when a replica freezes: what hangs there runs elsewhere, and it serves again when it thaws', async () => {
    await servers.replicas[0]?.freeze();
    await until('r1 is found hung', () => nodeOf(cluster, 'r1').state === 'ejected');
    slowestMillis = 0;
    await moreReads(300);
    report('a replica frozen', { reads: count, failures: failures.length, 'slowest ms': slowestMillis });
    expect(failures).toEqual([]);
    expect(slowestMillis).toBeLessThan(2_000);
    expect(nodeOf(cluster, 'r1').inFlight).toBe(0);
    expect(cluster.stats().routes.retried).toBeGreaterThan(0);
    await servers.replicas[0]?.thaw();
    await until('r1 is back', () => nodeOf(cluster, 'r1').state === 'probation');
    const before = nodeOf(cluster, 'r1').statementCount;
    await until('r1 answers reads again', () => nodeOf(cluster, 'r1').statementCount > before);
    expect(failures).toEqual([]);
  });

  it('goes to the primary when both are gone', async () => {
    await servers.replicas[0]?.kill();
    await moreReads(100);
    await servers.replicas[1]?.kill();
    const before = nodeOf(cluster, 'primary').statementCount;
    await until('the primary answers', () => nodeOf(cluster, 'primary').statementCount > before + 300);
    expect(failures).toEqual([]);
    expect(cluster.stats().routes['no-candidate']).toBeGreaterThan(0);
  });

  it('keeps reading from the replicas when the primary is gone, as long as nobody set a bound', async () => {
    await servers.primary.kill();
    await until('the primary is unknown', () => nodeOf(cluster, 'primary').state === 'unknown');
    await moreReads(300);
    expect(failures).toEqual([]);
  });
});

describe('a write whose connection is lost', () => {
  it('is not sent again, says that its outcome is unknown, and keeps reads on the primary while it may still commit', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers);
    await cluster.write('create table runs (id int)');
    // What holds the write up until the test lets it go.
    const holder = new pg.Client(servers.primary.connectionString);
    await holder.connect();
    await holder.query('begin; lock table runs in share row exclusive mode');
    await servers.replicas[0]?.waitForReplay();
    await cluster.session(
      async () => {
        const text = 'insert into runs select 1';
        const slow = cluster.write({ text, query_timeout: 150 } as pg.QueryConfig);
        await expect(slow).rejects.toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
        await cluster.read('select count(*) from runs');
        expect(cluster.stats().routes['floor-unknown']).toBe(1);
        await holder.query('rollback');
        await holder.end();
        // pg gave up, the backend did not: the row comes later, and the session must not miss it then.
        const reader = new pg.Client(servers.primary.connectionString);
        await reader.connect();
        await until('it has committed', async () => (await reader.query('select 1 from runs')).rowCount === 1);
        await reader.end();
        const { rows } = await cluster.read<{ n: number }>('select count(*)::int as n from runs');
        expect(rows).toEqual([{ n: 1 }]);
        await until('a replica answers again', async () => {
          const before = nodeOf(cluster, 'r1').statementCount;
          const again = await cluster.read<{ n: number }>('select count(*)::int as n from runs');
          expect(again.rows).toEqual([{ n: 1 }]);
          return nodeOf(cluster, 'r1').statementCount > before;
        });
      },
      { inherit: 'none' },
    );
  });

  it('runs once, even when the server is killed under it', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    await using cluster = await open(servers);
    await cluster.write('create table runs (id int)');
    const write = cluster.write('insert into runs select 1 from (select pg_sleep(5)) as pause');
    const refused = expect(write).rejects.toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
    await until('it runs', () => nodeOf(cluster, 'primary').inFlight > 0);
    await servers.primary.kill();
    await refused;
    await servers.primary.restart();
    await until('the primary is back', () => nodeOf(cluster, 'primary').state === 'live');
    const { rows } = await cluster.read<{ n: number }>('select count(*)::int as n from runs');
    expect(rows).toEqual([{ n: 0 }]);
  });
});

describe('a name behind which there are two replicas', () => {
  /** Sends each new connection to the next of two ports, as a load balancer does. */
  function balancer(ports: readonly number[]): Promise<Server> {
    let next = 0;
    const server = createServer((socket: Socket) => {
      const upstream = dial(ports[next++ % ports.length] as number, '127.0.0.1');
      for (const [a, b] of [
        [socket, upstream],
        [upstream, socket],
      ] as const) {
        a.pipe(b);
        a.on('error', () => b.destroy());
        a.on('close', () => b.destroy());
      }
    });
    return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
  }

  it('is never stale, although the probe and the read meet different servers', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    const server = await balancer(servers.replicas.map((r) => r.port));
    const { port } = server.address() as { port: number };
    const url = servers.primary.connectionString.replace(String(servers.primary.port), String(port));
    const cluster = await open(servers, { replicas: [{ name: 'balanced', connectionString: url }], waitMillis: 10 });
    await cluster.write('create table t (id int primary key, v int)');
    await cluster.write('insert into t select i, 0 from generate_series(1, 8) i');
    for (const replica of servers.replicas) await replica.waitForReplay();
    // The probe's connection is the first one made and reaches r1; this is the other server.
    await servers.replicas[1]?.pauseReplay();
    let stale = 0;
    await Promise.all(
      Array.from({ length: 8 }, async (_, id) => {
        for (let v = 1; v <= 50; v++) {
          await cluster.write('update t set v = $1 where id = $2', [v, id + 1]);
          const { rows } = await cluster.read<{ v: number }>('select v from t where id = $1', [id + 1]);
          if (rows[0]?.v !== v) stale++;
        }
      }),
    );
    expect(stale).toBe(0);
    await cluster.close();
    server.close();
  });

  it('is never taken for the primary: a replica that answers there instead gets nothing', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    const [r1] = servers.replicas;
    const server = await balancer([servers.primary.port, r1?.port ?? 0]);
    const { port } = server.address() as { port: number };
    const url = servers.primary.connectionString.replace(String(servers.primary.port), String(port));
    const cluster = createCluster({ primary: url });
    await cluster.write('create table t (v int)');
    await r1?.waitForReplay();
    await r1?.pauseReplay();
    const reads = async (v: number) => {
      await cluster.write('update t set v = $1', [v]);
      const all = await Promise.all(Array.from({ length: 8 }, () => cluster.read<{ v: number }>('select v from t')));
      return all.map(({ rows }) => rows[0]?.v);
    };
    await cluster.write('insert into t values (0)');
    for (let v = 1; v <= 10; v++) expect(await reads(v)).toEqual(Array(8).fill(v));
    await cluster.close();
    server.close();
  });
});
