/** A write brings along where it ended: the position rides behind it on the same connection. */

import type { AddressInfo } from 'node:net';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cluster, createCluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, until } from './fixture.js';

const UPDATE = 'update t set v = $1 where id = $2';

/** Asks for the position of a write, so that those that follow bring theirs along. */
async function askOnce(cluster: Cluster): Promise<void> {
  await cluster.session(async (session) => {
    await cluster.write(UPDATE, [0, 0]);
    await session.token();
  });
}

/** Runs it until a position came along with a write: how long one is wanted is a matter of time. */
async function withRider(cluster: Cluster, write: () => Promise<unknown>): Promise<void> {
  const before = cluster.stats().riderCount;
  await until('a write brings its position along', async () => {
    await askOnce(cluster);
    await write();
    return cluster.stats().riderCount > before + 1;
  });
}

describe.skipIf(process.env['LANE'] === 'off')('a write that brings its position along', () => {
  let servers: TestCluster;
  let cluster: Cluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    cluster = await open(servers);
    await cluster.write('create table t (id int primary key, v int)');
    await cluster.write('insert into t select i, 0 from generate_series(0, $1) i', [40]);
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(async () => {
    await cluster.close();
    await servers.stop();
  });
  beforeEach(() => askOnce(cluster));

  it('does so only while somebody asks where writes end', async () => {
    await using quiet = await open(servers);
    for (let v = 0; v < 20; v++) await quiet.write(UPDATE, [v, 1]);
    expect(quiet.stats().riderCount).toBe(0);
    await withRider(quiet, () => quiet.write(UPDATE, [20, 1]));
  });

  it('is seen by the reads and tokens that follow, with replay paused by turns and commits that are not on disk', async () => {
    for (const [i, replica] of servers.replicas.entries()) {
      await replica.jitterReplay({ seed: i + 1, maxMillis: 100, share: 0.5 });
    }
    let stale = 0;
    const before = cluster.stats().riderCount;
    const work = async (id: number): Promise<void> => {
      let token: string | undefined;
      for (let v = 1; v <= 15; v++) {
        token = await cluster.session(
          async (session) => {
            if (v % 3 === 0) {
              await cluster.transaction(async (client) => {
                await client.query('set local synchronous_commit = off');
                await client.query(UPDATE, [v, id]);
              });
            } else await cluster.write(UPDATE, [v, id]);
            const { rows } = await cluster.read<{ v: number }>('select v from t where id = $1', [id]);
            if (rows[0]?.v !== v) stale++;
            return session.token();
          },
          { inherit: 'none' },
        );
        const next = cluster.session(() => cluster.read<{ v: number }>('select v from t where id = $1', [id]), {
          inherit: 'none',
          token,
        });
        if ((await next).rows[0]?.v !== v) stale++;
      }
    };
    await Promise.all(Array.from({ length: 8 }, (_, i) => work(i + 1)));
    for (const replica of servers.replicas) await replica.resumeReplay();
    expect(stale).toBe(0);
    expect(cluster.stats().riderCount).toBeGreaterThan(before);
  });

  it('brings it along with COMMIT, too', async () => {
    await withRider(cluster, () => cluster.transaction((client) => client.query(UPDATE, [1, 1])));
  });

  it('fails as it would without, and leaves the connection in order', async () => {
    await using one = await open(servers, { primary: { connectionString: servers.primary.connectionString, max: 1 } });
    const throwing = {
      toPostgres(): string {
        throw new Error('no value');
      },
    };
    const failing: [string, unknown[] | undefined, string][] = [
      ['insert into t values ($1, 0)', [1], 'duplicate key'],
      ['update t set v = v / $1', [0], 'division by zero'],
      [UPDATE, [throwing, 1], 'no value'],
      ['update t set nothing = $1', [1], 'column "nothing"'],
      ['deallocate all', undefined, ''],
      ['discard all', undefined, ''],
    ];
    for (let round = 0; round < 2; round++) {
      for (const [text, values, message] of failing) {
        await askOnce(one);
        const failed = await one.write(text, values).then(
          () => '',
          (error: Error) => error.message,
        );
        expect(failed).toContain(message);
        const { rows } = await one.write(`${UPDATE} returning v`, [round, 1]);
        expect(rows).toEqual([{ v: round }]);
      }
    }
    await withRider(one, () => one.write(UPDATE, [1, 1]));
  });

  it('gets its own rows, also by pages', async () => {
    await using one = await open(servers, { primary: { connectionString: servers.primary.connectionString, max: 1 } });
    for (let v = 1; v <= 3; v++) {
      await askOnce(one);
      const paged = { text: 'update t set v = $1 where id < $2 returning id', values: [v, 3], rows: 1 };
      const ids = (await one.write<{ id: number }>(paged)).rows.map(({ id }) => id);
      expect([ids.length, new Set(ids)]).toEqual([3, new Set([0, 1, 2])]);
      expect((await one.write(`${UPDATE} returning v`, [v, 7])).rows).toEqual([{ v }]);
    }
  });

  it('is given up at the time limit of its own', async () => {
    await using one = await open(servers);
    await using other = await open(servers);
    await other.transaction(async (client) => {
      await client.query(UPDATE, [1, 3]);
      await askOnce(one);
      const limited = { text: UPDATE, values: [2, 3], query_timeout: 50 };
      await expect(one.write(limited)).rejects.toThrow('may have committed or not');
    });
  });

  it('asks for what its own cluster assumes, where two share a pool', async () => {
    const pool = new pg.Pool({ connectionString: servers.primary.connectionString, max: 1 });
    const replicas = servers.replicas.map(({ connectionString }) => connectionString);
    for (const assumeSynchronousCommit of [false, true]) {
      const name = `assumes-${assumeSynchronousCommit}`;
      await using sharing = createCluster({ name, primary: { pool }, replicas, assumeSynchronousCommit });
      await sharing.ready();
      await withRider(sharing, () => sharing.write(UPDATE, [1, 5]));
    }
    const { rows } = await pool.query("select statement from pg_prepared_statements where statement like '%wal%'");
    expect(rows).toHaveLength(2);
    await pool.end();
  });

  it.each(['cut', 'silenced'] as const)(
    'is over when it has been answered, also where the connection is %s before its position has come',
    async (manner) => {
      const { host, port } = addressOf(servers.primary.connectionString);
      await using link = await faultyLink(host, port);
      const through = new URL(servers.primary.connectionString);
      through.host = `127.0.0.1:${link.port}`;
      await using cluster = createCluster({
        primary: through.href,
        replicas: servers.replicas.map(({ connectionString }) => connectionString),
      });
      await cluster.ready();
      for (let v = 1; v <= 3; v++) {
        await withRider(cluster, () => cluster.write(UPDATE, [v, 2]));
        await askOnce(cluster);
        link.endBehind('UPDATE 1', manner);
        const { rowCount } = await cluster.write(UPDATE, [100 + v, 2]);
        expect(rowCount).toBe(1);
        const { rows } = await cluster.read('select v from t where id = $1', [2]);
        expect(rows).toEqual([{ v: 100 + v }]);
        expect(link.endedCount).toBe(v);
      }
      await withRider(cluster, () => cluster.transaction((client) => client.query(UPDATE, [1, 2])));
      await askOnce(cluster);
      link.endBehind('COMMIT', manner);
      await cluster.transaction((client) => client.query(UPDATE, [200, 2]));
      expect((await cluster.read('select v from t where id = $1', [2])).rows).toEqual([{ v: 200 }]);
      expect(link.endedCount).toBe(4);
    },
  );
});

