/**
 * What pg-pool does, file by file of its own tests, held for `cluster.pool()` as for a bare `pg.Pool`: what fails for the bare one is a mistake of the test. Where
 * a pool of a cluster with replicas differs by intention, the second half says so.
 */
import { execFile } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { type AddressInfo, connect as connectTo, createServer, type Server, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { inspect, promisify } from 'node:util';
import pg, { type Pool, type PoolClient, type PoolConfig, type QueryResult } from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import QueryStream from 'pg-query-stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, createCluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { until } from './fixture.js';

/** Also what pg's types leave out. */
type Options = Omit<PoolConfig, 'Client' | 'connectionString' | 'onConnect'> & Record<string, unknown>;

/** @param at the URL of the primary, by default the one of the test's servers */
type Make = (options?: Options, at?: string) => Promise<Pool>;

type Release = (reason?: unknown) => void;

/** A server between a pool and PostgreSQL. */
interface Gate {
  readonly url: string;
  /** What happens to connections from now on; those that are open stay so. */
  mode: 'open' | 'silent' | 'resetting';
  /** Refuses connections from now on. */
  shut(): void;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
/** How long a pool with replicas waits for another primary. */
const NO_PRIMARY_MILLIS = 700;
const RELEASED_TWICE = 'Release called on client which has already been released to the pool.';
const READ = 'select body from items where id = 1';
const WRITE = 'update items set body = body where id = 1';
const NOWHERE = 'postgres://foo:bar@nowhere.invalid:1234/things';
const AFTER_END = 'Cannot use a pool after calling end on the pool';

let servers: TestCluster;
let admin: pg.Client;
const closing: (() => unknown)[] = [];

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

/** Gives back what a test that failed has kept, so that its pool can be ended. */
function givesBack(pool: Pool): () => void {
  const held = new Set<PoolClient>();
  pool.on('acquire', (client) => held.add(client));
  pool.on('release', (_, client) => held.delete(client));
  return () => {
    for (const client of held) client.release(true);
  };
}

const bare: Make = async (options, at = servers.primary.connectionString) => {
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

function facade(intent: 'auto' | 'write', replicaCount: number): Make {
  let shared: Promise<Cluster> | undefined;
  afterAll(async () => (await shared)?.close());

  async function open(options: Options | undefined, at: string): Promise<Cluster> {
    const types = options?.['types'] === undefined ? {} : { types: options['types'] };
    const cluster = createCluster({
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
class Absent extends EventEmitter {
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
class Troubled extends pg.Client {
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

const wait = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));

/** What pg's types do not tell of a client. */
const inside = (client: object) =>
  client as { processID: number | null; binary: boolean; pipeline: boolean; tag?: string; release: Release };

/** What `connect()` gives to its callback. */
function taken(pool: Pool): Promise<[error: Error | undefined, client: PoolClient | undefined, done: Release]> {
  return new Promise((resolve) => pool.connect((...given) => resolve(given)));
}

/** What `query()` gives to its callback. */
function answered(run: (callback: (error?: Error | null, result?: QueryResult) => void) => unknown) {
  return new Promise<{ error: Error | null | undefined; result: QueryResult | undefined; returned: unknown }>(
    (resolve) => {
      const returned: unknown = run((error, result) => setImmediate(() => resolve({ error, result, returned })));
    },
  );
}

async function pidOf(client: PoolClient): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  return rows[0]?.pid as number;
}

const isAlive = async (pid: number) =>
  (await admin.query('select from pg_stat_activity where pid = $1', [pid])).rowCount === 1;

const kill = (pid: number) => admin.query('select pg_terminate_backend($1)', [pid]);

const all = <T>(count: number, make: (i: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => make(i)));

async function gate(): Promise<Gate> {
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

/** What every pool does. */
function everyPool(make: Make): void {
  describe('the pool itself', () => {
    it('is a pg.Pool that has nothing open yet', async () => {
      const pool = await make();
      expect(pool).toBeInstanceOf(pg.Pool);
      expect(pool).toBeInstanceOf(EventEmitter);
      const { totalCount, idleCount, waitingCount, expiredCount, ending, ended } = pool;
      expect({ totalCount, idleCount, waitingCount, expiredCount, ending, ended }).toEqual({
        totalCount: 0,
        idleCount: 0,
        waitingCount: 0,
        expiredCount: 0,
        ending: false,
        ended: false,
      });
    });

    it('is called as pg’s own by its constructor, and so are its clients: tools tell them by that', async () => {
      const pool = await make();
      const client = await pool.connect();
      expect([pool.constructor.name, client.constructor.name]).toEqual(['BoundPool', 'Client']);
      client.release();
      const named = await make({ Client: Troubled });
      const own = await named.connect();
      expect([named.constructor.name, own.constructor.name]).toEqual(['BoundPool', 'Troubled']);
      own.release();
    });

    it('shows the password of its options to nobody who lists or prints them', async () => {
      const pool = await make({ password: 'open sesame' });
      expect((pool.options as PoolConfig).password).toBe('open sesame');
      expect(Object.keys(pool.options)).not.toContain('password');
      expect(inspect(pool, { depth: 10 })).not.toContain('open sesame');
    });

    it('shows the key of its TLS options to nobody who lists or prints them', async () => {
      const pool = await make({ ssl: { key: 'open sesame' } }, NOWHERE);
      const { ssl } = pool.options as { ssl: { key: string } };
      expect(ssl.key).toBe('open sesame');
      expect(Object.keys(ssl)).toEqual([]);
      expect(inspect(pool, { depth: 10 })).not.toContain('open sesame');
    });

    it('has pg-pool’s defaults for what it was not told', async () => {
      const { options } = await make();
      expect(options).toMatchObject({
        max: 10,
        min: 0,
        maxUses: Number.POSITIVE_INFINITY,
        allowExitOnIdle: false,
        maxLifetimeSeconds: 0,
        idleTimeoutMillis: 10_000,
      });
    });

    it('leaves the options that it was given as they were', async () => {
      const given = { max: 3, application_name: 'mine' };
      const pool = await make(given);
      (await pool.connect()).release();
      expect(given).toEqual({ max: 3, application_name: 'mine' });
      expect(pool.options.max).toBe(3);
    });

    it('hands its options on to its clients', async () => {
      const pool = await make({ binary: true, application_name: 'handed on' });
      const client = await pool.connect();
      expect(inside(client).binary).toBe(true);
      const { rows } = await client.query(`select current_setting('application_name') as name, 7 as seven`);
      expect(rows).toEqual([{ name: 'handed on', seven: 7 }]);
      client.release();
    });

    it('hands its connection string on to whatever class of clients it was given', async () => {
      Absent.asked.length = 0;
      const pool = await make({ Client: Absent }, NOWHERE);
      await expect(pool.query('insert into items values (0)')).rejects.toThrow('nobody there');
      expect(new Set(Absent.asked)).toEqual(new Set([NOWHERE]));
      expect(Absent.asked.length).toBeGreaterThan(0);
    });

    it('makes clients of the class that it was given, with the methods of that class', async () => {
      class Shouting extends pg.Client {
        readonly suffix = '!';
        shout(text: string): string {
          return text.toUpperCase() + this.suffix;
        }
      }
      const pool = await make({ Client: Shouting });
      const client = (await pool.connect()) as unknown as Shouting & PoolClient;
      expect(client.shout('hello')).toBe('HELLO!');
      expect(client.suffix).toBe('!');
      client.release();
    });

    it('answers with promises of the class that it was given', async () => {
      class Vow<T> extends Promise<T> {}
      const pool = await make({ Promise: Vow });
      const connecting = pool.connect();
      expect(connecting).toBeInstanceOf(Vow);
      const client = await connecting;
      const asking = client.query('select 1 as one');
      expect(asking).toBeInstanceOf(Vow);
      expect((await asking).rows).toEqual([{ one: 1 }]);
      client.release();
      const failing = pool.query('select nonsense');
      expect(failing).toBeInstanceOf(Vow);
      await expect(failing).rejects.toMatchObject({ code: '42703' });
      for (const text of [READ, WRITE, READ]) {
        const querying = pool.query(text);
        expect(querying).toBeInstanceOf(Vow);
        expect((await querying).rowCount).toBe(1);
      }
      const ending = pool.end();
      expect(ending).toBeInstanceOf(Vow);
      await ending;
      const late = [pool.connect(), pool.query('select 1'), pool.end()];
      for (const promise of late) expect(promise).toBeInstanceOf(Vow);
      expect((await Promise.allSettled(late)).map(({ status }) => status)).toEqual([
        'rejected',
        'rejected',
        'rejected',
      ]);
    });

    it('tells the log function that it was given what it does', async () => {
      const told: string[] = [];
      const pool = await make({ log: (message: string) => told.push(message), maxUses: 1 });
      told.length = 0;
      const client = await pool.connect();
      expect(told).toContain('connecting new client');
      expect(told).toContain('new client connected');
      expect(told).not.toContain('remove expended client');
      client.release();
      expect(told).toContain('remove expended client');
      await pool.end();
      expect(told).toContain('ending');
    });
  });

  describe('connect()', () => {
    it('gives a promise of a client that can be queried and released', async () => {
      const pool = await make();
      const client = await pool.connect();
      expect((await client.query('select $1::text as name', ['hi'])).rows).toEqual([{ name: 'hi' }]);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('gives its callback no error, the client and a function that releases it, and returns nothing', async () => {
      const pool = await make();
      let returned: unknown = 'something';
      const [error, client, done] = await new Promise<[unknown, PoolClient | undefined, Release]>((resolve) => {
        returned = pool.connect((...given) => resolve(given));
      });
      expect(returned).toBeUndefined();
      expect(error).toBeUndefined();
      expect(client && inside(client).release).toBe(done);
      const { result } = await answered((callback) => client?.query('select 3 as three', callback));
      expect(result?.rows).toEqual([{ three: 3 }]);
      expect(pool.idleCount).toBe(0);
      done();
      expect(pool.idleCount).toBe(1);
    });

    it('never calls back before it has returned, not even with an idle client at hand', async () => {
      const pool = await make();
      for (const idleBefore of [0, 1]) {
        expect(pool.idleCount).toBe(idleBefore);
        let isCalled = false;
        const calling = taken(pool).then(([, , done]) => {
          isCalled = true;
          done();
        });
        expect(isCalled).toBe(false);
        await calling;
        expect(isCalled).toBe(true);
      }
    });

    it('hands out the same client again when it is idle', async () => {
      const pool = await make();
      const first = await pool.connect();
      inside(first).tag = 'mine';
      first.release();
      const second = await pool.connect();
      expect(second).toBe(first);
      expect(inside(second).tag).toBe('mine');
      second.release();
      expect(pool.totalCount).toBe(1);
    });

    it('gives each client its own connection, and keeps what was set on it', async () => {
      const pool = await make();
      const clients = await all(3, () => pool.connect());
      for (const [i, client] of clients.entries()) {
        await client.query(`set app.number = '${i}'; create temporary table t${i} as select ${i} as n`);
      }
      for (const [i, client] of clients.entries()) {
        const { rows } = await client.query(`select current_setting('app.number') as number, n from t${i}`);
        expect(rows).toEqual([{ number: String(i), n: i }]);
      }
      expect(new Set(clients.map((client) => inside(client).processID)).size).toBe(3);
      for (const client of clients) client.release();
    });
  });

  describe('release()', () => {
    it('throws each time that it is called once more, whichever way', async () => {
      const pool = await make();
      const client = await pool.connect();
      client.release();
      expect(() => client.release()).toThrow(RELEASED_TWICE);
      expect(() => client.release(true)).toThrow(RELEASED_TWICE);
      const [, again, done] = await taken(pool);
      done();
      expect(() => done()).toThrow(RELEASED_TWICE);
      expect(() => again?.release()).toThrow(RELEASED_TWICE);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('with an old release function throws although the client has been handed out anew', async () => {
      const pool = await make({ max: 1 });
      const [, client, done] = await taken(pool);
      done();
      const again = await pool.connect();
      expect(again).toBe(client);
      expect(() => done()).toThrow(RELEASED_TWICE);
      again.release();
    });

    it.each([
      ['true', true],
      ['an error', new Error('I do not trust it')],
    ])('with %s closes the connection, and the next client is another one', async (_, reason) => {
      const pool = await make({ max: 1 });
      const removed: PoolClient[] = [];
      pool.on('remove', (client) => removed.push(client));
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      const pid = inside(client).processID as number;
      expect(pid).toBeGreaterThan(0);
      client.release(reason);
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
      await until('its connection is closed', async () => removed.length === 1 && !(await isAlive(pid)));
      expect(removed).toEqual([client]);
      const next = await pool.connect();
      expect(next).not.toBe(client);
      next.release();
    });

    it('of a client that is ending removes it, and the pool works on', async () => {
      const pool = await make({ max: 1 });
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      const ending = client.end();
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
      await ending;
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    });

    it('of a client whose connection was lost removes it, and the pool works on', async () => {
      const pool = await make({ max: 1 });
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      // Pg tells twice: of the server's last word, and of the socket's end.
      const failing = new Promise((resolve) => client.on('error', resolve));
      await kill(inside(client).processID as number);
      expect(await failing).toBeInstanceOf(Error);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
      await expect(client.query('select from mine')).rejects.toThrow(
        'Client has encountered a connection error and is not queryable',
      );
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
      expect((await pool.query('insert into items values (-1)')).rowCount).toBe(1);
      expect(pool.totalCount).toBe(1);
      await pool.query('delete from items where id = -1');
    });
  });

  describe('sizing', () => {
    it('lets those wait for whom there is no room, and serves them in their order', async () => {
      const pool = await make({ max: 1 });
      const client = await pool.connect();
      const order: number[] = [];
      const waiting = all(3, (i) =>
        pool.connect().then((next) => {
          order.push(i);
          expect(next).toBe(client);
          next.release();
        }),
      );
      expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 0, 3]);
      client.release();
      await waiting;
      expect(order).toEqual([0, 1, 2]);
      expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([1, 1, 0]);
    });

    it('opens as many connections as poolSize says, and no more', async () => {
      const pool = await make({ poolSize: 4 });
      expect(pool.options.max).toBe(4);
      const names = await all(15, async (i) => {
        const client = await pool.connect();
        const { rows } = await client.query('select $1::int as i', [i]);
        client.release();
        return rows[0].i;
      });
      expect(names).toEqual(Array.from({ length: 15 }, (_, i) => i));
      expect(pool.totalCount).toBe(4);
    });

    it('sends one statement at a time over one connection', async () => {
      const pool = await make({ max: 1, application_name: 'one at a time' });
      const text = `update items set body = body where id = 2 returning (
        select count(*)::int from pg_stat_activity where application_name = 'one at a time' and state = 'active') as n`;
      const results = await all(10, () => pool.query(text));
      expect(results.map(({ rows }) => rows[0].n)).toEqual(Array(10).fill(1));
      expect(pool.totalCount).toBe(1);
    });

    it('keeps min clients however long they idle', async () => {
      const pool = await make({ max: 2, min: 2, idleTimeoutMillis: 10 });
      const clients = [await pool.connect(), await pool.connect()];
      for (const client of clients) {
        client.release();
        await wait(25);
      }
      expect([pool.totalCount, pool.idleCount]).toEqual([2, 2]);
    });

    it.each([
      ['one after the other', 20],
      ['at the same time', 0],
    ])('removes idle clients above min, and not more, when they are released %s', async (_, millis) => {
      const pool = await make({ max: 2, min: 1, idleTimeoutMillis: 10 });
      const clients = [await pool.connect(), await pool.connect()];
      expect(pool.totalCount).toBe(2);
      for (const client of clients) {
        client.release();
        if (millis > 0) await wait(millis);
      }
      await wait(40);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it.each([
      ['maxUses', { maxUses: 1 }],
      ['maxLifetimeSeconds', { maxLifetimeSeconds: 0.05 }],
    ])('removes a client for %s even when that leaves fewer than min', async (_, options) => {
      const pool = await make({ max: 1, min: 1, ...options });
      (await pool.connect()).release();
      await until('it is gone', () => pool.totalCount === 0, 1_000);
      expect(pool.idleCount).toBe(0);
    });
  });

  describe('idleTimeoutMillis', () => {
    it('removes a client that idled for so long', async () => {
      const pool = await make({ idleTimeoutMillis: 20 });
      const removed = new Promise((resolve) => pool.on('remove', resolve));
      const client = await pool.connect();
      client.release();
      expect(pool.idleCount).toBe(1);
      expect(await removed).toBe(client);
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
    });

    it('removes it also when another one was thrown away meanwhile', async () => {
      const pool = await make({ idleTimeoutMillis: 20 });
      const removed: PoolClient[] = [];
      pool.on('remove', (client) => removed.push(client));
      const [idle, broken] = [await pool.connect(), await pool.connect()];
      idle.release();
      broken.release(new Error('broken'));
      await until('both are gone', () => removed.length === 2, 1_000);
      expect(new Set(removed)).toEqual(new Set([idle, broken]));
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
    });

    it('makes room for new clients, again and again', async () => {
      const pool = await make({ idleTimeoutMillis: 1 });
      for (let i = 0; i < 5; i++) {
        const updating = pool.query(`update items set body = body where id = 3`);
        expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
        expect((await updating).rowCount).toBe(1);
        await until('it is gone', () => pool.totalCount === 0, 1_000);
      }
    });

    it('does not touch a client that is in use', async () => {
      const pool = await make({ idleTimeoutMillis: 10 });
      for (let i = 0; i < 3; i++) {
        const client = await pool.connect();
        await wait(25);
        expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
        expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
        client.release();
        expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
      }
    });

    it('of 0 keeps idle clients', async () => {
      const pool = await make({ idleTimeoutMillis: 0 });
      (await pool.connect()).release();
      await wait(30);
      expect(pool.idleCount).toBe(1);
    });
  });

  describe('maxLifetimeSeconds', () => {
    it('removes an idle client when its time is over', async () => {
      const pool = await make({ maxLifetimeSeconds: 0.05 });
      const removed = new Promise((resolve) => pool.on('remove', resolve));
      const client = await pool.connect();
      client.release();
      expect(pool.totalCount).toBe(1);
      expect(await removed).toBe(client);
      expect([pool.totalCount, pool.expiredCount]).toEqual([0, 0]);
    });

    it('lets a client that is in use finish, counts it as expired, and removes it afterwards', async () => {
      const pool = await make({ maxLifetimeSeconds: 0.05 });
      const client = await pool.connect();
      expect(pool.expiredCount).toBe(0);
      await client.query('select pg_sleep(0.09)');
      expect([pool.totalCount, pool.expiredCount]).toEqual([1, 1]);
      client.release();
      expect([pool.totalCount, pool.expiredCount]).toEqual([0, 0]);
      const next = await pool.connect();
      expect(next).not.toBe(client);
      expect([pool.totalCount, pool.expiredCount]).toEqual([1, 0]);
      next.release();
    });
  });

  describe('maxUses', () => {
    it('closes a client that was used so often, and then opens another one', async () => {
      const pool = await make({ maxUses: 2 });
      const first = await pool.connect();
      await first.query('create temporary table mine ()');
      const pid = inside(first).processID as number;
      first.release();
      const second = await pool.connect();
      expect(second).toBe(first);
      expect(await isAlive(pid)).toBe(true);
      second.release();
      expect(pool.totalCount).toBe(0);
      await until('its connection is closed', async () => !(await isAlive(pid)));
      const third = await pool.connect();
      expect(third).not.toBe(first);
      third.release();
    });

    it('gives those who wait a new client when the one that they waited for is used up', async () => {
      const pool = await make({ max: 1, maxUses: 2 });
      const first = await pool.connect();
      const [second, third] = [pool.connect(), pool.connect()];
      expect(pool.waitingCount).toBe(2);
      first.release();
      expect(await second).toBe(first);
      expect(pool.waitingCount).toBe(1);
      (await second).release();
      expect(await third).not.toBe(first);
      expect(pool.waitingCount).toBe(0);
      (await third).release();
    });
  });

  describe('errors', () => {
    it('of statements reach who asked, as pg’s own, and cost the pool nothing', async () => {
      const pool = await make({ max: 2 });
      const errors = await all(12, () => pool.query(`select 'asd' + 1`).catch((error: unknown) => error));
      expect(errors).toHaveLength(12);
      for (const error of errors) {
        expect(error).toBeInstanceOf(pg.DatabaseError);
        expect(error).toMatchObject({ code: '22P02', severity: 'ERROR' });
      }
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    });

    it('of twenty statements in a row leave a pool of one working', async () => {
      const pool = await make({ max: 1 });
      const codes: string[] = [];
      for (let i = 0; i < 20; i++)
        await pool.query('not sql').catch(({ code }: pg.DatabaseError) => codes.push(code ?? ''));
      expect(codes).toEqual(Array(20).fill('42601'));
      expect(pool.waitingCount).toBe(0);
      expect((await pool.query('select $1::text as name', ['hi'])).rows).toEqual([{ name: 'hi' }]);
    });

    it('tell in their stack who asked', async () => {
      const pool = await make();
      async function whoAsks(): Promise<void> {
        await pool.query('select nonsense from items');
      }
      const error = await whoAsks().catch((reason: unknown) => reason);
      expect((error as Error).stack).toContain('whoAsks');
    });

    it('are what query(null) and query(undefined) get, as a rejection', async () => {
      const pool = await make();
      for (const nothing of [null, undefined]) {
        await expect(pool.query(nothing as unknown as string)).rejects.toThrow(
          'Client was passed a null or undefined query',
        );
        expect(pool.totalCount).toBe(0);
      }
      const { error, returned } = await answered((callback) => pool.query(null as unknown as string, callback));
      expect(error).toBeInstanceOf(TypeError);
      expect(returned).toBeUndefined();
    });

    it('are what a function in place of a statement gets, later', async () => {
      const pool = await make();
      const { error, returned } = await answered((callback) => pool.query(callback as unknown as string));
      expect(error?.message).toBe('Passing a function as the first parameter to pool.query is not supported');
      expect(returned).toBeUndefined();
      expect(pool.totalCount).toBe(0);
    });

    it('of an idle client remove it, and reach the pool’s listeners with it', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      inside(client).tag = 'the idle one';
      const pid = inside(client).processID as number;
      client.release();
      const told = new Promise<[Error, PoolClient]>((resolve) => pool.on('error', (...args) => resolve(args)));
      await kill(pid);
      const [error, whose] = await told;
      expect(error).toMatchObject({ code: '57P01' });
      expect(whose).toBe(client);
      expect((error as Error & { client?: { tag?: string } }).client?.tag).toBe('the idle one');
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
    });

    it('of an idle client are told once, and so is its removal', async () => {
      const pool = await make();
      const told: string[] = [];
      for (const event of ['error', 'remove'] as const) pool.on(event, () => told.push(event));
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      client.on('end', () => told.push('end'));
      client.release();
      await kill(inside(client).processID as number);
      await until('it has ended', () => told.includes('end') && told.includes('remove'), 1_000);
      await wait(5);
      expect(told.sort()).toEqual(['end', 'error', 'remove']);
    });

    it('that an idle client emits reach its own listeners, too', async () => {
      const pool = await make();
      const client = await pool.connect();
      client.release();
      const told: unknown[] = [];
      pool.on('error', (error, whose) => told.push('pool', error, whose));
      client.on('error', (error) => told.push('client', error));
      const error = new Error('as expected');
      client.emit('error', error);
      expect(told).toEqual(['pool', error, client, 'client', error]);
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
    });

    it('of a client in use reach its listeners and not the pool’s, and leave it in the pool', async () => {
      const pool = await make();
      const client = await pool.connect();
      const told: unknown[] = [];
      pool.on('error', () => told.push('pool'));
      client.on('error', (error) => told.push('client', error));
      const error = new Error('as expected');
      client.emit('error', error);
      expect(told).toEqual(['client', error]);
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('reach who asked when the connection is lost under query()', async () => {
      const pool = await make({ max: 1, application_name: 'lost under way' });
      const failing = pool.query('update items set body = body where id = 4 and pg_sleep(20) is null');
      const { error } = await answered((callback) => {
        failing.catch(callback);
        void until('it runs', async () => {
          const { rows } = await admin.query<{ pid: number }>(
            `select pid from pg_stat_activity where application_name = 'lost under way' and query like 'update items%'`,
          );
          if (rows[0] !== undefined) await kill(rows[0].pid);
          return rows[0] !== undefined;
        });
      });
      expect(error).toMatchObject({ code: '57P01' });
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    });
  });

  describe('end()', () => {
    it('of a pool that was never used resolves, or calls back, and says so', async () => {
      const pool = await make();
      const ending = pool.end();
      expect(pool.ending).toBe(true);
      expect(await ending).toBeUndefined();
      expect(pool.ended).toBe(true);
      const other = await make();
      const { returned, error } = await answered((callback) => other.end(callback));
      expect([returned, error, other.ended]).toEqual([undefined, undefined, true]);
    });

    it('lets statements finish that were asked for before', async () => {
      const pool = await make({ max: 20 });
      let count = 0;
      for (let i = 0; i < 20; i++) {
        void pool.query('update items set body = body where id = $1', [i + 100]).then(() => count++);
      }
      await pool.end();
      expect(count).toBe(20);
      expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([0, 0, 0]);
    });

    it('waits for the clients that are out', async () => {
      const pool = await make();
      const client = await pool.connect();
      const idle = await pool.connect();
      idle.release();
      let isEnded = false;
      const ending = pool.end().then(() => {
        isEnded = true;
      });
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      await wait(10);
      expect([pool.ending, pool.ended, isEnded, pool.totalCount]).toEqual([true, false, false, 1]);
      client.release();
      await ending;
      expect([pool.ended, pool.totalCount]).toEqual([true, 0]);
    });

    it('waits for a connection that is being opened, and for whom it is', async () => {
      const pool = await make();
      const connecting = pool.connect();
      const querying = pool.query(WRITE);
      const ending = pool.end();
      expect(pool.totalCount).toBe(2);
      const client = await connecting;
      expect((await client.query(WRITE)).rowCount).toBe(1);
      expect((await querying).rowCount).toBe(1);
      expect(pool.ended).toBe(false);
      client.release();
      await ending;
      expect([pool.ended, pool.totalCount]).toEqual([true, 0]);
    });

    it('closes the connections', async () => {
      const pool = await make();
      const clients = await all(2, () => pool.connect());
      for (const client of clients) await client.query('create temporary table mine ()');
      const pids = clients.map((client) => inside(client).processID as number);
      for (const client of clients) client.release();
      expect(await Promise.all(pids.map(isAlive))).toEqual([true, true]);
      await pool.end();
      await until('they are closed', async () => !(await Promise.all(pids.map(isAlive))).includes(true));
    });

    it('refuses everything after it, in pg-pool’s words', async () => {
      const pool = await make();
      await pool.end();
      await expect(pool.connect()).rejects.toThrow(AFTER_END);
      await expect(pool.query('select 1')).rejects.toThrow(AFTER_END);
      await expect(pool.query('select body from items')).rejects.toThrow(AFTER_END);
      await expect(pool.end()).rejects.toThrow('Called end on pool more than once');
      const [error, client] = await taken(pool);
      expect(error?.message).toBe(AFTER_END);
      expect(client).toBeUndefined();
      const querying = await answered((callback) => pool.query('select body from items', callback));
      expect(querying.error?.message).toBe(AFTER_END);
      const ending = await answered((callback) => pool.end(callback));
      expect(ending.error?.message).toBe('Called end on pool more than once');
    });
  });

  describe('events', () => {
    it('acquire comes each time that a client is taken', async () => {
      const pool = await make({ max: 3 });
      const seen: PoolClient[] = [];
      pool.on('acquire', (client) => seen.push(client));
      await all(10, async () => (await pool.connect()).release());
      await all(10, () => pool.query('update items set body = body where id = 5'));
      expect(seen).toHaveLength(20);
      expect(new Set(seen).size).toBeLessThanOrEqual(3);
    });

    it('release comes each time that one is given back, with the reason first', async () => {
      const pool = await make({ max: 3 });
      const seen: [unknown, PoolClient][] = [];
      pool.on('release', (...given) => seen.push(given));
      await all(10, async () => (await pool.connect()).release());
      await all(10, () => pool.query('update items set body = body where id = 5'));
      expect(seen).toHaveLength(20);
      for (const [error, client] of seen) {
        expect(error).not.toBeInstanceOf(Error);
        expect(inside(client).release).toBeTypeOf('function');
      }
      const client = await pool.connect();
      const reason = new Error('I do not like it');
      client.release(reason);
      expect(seen.at(-1)).toEqual([reason, client]);
    });

    it('connect does not come for a client that could not connect', async () => {
      const pool = await make({ Client: Absent });
      let count = 0;
      pool.on('connect', () => count++);
      await expect(pool.query('insert into items values (0)')).rejects.toThrow('nobody there');
      expect([count, pool.totalCount]).toEqual([0, 0]);
    });

    it('remove comes when the connection is closed', async () => {
      const pool = await make();
      const removing = new Promise((resolve) => pool.on('remove', resolve));
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      let isClosed = false;
      client.on('end', () => {
        isClosed = true;
      });
      client.release(true);
      expect(await removing).toBe(client);
      await until('its own end is told', () => isClosed, 1_000);
    });
  });

  describe('query()', () => {
    it('takes a text, values, and both as one', async () => {
      const pool = await make();
      const values = [7, 'x'];
      const text = 'select $1::int as n, $2::text as t';
      const row = { n: 7, t: 'x' };
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      expect((await pool.query(text, values)).rows).toEqual([row]);
      expect((await pool.query({ text, values })).rows).toEqual([row]);
      expect((await pool.query({ text }, values)).rows).toEqual([row]);
      expect((await pool.query({ text, values: [0, ''] }, values)).rows).toEqual([row]);
      class Template {
        readonly values = values;
        get text(): string {
          return text;
        }
      }
      expect((await pool.query(new Template())).rows).toEqual([row]);
    });

    it('calls back instead of giving a promise, with and without values', async () => {
      const pool = await make();
      for (const run of [
        (callback: never) => pool.query('select 1 as one', callback),
        (callback: never) => pool.query('select $1::int as one', [1], callback),
        (callback: never) => pool.query({ text: 'select $1::int as one', values: [1] }, callback),
        (callback: never) => pool.query(READ, callback),
        (callback: never) => pool.query(READ, [], callback),
        (callback: never) => pool.query(READ, undefined as never, callback),
      ]) {
        const { error, result, returned } = await answered((callback) => run(callback as never));
        expect(returned).toBeUndefined();
        expect(error).toBeUndefined();
        expect(result?.rowCount).toBe(1);
      }
      for (const text of ['select nonsense', 'select nonsense from items', 'delete from nothing']) {
        const { error, result } = await answered((callback) => pool.query(text, callback));
        expect(error).toBeInstanceOf(pg.DatabaseError);
        expect(result).toBeUndefined();
      }
    });

    it('prefers its promise to a callback within the config, which is not called', async () => {
      const pool = await make();
      const called: unknown[] = [];
      for (const text of [READ, WRITE]) {
        const config = { text, callback: (...given: unknown[]) => called.push(given) };
        for (let i = 0; i < 2; i++) expect((await pool.query(config))?.rowCount).toBe(1);
      }
      expect(called).toEqual([]);
    });

    it('gives pg’s results: rows, rowCount, command, fields', async () => {
      const pool = await make();
      for (const text of [READ, READ, WRITE]) {
        const result = await pool.query(text);
        expect(result).toBeInstanceOf((pg as unknown as { Result: new () => object }).Result);
        expect(result.oid).toBeNull();
      }
      const selected = await pool.query('select id, body from items where id <= 2 order by id');
      expect(selected).toMatchObject({
        command: 'SELECT',
        rowCount: 2,
        rows: [
          { id: 1, body: 'item 1' },
          { id: 2, body: 'item 2' },
        ],
      });
      expect(selected.fields.map(({ name, dataTypeID }) => [name, dataTypeID])).toEqual([
        ['id', 23],
        ['body', 25],
      ]);
      expect(await pool.query('update items set body = body where id <= 3')).toMatchObject({
        command: 'UPDATE',
        rowCount: 3,
        rows: [],
      });
      expect(await pool.query('')).toMatchObject({ rows: [] });
      const several = (await pool.query('select 1 as a; select 2 as b')) as unknown as QueryResult[];
      expect(several.map(({ rows }) => rows)).toEqual([[{ a: 1 }], [{ b: 2 }]]);
    });

    it('gives rows as arrays on request', async () => {
      const pool = await make();
      const ask = { text: 'select id, body from items where id = $1', rowMode: 'array' as const };
      expect((await pool.query(ask, [3])).rows).toEqual([[3, 'item 3']]);
      const client = await pool.connect();
      expect((await client.query({ ...ask, values: [4] })).rows).toEqual([[4, 'item 4']]);
      client.release();
    });

    it('runs named statements again, and refuses another text under their name', async () => {
      const pool = await make({ max: 1 });
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      const ask = { name: 'named', text: 'update items set body = body where id = $1 returning id' };
      for (const id of [1, 2, 3]) expect((await client.query({ ...ask, values: [id] })).rows).toEqual([{ id }]);
      const { rows } = await client.query(`select count(*)::int as n from pg_prepared_statements where name = 'named'`);
      expect(rows).toEqual([{ n: 1 }]);
      await expect(client.query({ name: 'named', text: 'select 2' })).rejects.toThrow(/must be unique/);
      client.release();
      for (const id of [4, 5]) {
        const read = { name: 'read', text: 'select body from items where id = $1', values: [id] };
        expect((await pool.query(read)).rows).toEqual([{ body: `item ${id}` }]);
      }
    });

    it.each([
      ['reads', 'select id from items where id = $1'],
      ['writes', 'update items set body = body where id = $1 returning id'],
    ])('runs a named statement that %s by its name alone once its client has run it', async (_, text) => {
      const pool = await make();
      const client = await pool.connect();
      expect((await client.query({ name: 'alone', text, values: [1] })).rows).toEqual([{ id: 1 }]);
      const again = { name: 'alone', values: [2] } as unknown as { text: string };
      expect((await client.query(again)).rows).toEqual([{ id: 2 }]);
      client.release();
    });

    it('parses by the types of one query', async () => {
      const types = { getTypeParser: () => (value: string) => `parsed ${value}` } as unknown as typeof pg.types;
      const pool = await make();
      for (const text of ['select id from items where id = 1', 'update items set id = id where id = 1 returning id']) {
        for (let i = 0; i < 2; i++) {
          expect((await pool.query({ text, types })).rows).toEqual([{ id: 'parsed 1' }]);
          expect((await pool.query(text)).rows).toEqual([{ id: 1 }]);
        }
      }
    });

    it.each([
      ['numbers of 64 bits', [20]],
      ['numbers, truth values and texts', [16, 20, 23, 25]],
    ])('parses by the types of the pool, where those have their own way with %s', async (_, oids) => {
      const getTypeParser = ((oid: number, format: 'text') =>
        oids.includes(oid) ? (value: string) => `parsed ${value}` : pg.types.getTypeParser(oid, format)) as never;
      const pool = await make({ types: { getTypeParser } });
      const client = await pool.connect();
      const text = `select true as "16", 1::int8 as "20", 2::int4 as "23", 'x'::text as "25"`;
      const usual = { 16: true, 20: '1', 23: 2, 25: 'x' };
      const own = { 16: 'parsed t', 20: 'parsed 1', 23: 'parsed 2', 25: 'parsed x' };
      const expected = Object.fromEntries(
        Object.entries(usual).map(([oid, value]) => [
          oid,
          oids.includes(Number(oid)) ? own[Number(oid) as keyof typeof own] : value,
        ]),
      );
      expect((await client.query(text)).rows).toEqual([expected]);
      client.release();
      for (let i = 0; i < 2; i++) expect((await pool.query(text)).rows).toEqual([expected]);
    });

    it('writes JavaScript values as pg does', async () => {
      const pool = await make();
      const at = new Date('2020-02-02T02:02:02.000Z');
      const text =
        'select $1::timestamptz as at, $2::bytea as raw, $3::jsonb as doc, $4::int[] as list, $5::text as none';
      const values = [at, Buffer.from('raw'), { a: [1] }, [1, 2, null], undefined];
      const { rows } = await pool.query(text, values);
      expect(rows).toEqual([{ at, raw: Buffer.from('raw'), doc: { a: [1] }, list: [1, 2, null], none: null }]);
      const own = { toPostgres: () => 'own way' };
      expect((await pool.query('select $1::text as own', [own])).rows).toEqual([{ own: 'own way' }]);
      const broken = {
        toPostgres: () => {
          throw new Error('cannot be written');
        },
      };
      await expect(pool.query('select $1::text as own', [broken])).rejects.toThrow('cannot be written');
      await expect(pool.query('update items set body = $1', [broken])).rejects.toThrow('cannot be written');
    });

    it('says in pg’s words what it cannot run', async () => {
      const pool = await make();
      await expect(pool.query({} as { text: string })).rejects.toThrow(
        'A query must have either text or a name. Supplying neither is unsupported.',
      );
      for (const text of ['select $1::text as name', READ]) {
        await expect(pool.query(text, 'x' as unknown as string[])).rejects.toThrow('Query values must be an array');
      }
      expect((await pool.query(READ)).rowCount).toBe(1);
    });

    it('hands binary values to the parsers of a query that asks for them', async () => {
      const pool = await make();
      const types = {
        getTypeParser: (oid: number, format: string) => (raw: Buffer) => [oid, format, raw.toString('hex')],
      };
      const ask = { text: 'select id from items where id = $1', values: [258], binary: true, types };
      for (let i = 0; i < 2; i++) {
        expect((await pool.query(ask as unknown as { text: string })).rows).toEqual([
          { id: [23, 'binary', '00000102'] },
        ]);
      }
    });

    it('gives up every statement after the query_timeout of the pool', async () => {
      const pool = await make({ query_timeout: 60 });
      const text = 'update items set body = body where id = 8 and pg_sleep(0.4) is null';
      await expect(pool.query(text)).rejects.toThrow('Query read timeout');
      const client = await pool.connect();
      await expect(client.query(text)).rejects.toThrow('Query read timeout');
      client.release(true);
      expect((await pool.query(WRITE)).rowCount).toBe(1);
    });

    it('lets what a callback throws be known', async () => {
      const pool = await make();
      const client = await pool.connect();
      const others = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      try {
        for (const text of [READ, READ, WRITE]) {
          for (const from of [pool, client]) {
            const thrown = new Promise((resolve) => process.once('uncaughtException', resolve));
            const error = new Error('thrown by a callback');
            from.query(text, () => {
              throw error;
            });
            expect(await thrown).toBe(error);
          }
        }
      } finally {
        for (const other of others) process.on('uncaughtException', other);
      }
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
    });

    it('gives up a statement after its query_timeout, in pg’s words', async () => {
      const pool = await make();
      const text = 'update items set body = body where id = 6 and pg_sleep(0.3) is null';
      await expect(pool.query({ text, query_timeout: 20 } as { text: string })).rejects.toThrow('Query read timeout');
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    });

    it('runs a pg.Query, and answers with its result', async () => {
      const pool = await make();
      const result = await (pool.query(new pg.Query('select 8 as eight')) as unknown as Promise<QueryResult>);
      expect(result.rows).toEqual([{ eight: 8 }]);
      expect(pool.idleCount).toBe(1);
    });
  });

  describe('a client', () => {
    it('is one of pg’s', async () => {
      const pool = await make();
      const client = await pool.connect();
      expect(client).toBeInstanceOf(EventEmitter);
      expect(client).toBeInstanceOf(pg.Client);
      client.release();
    });

    it('tells where it is connected to', async () => {
      const pool = await make();
      const client = await pool.connect();
      const { hostname, port, username, pathname } = new URL(servers.primary.connectionString);
      expect([client.host, client.port, client.user, client.database]).toEqual([
        hostname,
        Number(port),
        username,
        pathname.slice(1),
      ]);
      client.release();
    });

    it('shows the password to nobody who prints it', async () => {
      const pool = await make();
      const client = await pool.connect();
      const { password } = servers.primary;
      expect((client as unknown as { password: string }).password).toBe(password);
      expect(Object.keys(client)).not.toContain('password');
      expect(inspect(client, { depth: 3 })).not.toContain(password);
      client.release();
    });

    it('knows the process that serves it', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      expect(inside(client).processID).toBe(await pidOf(client));
      client.release();
    });

    it('tells whether it is in a transaction, and whether that has failed', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      expect(client.getTransactionStatus()).toBe('I');
      await client.query('begin');
      expect(client.getTransactionStatus()).toBe('T');
      await expect(client.query('select nonsense')).rejects.toMatchObject({ code: '42703' });
      // The error is told ahead of what the server says of its state.
      await until('it knows', () => client.getTransactionStatus() === 'E', 1_000);
      await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
      await client.query('rollback');
      expect(client.getTransactionStatus()).toBe('I');
      client.release();
    });

    it('commits and rolls back', async () => {
      const pool = await make();
      const client = await pool.connect();
      const count = async () => (await client.query('select from items where id in (-10, -11)')).rowCount;
      await client.query('begin');
      await client.query('insert into items values (-10)');
      expect(await count()).toBe(1);
      await client.query('rollback');
      expect(await count()).toBe(0);
      await client.query('begin');
      await client.query('insert into items values (-11)');
      await client.query('commit');
      expect(await count()).toBe(1);
      await client.query('delete from items where id = -11');
      client.release();
    });

    it('runs what is sent without waiting in its order', async () => {
      const pool = await make();
      const client = await pool.connect();
      const texts = [
        'create temporary table steps (n int)',
        'insert into steps values (1)',
        'select count(*)::int as n from steps',
        'insert into steps values (2)',
        'select count(*)::int as n from steps',
        'select body from items where id = 9',
      ];
      const order: number[] = [];
      const results = await Promise.all(
        texts.map((text, i) =>
          client.query(text).then((result) => {
            order.push(i);
            return result.rows[0];
          }),
        ),
      );
      expect(results).toEqual([undefined, undefined, { n: 1 }, undefined, { n: 2 }, { body: 'item 9' }]);
      expect(order).toEqual([0, 1, 2, 3, 4, 5]);
      client.release();
    });

    it('calls back with null for no error, also by a callback within the config', async () => {
      const pool = await make();
      const client = await pool.connect();
      for (const text of ['select body from items where id = $1', 'update items set body = body where id = $1']) {
        const given = await answered((callback) => client.query(text, [1], callback));
        const within = await answered((callback) =>
          client.query({ text, values: [1], callback } as { text: string; values: number[] }),
        );
        for (const { error, result, returned } of [given, within]) {
          expect([error, result?.rowCount, returned]).toEqual([null, 1, undefined]);
        }
      }
      const { error, result } = await answered((callback) => client.query('select nonsense', callback));
      expect(error).toMatchObject({ code: '42703' });
      expect(result).toBeUndefined();
      client.release();
    });

    it('throws at once when it is given nothing to run, or no function to call', async () => {
      const pool = await make();
      const client = await pool.connect();
      expect(() => client.query(null as unknown as string)).toThrow('Client was passed a null or undefined query');
      expect(() => client.query('select 1', [], 'no function' as never)).toThrow('callback is not a function');
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
    });

    it('refuses to connect a second time', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      const message = 'Client has already been connected. You cannot reuse a client.';
      await expect(client.connect()).rejects.toThrow(message);
      const { error } = await answered((callback) => client.connect(callback));
      expect(error?.message).toBe(message);
      expect((await client.query('select from mine')).rowCount).toBe(0);
      client.release();
    });

    it('hears notices', async () => {
      const pool = await make();
      const client = await pool.connect();
      const heard = new Promise<{ message: string | undefined }>((resolve) => client.on('notice', resolve));
      await client.query(`do $$ begin raise notice 'by the way'; end $$`);
      expect((await heard).message).toBe('by the way');
      client.release();
    });

    it('hears notifications while it listens', async () => {
      const pool = await make();
      const client = await pool.connect();
      const heard = new Promise((resolve) => client.on('notification', resolve));
      await client.query('listen news');
      await admin.query(`notify news, 'extra'`);
      expect(await heard).toMatchObject({ channel: 'news', payload: 'extra', processId: inside(admin).processID });
      await client.query('unlisten *');
      client.release();
    });

    it('parses by its own type parsers, and the pool’s other clients do not', async () => {
      const pool = await make();
      const [client, other] = [await pool.connect(), await pool.connect()];
      client.setTypeParser(23, (text: string) => `${text} as text`);
      for (const text of ['select id from items where id = 1', 'update items set id = id where id = 1 returning id']) {
        expect((await client.query(text)).rows).toEqual([{ id: '1 as text' }]);
        expect((await other.query(text)).rows).toEqual([{ id: 1 }]);
      }
      expect((client.getTypeParser as (oid: number) => (text: string) => unknown)(23)('2')).toBe('2 as text');
      client.release();
      other.release();
    });

    it('quotes identifiers and literals', async () => {
      const pool = await make();
      const client = await pool.connect();
      expect(client.escapeIdentifier('a"b')).toBe('"a""b"');
      expect(client.escapeLiteral(`it's`)).toBe(`'it''s'`);
      expect(client.escapeLiteral('back\\slash')).toBe(` E'back\\\\slash'`);
      client.release();
    });

    it('is not binary and does not pipeline unless the pool is told so', async () => {
      const plain = await make();
      const plainClient = await plain.connect();
      expect([inside(plainClient).binary, inside(plainClient).pipeline]).toEqual([false, false]);
      plainClient.release();
      const pool = await make({ pipeline: true });
      const client = await pool.connect();
      expect(inside(client).pipeline).toBe(true);
      const results = await all(3, (i) => client.query('select $1::int as n', [i]));
      expect(results.map(({ rows }) => rows[0])).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }]);
      client.release();
    });

    it('can be ended, with a promise or a callback, and then refuses to run anything', async () => {
      const pool = await make();
      for (const end of [
        (client: PoolClient) => client.end(),
        (client: PoolClient) => new Promise<void>((resolve) => client.end(() => resolve())),
      ]) {
        const client = await pool.connect();
        await client.query('create temporary table mine ()');
        const pid = inside(client).processID as number;
        const isTold = new Promise<void>((resolve) => client.once('end', resolve));
        await end(client);
        await isTold;
        await until('its connection is closed', async () => !(await isAlive(pid)));
        await expect(client.query('select from mine')).rejects.toThrow('Client was closed and is not queryable');
        client.release();
        expect(pool.totalCount).toBe(0);
      }
    });

    it('tells when it has nothing more to do', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table mine ()');
      const drained = new Promise<void>((resolve) => client.once('drain', resolve));
      await client.query('insert into mine default values');
      await drained;
      expect((await client.query('select from mine')).rowCount).toBe(1);
      client.release();
    });

    it('does not keep listeners of one user for the next', async () => {
      const pool = await make();
      const client = await pool.connect();
      const count = client.listenerCount('error');
      for (let i = 0; i < 3; i++) {
        client.release();
        expect(await pool.connect()).toBe(client);
        await client.query('update items set body = body where id = 1');
        expect((await client.query('select body from items where id = 1')).rowCount).toBe(1);
      }
      expect(client.listenerCount('error')).toBe(count);
      client.release();
    });
  });

  describe('submittables', () => {
    const TEXTS = [
      ['a read', 'select id from items where id > 0 order by id'],
      ['a write', 'update items set body = body where id > 0 returning id'],
    ] as const;

    it.each(TEXTS)('a cursor over %s is returned, gives rows in portions, and closes', async (_, text) => {
      const pool = await make();
      const client = await pool.connect();
      const cursor = new Cursor<{ id: number }>(text);
      expect(client.query(cursor)).toBe(cursor);
      expect(await cursor.read(10)).toHaveLength(10);
      const rest = await new Promise((resolve, reject) => {
        cursor.read(1_000, (error, rows) => (error ? reject(error) : resolve(rows.length)));
      });
      expect(rest).toBe(290);
      await cursor.close();
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('a cursor takes values, and passes on what the server has against it', async () => {
      const pool = await make();
      const client = await pool.connect();
      const cursor = client.query(new Cursor('select $1::int + i as n from generate_series(1, 3) i', [10]));
      expect(await cursor.read(2)).toEqual([{ n: 11 }, { n: 12 }]);
      await cursor.close();
      const failing = client.query(new Cursor('select nonsense'));
      await expect(failing.read(1)).rejects.toMatchObject({ code: '42703' });
      const failingLate = client.query(new Cursor('select 1 / (3 - i) as n from generate_series(1, 5) i'));
      await expect(failingLate.read(5)).rejects.toMatchObject({ code: '22012' });
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
    });

    it.each(TEXTS)('a stream over %s gives all rows, and lets the next statement wait', async (_, text) => {
      const pool = await make();
      const client = await pool.connect();
      const stream = client.query(new QueryStream(text, [], { batchSize: 50 }));
      const next = client.query(`update items set body = body where id = 1 returning 'next' as what`);
      let count = 0;
      for await (const row of stream) {
        expect(row.id).toBeGreaterThan(0);
        count++;
      }
      expect(count).toBe(300);
      expect((await next).rows).toEqual([{ what: 'next' }]);
      client.release();
    });

    it('a stream that is left early lets its client be used again', async () => {
      const pool = await make();
      const client = await pool.connect();
      for await (const row of client.query(new QueryStream('select i from generate_series(1, 1000) i'))) {
        expect(row).toEqual({ i: 1 });
        break;
      }
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
    });

    it('COPY takes rows in, and gives them out', async () => {
      const pool = await make();
      const client = await pool.connect();
      await client.query('create temporary table copied (id int, body text)');
      const writing = client.query(copyFrom('copy copied from stdin'));
      const lines = Array.from({ length: 500 }, (_, i) => `${i}\trow ${i}\n`);
      await pipeline(Readable.from(lines), writing);
      expect(writing.rowCount).toBe(500);
      const reading = client.query(copyTo('copy (select * from copied order by id) to stdout'));
      const chunks: Buffer[] = [];
      for await (const chunk of reading) chunks.push(chunk as Buffer);
      expect(Buffer.concat(chunks).toString()).toBe(lines.join(''));
      expect((await client.query('select count(*)::int as n from copied')).rows).toEqual([{ n: 500 }]);
      const failing = client.query(copyFrom('copy copied from stdin'));
      await expect(pipeline(Readable.from(['no number\tx\n']), failing)).rejects.toMatchObject({ code: '22P02' });
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      client.release();
    });

    it('COPY of a table gives out what was committed', async () => {
      const pool = await make();
      const client = await pool.connect();
      const chunks: Buffer[] = [];
      const reading = client.query(copyTo('copy (select body from items where id in (1, 2) order by id) to stdout'));
      for await (const chunk of reading) chunks.push(chunk as Buffer);
      expect(Buffer.concat(chunks).toString()).toBe('item 1\nitem 2\n');
      client.release();
      expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
    });

    it('a pg.Query tells of its rows and of its end, or of its error', async () => {
      const pool = await make();
      const client = await pool.connect();
      const told: unknown[] = [];
      const query = new pg.Query('select i from generate_series(1, 2) i');
      expect(client.query(query)).toBe(query);
      query.on('row', (row) => told.push(row));
      await new Promise((resolve) => query.on('end', resolve));
      expect(told).toEqual([{ i: 1 }, { i: 2 }]);
      const failing = client.query(new pg.Query('select nonsense'));
      expect(await new Promise((resolve) => failing.on('error', resolve))).toMatchObject({ code: '42703' });
      const { error, result } = await answered((callback) =>
        (client.query as (query: unknown, callback: unknown) => unknown)(new pg.Query('select 4 as four'), callback),
      );
      expect(error).toBeNull();
      expect(result?.rows).toEqual([{ four: 4 }]);
      client.release();
    });
  });

  describe('connectionTimeoutMillis in line', () => {
    it('ends the wait for a client, and the next in line still gets it', async () => {
      const pool = await make({ connectionTimeoutMillis: 80, max: 1 });
      const client = await pool.connect();
      const [error, none] = await taken(pool);
      expect(error?.message).toBe('timeout exceeded when trying to connect');
      expect([none, pool.waitingCount]).toEqual([undefined, 0]);
      const next = pool.connect();
      client.release();
      expect(await next).toBe(client);
      (await next).release();
    });

    it('ends the wait of query() for a client, and the pool works on', async () => {
      const pool = await make({ connectionTimeoutMillis: 80, max: 1 });
      const client = await pool.connect();
      const text = 'update items set body = body where id = 7';
      await expect(pool.query(text)).rejects.toThrow('timeout exceeded when trying to connect');
      const { error, result } = await answered((callback) => pool.query(text, callback));
      expect(error?.message).toBe('timeout exceeded when trying to connect');
      expect(result).toBeUndefined();
      client.release();
      expect((await pool.query(text)).rowCount).toBe(1);
    });
  });
}

/** What a pool does whose connect() opens a connection. */
function poolThatConnects(make: Make, kind: string): void {
  describe('set-up of connections', () => {
    it('connect is told before connect() answers', async () => {
      const pool = await make();
      const order: unknown[] = [];
      pool.on('connect', (client) => order.push(client));
      const client = await pool.connect();
      expect(order).toEqual([client]);
      expect(inside(client).processID).toBe(await pidOf(client));
      client.release();
    });

    it('connect comes once for each connection, with its client, before that is used', async () => {
      const pool = await make();
      const seen: PoolClient[] = [];
      pool.on('connect', (client) => {
        seen.push(client);
        void client.query(`set app.number = 'set up'`);
      });
      const client = await pool.connect();
      const { rows } = await client.query(
        `insert into items values (-2) on conflict (id) do update set id = -2 returning current_setting('app.number') as number`,
      );
      expect(rows).toEqual([{ number: 'set up' }]);
      await client.query('delete from items where id = -2');
      expect(seen).toEqual([client]);
      client.release();
      (await pool.connect()).release();
      expect(seen).toHaveLength(1);
    });

    it('onConnect runs once on every connection, before connect() answers, and is waited for', async () => {
      let count = 0;
      const pool = await make({
        onConnect: async (client: PoolClient) => {
          count++;
          await client.query(`set app.number = 'hooked'`);
          inside(client).tag = 'hooked';
        },
      });
      count = 0;
      const clients = [await pool.connect(), await pool.connect()];
      expect(count).toBe(2);
      for (const client of clients) {
        expect(inside(client).tag).toBe('hooked');
        expect((await client.query(`select current_setting('app.number') as n`)).rows).toEqual([{ n: 'hooked' }]);
        client.release();
      }
      const again = await pool.connect();
      expect(clients).toContain(again);
      again.release();
      expect((await pool.query(`select current_setting('app.number') as n`)).rows).toEqual([{ n: 'hooked' }]);
      expect(count).toBe(2);
    });

    it.each([
      [
        'throws',
        () => {
          throw new Error('not today');
        },
      ],
      ['rejects', () => Promise.reject(new Error('not today'))],
    ])(
      'onConnect that %s fails connect() and query(), leaves nothing behind, and may do better next time',
      async (_, fail) => {
        let mustFail = true;
        const pool = await make({ max: 2, onConnect: () => (mustFail ? fail() : undefined) });
        for (let i = 0; i < 5; i++) {
          await expect(pool.connect()).rejects.toThrow('not today');
          await expect(pool.query('select 1')).rejects.toThrow('not today');
        }
        expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
        mustFail = false;
        const clients = [await pool.connect(), await pool.connect()];
        for (const client of clients) {
          expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
          client.release();
        }
        expect(pool.totalCount).toBe(2);
      },
    );

    it('verify sees each new client once, and what it objects to fails connect()', async () => {
      const verified: PoolClient[] = [];
      let objection: Error | undefined = new Error('not this one');
      const pool = await make({
        verify: (client: PoolClient, done: (error?: Error) => void) => {
          verified.push(client);
          done(objection);
        },
      });
      verified.length = 0;
      const [error, client] = await taken(pool);
      expect(error).toBe(objection);
      expect([client, pool.totalCount]).toEqual([undefined, 0]);
      objection = undefined;
      const good = await pool.connect();
      good.release();
      (await pool.connect()).release();
      expect(verified).toHaveLength(2);
      expect(verified[1]).toBe(good);
    });
  });

  describe('without a server', () => {
    // Where others could take its place, it is waited for.
    const code = kind === 'write' ? 'LADDER_NO_PRIMARY' : 'ECONNREFUSED';

    it('connect() fails with an error and a function in place of release, and leaves nothing behind', async () => {
      const entrance = await gate();
      entrance.shut();
      const pool = await make({}, entrance.url);
      await expect(pool.connect()).rejects.toMatchObject({ code });
      const [error, client, done] = await taken(pool);
      expect(error).toMatchObject({ code });
      expect(client).toBeUndefined();
      expect(done).toBeTypeOf('function');
      expect(done()).toBeUndefined();
      expect([pool.totalCount, pool.idleCount, pool.waitingCount]).toEqual([0, 0, 0]);
    });

    it('query() fails with an error', async () => {
      const entrance = await gate();
      entrance.shut();
      const pool = await make({}, entrance.url);
      await expect(pool.query('select 1')).rejects.toMatchObject({ code });
      const { error, result } = await answered((callback) => pool.query('select $1::int', [1], callback));
      expect(error).toMatchObject({ code });
      expect([result, pool.totalCount]).toEqual([undefined, 0]);
    });

    it('those who wait get their turn, and their error, too', async () => {
      const entrance = await gate();
      entrance.mode = 'resetting';
      const pool = await make({ max: 1 }, entrance.url);
      const results = await Promise.allSettled([pool.connect(), pool.connect(), pool.query('select 1')]);
      for (const result of results) {
        expect(result.status).toBe('rejected');
        const { message } = (result as PromiseRejectedResult).reason as Error;
        const words = /ECONNRESET|Connection terminated unexpectedly/;
        expect(message).toMatch(kind === 'write' ? /no node takes writes/ : words);
      }
      expect([pool.totalCount, pool.waitingCount]).toEqual([0, 0]);
    });
  });

  describe('connectionTimeoutMillis', () => {
    it('ends the wait for a server that accepts and never answers, in pg-pool’s words', async () => {
      const entrance = await gate();
      entrance.mode = 'silent';
      const pool = await make({ connectionTimeoutMillis: 40 }, entrance.url);
      const startedAt = performance.now();
      const [error, client, done] = await taken(pool);
      expect(performance.now() - startedAt).toBeLessThan(1_000);
      expect(error?.message).toBe('Connection terminated due to connection timeout');
      expect(error?.cause).toBeInstanceOf(Error);
      expect([client, typeof done, pool.totalCount]).toEqual([undefined, 'function', 0]);
      for (let i = 0; i < 3; i++) {
        await expect(pool.connect()).rejects.toThrow('Connection terminated due to connection timeout');
        await expect(pool.query('select 1')).rejects.toThrow('Connection terminated due to connection timeout');
      }
      expect([pool.totalCount, pool.idleCount]).toEqual([0, 0]);
    });

    it('ends the wait for a server that stops answering new connections, and is none when it answers again', async () => {
      const entrance = await gate();
      const pool = await make({ connectionTimeoutMillis: 150, max: 1 }, entrance.url);
      await pool.query('select 1');
      const client = await pool.connect();
      client.release(true);
      entrance.mode = 'silent';
      await expect(pool.connect()).rejects.toThrow('Connection terminated due to connection timeout');
      entrance.mode = 'open';
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    });
  });

  describe('a connection that takes its time', () => {
    it('which fails lets the next one in line connect', async () => {
      const pool = await make({ Client: Troubled, connectionTimeoutMillis: 2_000, max: 1 });
      const error = new Error('no luck');
      Troubled.next.push({ afterMillis: 20, error });
      const failing = pool.connect();
      const next = pool.query('select $1::text as name', ['hi']);
      await expect(failing).rejects.toBe(error);
      expect((await next).rows).toEqual([{ name: 'hi' }]);
      expect(Troubled.next).toEqual([]);
    });

    it('goes to the pool when the one for whom it was opened has given up', async () => {
      const pool = await make({ Client: Troubled, connectionTimeoutMillis: 1_500, max: 1 });
      // The first fails when more than half of the second one's time is over; the second connects when all of it is.
      Troubled.next.push({ afterMillis: 900, error: new Error('no luck') }, { afterMillis: 1_050 });
      let callCount = 0;
      const failing = taken(pool);
      const error = await new Promise<Error | undefined>((resolve) => {
        pool.connect((reason) => {
          callCount++;
          resolve(reason);
        });
      });
      expect(error?.message).toBe('timeout exceeded when trying to connect');
      expect((await failing)[0]?.message).toBe('no luck');
      await until('it is idle', () => pool.idleCount === 1);
      expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      expect([callCount, pool.totalCount, Troubled.next.length]).toEqual([1, 1, 0]);
    });
  });
}

/** What a process with a pool does when nothing else keeps it. */
function poolThatIsLeft(kind: string): void {
  describe('allowExitOnIdle', () => {
    /** Runs two statements in a process of its own, which is left to end by itself. */
    async function exits(allowExitOnIdle: boolean): Promise<string> {
      const index = JSON.stringify(new URL('../../src/index.ts', import.meta.url).href);
      const config = JSON.stringify({
        connectionString: servers.primary.connectionString,
        idleTimeoutMillis: 300,
        ...(allowExitOnIdle ? { allowExitOnIdle } : {}),
      });
      const replicas = JSON.stringify(
        servers.replicas.map(({ connectionString }) => ({ connectionString, allowExitOnIdle: true })),
      );
      const makers: Record<string, string> = {
        bare: `import pg from 'pg'; const pool = new pg.Pool(${config});`,
        alone: `import { createCluster } from ${index}; const pool = createCluster({ primary: ${config} }).pool();`,
        write: `import { createCluster } from ${index};
          const pool = createCluster({ primary: ${config}, replicas: ${replicas} }).pool({ intent: 'write' });`,
        auto: `import { createCluster } from ${index};
          const pool = createCluster({ primary: ${config}, replicas: ${replicas} }).pool();`,
      };
      const script = `${makers[kind]}
        pool.on('remove', () => console.log('removed'));
        pool.query('${WRITE}', () => {
          console.log('first');
          setTimeout(() => pool.query('${WRITE}', () => console.log('second')), 20);
        });`;
      const args = [...(kind === 'bare' ? [] : ['--import', 'tsx']), '--input-type=module', '-e', script];
      const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, timeout: 8_000 });
      return stdout;
    }

    it('lets the process end while clients idle', async () => {
      expect(await exits(true)).toBe('first\nsecond\n');
    });

    // One that opens at connect() without anything of ours, and one with all of it: a process of ours takes its time to start.
    if (kind === 'bare' || kind === 'write') {
      it('without it, the process ends when idleTimeoutMillis has ended the clients', async () => {
        expect(await exits(false)).toBe('first\nsecond\nremoved\n');
      });
    }
  });
}

describe.each([
  ['a bare pg.Pool', bare, 'bare'],
  ['the pool of a cluster without replicas', facade('auto', 0), 'alone'],
  ['a pool for writes of a cluster with replicas', facade('write', 2), 'write'],
])('%s', (_, make, kind) => {
  everyPool(make);
  poolThatConnects(make, kind);
  poolThatIsLeft(kind);
});

describe('a pool that routes, of a cluster with replicas', () => {
  const make = facade('auto', 2);
  everyPool(make);
  poolThatIsLeft('auto');

  describe('differs from pg.Pool', () => {
    const backends = async (name: string): Promise<number[]> => {
      const { rows } = await admin.query<{ pid: number }>(
        'select pid from pg_stat_activity where application_name = $1 order by pid',
        [name],
      );
      return rows.map(({ pid }) => pid);
    };

    /** With its texts known for what they are. */
    async function makeKnowing(options?: Options): Promise<Pool> {
      const pool = await make(options);
      await pool.query(READ);
      return pool;
    }

    it('connect() opens no connection until a statement needs one', async () => {
      const pool = await makeKnowing({ application_name: 'late' });
      const before = await backends('late');
      const client = await pool.connect();
      expect((await client.query(READ)).rows).toEqual([{ body: 'item 1' }]);
      expect(inside(client).processID).toBeNull();
      expect(await backends('late')).toEqual(before);
      await client.query(WRITE);
      const pid = inside(client).processID as number;
      expect(await backends('late')).toEqual([...before, pid].sort((a, b) => a - b));
      expect(before).not.toContain(pid);
      client.release();
    });

    it('connect() succeeds where nobody takes connections, and a statement that needs one waits for a new primary', async () => {
      const entrance = await gate();
      const pool = await make({ max: 1 }, entrance.url);
      await until('it can write', async () => (await pool.query(WRITE)).rowCount === 1);
      (await pool.connect()).release(true);
      entrance.shut();
      const client = await pool.connect();
      const startedAt = performance.now();
      await expect(client.query(WRITE)).rejects.toMatchObject({ code: 'LADDER_NO_PRIMARY' });
      expect(performance.now() - startedAt).toBeGreaterThan(NO_PRIMARY_MILLIS / 2);
      client.release(true);
      expect(pool.totalCount).toBe(0);
    });

    it('connectionTimeoutMillis ends the wait of the statement that needs a connection', async () => {
      const entrance = await gate();
      const pool = await make({ max: 1, connectionTimeoutMillis: 150 }, entrance.url);
      await until('it can write', async () => (await pool.query(WRITE)).rowCount === 1);
      (await pool.connect()).release(true);
      entrance.mode = 'silent';
      const client = await pool.connect();
      const startedAt = performance.now();
      await expect(client.query(WRITE)).rejects.toThrow('timeout');
      expect(performance.now() - startedAt).toBeLessThan(1_000);
      client.release(true);
    });

    it('connect is emitted when a connection opens, and not before', async () => {
      const pool = await makeKnowing();
      const seen: PoolClient[] = [];
      pool.on('connect', (client) => seen.push(client));
      const client = await pool.connect();
      expect(seen).toEqual([]);
      await client.query(WRITE);
      await client.query(WRITE);
      const pid = inside(client).processID;
      expect(pid).toBeGreaterThan(0);
      expect(seen.map((connection) => inside(connection).processID)).toEqual([pid]);
      client.release();
    });

    it('onConnect and verify run when a connection opens, and what they object to fails the statement', async () => {
      let objection: Error | undefined;
      const seen: string[] = [];
      const pool = await make({
        onConnect: async (client: PoolClient) => {
          await client.query(`set app.number = 'hooked'`);
          seen.push(`onConnect ${inside(client).processID}`);
        },
        verify: (client: PoolClient, done: (error?: Error) => void) => {
          seen.push(`verify ${inside(client).processID}`);
          done(objection);
        },
      });
      seen.length = 0;
      const client = await pool.connect();
      expect(seen).toEqual([]);
      const { rows } = await client.query(`${WRITE} returning current_setting('app.number') as number`);
      expect(rows).toEqual([{ number: 'hooked' }]);
      const pid = inside(client).processID;
      expect(pid).toBeGreaterThan(0);
      expect(seen).toEqual([`onConnect ${pid}`, `verify ${pid}`]);
      objection = new Error('not this one');
      const other = await pool.connect();
      await expect(other.query(WRITE)).rejects.toThrow('not this one');
      other.release(true);
      client.release();
    });

    it('reads that it knows take no client, and wait for none', async () => {
      const pool = await makeKnowing({ max: 1 });
      await until('its client is back', () => pool.idleCount === pool.totalCount);
      (await pool.connect()).release(true);
      expect(pool.totalCount).toBe(0);
      let acquiredCount = 0;
      pool.on('acquire', () => acquiredCount++);
      const reads = all(5, () => pool.query(READ));
      expect([pool.totalCount, pool.waitingCount]).toEqual([0, 0]);
      for (const { rows } of await reads) expect(rows).toEqual([{ body: 'item 1' }]);
      expect([pool.totalCount, acquiredCount]).toEqual([0, 0]);
      const client = await pool.connect();
      expect((await pool.query(READ)).rowCount).toBe(1);
      const writing = pool.query(WRITE);
      expect(pool.waitingCount).toBe(1);
      client.release();
      expect((await writing).rowCount).toBe(1);
    });

    it('an error of a client to which nobody listens does not end the process', async () => {
      const index = JSON.stringify(new URL('../../src/index.ts', import.meta.url).href);
      const primary = JSON.stringify(servers.primary.connectionString);
      const replicas = JSON.stringify(servers.replicas.map(({ connectionString }) => connectionString));
      const lost = async (maker: string, which: ('idle' | 'used')[]): Promise<string> => {
        const script = `import pg from 'pg';
          ${maker}
          const admin = new pg.Client(${primary});
          await admin.connect();
          const clients = { idle: await pool.connect(), used: await pool.connect() };
          for (const client of Object.values(clients)) await client.query('create temporary table mine ()');
          clients.idle.release();
          for (const which of ${JSON.stringify(which)}) {
            const ended = new Promise((resolve) => clients[which].once('end', resolve));
            await admin.query('select pg_terminate_backend($1)', [clients[which].processID]);
            await ended;
            console.log(which, 'is lost');
          }
          process.exit(0);`;
        const args = [...(maker.includes(index) ? ['--import', 'tsx'] : []), '--input-type=module', '-e', script];
        const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, timeout: 8_000 }).catch(
          ({ stderr }: { stderr: string }) => ({ stdout: /Unhandled 'error' event/.exec(stderr)?.[0] ?? stderr }),
        );
        return stdout;
      };
      const routing = `import { createCluster } from ${index};
        const pool = createCluster({ primary: ${primary}, replicas: ${replicas} }).pool();`;
      const plain = `const pool = new pg.Pool({ connectionString: ${primary} });`;
      const outcomes = [lost(routing, ['idle', 'used']), lost(plain, ['idle']), lost(plain, ['used'])];
      expect(await Promise.all(outcomes)).toEqual([
        'idle is lost\nused is lost\n',
        `Unhandled 'error' event`,
        `Unhandled 'error' event`,
      ]);
    });
  });
});
