import { describe, expect, it } from 'vitest';
import { findBinary } from '../../bench/binaries.js';
import { pgbouncer } from '../../bench/proxies/pgbouncer.js';
import { RunningProxy } from '../../bench/proxies/proxy.js';
import { createCluster } from '../../src/index.js';
import { startTestCluster } from '../../src/testing/index.js';
import { report, size } from '../cluster/fixture.js';

const binary = findBinary('pgbouncer');
if (binary === undefined) report('pgbouncer', { skipped: 'it is not installed (Debian: apt-get install pgbouncer)' });

describe.skipIf(binary === undefined)('through PgBouncer with transaction pooling', () => {
  it('names no statement and shares no connection, and reads see what was written', async () => {
    await using servers = await startTestCluster({ replicas: 1 });
    const { primary, replicas } = servers;
    const direct = { primary: primary.connectionString, replicas: replicas.map((r) => r.connectionString) };
    await using proxy = await RunningProxy.start(pgbouncer, binary ?? '', direct);
    await using cluster = createCluster({ primary: proxy.entries.primary, replicas: [...proxy.entries.replicas] });
    await cluster.ready();
    await cluster.write('create table t (id int primary key, v int)');
    await cluster.write('insert into t select i, 0 from generate_series(1, 16) i');
    await Promise.all(
      Array.from({ length: 16 }, (_, i) =>
        cluster.session(
          async () => {
            for (let v = 1; v <= size(50, 1_000); v++) {
              await cluster.write('update t set v = $1 where id = $2', [v, i + 1]);
              expect((await cluster.read('select v from t where id = $1', [i + 1])).rows).toEqual([{ v }]);
              expect((await cluster.query('select v from t where id = $1', [i + 1])).rows).toEqual([{ v }]);
            }
          },
          { inherit: 'none' },
        ),
      ),
    );
    for (const { lane } of cluster.stats().nodes) expect(lane).toMatchObject({ connectionCount: 0, statementCount: 0 });
    const named = await cluster.write<{ n: number }>(
      "select count(*)::int as n from pg_prepared_statements where name like 'ladder%'",
    );
    expect(named.rows).toEqual([{ n: 0 }]);
  });
});
