import { describe, expect, it } from 'vitest';
import { createCluster } from '../../../src/index.js';
import { nodeOf, until } from '../fixture.js';
import { add, cluster, ids, runsTransactions, servers } from './transactions.js';

runsTransactions();

describe('a transaction', () => {
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
        return rows[0]?.query === 'commit /* pg-ladder */';
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
          const text = "select 1 from pg_stat_activity where state = 'active' and query like 'commit%'";
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
