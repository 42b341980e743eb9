/** Bare `pg.Pool`, one per server. It knows nothing of replicas that lag: whoever must see his writes reads from the primary. */
import pg from 'pg';
import type { WorkName } from '../works.js';
import { type Open, POOL, type PoolSpec } from './access.js';
import { accessThrough } from './pooled.js';

export const open: Open<PoolSpec> = async (servers, { named = false, trustsReplica = false }, work) => {
  const writes = openPool(servers.primary);
  const readsFromPrimary = (mustSeeWrites(work) && !trustsReplica) || servers.replicas[0] === servers.primary;
  const reads = readsFromPrimary ? writes : openPool(servers.replicas[0] ?? servers.primary);

  return {
    ...accessThrough({ writes, reads, named }),
    close: () => Promise.all([...new Set([writes, reads])].map((pool) => pool.end())),
  };
};

function mustSeeWrites(work: WorkName): boolean {
  return work === 'mixed' || work === 'readback';
}

function openPool(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, ...POOL });
  pool.on('error', () => {}); // an idle connection was lost: the next query opens another, or tells
  return pool;
}
