/** The client that `transaction` hands out: pg's own, but that its statements are seen, and that it ends with the transaction. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, until } from './fixture.js';

let servers: TestCluster;
let cluster: Cluster;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
  await using setUp = await open(servers);
  await setUp.write('create table items (id int primary key, v int not null default 0)');
  await servers.replicas[0]?.waitForReplay();
});
afterAll(() => servers.stop());
beforeEach(async () => {
  cluster = await open(servers);
  await cluster.write('truncate items');
});
afterEach(() => cluster.close());

const PID = 'select pg_backend_pid() as pid';
const count = async () => (await cluster.write<{ n: number }>('select count(*)::int as n from items')).rows[0]?.n;
const kill = (pid: number | undefined) =>
  cluster.outsideTransaction(() => cluster.write('select pg_terminate_backend($1)', [pid]));

describe("a transaction's client", () => {
  it('is a pg.Client, with its fields, its listeners, callbacks and configs', async () => {
    const notices: string[] = [];
    await cluster
      .transaction(async (client) => {
        expect(client).toBeInstanceOf(pg.Client);
        expect(typeof (client as unknown as { processID: number }).processID).toBe('number');
        expect(client.escapeLiteral("it's")).toBe("'it''s'");
        const heard = (notice: { message?: string | undefined }) => void notices.push(String(notice.message));
        expect(client.on('notice', heard)).toBe(client);
        await client.query("do $$ begin raise notice 'heard'; end $$");
        client.removeListener('notice', heard);
        const byCallback = await new Promise((resolve, reject) => {
          client.query('select $1::int as v', [1], (error: Error | null, result) =>
            error ? reject(error) : resolve(result.rows),
          );
        });
        expect(byCallback).toEqual([{ v: 1 }]);
        const config = Object.freeze({ text: 'select $1::int as v', values: [2], rowMode: 'array' as const });
        expect((await client.query(config)).rows).toEqual([[2]]);
        await expect(client.query('select 1/0')).rejects.toMatchObject({ code: '22012' });
      })
      .catch(() => undefined);
    expect(notices).toEqual(['heard']);
  });

  it('leaves nothing on the connection of the pool: no method, no listener', async () => {
    let listeners = 0;
    await cluster.transaction((client) => {
      // As the documentation of node-postgres has it, for finding clients that are not released.
      const query: unknown = Reflect.get(client, 'query');
      const asked: unknown[] = [];
      client.query = ((...given: unknown[]) => {
        asked.push(given[0]);
        return Reflect.apply(query as () => unknown, client, given) as unknown;
      }) as typeof client.query;
      listeners = client.listenerCount('drain');
      return client.query('select 1').then(() => expect(asked).toEqual(['select 1']));
    });
    await cluster.transaction((client) => {
      expect(Object.hasOwn(client, 'query')).toBe(false);
      expect(client.listenerCount('drain')).toBe(listeners);
    });
  });

  it('runs nothing any more once the transaction has ended', async () => {
    const client = await cluster.transaction((own) => own);
    await expect(client.query('insert into items values (1)')).rejects.toMatchObject({
      code: 'LADDER_TRANSACTION_ENDED',
    });
    const byCallback = new Promise((resolve) => {
      client.query('insert into items values (2)', (error: unknown) => resolve(error));
    });
    expect(await byCallback).toMatchObject({ code: 'LADDER_TRANSACTION_ENDED' });
    expect(await count()).toBe(0);
  });
});

describe('a transaction whose session the server ends during a statement', () => {
  /** @param own what `fn` has sent by itself before */
  const killedUnder = async (retries: number, own: string[], isCaught = false) => {
    await cluster.write('truncate items');
    let runs = 0;
    const running = cluster.transaction(
      async (client) => {
        const isFirst = ++runs === 1;
        const { rows } = await client.query<{ pid: number }>(PID);
        await client.query('insert into items values ($1)', [runs]);
        for (const text of own) await client.query(text);
        if (!isFirst) return 'done';
        const waiting = client.query('select pg_sleep(60)');
        const ended = waiting.catch(() => undefined);
        await until('it sleeps', async () => {
          const { rowCount } = await cluster.outsideTransaction(() =>
            cluster.write("select 1 from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'", [rows[0]?.pid]),
          );
          return rowCount === 1;
        });
        await kill(rows[0]?.pid);
        await (isCaught ? ended : waiting);
        return 'in vain';
      },
      { retries },
    );
    const outcome = await running.then(
      (result) => ({ result }),
      ({ code, message }: { code?: string; message: string }) => ({ code, isSaid: message.includes('rolled back') }),
    );
    return { ...outcome, runs };
  };

  it('is rolled back, and the error says so', async () => {
    expect(await killedUnder(0, [])).toEqual({ code: '57P01', isSaid: true, runs: 1 });
    expect(await killedUnder(0, [], true)).toEqual({ code: '57P01', isSaid: true, runs: 1 });
    expect(await count()).toBe(0);
  });

  it('runs again where retries says so', async () => {
    expect(await killedUnder(1, [])).toEqual({ result: 'done', runs: 2 });
    expect(await killedUnder(1, ['select case when true then 1 end', 'savepoint a', 'rollback to a'])).toEqual({
      result: 'done',
      runs: 2,
    });
    expect(await count()).toBe(1);
  });

  it.each([
    ['COMMIT and BEGIN', ['commit', 'begin']],
    ['COMMIT AND CHAIN', ['/* a */ commit and chain']],
    ['several statements in a text', ['select 1; commit; begin']],
  ])('is not called rolled back, nor run again, when fn has sent %s by itself', async (_, own) => {
    const { runs, ...outcome } = await killedUnder(3, own);
    expect(runs).toBe(1);
    expect(outcome).toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
    expect(await count()).toBe(1);
  });

  it('for being idle: what fn has committed by itself is not run again', async () => {
    let runs = 0;
    const running = cluster.transaction(
      async (client) => {
        runs++;
        await client.query('insert into items values (7)');
        await client.query('commit and chain');
        const lost = new Promise<void>((resolve) => client.once('end', resolve));
        await client.query("set local idle_in_transaction_session_timeout = '1ms'");
        await lost;
      },
      { retries: 3 },
    );
    await expect(running).rejects.toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
    expect([runs, await count()]).toEqual([1, 1]);
  });

  it('on a replica: it runs again', async () => {
    let runs = 0;
    const running = cluster.transaction(
      async (client) => {
        if (++runs > 1) return runs;
        const { rows } = await client.query<{ pid: number }>(PID);
        const waiting = client.query('select pg_sleep(60)');
        waiting.catch(() => undefined);
        await cluster.outsideTransaction(() =>
          cluster.read('select pg_terminate_backend($1)', [rows[0]?.pid], { target: 'replica' }),
        );
        await waiting;
        return 0;
      },
      { readOnly: true, retries: 2 },
    );
    expect(await running).toBe(2);
  });
});
