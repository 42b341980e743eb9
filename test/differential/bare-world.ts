/**
 * The reference: bare pg, used as the docs say that the library behaves. A single statement
 * takes a connection of a pool, which comes back idle or not at all; pools of `cluster.pool()` are
 * pools of pg.
 */
import pg, { type Pool, type PoolClient, type PoolConfig } from 'pg';
import { hygieneOf } from './documented.js';
import { clientOption, readingGetters, withoutReading } from './drivers.js';
import { type Asked, UNREADABLE } from './forms.js';
import { failureOf, ladderFailure } from './outcome.js';
import type { Intent, Setup, Statement, Way } from './program.js';
import { ask, awayFrom, type HeldClient, type TransactionOptions, type Within, type World } from './world.js';

/** What the reference throws where the library has an error of its own. */
export class Expected extends Error {
  readonly failure: ReturnType<typeof ladderFailure>;

  constructor(code: string, cause: unknown) {
    super(code);
    this.failure = ladderFailure(code, cause === undefined ? undefined : failureOf(cause).failed);
  }
}

export class BareWorld implements World {
  readonly #main: Pool;
  readonly #pools: Readonly<Record<Intent, Pool>>;

  constructor(connectionString: string, { driver }: Setup) {
    // What a driver hides from the library, the reference may know.
    const { Client } = clientOption(driver === 'without status' ? 'plain' : driver);
    const options: PoolConfig = { connectionString, Client: readingGetters(Client) };
    this.#main = quiet(new pg.Pool(options));
    this.#pools = {
      auto: quiet(hygieneOf('auto') ? hygienic(options, true) : new pg.Pool(options)),
      write: quiet(hygieneOf('write') ? hygienic(options, false) : new pg.Pool(options)),
      read: quiet(hygienic({ ...options, options: '-c default_transaction_read_only=on' }, false)),
    };
  }

  door(way: Way): Asked {
    if (way.startsWith('pool:')) return this.pool(way.slice('pool:'.length) as Intent) as unknown as Asked;
    return { query: (...given) => this.#once((client) => (client as unknown as Asked).query(...given)) };
  }

  pool(intent: Intent): Pool {
    return this.#pools[intent];
  }

  async share(statement: Statement): Promise<'asked'> {
    await ask(this.door('query'), statement);
    return 'asked';
  }

  async transaction<T>(options: TransactionOptions, fn: (within: Within) => Promise<T>): Promise<T> {
    const { isolation, readOnly } = options;
    const begin = `begin${isolation === undefined ? '' : ` isolation level ${isolation}`}${readOnly === true ? ' read only' : ''}`;
    return this.#once(async (client) => {
      await client.query(begin);
      const state: { failure: unknown } = { failure: undefined };
      let result: T;
      try {
        result = await fn(within(client, state));
      } catch (error) {
        await client.query('rollback').catch(() => undefined);
        throw error;
      }
      const { command } = await client.query('commit');
      if (command === 'ROLLBACK') throw new Expected('LADDER_TRANSACTION_ABORTED', state.failure);
      return result;
    });
  }

  away(): string[] {
    return this.#all().flatMap(([name, pool]) => awayFrom(name, pool));
  }

  async close(): Promise<void> {
    await Promise.all(this.#all().map(([, pool]) => pool.end()));
  }

  #all(): [string, Pool][] {
    return [['main', this.#main], ...Object.entries(this.#pools)];
  }

  async #once<T>(run: (client: PoolClient) => T): Promise<Awaited<T>> {
    const client = await this.#main.connect();
    client.on('error', ignore);
    let isSound = false;
    try {
      const result = await run(client);
      isSound = true;
      return result;
    } finally {
      client.removeListener('error', ignore);
      client.release(!isSound || (client as HeldClient).getTransactionStatus?.() !== 'I');
    }
  }
}

function within(client: PoolClient, state: { failure: unknown }): Within {
  const asked = client as unknown as Asked;
  const joined: Asked = {
    query: async (...given) => {
      try {
        return await asked.query(...given);
      } catch (error) {
        // What cannot be read is no statement of the transaction yet.
        if ((error as Partial<Error> | null)?.message !== UNREADABLE) state.failure = error;
        throw error;
      }
    },
  };
  return {
    client: withoutReading(client),
    by: () => joined,
    nested: async (fn) => {
      await client.query('savepoint ladder');
      const inner: { failure: unknown } = { failure: undefined };
      try {
        const result = await fn(within(client, inner));
        await client.query('release savepoint ladder').catch((error: unknown) => {
          const isAborted = (error as { code?: unknown }).code === '25P02';
          throw isAborted ? new Expected('LADDER_TRANSACTION_ABORTED', inner.failure ?? error) : error;
        });
        return result;
      } catch (error) {
        await client.query('rollback to savepoint ladder; release savepoint ladder').catch(() => undefined);
        throw error;
      }
    },
  };
}

/** A pool whose clients never come back inside a transaction. @param sparesQueries but for one that `query` of the pool has left open */
function hygienic(options: PoolConfig, sparesQueries: boolean): Pool {
  const pool = new (sparesQueries ? QueryingPool : pg.Pool)(options);
  pool.on('release', (_, client) => {
    const held = client as HeldClient & { _ending?: boolean };
    const status = held.getTransactionStatus?.();
    if (pool instanceof QueryingPool && pool.isForQuery(client)) return;
    // pg-pool closes clients that say so, and looks right after this.
    if (status === 'T' || status === 'E') held._ending = true;
  });
  return pool;
}

type Connected = Parameters<Parameters<Pool['connect']>[0]>;

/** It knows which clients were taken by its `query`, which alone asks for them with a callback. */
class QueryingPool extends pg.Pool {
  readonly #forQuery = new WeakMap<object, boolean>();

  isForQuery(client: object): boolean {
    return this.#forQuery.get(client) === true;
  }

  override connect(): Promise<PoolClient>;
  override connect(callback: (...connected: Connected) => void): void;
  override connect(callback?: (...connected: Connected) => void): Promise<PoolClient> | undefined {
    const taken = <Client extends PoolClient | undefined>(client: Client): Client => {
      if (client !== undefined) this.#forQuery.set(client, callback !== undefined);
      return client;
    };
    if (callback === undefined) return super.connect().then(taken);
    super.connect((error, client, done) => callback(error, taken(client), done));
    return undefined;
  }
}

function quiet(pool: Pool): Pool {
  return pool.on('error', ignore);
}

function ignore(): void {
  // An idle connection that breaks is nobody's.
}
