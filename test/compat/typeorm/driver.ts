/**
 * What TypeORM takes as its option `driver`: it makes its pool with `new driver.Pool(…)`
 * (driver/postgres/PostgresDriver.js:1217) and ends it in `destroy()`, so that each `initialize()` gets a pool of its
 * own. What the DataSource says of host and user counts for nothing.
 */
import type { Pool } from 'pg';
import type { Cluster } from '../../../src/index.js';

export function driverOf(cluster: Cluster): object {
  // a constructor that returns an object makes `new` return that one
  function ClusterPool(): Pool {
    return cluster.pool();
  }
  return { Pool: ClusterPool };
}
