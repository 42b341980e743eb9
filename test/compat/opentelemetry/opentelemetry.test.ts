/** OpenTelemetry's own instrumentation of pg, with comments in the texts: values arrive on every way, and reads share connections. */

import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import pg, { type PoolClient, type QueryConfig, type QueryResult } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeOf, until } from '../../behaviour/fixture.js';
import { openStage, type Stage } from '../workload.js';

interface Definition {
  readonly name: string;
  patch(module: object): unknown;
  unpatch(module: object): unknown;
}

const TEXT = 'select age from people where id = $1';

describe('OpenTelemetry on cluster.pool()', () => {
  const instrumentation = new PgInstrumentation({ addSqlCommenterCommentToQueries: true });
  /** As its hook on `require` would hand them over, which vitest goes past. */
  const modules: Record<string, object> = { pg, 'pg-pool': Object.getPrototypeOf(pg.Pool) as object };
  const definitions = (instrumentation as unknown as { init(): Definition[] }).init();
  let stage: Stage;

  beforeAll(async () => {
    instrumentation.setTracerProvider(new BasicTracerProvider());
    for (const { name, patch } of definitions) patch(modules[name] as object);
    stage = await openStage();
    await until('it is known to read', async () => (await stage.cluster.explain(TEXT)).class === 'read');
  });
  afterAll(async () => {
    await stage[Symbol.asyncDispose]();
    for (const { name, unpatch } of definitions) unpatch(modules[name] as object);
  });

  async function onClient(begin: string | undefined, query: QueryConfig): Promise<QueryResult> {
    const client: PoolClient = await stage.pool.connect();
    try {
      if (begin !== undefined) await client.query(begin);
      const result = await client.query(query);
      if (begin !== undefined) await client.query('commit');
      return result;
    } finally {
      client.release();
    }
  }

  const ways: Record<string, (query: QueryConfig) => Promise<QueryResult>> = {
    'cluster.read': (query) => stage.cluster.read(query),
    'cluster.write': (query) => stage.cluster.write(query),
    'cluster.transaction': (query) => stage.cluster.transaction(() => stage.cluster.read(query)),
    'pool.query': (query) => stage.pool.query(query),
    'a client': (query) => onClient(undefined, query),
    'a client in a transaction': (query) => onClient('begin', query),
    'a client in a read-only transaction': (query) => onClient('begin read only', query),
  };

  it.each(Object.entries(ways))('the values of a query object arrive by %s', async (_, run) => {
    for (let id = 1; id <= 4; id++) expect((await run({ text: TEXT, values: [id] })).rows).toEqual([{ age: 0 }]);
  });

  it('what runs on the primary has its comment', async () => {
    const text = 'select query from pg_stat_activity where pid = pg_backend_pid() and $1';
    const { rows } = await stage.cluster.write({ text, values: [true] });
    expect(rows).toEqual([{ query: expect.stringContaining('traceparent=') }]);
  });

  it('reads of the cluster and of its pool share connections', async () => {
    const shared = () => ['r1', 'r2'].reduce((sum, name) => sum + nodeOf(stage.cluster, name).lane.statementCount, 0);
    await stage.pool.query('update people set age = age where id = 0');
    for (const run of [ways['cluster.read'], ways['pool.query']]) {
      const before = shared();
      await until('they do', async () => {
        await run?.({ text: TEXT, values: [1] });
        return shared() > before + 3;
      });
    }
  });
});
