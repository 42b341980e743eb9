import { describe, expect, it } from 'vitest';
import type { TransactionOptions } from '../../../src/index.js';
import { nodeOf } from '../fixture.js';
import { add, cluster, ids, routes, runsTransactions, servers } from './transactions.js';

const pauseReplica = () => servers.replicas[0]?.pauseReplay();

runsTransactions();

describe('a transaction', () => {
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
});
