import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, type ClusterBehaviour, createCluster, type LadderError } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';

const WAIT_MILLIS = 300;
const closing: (() => unknown)[] = [];
let servers: TestCluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
});
afterAll(() => servers.stop());
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** The place of a server that is not there yet, where `come` brings one. */
async function place(listens: 'refuses' | 'is silent') {
  const sockets = new Set<Socket>();
  let target: number | undefined;
  const server: Server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    if (target === undefined) return;
    const onward = connect(target, '127.0.0.1');
    sockets.add(onward.on('error', () => socket.destroy()).on('close', () => socket.destroy()));
    socket.on('close', () => onward.destroy());
    socket.pipe(onward).pipe(socket);
  });
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  if (listens === 'refuses') await new Promise((resolve) => server.close(resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { primary } = servers;
  return {
    url: primary.connectionString.replace(`:${primary.port}/`, `:${port}/`),
    come: async (): Promise<void> => {
      target = primary.port;
      for (const socket of sockets) socket.destroy();
      if (listens === 'refuses') await listen(port);
    },
  };
}

function opened(primary: string, replicas: string[], options: ClusterBehaviour = {}): Cluster {
  const cluster = createCluster({ primary, replicas, primaryWaitMillis: WAIT_MILLIS, ...options });
  closing.push(() => cluster.close());
  return cluster;
}

const calls: Record<string, (cluster: Cluster, options?: { timeoutMillis: number }) => Promise<unknown>> = {
  write: (cluster, options) => cluster.write('select 1', [], options),
  read: (cluster, options) => cluster.read('select 1', [], options),
  query: (cluster, options) => cluster.query('select 1', [], options),
  transaction: (cluster, options) => cluster.transaction((client) => client.query('select 1'), options),
  'transaction, readOnly': (cluster, options) =>
    cluster.transaction((client) => client.query('select 1'), { ...options, readOnly: true }),
  stream: async (cluster, options) => {
    for await (const _ of cluster.stream('select 1', [], options)) break;
  },
  connection: (cluster, options) => cluster.connection((client) => client.query('select 1'), options),
};

/** What each call rejects with, and after how long. */
async function outcomes(cluster: Cluster, options?: { timeoutMillis: number }) {
  return Promise.all(
    Object.entries(calls).map(async ([name, call]) => {
      const startedAt = performance.now();
      const error = await call(cluster, options).then(
        () => undefined,
        (reason: LadderError) => reason,
      );
      return { name, code: error?.code, cause: error?.cause, millis: performance.now() - startedAt };
    }),
  );
}

describe.each(['refuses', 'is silent'] as const)('where from the start the primary’s host %s', (listens) => {
  it.each([0, 1])(
    'with %i replicas that are gone, too, every call waits, and then says that there is no primary',
    async (count) => {
      const { url } = await place(listens);
      const replicas = await Promise.all(Array.from({ length: count }, () => place(listens)));
      const cluster = opened(
        url,
        replicas.map((replica) => replica.url),
      );
      // Twice: at first nobody has been asked yet.
      for (const options of [undefined, { timeoutMillis: WAIT_MILLIS }]) {
        for (const { name, code, millis } of await outcomes(cluster, options)) {
          expect([name, code]).toEqual([name, 'LADDER_NO_PRIMARY']);
          // A timer may be early by a little.
          expect(millis).toBeGreaterThan(WAIT_MILLIS - 20);
        }
      }
      const [{ cause } = { cause: undefined }] = await outcomes(cluster);
      expect(cause).toMatchObject({ code: 'LADDER_NODE_UNREACHABLE' });
    },
  );

  it('whatever waits is done once it has come', async () => {
    const { url, come } = await place(listens);
    const cluster = opened(url, [(await place(listens)).url], { primaryWaitMillis: 25_000 });
    const waiting = Promise.all(Object.values(calls).map((call) => call(cluster)));
    const first = await Promise.race([waiting, new Promise((resolve) => setTimeout(resolve, 400, 'waits'))]);
    expect(first).toBe('waits');
    await come();
    await waiting;
  });
});

describe('a pool of a cluster whose primary was never there', () => {
  it('without replicas says so at once, as pg does', async () => {
    const { url } = await place('refuses');
    const pool = opened(url, [], { primaryWaitMillis: 25_000 }).pool();
    await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await expect(pool.connect()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('with replicas waits for it as a write does', async () => {
    const { url, come } = await place('refuses');
    const cluster = opened(url, [(await place('refuses')).url]);
    const startedAt = performance.now();
    const gone = { code: 'LADDER_NO_PRIMARY', cause: { cause: { code: 'ECONNREFUSED' } } };
    await expect(cluster.pool({ intent: 'write' }).connect()).rejects.toMatchObject(gone);
    await expect(cluster.pool().query('select 1')).rejects.toMatchObject(gone);
    expect(performance.now() - startedAt).toBeGreaterThan(2 * WAIT_MILLIS - 50);
    const patient = opened(url, [(await place('refuses')).url], { primaryWaitMillis: 25_000 });
    const waiting = patient.pool().query('select 1 as one');
    await come();
    expect((await waiting).rows).toEqual([{ one: 1 }]);
  });
});

describe('what a server says on its first connection', () => {
  it('is told at once: a wrong password is not waited for', async () => {
    const wrong = servers.primary.connectionString.replace(servers.primary.password, 'wrong');
    const cluster = opened(wrong, [], { primaryWaitMillis: 25_000 });
    const refused = (await outcomes(cluster)).map(({ name, code, millis }) => [name, code, millis < 20_000]);
    expect(refused).toEqual(Object.keys(calls).map((name) => [name, '28P01', true]));
  });
});
