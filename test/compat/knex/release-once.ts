/**
 * A pool for Knex's streams. Knex 3.3 gives a stream's connection back twice
 * (https://github.com/knex/knex/issues/6288: lib/execution/runner.js:77 and :326): pg's pool throws where nobody can
 * catch it, or takes the connection from whoever has it by then. Here each checkout is an object of its own, which is
 * given back once.
 */
import type { Pool, PoolClient } from 'pg';

export function releaseOnce(pool: Pool): Pool {
  const connect = async (): Promise<PoolClient> => {
    const client = await pool.connect();
    let isOut = true;
    const release = (error?: Error | boolean): void => {
      if (isOut) client.release(error);
      isOut = false;
    };
    return new Proxy(client, {
      get(_, name) {
        if (name === 'release') return release;
        const value: unknown = Reflect.get(client, name);
        return typeof value === 'function' ? value.bind(client) : value;
      },
    });
  };
  return Object.assign(Object.create(pool) as Pool, { connect });
}
