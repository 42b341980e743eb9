/** The access through a `pg.Pool`, or what looks like one: the same calls for each, so that only their cost differs. */
import type { Pool } from 'pg';
import { POINT, RANGE, UPDATE } from '../statements.js';
import type { Statements } from './access.js';

interface Item {
  readonly value: number;
}

export interface Pools {
  readonly writes: Pool;
  readonly reads: Pool;
  /** Gives every statement a name, so that the server parses it once. */
  readonly named?: boolean;
}

export function accessThrough({ writes, reads, named = false }: Pools): Statements {
  const query = (name: string, text: string, values: unknown[]) => (named ? { name, text, values } : { text, values });
  const point = async (on: Pick<Pool, 'query'>, id: number) => {
    const { rows } = await on.query<Item>(query('point', POINT, [id]));
    return rows[0]?.value;
  };
  const update = (on: Pick<Pool, 'query'>, id: number, value: number) => on.query(query('update', UPDATE, [id, value]));

  return {
    point: (id) => point(reads, id),
    async checkout(id) {
      const client = await reads.connect();
      try {
        return await point(client, id);
      } finally {
        client.release();
      }
    },
    range: async (first, count) => (await reads.query(query('range', RANGE, [first, first + count]))).rows.length,
    update: (id, value) => update(writes, id, value),
    async transaction(id, value) {
      const client = await writes.connect();
      try {
        await client.query('begin');
        await point(client, id);
        await update(client, id, value);
        await client.query('commit');
      } finally {
        client.release();
      }
    },
  };
}
