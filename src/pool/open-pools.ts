/** The pools that a cluster has handed out and that have not ended: it ends them with the cluster, and knows nothing of what runs there. */
import type { Pool } from 'pg';
import type { PoolOptions } from '../options/calls.js';
import type { ClusterAccess } from './access.js';
import { RoutingPool } from './pool.js';

export class OpenPools {
  readonly #access: ClusterAccess;
  readonly #pools = new Set<Pool>();

  constructor(access: ClusterAccess) {
    this.#access = access;
  }

  open({ intent = 'auto' }: PoolOptions): Pool {
    for (const pool of this.#pools) if (pool.ended) this.#pools.delete(pool);
    const pool = new RoutingPool(this.#access, intent);
    this.#pools.add(pool);
    return pool;
  }

  get all(): Pool[] {
    return [...this.#pools].filter(({ ended }) => !ended);
  }

  /** Resolves when all have ended, but for those that their users end by themselves already. */
  async end(): Promise<void> {
    await Promise.all(this.all.filter((pool) => !pool.ending).map((pool) => pool.end()));
  }
}
