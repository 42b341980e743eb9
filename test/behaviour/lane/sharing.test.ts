import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { createCluster } from '../../../src/index.js';
import { nodeOf, open, until } from '../fixture.js';
import { primaryUrl, replicaUrl, servers, shared, sharesConnections, warm } from './shared-connections.js';

/** A connection of the test's own to the replica. */
async function onReplica<T extends pg.QueryResultRow>(text: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: replicaUrl });
  await client.connect();
  try {
    return (await client.query<T>(text)).rows;
  } finally {
    await client.end();
  }
}

sharesConnections();

describe('reads that share a connection', () => {
  const text = 'select v from t where id = $1';

  it('get their own answers, in one session and side by side, over one connection', async () => {
    await using cluster = await open(servers, { lane: { connections: 1 } });
    await warm(cluster, text, [1]);
    // How many at once depends on how busy the machine is; the others take the pool.
    await until('some at once share it', async () => {
      const before = shared(cluster);
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, i) => cluster.read<{ v: number }>(text, [i + 1])),
      );
      expect(answers.map(({ rows }) => rows[0]?.v)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
      return shared(cluster) - before > 5;
    });
    expect(nodeOf(cluster, 'r1').lane.connectionCount).toBe(1);
  });

  it('take any form that pg takes: row mode, type parsers, a name of the caller’s own', async () => {
    await using cluster = await open(servers);
    await warm(cluster, text, [1]);
    const types = { getTypeParser: () => (value: unknown) => `<${String(value)}>` } as unknown as pg.CustomTypesConfig;
    await until('each form shares a connection', async () => {
      const before = shared(cluster);
      expect((await cluster.read({ text, values: [7], rowMode: 'array' } as pg.QueryConfig)).rows).toEqual([[7]]);
      expect((await cluster.read({ text, types }, [7])).rows).toEqual([{ v: '<7>' }]);
      expect((await cluster.read({ text, values: [7], name: 'mine' })).rows).toEqual([{ v: 7 }]);
      return shared(cluster) >= before + 3;
    });
  });

  it('see what their session wrote a moment ago', async () => {
    await using cluster = await open(servers);
    await warm(cluster, text, [1]);
    const before = shared(cluster);
    await until('enough of its reads share a connection', async () => {
      await cluster.session(async () => {
        for (let v = 1; v <= 100; v++) {
          await cluster.write('update t set v = $1 where id = 1', [v]);
          expect((await cluster.read(text, [1])).rows).toEqual([{ v }]);
        }
        await cluster.write('update t set v = 1 where id = 1');
      });
      return shared(cluster) - before > 20;
    });
  });

  it('are held to the floor by the position that travels with them', async () => {
    await using cluster = await open(servers, { waitMillis: 0 });
    await warm(cluster, text, [2]);
    await servers.replicas[0]?.pauseReplay();
    await cluster.write('update t set v = 20 where id = 2');
    const seen = await Promise.all(Array.from({ length: 20 }, () => cluster.read(text, [2])));
    await servers.replicas[0]?.resumeReplay();
    expect(new Set(seen.map(({ rows }) => rows[0]?.['v']))).toEqual(new Set([20]));
  });

  it('fail alone: errors, type parsers and values that throw', async () => {
    await using cluster = await open(servers);
    const divide = 'select 1 / $1::int as v';
    await warm(cluster, divide, [1]);
    const before = shared(cluster);
    const types = {
      getTypeParser: () => () => {
        throw new Error('this parser throws');
      },
    } as unknown as pg.CustomTypesConfig;
    const value = {
      toPostgres: () => {
        throw new Error('this value throws');
      },
    };
    await until('some of them share a connection', async () => {
      const results = await Promise.allSettled(
        Array.from({ length: 60 }, (_, i) => {
          if (i % 4 === 1) return cluster.read(divide, [0]);
          if (i % 4 === 2) return cluster.read({ text: divide, types }, [1]);
          return cluster.read(divide, [i % 4 === 3 ? value : 1]);
        }),
      );
      const told = results.map((result) =>
        result.status === 'fulfilled' ? result.value.rows[0]?.['v'] : String((result.reason as Error).message),
      );
      expect(told.slice(0, 4)).toEqual([1, 'division by zero', 'this parser throws', 'this value throws']);
      expect(told).toEqual(Array.from({ length: 15 }, () => told.slice(0, 4)).flat());
      return shared(cluster) - before > 5;
    });
  });

  it('do not suffer from a huge row beside them', async () => {
    await using cluster = await open(servers);
    const huge = "select repeat('x', $1::int) as x";
    await warm(cluster, huge, [1]);
    await warm(cluster, text, [3]);
    const [row, ...others] = await Promise.all([
      cluster.read<{ x: string }>(huge, [20_000_000]),
      ...Array.from({ length: 20 }, () => cluster.read(text, [3])),
    ]);
    expect(row.rows[0]?.x.length).toBe(20_000_000);
    expect(others.every(({ rows }) => rows[0]?.['v'] === 3)).toBe(true);
  });

  it('tell who awaits them in the stack of their errors', async () => {
    await using cluster = await open(servers);
    const divide = 'select 1 / $1::int as v';
    await warm(cluster, divide, [1]);
    async function whoAwaits() {
      await cluster.read(divide, [0]);
    }
    await expect(whoAwaits()).rejects.toMatchObject({ code: '22012', stack: expect.stringContaining('whoAwaits') });
  });

  it('have the row security of the role that onConnect sets', async () => {
    await using setUp = createCluster({ primary: primaryUrl });
    await setUp.write('create role tenant nologin');
    await setUp.write('create table secrets (owner text, s text)');
    await setUp.write("insert into secrets values ('tenant', 'own'), ('other', 'not yours')");
    await setUp.write('alter table secrets enable row level security');
    await setUp.write('create policy own on secrets using (owner = current_user)');
    await setUp.write('grant select on secrets to tenant');
    await servers.replicas[0]?.waitForReplay();
    await using cluster = await open(servers, {
      onConnect: async (client) => void (await client.query('set role tenant')),
    });
    await warm(cluster, 'select s from secrets');
    for (let i = 0; i < 50; i++) expect((await cluster.read('select s from secrets')).rows).toEqual([{ s: 'own' }]);
  });

  it('do not fail for what a replica that is behind the floor still has', async () => {
    await using cluster = await open(servers, { waitMillis: 0 });
    const divide = 'select 1 / v as v from t where id = $1';
    await cluster.write('insert into t values (2001, 0)');
    await servers.replicas[0]?.waitForReplay();
    await warm(cluster, divide, [1]);
    const { gated } = cluster.stats().routes;
    await servers.replicas[0]?.pauseReplay();
    await cluster.write('update t set v = 1 where id = 2001');
    const before = shared(cluster);
    const seen: PromiseSettledResult<pg.QueryResult>[] = [];
    await until('they were tried on a shared connection', async () => {
      seen.push(...(await Promise.allSettled(Array.from({ length: 20 }, () => cluster.read(divide, [2001])))));
      return shared(cluster) > before;
    });
    await servers.replicas[0]?.resumeReplay();
    expect(cluster.stats().routes.gated).toBe(gated);
    expect(seen.map((result) => (result.status === 'fulfilled' ? result.value.rows : result.reason))).toEqual(
      seen.map(() => [{ v: 1 }]),
    );
    await cluster.write('delete from t where id = 2001');
  });
});

it('close() leaves no shared connection behind', async () => {
  const [{ n } = { n: 0 }] = await onReplica<{ n: number }>(
    "select count(*)::int as n from pg_stat_activity where backend_type = 'client backend'",
  );
  const cluster = await open(servers);
  await warm(cluster, 'select 1');
  await cluster.close();
  await until('the connections are gone', async () => {
    const [row] = await onReplica<{ n: number }>(
      "select count(*)::int as n from pg_stat_activity where backend_type = 'client backend'",
    );
    return row !== undefined && row.n <= n;
  });
});
