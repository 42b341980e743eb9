/**
 * What the demo itself asks of the primary: to have the users' table, and to say how much it has
 * worked.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { SCHEMA } from './workload.js';

/** All that the server has run, and how many clients beside this one are still connected. */
const WORK = `
  select (select xact_commit operator(pg_catalog.+) xact_rollback from pg_catalog.pg_stat_database
            where datname operator(pg_catalog.=) current_catalog)::int as count,
         (select pg_catalog.count(*) from pg_catalog.pg_stat_activity
            where backend_type operator(pg_catalog.=) 'client backend'
              and pid operator(pg_catalog.<>) pg_catalog.pg_backend_pid())::int as clients`;

const GOODBYES = 100;
const GOODBYE_MILLIS = 10;

export async function createProfiles(primary: string): Promise<void> {
  await connected(primary, (client) => client.query(SCHEMA));
}

/**
 * Transactions that the primary has run since its start, by its own count. It counts those of a
 * client when the client leaves.
 */
export function transactionCount(primary: string): Promise<number> {
  return connected(primary, async (client) => {
    for (let tries = 0; ; tries++) {
      const { rows } = await client.query<{ count: number; clients: number }>(WORK);
      if (rows[0]?.clients === 0 || tries === GOODBYES) return rows[0]?.count ?? 0;
      await sleep(GOODBYE_MILLIS);
    }
  });
}

async function connected<T>(connectionString: string, task: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString });
  client.on('error', () => {}); // a lost connection fails the query as well
  await client.connect();
  try {
    return await task(client);
  } finally {
    await client.end();
  }
}
