/**
 * A statement may be any object that pg takes: frozen, a draft, a class of getters. It gives its rows on every way that there is, or its own error, and leaves the
 * connections as they were. What a bare `pg.Pool` makes of an object is noted where that differs.
 */
import { setTimeout as elapsed } from 'node:timers/promises';
import pg, { type Pool, type PoolClient, type QueryConfig, type QueryResult } from 'pg';
import Cursor from 'pg-cursor';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until, withClient } from './fixture.js';

const TEXT = 'select body from items where id = $1';
/** As one that hangs: it is none whose time matters. */
const PATIENCE_MILLIS = 10_000;

let servers: TestCluster;
let cluster: Cluster;
let pool: Pool;
let writer: Pool;
/** Errors that nobody has caught. */
const uncaught: unknown[] = [];
const note = (error: unknown): void => {
  uncaught.push(error);
};

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
  cluster = await open(servers);
  await cluster.write('create table items (id int primary key, body text)');
  await cluster.write(`insert into items select i, 'item ' || i from generate_series(1, 10) as i`);
  await servers.replicas[0]?.waitForReplay();
  await until('it is known to read', async () => (await cluster.explain(TEXT)).class === 'read');
  pool = cluster.pool();
  writer = cluster.pool({ intent: 'write' });
  process.prependListener('uncaughtException', note);
  process.prependListener('unhandledRejection', note);
});
afterEach(() => {
  expect(uncaught.splice(0)).toEqual([]);
});
afterAll(async () => {
  process.removeListener('uncaughtException', note);
  process.removeListener('unhandledRejection', note);
  await cluster.close();
  await servers.stop();
});

type Run = (query: QueryConfig) => Promise<QueryResult>;

async function within<T>(client: PoolClient, begin: string, run: () => Promise<T>): Promise<T> {
  await client.query(begin);
  try {
    return await run();
  } finally {
    await client.query('rollback').catch(() => undefined);
  }
}

const calledBack = (run: (answer: (error: Error | null | undefined, result: QueryResult) => void) => unknown) =>
  new Promise<QueryResult>((resolve, reject) => run((error, result) => (error ? reject(error) : resolve(result))));

/** Every way to PostgreSQL that takes a query object. */
const ways: Record<string, Run> = {
  'cluster.read': (query) => cluster.read(query),
  'cluster.read on the primary': (query) => cluster.read(query, undefined, { target: 'primary' }),
  'cluster.write': (query) => cluster.write(query),
  'cluster.query': (query) => cluster.query(query),
  'cluster.query with options': (query) => cluster.query(query, undefined, { timeoutMillis: PATIENCE_MILLIS }),
  'a session': (query) => cluster.session((session) => session.read(query)),
  'a transaction that it joins': (query) => cluster.transaction(() => cluster.read(query)),
  'a read-only transaction that it joins': (query) =>
    cluster.transaction(() => cluster.read(query), { readOnly: true }),
  'pool.query': (query) => pool.query(query),
  'pool.query with a callback': (query) => calledBack((answer) => pool.query(query as never, answer as never)),
  'pool.query of a pool for writes': (query) => writer.query(query),
  'a client': (query) => withClient(pool, (client) => client.query(query)),
  'a client with a callback': (query) =>
    withClient(pool, (client) => calledBack((answer) => client.query(query as never, answer as never))),
  'a client in a transaction': (query) =>
    withClient(pool, (client) => within(client, 'begin', () => client.query(query))),
  'a client in a read-only transaction': (query) =>
    withClient(pool, (client) => within(client, 'begin read only', () => client.query(query))),
  'a client of a pool for writes': (query) => withClient(writer, (client) => client.query(query)),
};

function outcome(run: Run, query: QueryConfig): Promise<unknown> {
  const answer = (async () => run(query))().then(
    ({ rows }) => rows as unknown,
    (error: unknown) => error,
  );
  return Promise.race([answer, elapsed(PATIENCE_MILLIS, 'no answer', { ref: false })]);
}

class Getters {
  get text() {
    return TEXT;
  }
  get values() {
    return [1];
  }
}
class Private {
  readonly #values = [1];
  get text() {
    return TEXT;
  }
  get values() {
    return this.#values;
  }
}
class Changing {
  #readCount = 0;
  get text() {
    return this.#readCount++ === 0 ? TEXT : 'delete from items';
  }
  readonly values = [1];
}

/** As immer's: of a frozen object, and revoked as soon as whoever has made it is done. */
function draft(): { draft: QueryConfig; revoke(): void } {
  const values = Proxy.revocable(Object.freeze([1]), {});
  const config = Proxy.revocable(Object.freeze({ text: TEXT, values: values.proxy as number[] }), {});
  return {
    draft: config.proxy,
    revoke() {
      config.revoke();
      values.revoke();
    },
  };
}

