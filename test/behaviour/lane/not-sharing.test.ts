import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { type Cluster, type ClusterBehaviour, createCluster } from '../../../src/index.js';
import { nodeOf, open, until } from '../fixture.js';
import { primaryUrl, replicaUrl, servers, shared, sharesConnections, warm } from './shared-connections.js';

sharesConnections();

describe('statements that must not share a connection', () => {
  it.each([
    ["select set_config('app.who', 'me', false)", []],
    ['select remembers($1)', ['me']],
    ['select pg_advisory_lock(7), pg_advisory_unlock(7)', []],
    ['select 1; select 2', []],
    ['show work_mem', []],
    ["select current_setting('statement_timeout')", []],
    ['select pg_sleep(0)', []],
    ['explain select 1', []],
  ])('%s has one of its own', async (text, values) => {
    await using cluster = await open(servers);
    await warm(cluster, 'select 1');
    const before = shared(cluster);
    for (let i = 0; i < 20; i++) await cluster.read(text, values).catch(() => undefined);
    // Positions are asked for on shared connections, too, but no more than 100 times a second.
    expect(shared(cluster) - before).toBe(0);
  });

  it('nor those that were slow, until they are fast', async () => {
    await using cluster = await open(servers);
    await warm(cluster, 'select 1');
    const before = shared(cluster);
    for (let i = 0; i < 10; i++) await cluster.read('select slowly($1)', [0.02]);
    expect(shared(cluster)).toBe(before);
    await warm(cluster, 'select slowly($1)', [0]);
  });

  it('nor any, with lane: false or a pool that sets its connections up', async () => {
    const asked: { options: ClusterBehaviour; pool?: pg.Pool; shares: boolean }[] = [
      { options: { lane: false }, shares: false },
      { options: {}, pool: new pg.Pool({ connectionString: replicaUrl }), shares: true },
      {
        options: {},
        pool: new pg.Pool({ connectionString: replicaUrl }).on('connect', () => undefined),
        shares: false,
      },
      {
        options: { lane: true },
        pool: new pg.Pool({ connectionString: replicaUrl }).on('connect', () => undefined),
        shares: true,
      },
    ];
    for (const { options, pool, shares } of asked) {
      await using cluster = createCluster({
        primary: primaryUrl,
        replicas: [pool === undefined ? replicaUrl : { pool }],
        ...options,
      });
      await cluster.ready();
      if (shares) await warm(cluster, 'select 1');
      for (let i = 0; i < 100; i++) await cluster.read('select 1');
      expect(shared(cluster) > 0).toBe(shares);
      await cluster.close();
      await pool?.end();
    }
  });

  /** Reads through both until those of the one that may share connections do: by then the other would, too. */
  async function beside(control: Cluster, cluster: Cluster): Promise<void> {
    await cluster.explain('select 1');
    await until('the other one shares connections', async () => {
      for (let i = 0; i < 10; i++) await Promise.all([control.read('select 1'), cluster.read('select 1')]);
      return shared(control) > 200;
    });
  }

  it.each<[string, ClusterBehaviour, boolean]>([
    ['with lane: false', { lane: false }, false],
    ['through a pool with a connect listener', {}, true],
  ])('nor any %s, however often they come', async (_, options, hasListener) => {
    const pool = new pg.Pool({ connectionString: replicaUrl });
    if (hasListener) pool.on('connect', () => undefined);
    await using control = await open(servers);
    const cluster = await open(servers, { replicas: [{ name: 'r1', pool }], ...options });
    await beside(control, cluster);
    const count = shared(cluster);
    await cluster.close();
    await pool.end();
    expect(count).toBe(0);
  });

  it.each([undefined, true])(
    'nor any behind a pooler, which tells a process id of its own, and none is named; with lane: %s',
    async (lane) => {
      const names = new Set<unknown>();
      class Pooled extends pg.Client {
        constructor(config?: string | pg.ClientConfig) {
          super(config);
          // pg's own assignment has no effect.
          Object.defineProperty(this, 'processID', { get: () => -1, set: () => {} });
          const query = this.query.bind(this) as (...args: unknown[]) => unknown;
          this.query = (...args: unknown[]) => {
            const { name } = args[0] as { name?: unknown };
            if (name !== undefined) names.add(name);
            return query(...args) as never;
          };
        }
      }
      await using control = await open(servers);
      await using cluster = await open(servers, {
        primary: { connectionString: primaryUrl, Client: Pooled },
        replicas: [{ name: 'r1', connectionString: replicaUrl, Client: Pooled }],
        ...(lane === undefined ? {} : { lane }),
      });
      await beside(control, cluster);
      for (let i = 0; i < 5; i++) await cluster.write('update t set v = v where id = $1', [i]);
      expect(shared(cluster) > 0).toBe(lane === true);
      expect([...names]).toEqual([]);
    },
  );

  it('nor any over a connection that reaches another server than the node’s', async () => {
    class Astray extends pg.Client {
      constructor(config: pg.ClientConfig & { pipeline?: boolean } = {}) {
        super(config.pipeline === true ? { ...config, connectionString: primaryUrl } : config);
      }
    }
    await using control = await open(servers);
    await using cluster = await open(servers, {
      replicas: [{ name: 'r1', connectionString: replicaUrl, Client: Astray }],
    });
    await beside(control, cluster);
    expect(nodeOf(cluster, 'r1').lane.statementCount).toBe(0);
    // Nor does what it says count for the node, when it is tried after a pause.
    await until('it is open', async () => {
      await cluster.read('select 1');
      await new Promise((resolve) => setTimeout(resolve, 100));
      return nodeOf(cluster, 'r1').lane.connectionCount === 1;
    });
    const states: string[] = [];
    cluster.events.on('node', ({ node, state }) => states.push(`${node} ${state}`));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_000);
    for (let i = 0; i < 100; i++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      await cluster.read('select 1');
    }
    expect(nodeOf(cluster, 'r1').lane.statementCount).toBe(0);
    expect(states).toEqual([]);
  });

  it('nor one with a key that pg knows and a shared connection does not', async () => {
    const text = 'select v from t where id = $1';
    await using cluster = await open(servers);
    await warm(cluster, text, [7]);
    const before = shared(cluster);
    for (let i = 0; i < 5; i++) {
      const { rows } = await cluster.read({ text, values: [7], binary: true } as pg.QueryConfig);
      expect(rows).toEqual([{ v: 7 }]);
    }
    expect(shared(cluster) - before).toBe(0);
  });
});

