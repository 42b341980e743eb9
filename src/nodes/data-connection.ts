/** A connection that carries users' statements. */
import type { PoolClient } from 'pg';
import type { Identity } from './observation.js';

/** A connection checked out of a node's pool, and who answers on it. */
export interface DataConnection {
  readonly client: PoolClient;
  readonly identity: Identity;
}
