/**
 * MikroORM 6 makes its connections with Knex 3.2, which always makes its own pool (knex/lib/client.js:88); a dialect
 * decides where a connection comes from instead. MikroORM also wants dates as texts, and says so to the connections
 * that it makes (@mikro-orm/postgresql/PostgreSqlConnection.js:22-37): here each statement says it, so that others
 * may share the pool.
 */
import { PostgreSqlKnexDialect } from '@mikro-orm/postgresql';
import type { Pool, PoolClient, QueryConfig } from 'pg';

interface Query {
  options?: Partial<QueryConfig>;
}

export function dialectOf(pool: Pool): typeof PostgreSqlKnexDialect {
  return class extends PostgreSqlKnexDialect {
    // Knex calls it to make a pool
    initializePool(): void {}

    acquireConnection(): Promise<PoolClient> {
      return pool.connect();
    }

    // Knex marks a connection that it gave up on, as after a timeout
    async releaseConnection(client: PoolClient & { __knex__disposed?: Error }): Promise<void> {
      client.release(client.__knex__disposed);
    }

    _query(client: PoolClient, query: Query): Promise<unknown> {
      query.options = { ...query.options, types: this['connectionSettings'].types };
      return super['_query'](client, query);
    }
  };
}
