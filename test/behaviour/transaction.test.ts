import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cluster, createCluster, type RouteEvent, type TransactionOptions } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from './fixture.js';

describe('a transaction', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let routes: RouteEvent[];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    await using setUp = await open(servers);
    await setUp.write('create table items (id int primary key, value int not null)');
    await setUp.write('create table parts (item int references items (id) deferrable initially deferred)');
    await servers.replicas[0]?.waitForReplay();
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    cluster = await open(servers);
    await cluster.write('truncate items, parts');
    // So that only what a test writes can keep it on the primary.
    await servers.replicas[0]?.waitForReplay();
    await cluster.read('select 1');
    routes = [];
    cluster.events.on('route', (event) => routes.push(event));
  });
  afterEach(async () => {
    await cluster.close();
    await servers.replicas[0]?.resumeReplay();
  });

  const add = (id: number) => cluster.write('insert into items values ($1, 0)', [id]);
  const ids = async () =>
    (await cluster.read<{ id: number }>('select id from items order by id')).rows.map((r) => r.id);
  const pauseReplica = () => servers.replicas[0]?.pauseReplay();

  it('commits what its callback does, with a real client, and the session sees it afterwards', async () => {
    await pauseReplica();
    await cluster.session(async () => {
      const result = await cluster.transaction(async (client) => {
        await client.query('insert into items values (1, 0)');
        await add(2);
        expect(await ids()).toEqual([1, 2]);
        return 'done';
      });
      expect(result).toBe('done');
      expect(routes.filter((r) => r.reason === 'transaction')).toHaveLength(1);
      expect(await ids()).toEqual([1, 2]);
      expect(routes.at(-1)).toMatchObject({ role: 'primary', reason: 'behind-floor' });
    });
    expect(nodeOf(cluster, 'primary').pool.totalCount).toBe(nodeOf(cluster, 'primary').pool.idleCount);
  });

  it('rolls back when its callback throws, and throws what it threw', async () => {
    const mistake = new Error('no');
    const attempt = cluster.transaction(async () => {
      await add(1);
      throw mistake;
    });
    await expect(attempt).rejects.toBe(mistake);
    expect(await ids()).toEqual([]);
  });

  it('runs joined statements one at a time, in the order of their calls', async () => {
    await cluster.transaction(async () => {
      const results = await Promise.all([add(1), ids(), add(2), ids(), add(3), ids()]);
      expect([results[1], results[3], results[5]]).toEqual([[1], [1, 2], [1, 2, 3]]);
    });
  });

  it('waits for statements that its callback did not wait for', async () => {
    await cluster.transaction(async () => void add(1));
    expect(await ids()).toEqual([1]);
  });

  it('nests as a savepoint: the inner one can fail alone, and siblings take turns', async () => {
    await cluster.transaction(async () => {
      await add(1);
      await expect(
        cluster.transaction(async () => {
          await add(2);
          await add(1);
        }),
      ).rejects.toMatchObject({ code: '23505' });
      const sibling = (id: number) =>
        cluster.transaction(async () => {
          await add(id);
          await cluster.transaction(() => add(id + 10));
          return (await ids()).length;
        });
      expect(await Promise.all([sibling(3), sibling(4)])).toEqual([3, 5]);
    });
    expect(await ids()).toEqual([1, 3, 4, 13, 14]);
  });

  it('is an error, not a silent rollback, when a failed statement’s error was swallowed', async () => {
    const swallowing = async () => {
      await add(1);
      await add(1).catch(() => undefined);
    };
    await expect(cluster.transaction(swallowing)).rejects.toMatchObject({
      code: 'LADDER_TRANSACTION_ABORTED',
      cause: { code: '23505' },
    });
    await cluster.transaction(async () => {
      await expect(cluster.transaction(swallowing)).rejects.toMatchObject({ code: 'LADDER_TRANSACTION_ABORTED' });
      await add(5);
    });
    expect(await ids()).toEqual([5]);
  });

  it('passes on the error of a constraint that is checked at COMMIT', async () => {
    const attempt = cluster.transaction(() => cluster.write('insert into parts values (99)'));
    await expect(attempt).rejects.toMatchObject({ code: '23503' });
    expect(nodeOf(cluster, 'primary').pool.idleCount).toBeGreaterThan(0);
  });

  it('lets nothing join after its end, and outsideTransaction does not join at all', async () => {
    let late: Promise<unknown> = Promise.resolve();
    await cluster.transaction(async () => {
      await add(1);
      await cluster.outsideTransaction(async () => {
        expect(await ids()).toEqual([]);
        await add(2);
      });
      late = new Promise((resolve) => setTimeout(resolve, 20)).then(() => add(3));
      late.catch(() => undefined);
    });
    await expect(late).rejects.toMatchObject({ code: 'LADDER_TRANSACTION_ENDED' });
    expect(await ids()).toEqual([1, 2]);
  });

  it('refuses inside what was settled when it began', async () => {
    await cluster.transaction(async () => {
      for (const options of [{ target: 'replica' as const }, { atLeast: 'x' }]) {
        await expect(cluster.read('select 1', [], options)).rejects.toMatchObject({ code: 'LADDER_INVALID_OPTIONS' });
      }
      await expect(cluster.transaction(() => 1, { timeoutMillis: 5 })).rejects.toMatchObject({
        code: 'LADDER_INVALID_OPTIONS',
      });
      await expect(cluster.transaction(() => 1, { isolation: 'serializable' })).rejects.toMatchObject({
        code: 'LADDER_INVALID_OPTIONS',
      });
    });
  });

  it('reads on a replica that has the session’s own write, with readOnly, and refuses writes there', async () => {
    await cluster.session(async () => {
      await add(7);
      const writing = cluster.transaction(
        async (client) => {
          expect(await ids()).toEqual([7]);
          await expect(add(8)).rejects.toMatchObject({ code: 'LADDER_READ_ONLY_TRANSACTION' });
          await client.query('insert into items values (9, 0)');
        },
        { readOnly: true },
      );
      await expect(writing).rejects.toMatchObject({ code: '25006' });
      expect(routes.at(-1)).toMatchObject({ role: 'replica' });
      await pauseReplica();
      await add(8);
      await cluster.transaction(async () => expect(await ids()).toEqual([7, 8]), { readOnly: true });
      expect(routes.at(-1)).toMatchObject({ role: 'primary', reason: 'behind-floor' });
    });
  });

  it('is placed by the options of a read, with readOnly, and refuses them without', async () => {
    const at = (options: TransactionOptions) =>
      cluster
        .transaction(() => ids(), { readOnly: true, ...options })
        .then((seen) => ({ seen, on: routes.at(-1)?.role }));
    const token = await cluster.session(async (session) => {
      await pauseReplica();
      await add(1);
      return session.token();
    });
    await cluster.session(
      async () => {
        expect(await at({ target: 'replica' })).toEqual({ seen: [], on: 'replica' });
        expect(await at({ target: 'primary' })).toEqual({ seen: [1], on: 'primary' });
        await expect(at({ target: 'replica', atLeast: token })).rejects.toMatchObject({ code: 'LADDER_NO_CANDIDATE' });
        expect(await at({ atLeast: token })).toEqual({ seen: [1], on: 'primary' });
      },
      { inherit: 'none' },
    );
    for (const [name, value] of Object.entries({
      atLeast: token,
      target: 'primary',
      priority: 'low',
      partitionKey: 'a',
    })) {
      const refused = cluster.transaction(() => 1, { [name]: value });
      await expect(refused).rejects.toMatchObject({
        code: 'LADDER_INVALID_OPTIONS',
        message: expect.stringContaining(`transaction: ${name}: only for readOnly`),
      });
    }
    await expect(at({ isolation: 'serializable', target: 'replica' })).rejects.toMatchObject({
      code: 'LADDER_INVALID_OPTIONS',
      message: expect.stringContaining('target'),
    });
  });

  it('keeps one snapshot on a replica with repeatable read, and runs serializable on the primary', async () => {
    await add(1);
    await servers.replicas[0]?.waitForReplay();
    await cluster.transaction(
      async () => {
        expect(await ids()).toEqual([1]);
        await cluster.outsideTransaction(() => add(2));
        await servers.replicas[0]?.waitForReplay();
        expect(await ids()).toEqual([1]);
        const { rows } = await cluster.read('show transaction_isolation');
        expect(rows).toEqual([{ transaction_isolation: 'repeatable read' }]);
      },
      { readOnly: true, isolation: 'repeatable read' },
    );
    expect(routes.filter((r) => r.role === 'replica').length).toBeGreaterThan(0);
    await cluster.transaction(() => ids(), { readOnly: true, isolation: 'serializable' });
    expect(routes.at(-1)).toMatchObject({ role: 'primary', reason: 'transaction' });
  });

  it('runs again after a serialization failure as often as retries says, and not by itself', async () => {
    await add(1);
    const increments = async (retries: number) => {
      let runs = 0;
      const one = () =>
        cluster.transaction(
          async (client) => {
            runs++;
            await client.query('select value from items where id = 1');
            await client.query('select pg_sleep(0.02)');
            await client.query('update items set value = value + 1 where id = 1');
          },
          { isolation: 'repeatable read', retries },
        );
      const outcomes = await Promise.allSettled(Array.from({ length: 4 }, one));
      return { runs, failed: outcomes.filter((o) => o.status === 'rejected').length };
    };
    const without = await increments(0);
    expect(without).toMatchObject({ runs: 4 });
    expect(without.failed).toBeGreaterThan(0);
    const withRetries = await increments(20);
    expect(withRetries.failed).toBe(0);
    expect(withRetries.runs).toBeGreaterThan(4);
  });

  it('says that the outcome is unknown when its connection is lost during COMMIT, and moves the floor', async () => {
    await cluster.write(`create or replace function slow_commit() returns trigger language plpgsql as
      $$ begin perform pg_sleep(0.4); return null; end $$`);
    await cluster.write(
      'create constraint trigger slow after insert on parts deferrable initially deferred for each row execute function slow_commit()',
    );
    await cluster.session(async () => {
      let pid = 0;
      const attempt = cluster.transaction(async (client) => {
        pid = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid ?? 0;
        await add(1);
        await cluster.write('insert into parts values (1)');
      });
      const outcome = expect(attempt).rejects.toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
      await until('COMMIT is under way', async () => {
        const { rows } = await cluster.outsideTransaction(() =>
          cluster.read<{ query: string }>('select query from pg_stat_activity where pid = $1', [pid], {
            target: 'primary',
          }),
        );
        return rows[0]?.query === 'commit';
      });
      await cluster.read('select pg_terminate_backend($1)', [pid], { target: 'primary' });
      await outcome;
      expect(await ids()).toEqual([]);
    });
    // Whoever gives up may do so with an error that he has from elsewhere.
    for (const code of ['22012', '40001', 'LADDER_TRANSACTION_ABORTED']) {
      await cluster.write('truncate items, parts');
      await cluster.session(async () => {
        const controller = new AbortController();
        const work = async () => {
          await add(1);
          await cluster.write('insert into parts values (1)');
        };
        const attempt = cluster.transaction(work, { signal: controller.signal, retries: 2 });
        const outcome = expect(attempt).rejects.toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
        await until('COMMIT is under way', async () => {
          const text = "select 1 from pg_stat_activity where state = 'active' and query = 'commit'";
          return (await cluster.read(text, [], { target: 'primary' })).rowCount === 1;
        });
        controller.abort(Object.assign(new Error('of another'), { code }));
        await outcome;
        await until('it is known', async () => (await cluster.explain('select 1')).reason !== 'floor-unknown');
        const there = await cluster.read<{ id: number }>('select id from items', [], { target: 'primary' });
        expect(await ids()).toEqual(there.rows.map(({ id }) => id));
      });
    }
    await cluster.write('drop trigger slow on parts');
  });

  it('throws pg’s own error when its connection is lost before COMMIT, and leaves nothing behind', async () => {
    const attempt = cluster.transaction(async (client) => {
      await add(1);
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
      await cluster.outsideTransaction(() =>
        cluster.read('select pg_terminate_backend($1)', [rows[0]?.pid], { target: 'primary' }),
      );
      await client.query('select 1');
    });
    await expect(attempt).rejects.toThrow();
    expect(await ids()).toEqual([]);
    expect(nodeOf(cluster, 'primary').inFlight).toBe(0);
  });

  it('does not send a joined statement that was given up while it waited for its turn', async () => {
    await cluster.transaction(async () => {
      let isOver = false;
      const slow = cluster.write('select pg_sleep(0.5)').finally(() => {
        isOver = true;
      });
      const late = cluster.write('insert into items values (1, 0)', [], { timeoutMillis: 50 });
      await expect(late).rejects.toMatchObject({ code: 'LADDER_TIMEOUT' });
      expect(isOver).toBe(false);
      await slow;
      await add(2);
    });
    expect(await ids()).toEqual([2]);
  });

  it('gives a connection to nobody else on which a statement was given up: the cancellation may come late', async () => {
    let pid: number | undefined;
    await cluster.transaction(async (client) => {
      pid = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
      await cluster
        .transaction(async () => {
          await expect(cluster.write('select pg_sleep(5)', [], { timeoutMillis: 30 })).rejects.toThrow('timeoutMillis');
          throw new Error('back to the savepoint');
        })
        .catch(() => undefined);
      await add(1);
    });
    expect(await ids()).toEqual([1]);
    await until('it is gone', async () => {
      const { rowCount } = await cluster.read('select 1 from pg_stat_activity where pid = $1', [pid], {
        target: 'primary',
      });
      return rowCount === 0;
    });
  });

  it('is given up by timeoutMillis and signal: its connection serves nobody else', async () => {
    const before = nodeOf(cluster, 'primary').pool.totalCount;
    const timedOut = cluster.transaction((client) => client.query('select pg_sleep(5)'), { timeoutMillis: 50 });
    await expect(timedOut).rejects.toMatchObject({ code: 'LADDER_TIMEOUT' });
    const controller = new AbortController();
    const aborted = cluster.transaction(() => new Promise(() => undefined), { signal: controller.signal });
    setTimeout(() => controller.abort(new Error('enough')), 20);
    await expect(aborted).rejects.toThrow('enough');
    await until('both connections are gone', () => nodeOf(cluster, 'primary').pool.totalCount <= before);
    expect(nodeOf(cluster, 'primary').inFlight).toBe(0);
  });

  it('is refused where no server takes writes, once the wait for one is over', async () => {
    await using swapped = createCluster({
      primary: servers.replicas[0]?.connectionString ?? '',
      primaryWaitMillis: 100,
    });
    await expect(swapped.write('create table nowhere (id int)')).rejects.toMatchObject({ code: 'LADDER_NO_PRIMARY' });
    await expect(swapped.transaction(() => 1)).rejects.toMatchObject({ code: 'LADDER_NO_PRIMARY' });
    await expect(swapped.ready({ timeoutMillis: 100 })).rejects.toMatchObject({ code: 'LADDER_NOT_PRIMARY' });
  });
});
