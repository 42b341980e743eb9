/** Drizzle with `withReplicas` over node-postgres: its query builder sends selects to a random replica, whatever was written before. */
import type pg from 'pg';
import { loadPeer } from '../peers.js';
import { type BuilderSpec, type Open, POOL } from './access.js';

// The peers are not installed with the library, so their types are not there either: this is the part that is used.
type Item = { readonly id: number; readonly value: number; readonly name: string };
interface Database {
  select(columns: object): { from(table: Table): { where(condition: unknown): Promise<readonly Item[]> } };
  update(table: Table): { set(values: { value: number }): { where(condition: unknown): Promise<unknown> } };
  transaction<T>(fn: (tx: Database) => Promise<T>): Promise<T>;
}
type Table = Readonly<Record<keyof Item, unknown>>;
interface Column {
  primaryKey(): Column;
  notNull(): Column;
}
interface Core {
  readonly pgTable: (name: string, columns: object) => Table;
  readonly integer: () => Column;
  readonly text: () => Column;
  readonly withReplicas: (primary: Database, replicas: readonly Database[]) => Database;
}
type Comparison = (column: unknown, value: number) => unknown;
interface Operators {
  readonly eq: Comparison;
  readonly gte: Comparison;
  readonly lt: Comparison;
  readonly and: (...conditions: unknown[]) => unknown;
}

export const open: Open<BuilderSpec> = async (servers) => {
  const { eq, gte, lt, and } = loadPeer<Operators>('drizzle-orm');
  const { pgTable, integer, text, withReplicas } = loadPeer<Core>('drizzle-orm/pg-core');
  const { drizzle } = loadPeer<{ drizzle: (pool: pg.Pool) => Database }>('drizzle-orm/node-postgres');
  const { Pool } = loadPeer<typeof pg>('pg');

  const { id, value, name } = { id: integer().primaryKey(), value: integer().notNull(), name: text().notNull() };
  const items = pgTable('items', { id, value, name });
  const pools = [servers.primary, ...servers.replicas].map(
    (connectionString) => new Pool({ connectionString, ...POOL }),
  );
  const [primary, ...replicas] = pools.map((pool) => drizzle(pool)) as [Database, ...Database[]];
  const db = withReplicas(primary, replicas);
  const row = { id: items.id, value: items.value, name: items.name };

  const point = async (from: Database, key: number) => {
    const [found] = await from.select({ value: items.value }).from(items).where(eq(items.id, key));
    return found?.value;
  };
  const update = (on: Database, key: number, to: number) =>
    on.update(items).set({ value: to }).where(eq(items.id, key));
  return {
    point: (key) => point(db, key),
    async range(first, count) {
      const between = and(gte(items.id, first), lt(items.id, first + count));
      return (await db.select(row).from(items).where(between)).length;
    },
    update: async (key, to) => update(db, key, to), // its builders are thenables: awaited by the async function
    transaction: (key, to) =>
      db.transaction(async (tx) => {
        await point(tx, key);
        await update(tx, key, to);
      }),
    close: () => Promise.all(pools.map((pool) => pool.end())),
  };
};