const good: Record<string, () => unknown> = {
  'a frozen object': () => Object.freeze({ text: TEXT, values: Object.freeze([1]) }),
  'a sealed object': () => Object.seal({ text: TEXT, values: [1] }),
  'an object without a prototype': () => Object.assign(Object.create(null), { text: TEXT, values: [1] }),
  'an object that inherits from a frozen one': () => Object.create(Object.freeze({ text: TEXT, values: [1] })),
  'a class of getters': () => new Getters(),
  'a class whose getters need its private fields': () => new Private(),
  'an object whose text is another one the second time': () => new Changing(),
  'an object whose keys are hidden from enumeration': () =>
    Object.defineProperties({}, { text: { value: TEXT }, values: { value: [1] } }),
  'a frozen object with a name': () => Object.freeze({ name: 'of-mine', text: TEXT, values: [1] }),
  'an object whose type parsers cannot be had, without a row': () => ({
    text: `${TEXT} and false`,
    values: [1],
    types: { getTypeParser: () => refuse('no parser') },
  }),
};

const bad: Record<string, { make: () => unknown; says: string }> = {
  'a text that throws': { make: () => throwing('text', { values: [1] }), says: 'text refuses' },
  'values that throw': { make: () => throwing('values', { text: TEXT }), says: 'values refuses' },
  'a callback that throws': { make: () => throwing('callback', { text: TEXT, values: [1] }), says: 'callback refuses' },
  'a private field that is not there': {
    make: () => Object.create(new Private(), { text: { value: TEXT, enumerable: true } }),
    says: 'private',
  },
  'a revoked draft': {
    make: () => {
      const made = draft();
      made.revoke();
      return made.draft;
    },
    says: 'revoked',
  },
  'values that were revoked': {
    make: () => {
      const values = Proxy.revocable([1], {});
      values.revoke();
      return { text: TEXT, values: values.proxy };
    },
    says: 'revoked',
  },
  'a value that throws': {
    make: () => ({ text: TEXT, values: [{ toPostgres: () => refuse('value refuses') }] }),
    says: 'value refuses',
  },
  'type parsers that cannot be had': {
    make: () => ({ text: TEXT, values: [1], types: { getTypeParser: () => refuse('no parser') } }),
    says: 'no parser',
  },
  'type parsers of another kind': {
    make: () => ({ text: TEXT, values: [1], types: {} }),
    says: 'getTypeParser',
  },
  'a name that is a number': { make: () => ({ name: 7, text: TEXT, values: [1] }), says: 'name must be' },
  'a named text that is none': { make: () => ({ name: 'mine', text: 7, values: [1] }), says: 'must' },
  'a portal that is a number': { make: () => ({ portal: 7, text: TEXT, values: [1] }), says: 'portal must be' },
  'less than no rows': { make: () => ({ rows: -1, text: TEXT, values: [1] }), says: 'rows must be' },
  'a text that is a number': { make: () => ({ text: 7, values: [1] }), says: '' },
};

function refuse(message: string): never {
  throw new Error(message);
}

function throwing(key: string, others: object): object {
  return Object.defineProperty({ ...others }, key, { enumerable: true, get: () => refuse(`${key} refuses`) });
}

/** Whether the object is handed over before the way has to wait for anything. */
const IS_AT_ONCE = /^(cluster\.|pool\.)/;
const ROWS = [{ body: 'item 1' }];

describe.each(Object.entries(ways))('by %s', (way, run) => {
  it('every object that pg can read gives its rows, each time', async () => {
    for (const [name, make] of Object.entries(good)) {
      const expected = name.endsWith('without a row') ? [] : ROWS;
      for (let i = 0; i < 4; i++)
        expect({ [name]: await outcome(run, make() as QueryConfig) }).toEqual({ [name]: expected });
    }
  });

  it('a draft that is revoked right after the call gives its rows', async () => {
    for (let i = 0; i < 4; i++) {
      const made = draft();
      const running = outcome(run, made.draft);
      if (IS_AT_ONCE.test(way)) made.revoke();
      expect(await running).toEqual(ROWS);
    }
  });

  it('every object that pg cannot read is a rejection, and the next statement gives its rows', async () => {
    for (const [name, { make, says }] of Object.entries(bad)) {
      for (let i = 0; i < 2; i++) {
        const failure = await outcome(run, make() as QueryConfig);
        expect({ [name]: failure }).toEqual({ [name]: expect.any(Error) });
        expect((failure as Error).message).toContain(says);
      }
      expect({ [name]: await outcome(run, { text: TEXT, values: [1] }) }).toEqual({ [name]: ROWS });
    }
    const { waitingCount } = pool;
    expect(waitingCount).toBe(0);
    expect(pool.idleCount).toBe(pool.totalCount);
    expect(writer.idleCount).toBe(writer.totalCount);
    expect(cluster.stats().nodes.map(({ inFlight }) => inFlight)).toEqual([0, 0]);
  });
});

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
