import type { QueryConfig, QueryResult } from 'pg';
import { describe, expect, it } from 'vitest';
import { withClient } from '../fixture.js';
import {
  cluster,
  outcome,
  PATIENCE_MILLIS,
  pool,
  queriesByObjects,
  ROWS,
  type Run,
  refuse,
  TEXT,
  within,
  writer,
} from './ways.js';

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

function throwing(key: string, others: object): object {
  return Object.defineProperty({ ...others }, key, { enumerable: true, get: () => refuse(`${key} refuses`) });
}

/** Whether the object is handed over before the way has to wait for anything. */
const IS_AT_ONCE = /^(cluster\.|pool\.)/;

queriesByObjects();

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
