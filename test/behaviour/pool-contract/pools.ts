import { EventEmitter } from 'node:events';
import { type AddressInfo, connect as connectTo, createServer, type Server, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import pg, { type Pool, type PoolClient, type PoolConfig, type QueryResult } from 'pg';
import { afterAll, afterEach, beforeAll, describe } from 'vitest';
import { type Cluster, createCluster } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { until } from '../fixture.js';
/** Also what pg's types leave out. */
export type Options = Omit<PoolConfig, 'Client' | 'connectionString' | 'onConnect'> & Record<string, unknown>;

/** @param at the URL of the primary, by default the one of the test's servers */
export type Make = (options?: Options, at?: string) => Promise<Pool>;

export type Release = (reason?: unknown) => void;

/** A server between a pool and PostgreSQL. */
export interface Gate {
  readonly url: string;
  /** What happens to connections from now on; those that are open stay so. */
  mode: 'open' | 'silent' | 'resetting';
  /** Refuses connections from now on. */
  shut(): void;
}

export const root = fileURLToPath(new URL('../../..', import.meta.url));
/** How long a pool with replicas waits for another primary. */
export const NO_PRIMARY_MILLIS = 700;
export const RELEASED_TWICE = 'Release called on client which has already been released to the pool.';
export const READ = 'select body from items where id = 1';
export const WRITE = 'update items set body = body where id = 1';
export const NOWHERE = 'postgres://foo:bar@nowhere.invalid:1234/things';
export const AFTER_END = 'Cannot use a pool after calling end on the pool';

export let servers: TestCluster;
export let admin: pg.Client;
export const closing: (() => unknown)[] = [];

/** Gives back what a test that failed has kept, so that its pool can be ended. */
export function givesBack(pool: Pool): () => void {
  const held = new Set<PoolClient>();
  pool.on('acquire', (client) => held.add(client));
  pool.on('release', (_, client) => held.delete(client));
  return () => {
    for (const client of held) client.release(true);
  };
}

export const bare: Make = async (options, at = servers.primary.connectionString) => {
  const pool = new pg.Pool({ ...options, connectionString: at } as PoolConfig);
  const giveBack = givesBack(pool);
  // Without a listener, connections that tests break would end the process.
  pool.on('error', () => undefined);
  closing.push(async () => {
    giveBack();
    if (!pool.ending) await pool.end();
  });
  return pool;
};

export function facade(intent: 'auto' | 'write', replicaCount: number): Make {
  let shared: Promise<Cluster> | undefined;
  let count = 0;
  afterAll(async () => (await shared)?.close());

  async function open(options: Options | undefined, at: string): Promise<Cluster> {
    const types = options?.['types'] === undefined ? {} : { types: options['types'] };
    const cluster = createCluster({
      // Beside the shared one, which has the database's name.
      name: at === servers.primary.connectionString ? undefined : `at-${new URL(at).port}-${++count}`,
      primary: { ...options, connectionString: at } as PoolConfig,
      replicas: servers.replicas.slice(0, replicaCount).map(({ connectionString }) => ({ connectionString, ...types })),
      primaryWaitMillis: NO_PRIMARY_MILLIS,
      ...(process.env['LANE'] === 'off' ? { lane: false, namedStatements: false } : {}),
    });
    const isWorking = at === servers.primary.connectionString && options?.['Client'] !== Absent;
    // A replica lags while the primary has not flushed what somebody left undone.
    const isKnown = () => cluster.stats().nodes.every(({ state }) => state === 'live' || state === 'lagging');
    if (isWorking) await until('all are known', isKnown, 5_000);
    if (isWorking && intent === 'auto' && replicaCount > 0) {
      await until('it knows what only reads', async () => (await cluster.explain(READ)).class === 'read');
    }
    return cluster;
  }

  return async (options, at = servers.primary.connectionString) => {
    const isShared = options === undefined && at === servers.primary.connectionString;
    if (isShared) shared ??= open(undefined, at);
    const cluster = await (isShared ? (shared as Promise<Cluster>) : open(options, at));
    const pool = cluster.pool({ intent });
    const giveBack = givesBack(pool);
    closing.push(async () => {
      giveBack();
      if (!pool.ending) await pool.end();
      if (!isShared) await cluster.close();
    });
    return pool;
  };
}

/** A client for which there is no server. */
export class Absent extends EventEmitter {
  static readonly asked: unknown[] = [];
  constructor({ connectionString }: { connectionString: unknown }) {
    super();
    Absent.asked.push(connectionString);
  }
  connect(callback: (error: Error) => void): void {
    process.nextTick(callback, new Error('nobody there'));
  }
  end(callback?: () => void): void {
    callback?.();
  }
}

/** A client whose next connections are held up, or fail, as a test says. */
export class Troubled extends pg.Client {
  static readonly next: { afterMillis: number; error?: Error }[] = [];
  override connect(): never;
  override connect(callback?: unknown): never {
    const trouble = Troubled.next.shift();
    const goOn = () => super.connect(callback as () => void);
    if (trouble === undefined) return goOn() as never;
    const { afterMillis, error } = trouble;
    setTimeout(() => (error === undefined ? goOn() : (callback as (error: Error) => void)(error)), afterMillis);
    return undefined as never;
  }
}

export const wait = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));

