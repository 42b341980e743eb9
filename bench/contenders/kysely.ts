/** Kysely with kysely-replication: its query builder sends selects to the replicas in turn, whatever was written before. */
import type pg from 'pg';
import { loadPeer } from '../peers.js';
import { type BuilderSpec, type Open, POOL } from './access.js';

// The peers are not installed with the library, so their types are not there either: this is the part that is used.
interface Select {
  select(columns: readonly string[]): Select;
  where(column: string, operator: string, value: number): Select;
  execute(): Promise<readonly { readonly value: number }[]>;
}
interface Update {
  set(values: { value: number }): Update;
  where(column: string, operator: string, value: number): Update;
  execute(): Promise<unknown>;
}
interface Database {
  selectFrom(table: string): Select;
  updateTable(table: string): Update;
  transaction(): { execute<T>(fn: (tx: Database) => Promise<T>): Promise<T> };
  destroy(): Promise<void>;
}
type Dialect = object;
interface KyselyModule {
  readonly Kysely: new (config: { dialect: Dialect }) => Database;
  readonly PostgresDialect: new (config: { pool: pg.Pool }) => Dialect;
}
interface Replication {
  readonly KyselyReplicationDialect: new (config: object) => Dialect;
}
interface RoundRobin {
  readonly RoundRobinReplicaStrategy: new (options: { onTransaction: 'error' }) => object;
}

export const open: Open<BuilderSpec> = async (servers) => {
  const { Kysely, PostgresDialect } = loadPeer<KyselyModule>('kysely');
  const { KyselyReplicationDialect } = loadPeer<Replication>('kysely-replication');
  const { RoundRobinReplicaStrategy } = loadPeer<RoundRobin>('kysely-replication/strategy/round-robin');
  const { Pool } = loadPeer<typeof pg>('pg');

  const dialectOf = (connectionString: string) =>
    new PostgresDialect({ pool: new Pool({ connectionString, ...POOL }) });
  const dialect = new KyselyReplicationDialect({
    primaryDialect: dialectOf(servers.primary),
    replicaDialects: servers.replicas.map(dialectOf),
    replicaStrategy: new RoundRobinReplicaStrategy({ onTransaction: 'error' }),
  });
  const db = new Kysely({ dialect });

  const point = async (from: Database, id: number) => {
    const [found] = await from.selectFrom('items').select(['value']).where('id', '=', id).execute();
    return found?.value;
  };
  const update = (on: Database, id: number, value: number) =>
    on.updateTable('items').set({ value }).where('id', '=', id).execute();
  return {
    point: (id) => point(db, id),
    async range(first, count) {
      const columns = db.selectFrom('items').select(['id', 'value', 'name']);
      return (
        await columns
          .where('id', '>=', first)
          .where('id', '<', first + count)
          .execute()
      ).length;
    },
    update: (id, value) => update(db, id, value),
    transaction: (id, value) =>
      db.transaction().execute(async (tx) => {
        await point(tx, id);
        await update(tx, id, value);
      }),
    close: () => db.destroy(),
  };
};
