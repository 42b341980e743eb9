/** Bare `pg.Pool`, one per server. It knows nothing of replicas that lag: whoever must see his writes reads from the primary. */
import pg from 'pg';
import { POINT, RANGE, UPDATE } from '../statements.js';
import { type Open, POOL, type PoolSpec } from './access.js';

interface Item {
  readonly value: number;
}

export const open: Open<PoolSpec> = async (servers, { named = false, trustsReplica = false }, work) => {
  const primary = openPool(servers.primary);
  const readsFromPrimary = (work === 'mixed' && !trustsReplica) || servers.replicas[0] === servers.primary;
  const replica = readsFromPrimary ? primary : openPool(servers.replicas[0] ?? servers.primary);
  const query = (name: string, text: string, values: unknown[]) => (named ? { name, text, values } : { text, values });

  return {
    async point(id) {
      const { rows } = await replica.query<Item>(query('point', POINT, [id]));
      return rows[0]?.value;
    },
    range: async (first, count) => (await replica.query(query('range', RANGE, [first, first + count]))).rows.length,
    update: (id, value) => primary.query(query('update', UPDATE, [id, value])),
    async transaction(id, value) {
      const client = await primary.connect();
      try {
        await client.query('begin');
        await client.query(query('point', POINT, [id]));
        await client.query(query('update', UPDATE, [id, value]));
        await client.query('commit');
      } finally {
        client.release();
      }
    },
    close: () => Promise.all([...new Set([primary, replica])].map((pool) => pool.end())),
  };
};

function openPool(connectionString: string): pg.Pool {
  const pool = new pg.Pool({ connectionString, ...POOL });
  pool.on('error', () => {}); // an idle connection was lost: the next query opens another, or tells
  return pool;
}