/** What pg's types do not tell of a client. */
export const inside = (client: object) =>
  client as { processID: number | null; binary: boolean; pipeline: boolean; tag?: string; release: Release };

/** What `connect()` gives to its callback. */
export function taken(pool: Pool): Promise<[error: Error | undefined, client: PoolClient | undefined, done: Release]> {
  return new Promise((resolve) => pool.connect((...given) => resolve(given)));
}

/** What `query()` gives to its callback. */
export function answered(run: (callback: (error?: Error | null, result?: QueryResult) => void) => unknown) {
  return new Promise<{ error: Error | null | undefined; result: QueryResult | undefined; returned: unknown }>(
    (resolve) => {
      const returned: unknown = run((error, result) => setImmediate(() => resolve({ error, result, returned })));
    },
  );
}

export async function pidOf(client: PoolClient): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  return rows[0]?.pid as number;
}

export const isAlive = async (pid: number) =>
  (await admin.query('select from pg_stat_activity where pid = $1', [pid])).rowCount === 1;

export const kill = (pid: number) => admin.query('select pg_terminate_backend($1)', [pid]);

export const all = <T>(count: number, make: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => make(i)));

export async function gate(): Promise<Gate> {
  const { port } = servers.primary;
  const sockets = new Set<Socket>();
  const state: { mode: Gate['mode'] } = { mode: 'open' };
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined);
    sockets.add(socket);
    if (state.mode === 'resetting') socket.destroy();
    else if (state.mode === 'silent') socket.resume();
    else {
      const onward = connectTo(port, '127.0.0.1');
      sockets.add(onward);
      onward.on('error', () => socket.destroy());
      onward.on('close', () => socket.destroy());
      socket.on('close', () => onward.destroy());
      socket.pipe(onward).pipe(socket);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const gatePort = (server.address() as AddressInfo).port;
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    url: servers.primary.connectionString.replace(`:${port}/`, `:${gatePort}/`),
    get mode() {
      return state.mode;
    },
    set mode(mode) {
      state.mode = mode;
    },
    shut: () => void server.close(),
  };
}
/** Describes what pools do whose connect() opens a connection. */
export function eachConnectingPool(tests: (make: Make, kind: string) => void): void {
  describe.each([
    ['a bare pg.Pool', bare, 'bare'],
    ['the pool of a cluster without replicas', facade('auto', 0), 'alone'],
    ['a pool for writes of a cluster with replicas', facade('write', 2), 'write'],
  ])('%s', (_, make, kind) => tests(make, kind));
}

/** Describes what the pool of a cluster with replicas does, which takes a connection when a statement needs one. */
export function routingPool(tests: (make: Make, kind: string) => void): void {
  describe('a pool that routes, of a cluster with replicas', () => tests(facade('auto', 2), 'auto'));
}

/** Describes what every pool does. */
export function eachPool(tests: (make: Make, kind: string) => void): void {
  eachConnectingPool(tests);
  routingPool(tests);
}

/** Starts the servers once a file, and closes after each test what it has opened. */
export function comparesPools(): void {
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    admin = new pg.Client(servers.primary.connectionString);
    await admin.connect();
    await admin.query('create table items (id int primary key, body text)');
    await admin.query(`insert into items select i, 'item ' || i from generate_series(1, 300) as i`);
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(async () => {
    await admin.end();
    await servers.stop();
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
}
