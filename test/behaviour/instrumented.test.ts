/** Those who instrument pg spread what a client is given, write comments into texts and listen on pools: values arrive, and reads go on sharing connections. */
import pg, { type Pool, type QueryConfig, type QueryResult } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until, withClient } from './fixture.js';

const TEXT = 'select $1::int as n';
const COMMENT = " /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/";

/** As OpenTelemetry's does it with `addSqlCommenterCommentToQueries`. */
class Commenting extends pg.Client {
  static commentCount = 0;
  override query(...given: unknown[]): never {
    const [query, ...others] = given;
    const ask = super.query.bind(this) as unknown as (...args: unknown[]) => never;
    if (typeof query === 'string') return ask(query + COMMENT, ...others);
    const { text, submit } = query as { text?: unknown; submit?: unknown };
    if (typeof text !== 'string' || submit !== undefined || 'name' in (query as object)) return ask(query, ...others);
    Commenting.commentCount++;
    return ask({ ...(query as object), text: text + COMMENT }, ...others);
  }
}

/** pg-pool's, whose `connect` such an instrumentation wraps. */
const pgPool = Object.getPrototypeOf(pg.Pool.prototype) as { connect: (...args: unknown[]) => unknown };
const { connect } = pgPool;

/** The same, for its numbers of connections. */
function listeningConnect(this: Pool & { isHeard?: boolean }, ...args: unknown[]): unknown {
  if (this.isHeard !== true) {
    for (const event of ['connect', 'acquire', 'remove', 'release']) this.on(event as 'connect', () => undefined);
    this.isHeard = true;
  }
  return connect.apply(this, args);
}

let servers: TestCluster;
let cluster: Cluster;
let pool: Pool;
let writer: Pool;

beforeAll(async () => {
  pgPool.connect = listeningConnect;
  servers = await startTestCluster({ replicas: 1 });
  const at = ({ connectionString }: { connectionString: string }) =>
    ({ connectionString, Client: Commenting }) as unknown as { connectionString: string };
  cluster = await open(servers, {
    primary: at(servers.primary),
    replicas: servers.replicas.map((replica) => ({ name: replica.name, ...at(replica) })),
  });
  await until('it is known to read', async () => (await cluster.explain(TEXT)).class === 'read');
  pool = cluster.pool();
  writer = cluster.pool({ intent: 'write' });
});
afterAll(async () => {
  await cluster.close();
  await servers.stop();
  pgPool.connect = connect;
});

const ways: Record<string, (query: QueryConfig) => Promise<QueryResult>> = {
  'cluster.read': (query) => cluster.read(query),
  'cluster.write': (query) => cluster.write(query),
  'cluster.query': (query) => cluster.query(query),
  'a transaction that it joins': (query) => cluster.transaction(() => cluster.read(query)),
  'pool.query': (query) => pool.query(query),
  'pool.query of a pool for writes': (query) => writer.query(query),
  'a client': (query) => withClient(pool, (client) => client.query(query)),
  'a client in a transaction': (query) =>
    withClient(pool, async (client) => {
      await client.query('begin');
      const result = await client.query(query);
      await client.query('commit');
      return result;
    }),
  'a client in a read-only transaction': (query) =>
    withClient(pool, async (client) => {
      await client.query('begin read only');
      const result = await client.query(query);
      await client.query('commit');
      return result;
    }),
  'a client of a pool for writes': (query) => withClient(writer, (client) => client.query(query)),
};

describe('under an instrumentation that writes comments into texts', () => {
  it.each(Object.entries(ways))('the values of a query object arrive by %s', async (_, run) => {
    const types = { getTypeParser: () => (value: unknown) => `<${String(value)}>` } as unknown as pg.CustomTypesConfig;
    for (let n = 1; n <= 4; n++) {
      expect((await run({ text: TEXT, values: [n] })).rows).toEqual([{ n }]);
      expect((await run({ text: TEXT, values: [n], rowMode: 'array' } as QueryConfig)).rows).toEqual([[n]]);
      expect((await run({ text: TEXT, values: [n], types })).rows).toEqual([{ n: `<${n}>` }]);
      expect((await run({ name: 'of-mine', text: TEXT, values: [n] })).rows).toEqual([{ n }]);
    }
    expect(Commenting.commentCount).toBeGreaterThan(0);
  });
});

describe.skipIf(process.env['LANE'] === 'off')('under an instrumentation that listens on pools', () => {
  const shared = () => nodeOf(cluster, 'r1').lane.statementCount;

  it.each(['cluster.read', 'pool.query', 'a client'])('reads by %s share connections', async (way) => {
    const run = ways[way] as (query: QueryConfig) => Promise<QueryResult>;
    await pool.query('select pg_notify($1, $1)', ['to the primary']);
    expect(pool.listenerCount('connect')).toBe(1);
    const before = shared();
    await until('they do', async () => {
      expect((await run({ text: TEXT, values: [1] })).rows).toEqual([{ n: 1 }]);
      return shared() > before + 3;
    });
  });

  it('a listener of the user’s own still sees each connection before the pool uses it', async () => {
    const heard = cluster.pool();
    let count = 0;
    await heard.query('select pg_notify($1, $1)', ['to the primary']);
    heard.on('connect', () => count++);
    expect((await heard.query({ text: TEXT, values: [1] })).rows).toEqual([{ n: 1 }]);
    expect(count).toBe(1);
    await heard.end();
  });
});
