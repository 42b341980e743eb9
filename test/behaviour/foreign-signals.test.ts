import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { ForeignController, foreignGlobals } from '../foreign-abort.js';
import { until } from './fixture.js';

let servers: TestCluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
});
afterAll(() => servers.stop());
afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetModules();
});

const SLOW = 'select pg_sleep(20)';

/** Whether a statement of ours still runs there. */
async function isRunning(cluster: Cluster): Promise<boolean> {
  const text = `select 1 from pg_stat_activity where query = $1 and state = 'active'`;
  const found = await Promise.all(
    ['primary', 'r1'].map((node) => cluster.read(text, [SLOW], { target: { node }, consistency: 'eventual' })),
  );
  return found.some(({ rows }) => rows.length > 0);
}

describe.each(['after', 'before'])(
  'a browser’s AbortController in the global place, put there %s the library',
  (when) => {
    async function opened(): Promise<Cluster> {
      const stub = (): void => {
        for (const [name, value] of Object.entries(foreignGlobals)) vi.stubGlobal(name, value);
      };
      if (when === 'before') stub();
      vi.resetModules();
      const { createCluster } = await import('../../src/index.js');
      const cluster = createCluster({
        primary: servers.primary.connectionString,
        replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
        discovery: () => [],
        ...(process.env['LANE'] === 'off' ? { lane: false, namedStatements: false } : {}),
      });
      await cluster.ready();
      if (when === 'after') stub();
      return cluster;
    }

    it('lets statements have a timeout', async () => {
      const cluster = await opened();
      const options = { timeoutMillis: 50 };
      const calls: Promise<unknown>[] = [
        cluster.read(SLOW, [], options),
        cluster.query(SLOW, [], options),
        cluster.write(SLOW, [], options),
        cluster.transaction((client) => client.query(SLOW), options),
        cluster.stream(SLOW, [], options).next(),
        cluster.connection((client) => client.query(SLOW), options),
      ];
      for (const [i, outcome] of (await Promise.allSettled(calls)).entries()) {
        const { code, cause } = (outcome as PromiseRejectedResult).reason as {
          code?: string;
          cause?: { code?: string };
        };
        // What may have written says that this is not known.
        expect([i, code === 'LADDER_WRITE_OUTCOME_UNKNOWN' ? cause?.code : code]).toEqual([i, 'LADDER_TIMEOUT']);
      }
      expect((await cluster.read('select 1 as one', [], { timeoutMillis: 20_000 })).rows).toEqual([{ one: 1 }]);
      await until('nothing runs any more', async () => !(await isRunning(cluster)));
      await cluster.close();
    });

    it('lets its signals give statements up, with their reasons, and cancels these on the server', async () => {
      const cluster = await opened();
      const reason = new Error('the user has left');
      const controller = new ForeignController();
      const signal = controller.signal as unknown as AbortSignal;
      const outcome = expect(cluster.read(SLOW, [], { signal })).rejects.toBe(reason);
      await until('it runs', () => isRunning(cluster));
      controller.abort(reason);
      await outcome;
      await until('it is cancelled', async () => !(await isRunning(cluster)));
      expect(controller.signal.listeners.size).toBe(0);
      await expect(cluster.query('select 1', [], { signal })).rejects.toBe(reason);
      await cluster.close();
    });

    it('is an abort also where a polyfill’s signal tells no reason', async () => {
      const cluster = await opened();
      const controller = new ForeignController();
      controller.abort();
      const signal = controller.signal as unknown as AbortSignal;
      await expect(cluster.read('select 1', [], { signal })).rejects.toMatchObject({ name: 'AbortError' });
      await cluster.close();
    });
  },
);

describe('what is no signal', () => {
  it.each([{}, 'abort', { aborted: false }, new ForeignController()])('is refused: %j', async (signal) => {
    const { createCluster } = await import('../../src/index.js');
    const cluster = createCluster(servers.primary.connectionString);
    await expect(cluster.read('select 1', [], { signal: signal as never })).rejects.toMatchObject({
      code: 'LADDER_INVALID_OPTIONS',
      message: 'read: signal: expected an AbortSignal',
    });
    await cluster.close();
  });
});

it('a signal that is none is refused, and holds up no close', async () => {
  vi.resetModules();
  const { createCluster } = await import('../../src/index.js');
  const cluster = createCluster({
    primary: servers.primary.connectionString,
    replicas: servers.replicas.map(({ connectionString }) => connectionString),
  });
  for (const signal of [null, 7, {}] as never[]) {
    const calls = [
      cluster.read('select 1', [], { signal }),
      cluster.write('select 1', [], { signal }),
      cluster.query('select 1', [], { signal }),
      cluster.transaction(() => 1, { signal }),
      cluster.connection(() => 1, { signal }),
      cluster.stream('select 1', [], { signal }).next(),
    ];
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'LADDER_INVALID_OPTIONS' });
  }
  await cluster.close();
});