function addressOf(url: string): { readonly host: string; readonly port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port) };
}

/** A TCP proxy that lets nothing more through right behind the server's word for the end of one statement. */
async function faultyLink(host: string, port: number) {
  let wanted: string | undefined;
  let how: 'cut' | 'silenced' = 'cut';
  let endedCount = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = dial(port, host);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        client.destroy();
        upstream.destroy();
      });
    }
    let isSilent = false;
    client.on('data', (data) => upstream.write(data));
    upstream.on('data', (data) => {
      if (isSilent) return;
      const end = wanted === undefined ? -1 : endBehind(data, wanted);
      if (end < 0) {
        client.write(data);
        return;
      }
      wanted = undefined;
      endedCount++;
      isSilent = true;
      if (how === 'silenced') client.write(data.subarray(0, end));
      else {
        client.end(data.subarray(0, end));
        upstream.destroy();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    endBehind: (tag: string, manner: 'cut' | 'silenced') => {
      wanted = tag;
      how = manner;
    },
    get endedCount() {
      return endedCount;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Where the ReadyForQuery behind that command's tag ends; −1 where it is not in there. */
function endBehind(data: Buffer, tag: string): number {
  const at = data.indexOf(`${tag}\0`);
  const ready = at < 0 ? -1 : data.indexOf('Z\0\0\0\x05', at);
  return ready < 0 ? -1 : ready + 6;
}
