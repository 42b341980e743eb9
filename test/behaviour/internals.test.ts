// Everything that the library reads of pg's and pg-pool's insides, on the version that is installed: what breaks here has changed there.
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  backendKeyOf,
  bytesReadOn,
  clientsOf,
  dropSocket,
  idleClientsOf,
  isBroken,
  isBusy,
  isQueryable,
  isReady,
  isSocketGone,
  listenForSettings,
  makesClients,
  newClient,
  parsersOf,
  promiseClassOf,
} from '../../src/postgres/internals.js';
import { statusReader } from '../../src/postgres/transaction-status.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';

describe('of the insides of pg the library can tell', () => {
  let servers: TestCluster;
  let pool: pg.Pool;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 0 });
    pool = new pg.Pool({ connectionString: servers.primary.connectionString, max: 2 });
  });
  afterAll(async () => {
    await pool.end();
    await servers.stop();
  });

  it('whether a client is ready, busy, in a transaction, ended or broken', async () => {
    const client = new pg.Client({ connectionString: servers.primary.connectionString });
    await client.connect();
    const status = statusReader(client);
    await client.query('select 1');
    expect([isQueryable(client), isReady(client), isBusy(client), status()]).toEqual([true, true, false, 'I']);
    const running = client.query('begin');
    expect([isReady(client), isBusy(client)]).toEqual([false, true]);
    await running;
    expect([isReady(client), status()]).toEqual([true, 'T']);
    await client.query('select 1/0').catch(() => undefined);
    await client.query('select 1').catch(() => undefined);
    expect(status()).toBe('E');
    client.on('error', () => undefined);
    const ended = new Promise((resolve) => client.once('end', resolve));
    expect(isSocketGone(client)).toBe(false);
    dropSocket(client);
    await ended;
    expect([isQueryable(client), isBroken(client), isSocketGone(client)]).toEqual([false, true, true]);
  });

  it('which parsers a client has, those that are set on it later included', () => {
    const client = new pg.Client({ types: { getTypeParser: () => () => 'of the pool' } as never });
    const parsers = parsersOf(client) as NonNullable<ReturnType<typeof parsersOf>>;
    const parse = (): unknown => (parsers.getTypeParser(20, 'text') as (text: string) => unknown)('1');
    expect(parse()).toBe('of the pool');
    client.setTypeParser(20, () => 'of the client');
    expect(parse()).toBe('of the client');
    expect(Object.values(parsers)).not.toContain(client);
    expect(parsersOf({})).toBeUndefined();
  });

  it('which backend serves a client, what has come on it, and what the server says of its settings', async () => {
    const client = new pg.Client({ connectionString: servers.primary.connectionString });
    const heard = new Map<string, string>();
    const stop = listenForSettings(client, (name, value) => heard.set(name, value));
    await client.connect();
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const { processId, secretKey } = backendKeyOf(client);
    expect(processId).toBe(rows[0]?.pid);
    expect(secretKey).toBeDefined();
    const before = bytesReadOn(client);
    await client.query("set application_name = 'insides'");
    expect(bytesReadOn(client)).toBeGreaterThan(before);
    expect(heard.get('application_name')).toBe('insides');
    stop();
    await client.query("set application_name = 'later'");
    expect(heard.get('application_name')).toBe('insides');
    expect(isQueryable(client)).toBe(true);
    const ending = client.end();
    expect(isQueryable(client)).toBe(false);
    await ending;
  });

  it('of which class its promises are', async () => {
    class Brought<T> extends Promise<T> {}
    const client = new pg.Client({ connectionString: servers.primary.connectionString, Promise: Brought } as object);
    expect(promiseClassOf(client)).toBe(Brought);
  });

  it('which clients a pool has, which are idle, and how it makes them', async () => {
    const client = await pool.connect();
    expect([clientsOf(pool)?.length, idleClientsOf(pool).length]).toEqual([1, 0]);
    client.release();
    expect(idleClientsOf(pool)).toEqual([client]);
    expect(makesClients(pool)).toBe(true);
    const own = newClient(pool);
    await own.connect();
    expect((await own.query<{ one: number }>('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await own.end();
  });
});
