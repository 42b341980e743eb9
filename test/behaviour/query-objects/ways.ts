/** All ways to run a query that is an object. */
import { setTimeout as elapsed } from 'node:timers/promises';
import type { Pool, PoolClient, QueryConfig, QueryResult } from 'pg';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import type { Cluster } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open, until } from '../fixture.js';

export const TEXT = 'select body from items where id = $1';

/** As one that hangs: it is none whose time matters. */
export const PATIENCE_MILLIS = 10_000;

export let servers: TestCluster;

export let cluster: Cluster;

export let pool: Pool;

export let writer: Pool;

/** Errors that nobody has caught. */
const uncaught: unknown[] = [];

const note = (error: unknown): void => {
  uncaught.push(error);
};

export type Run = (query: QueryConfig) => Promise<QueryResult>;

export async function within<T>(client: PoolClient, begin: string, run: () => Promise<T>): Promise<T> {
  await client.query(begin);
  try {
    return await run();
  } finally {
    await client.query('rollback').catch(() => undefined);
  }
}

export function outcome(run: Run, query: QueryConfig): Promise<unknown> {
  const answer = (async () => run(query))().then(
    ({ rows }) => rows as unknown,
    (error: unknown) => error,
  );
  return Promise.race([answer, elapsed(PATIENCE_MILLIS, 'no answer', { ref: false })]);
}

export function refuse(message: string): never {
  throw new Error(message);
}

export const ROWS = [{ body: 'item 1' }];

/** Starts the servers once a file, and finds what nobody caught. */
export function queriesByObjects(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    cluster = await open(servers);
    await cluster.write('create table items (id int primary key, body text)');
    await cluster.write(`insert into items select i, 'item ' || i from generate_series(1, 10) as i`);
    await servers.replicas[0]?.waitForReplay();
    await until('it is known to read', async () => (await cluster.explain(TEXT)).class === 'read');
    pool = cluster.pool();
    writer = cluster.pool({ intent: 'write' });
    process.prependListener('uncaughtException', note);
    process.prependListener('unhandledRejection', note);
  });
  afterEach(() => {
    expect(uncaught.splice(0)).toEqual([]);
  });
  afterAll(async () => {
    process.removeListener('uncaughtException', note);
    process.removeListener('unhandledRejection', note);
    await cluster.close();
    await servers.stop();
  });
}
