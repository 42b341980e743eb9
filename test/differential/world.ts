/** What both worlds can do: bare pg, and the library over the same servers. */
import type { Pool, PoolClient } from 'pg';
import type { Asked } from './forms.js';
import { FORMS } from './forms.js';
import type { Intent, Statement, Step, Way } from './program.js';

export type TransactionOptions = Extract<Step, { kind: 'transaction' }>['options'];

/** What a transaction's callback may do. */
export interface Within {
  readonly client: Asked;
  /** Joins by async context. */
  by(way: 'read' | 'write' | 'query'): Asked;
  nested<T>(fn: (within: Within) => Promise<T>): Promise<T>;
}

export interface World {
  /** Where a single statement is asked for. */
  door(way: Way): Asked;
  pool(intent: Intent): Pool;
  /** Asks for a read until it runs wherever it shall run in the end. */
  share(statement: Statement): Promise<'asked'>;
  transaction<T>(options: TransactionOptions, fn: (within: Within) => Promise<T>): Promise<T>;
  /** Connections that have not come back to where they belong, in words. */
  away(): string[];
  close(): Promise<void>;
}

/** Asks for a statement in the form that it has. */
export async function ask(to: Asked, { text, values, form, name }: Statement): Promise<unknown> {
  return await FORMS[form].ask(
    to,
    text,
    values?.map((value) => value.make()),
    name,
  );
}

export type HeldClient = PoolClient & {
  readonly processID: number | null;
  readonly _queryable: boolean;
  getTransactionStatus?(): string | null;
};

export function awayFrom(name: string, pool: Pick<Pool, 'totalCount' | 'idleCount' | 'waitingCount'>): string[] {
  const { totalCount, idleCount, waitingCount } = pool;
  if (totalCount === idleCount && waitingCount === 0) return [];
  return [`${name}: ${totalCount - idleCount} connections are out, ${waitingCount} wait for one`];
}
