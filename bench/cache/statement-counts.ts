/** How many statements have reached the servers, by their own count: `pg_stat_statements`. */
import pg from 'pg';
import type { Servers } from '../contenders/access.js';

export class StatementCounts implements AsyncDisposable {
  readonly #clients: readonly pg.Client[];

  private constructor(clients: readonly pg.Client[]) {
    this.#clients = clients;
  }

  static async of({ primary, replicas }: Servers): Promise<StatementCounts> {
    const clients = [primary, ...replicas].map((connectionString) => new pg.Client({ connectionString }));
    await Promise.all(clients.map((client) => client.connect()));
    return new StatementCounts(clients);
  }

  /** Those on all servers that name the table. */
  async on(table: string): Promise<number> {
    const counts = await Promise.all(
      this.#clients.map(async (client) => {
        const text = `select coalesce(sum(calls), 0)::int as count from pg_stat_statements
          where query like '%' || $1 || '%' and query not like '%pg_stat_statements%'`;
        const { rows } = await client.query<{ count: number }>(text, [table]);
        return rows[0]?.count ?? 0;
      }),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.end()));
  }
}
