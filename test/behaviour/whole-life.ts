/** All that the library does by itself, once, as the role `app` of hostile-names: so that every statement of its own is sent. */
import pg from 'pg';
import { expect } from 'vitest';
import { replicationDiscovery } from '../../src/discovery/index.js';
import { type Cluster, type ClusterBehaviour, createCluster } from '../../src/index.js';
import { AdminQueries } from '../../src/nodes/admin-queries.js';
import { askSource } from '../../src/nodes/answer-source.js';
import { ControlConnection } from '../../src/nodes/control-connection.js';
import type { TestCluster, TestNode } from '../../src/testing/index.js';
import {
  changeStatements,
  listenStatements,
  ownStatements,
  statisticsStatements,
} from '../own-statements/own-statements.js';
import { until } from './fixture.js';

const NOTE = 'select at from app.notes where id operator(pg_catalog.=) $1';
const ID = '00000000-0000-0000-0000-000000000001';
const SLEEP = 'select pg_catalog.pg_sleep(60)';
/** How many statements it takes until a text goes to a shared connection. */
const TIMES = 8;

export function urlOf({ host, port, password }: TestNode, user: string, database = 'postgres'): string {
  return `postgres://${user}:${password}@${host}:${port}/${database}`;
}

/** All that the library does, on servers whose primary has been promoted once. */
export async function live(servers: TestCluster, options: ClusterBehaviour): Promise<void> {
  const primary = await servers.currentPrimary();
  const config = (node: TestNode): pg.ClientConfig => ({
    connectionString: urlOf(node, 'app'),
    application_name: 'of the app',
  });
  // However busy the machine is.
  const behaviour = { hangMillis: 5_000, waitMillis: 10_000, ...options };
  await using cluster = createCluster({
    primary: config(primary),
    replicas: [],
    discovery: replicationDiscovery({ node: ({ applicationName: name }) => ({ name, ...config(servers.primary) }) }),
    discoveryMillis: 20,
    ...behaviour,
  });
  await until('the replica is found', () => {
    const { nodes } = cluster.stats();
    return nodes.length === 2 && nodes.every(({ state }) => state === 'live');
  });
  const { lsn } = await use(cluster);
  for (const node of servers.nodes) await ask(config(node), node === primary, lsn);

  await using window = createCluster({ ...behaviour, primary: config(primary), tracking: 'window' });
  await window.ready();
  await window.read(NOTE, [ID]);

  await using flushed = createCluster({
    ...behaviour,
    nodes: [config(primary)],
    assumeSynchronousCommit: true,
    name: 'flushed',
  });
  await bringPosition(flushed);
}

/** While somebody asks where writes end, they bring it along. */
async function bringPosition(cluster: Cluster): Promise<void> {
  await until('a write brings its position along', async () => {
    await cluster.session(async (session) => {
      await cluster.write('update app.notes set at = localtimestamp where id operator(pg_catalog.=) $1', [ID]);
      await session.token();
    });
    return cluster.stats().riderCount > 0;
  });
}

async function use(cluster: Cluster): Promise<{ lsn: string }> {
  await cluster.write('insert into app.notes values ($1, localtimestamp) on conflict do nothing', [ID]);
  await bringPosition(cluster);
  for (let i = 0; i < TIMES; i++) await cluster.read(NOTE, [ID]);
  // On a busy machine the first ones may seem too slow to share a connection.
  await until('a connection is shared', async () => {
    await cluster.read(NOTE, [ID]);
    return cluster.stats().nodes.some(({ lane }) => lane.connectionCount > 0);
  });
  for (let i = 0; i < TIMES; i++) await cluster.query(NOTE, [ID]);
  const found = await cluster.explain('select at from app.moments');
  expect(found).toMatchObject({ class: 'read', because: 'nothing in it writes' });

  // From a replica to the primary, which must show as much.
  await cluster.session(async (session) => {
    await session.read(NOTE, [ID], { target: 'replica' });
    await session.read(NOTE, [ID], { target: 'primary' });
  });
  await cluster.transaction(async () => {
    await cluster.write('update app.notes set at = localtimestamp where id operator(pg_catalog.=) $1', [ID]);
    await cluster.transaction(() => cluster.read(NOTE, [ID]));
    await cluster.transaction(() => Promise.reject(new Error('of the application'))).catch(() => undefined);
  });
  await cluster.transaction(() => cluster.read(NOTE, [ID]), { readOnly: true });

  await expect(cluster.write(SLEEP, [], { signal: AbortSignal.timeout(50) })).rejects.toThrow();

  await hear(cluster);

  const pool = cluster.pool();
  await pool.query(NOTE, [ID]);
  const client = await pool.connect();
  await client.query('begin read only');
  await client.query(NOTE, [ID]);
  await client.query('commit');
  client.release();
  await pool.end();
  const reading = cluster.pool({ intent: 'read' });
  const reader = await reading.connect();
  await reader.query('begin');
  await reader.query(NOTE, [ID]);
  await reader.query('rollback');
  reader.release();
  await reading.end();

  const { rows } = await cluster.write<{ lsn: string }>(
    'select pg_catalog.concat(pg_catalog.pg_current_wal_insert_lsn()) as lsn',
  );
  return rows[0] as { lsn: string };
}

/** LISTEN and UNLISTEN. */
async function hear(cluster: Cluster): Promise<void> {
  await using other = cluster.listen('other');
  await other.ready;
  const heard = cluster.listen('heard');
  await heard.ready;
  await heard.return();
}

/** What the library asks now and then, as when a write was lost, or a floor lies above what is flushed. */
async function ask(config: pg.ClientConfig, isPrimary: boolean, lsn: string): Promise<void> {
  const pool = new pg.Pool(config);
  const control = new ControlConnection(pool, 5_000, () => undefined);
  const questions = new AdminQueries(control);
  const { identity } = await control.query<{ version: string }>(ownStatements['IDENTITY'] as string);
  await control.query(ownStatements['RECEIVED'] as string);
  const { next } = await questions.snapshot();
  expect(next > 0n).toBe(true);
  await questions.committedAmong([String(next - 1n)]);
  if (isPrimary)
    await questions.nudge(
      BigInt(`0x${lsn.replace(/\/(.*)/, (_, low: string) => low.padStart(8, '0'))}`),
      identity.version,
    );
  for (const isDirect of [true, false]) {
    const isOver = questions.whetherOver(identity, isDirect);
    await isOver();
    await isOver();
  }
  const bystander = await pool.connect();
  const source = await new Promise((resolve) => askSource(bystander, identity.server, resolve));
  expect(source).toMatchObject({
    source: { server: identity.server, settings: expect.stringMatching(/^[0-9a-f]{32}$/) },
  });
  await questions.running([(bystander as unknown as { processID: number }).processID]);
  questions.cancel((bystander as unknown as { processID: number }).processID);
  await questions.snapshot();
  bystander.release();
  await control.close();
  for (const text of Object.values({ ...changeStatements, ...listenStatements, ...statisticsStatements }))
    await askOnce(pool, text);
  await pool.end();
}

/** Each on a connection of its own. Some are for other versions, other servers or other roles. */
async function askOnce(pool: pg.Pool, text: string): Promise<void> {
  const values = [[['a']], ['[{"schema":"app","name":"notes"}]'], ['pg_ladder']];
  for (const given of text.includes('$1') ? values : [undefined]) {
    const client = await pool.connect();
    const hasAnswered = await client.query(text, given).then(
      () => true,
      () => false,
    );
    client.release(true);
    if (hasAnswered) return;
  }
}