describe('a statement that takes long on a shared connection', () => {
  const text = 'select slowly($1)';

  it('is run on one of its own, and those behind it elsewhere', async () => {
    await using cluster = await open(servers, { lane: { connections: 1 } });
    await warm(cluster, 'select 1 as one');
    let attempt = 0;
    await until('some were sent behind it', async () => {
      // Of another name each time: a text that was slow just now shares no connection.
      const slowly = `${text} as nap_${attempt++}`;
      await warm(cluster, slowly, [0]);
      const before = nodeOf(cluster, 'r1');
      const startedAt = performance.now();
      const slow = cluster.read(slowly, [0.6]);
      const wasShared = nodeOf(cluster, 'r1').lane.statementCount > before.lane.statementCount;
      await Promise.all(Array.from({ length: 30 }, () => cluster.read('select 1 as one')));
      const { statementCount, lane } = nodeOf(cluster, 'r1');
      const behind = lane.statementCount - before.lane.statementCount - 1;
      expect((await slow).rows).toHaveLength(1);
      if (!wasShared || behind <= 0) return false;
      // They have run a second time, before it was over.
      expect(statementCount - before.statementCount).toBeGreaterThanOrEqual(31 + behind);
      // It was cancelled there before it ran on a connection of its own.
      expect(performance.now() - startedAt).toBeGreaterThan(800);
      return true;
    });
    expect((await cluster.read('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('can be given up without harm to its neighbours', async () => {
    await using cluster = await open(servers, { lane: { connections: 1 } });
    await warm(cluster, text, [0]);
    await warm(cluster, 'select 1 as one');
    const given = cluster.read(text, [0.1], { timeoutMillis: 20 });
    const neighbours = Array.from({ length: 20 }, () => cluster.read('select 1 as one'));
    await expect(given).rejects.toMatchObject({ code: 'LADDER_TIMEOUT' });
    for (const { rows } of await Promise.all(neighbours)) expect(rows).toEqual([{ one: 1 }]);
  });

  it('is cancelled by the user’s own statement_timeout where that is shorter', async () => {
    await using cluster = await open(servers, {
      replicas: [{ name: 'r1', connectionString: replicaUrl, statement_timeout: 400 }],
    });
    await warm(cluster, text, [0]);
    await expect(cluster.read(text, [2])).rejects.toMatchObject({ code: '57014' });
  });

  it('does not take its connection with it by a query_timeout', async () => {
    await using cluster = await open(servers, {
      lane: { connections: 1 },
      // Shorter than what a shared connection gives each statement.
      replicas: [{ name: 'r1', connectionString: replicaUrl, query_timeout: 100 }],
    });
    let attempt = 0;
    await until('one has timed out on the shared connection', async () => {
      const slowly = `${text} as nap_${attempt++}`;
      await warm(cluster, slowly, [0]);
      const before = shared(cluster);
      await cluster.read(slowly, [0.2]).catch(() => undefined);
      return shared(cluster) === before + 1;
    });
    expect(nodeOf(cluster, 'r1').lane.connectionCount).toBe(1);
  });
});
