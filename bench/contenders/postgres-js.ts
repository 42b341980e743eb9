/** postgres.js, in its own way of writing statements. It pipelines on each connection, so that the number of these is what its speed hangs on. */
import { loadPeer } from '../peers.js';
import type { Open, PostgresJsSpec } from './access.js';

// The peers are not installed with the library, so their types are not there either: this is the part that is used.
type Rows = Promise<readonly { readonly value: number }[]>;
interface Sql {
  (strings: TemplateStringsArray, ...values: unknown[]): Rows;
  begin<T>(fn: (sql: Sql) => Promise<T>): Promise<T>;
  end(): Promise<void>;
}
type Postgres = (url: string, options: { max: number; prepare: boolean; onnotice: () => void }) => Sql;

export const open: Open<PostgresJsSpec> = async (servers, { max, prepare }, work) => {
  const postgres = loadPeer<Postgres>('postgres');
  const connect = (url: string) => postgres(url, { max, prepare, onnotice: () => {} });
  const primary = connect(servers.primary);
  const replica = work === 'mixed' ? primary : connect(servers.replicas[0] ?? servers.primary);

  return {
    async point(id) {
      const [row] = await replica`select value from items where id = ${id}`;
      return row?.value;
    },
    async range(first, count) {
      const rows = await replica`select id, value, name from items where id >= ${first} and id < ${first + count}`;
      return rows.length;
    },
    update: (id, value) => primary`update items set value = ${value} where id = ${id}`,
    transaction: (id, value) =>
      primary.begin(async (sql) => {
        await sql`select value from items where id = ${id}`;
        await sql`update items set value = ${value} where id = ${id}`;
      }),
    close: () => Promise.all([...new Set([primary, replica])].map((sql) => sql.end())),
  };
};
