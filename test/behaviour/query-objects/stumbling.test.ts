import pg, { type Pool, type QueryConfig, type QueryResult } from 'pg';
import Cursor from 'pg-cursor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster } from '../../../src/index.js';
import { nodeOf, open, until, withClient } from '../fixture.js';
import { outcome, queriesByObjects, ROWS, type Run, refuse, servers, TEXT, within } from './ways.js';

/** What pg's types do not tell of a client. */
interface Pipelined {
  readonly pipeline: boolean;
  readonly connection: { parse(query: object): void };
}

function textIn(query: unknown): unknown {
  if (typeof query === 'string') return query;
  const { text, cursor } = query as { text?: unknown; cursor?: { text?: unknown } };
  return text ?? cursor?.text;
}

/** Whose `query` throws, as an instrumentation around it may: before anything is written, or while pg writes. */
class Stumbling extends pg.Client {
  static next: 'at once' | 'halfway' | undefined;
  override query(query: unknown, values?: unknown, callback?: unknown): never {
    const { next } = Stumbling;
    if (next === undefined || textIn(query) !== TEXT)
      return super.query(query as string, values as [], callback as () => void) as never;
    Stumbling.next = undefined;
    if (next === 'at once') refuse('query stumbles');
    const { pipeline, connection } = this as unknown as Pipelined;
    if (pipeline) {
      connection.parse({ text: 'select 1' });
      refuse('query stumbles');
    }
    return super.query({ submit: () => refuse('query stumbles'), handleError: () => undefined } as never) as never;
  }
}

queriesByObjects();

describe('where query itself throws', () => {
  let stumbling: Cluster;
  let stumblingPool: Pool;

  beforeAll(async () => {
    const at = ({ connectionString }: { connectionString: string }) =>
      ({ connectionString, Client: Stumbling }) as unknown as { connectionString: string };
    stumbling = await open(servers, {
      primary: at(servers.primary),
      replicas: servers.replicas.map((replica) => at(replica)),
    });
    await until('it is known to read', async () => (await stumbling.explain(TEXT)).class === 'read');
    stumblingPool = stumbling.pool();
  });
  afterAll(async () => {
    await stumbling.close();
  });

  const run = (query: QueryConfig) => stumbling.read(query);
  const stumblingWays: Record<string, Run> = {
    'cluster.read': run,
    'cluster.write': (query) => stumbling.write(query),
    'cluster.query': (query) => stumbling.query(query),
    'a transaction that it joins': (query) => stumbling.transaction(() => stumbling.read(query)),
    'the client of a transaction': (query) => stumbling.transaction((client) => client.query(query)),
    'the client of a connection': (query) => stumbling.connection((client) => client.query(query)),
    'pool.query': (query) => stumblingPool.query(query),
    'a client': (query) => withClient(stumblingPool, (client) => client.query(query)),
    'a client in a transaction': (query) =>
      withClient(stumblingPool, (client) => within(client, 'begin', () => client.query(query))),
    'a client in a read-only transaction': (query) =>
      withClient(stumblingPool, (client) => within(client, 'begin read only', () => client.query(query))),
    'a cursor of a client': (query) =>
      withClient(stumblingPool, async (client) => {
        const cursor = client.query(new Cursor(query.text, query.values as number[]));
        const rows = await cursor.read(10);
        await cursor.close();
        return { rows } as unknown as QueryResult;
      }),
    'a stream': async (query) => {
      const rows: unknown[] = [];
      for await (const row of stumbling.stream(query.text, query.values)) rows.push(row);
      return { rows } as unknown as QueryResult;
    },
  };

  it.each(Object.entries(stumblingWays))('%s rejects, and the next statement gives its rows', async (_, way) => {
    const query = { text: TEXT, values: [1] };
    for (const next of ['at once', 'halfway'] as const) {
      Stumbling.next = next;
      const failure = await outcome(way, query);
      Stumbling.next = undefined;
      expect({ [next]: failure }).toEqual({ [next]: expect.objectContaining({ message: 'query stumbles' }) });
      expect({ [next]: await outcome(way, query) }).toEqual({ [next]: ROWS });
    }
    expect(stumblingPool.idleCount).toBe(stumblingPool.totalCount);
    expect(stumbling.stats().nodes.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });

  it.skipIf(process.env['LANE'] === 'off')(
    'on a shared connection it rejects, and the next one is answered',
    async () => {
      const query = { text: TEXT, values: [1] };
      const sharedCount = () => nodeOf(stumbling, 'r1').lane.statementCount;
      for (const next of ['at once', 'halfway'] as const) {
        const before = sharedCount();
        await until('it shares a connection', async () => {
          await run(query);
          return sharedCount() > before + 3;
        });
        Stumbling.next = next;
        const failure = await outcome(run, query);
        expect({ [next]: failure }).toEqual({ [next]: expect.objectContaining({ message: 'query stumbles' }) });
        expect(await outcome(run, query)).toEqual(ROWS);
      }
      expect(nodeOf(stumbling, 'r1').lane.inFlight).toBe(0);
    },
  );
});
