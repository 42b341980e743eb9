/** pg-boss takes an object with `executeSql` as `db`: jobs over the pool run once, and see what was written before they were sent. */
import { once } from 'node:events';
import type { Pool, PoolClient } from 'pg';
import PgBoss from 'pg-boss';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { open, readsOf, replicaShare, report, until } from '../../behaviour/fixture.js';
import { jitter, openStage, readYourWrites, type Stage } from '../workload.js';

/** What pg-boss wants of a database, over a pool or over the client of a transaction. */
function over(target: Pool | PoolClient): PgBoss.Db {
  return { executeSql: (text, values) => target.query(text, values) };
}

interface Person {
  readonly id: number;
}

const JOBS = 100;

describe('pg-boss on cluster.pool(), while the replicas’ replay is paused half of the time', () => {
  let stage: Stage;
  let pool: Pool;
  let boss: PgBoss;
  const errors: Error[] = [];

  function newBoss(options: PgBoss.ConstructorOptions = {}): PgBoss {
    const made = new PgBoss({ db: over(pool), ...options });
    made.on('error', (error) => errors.push(error));
    return made;
  }

  const stateOf = async (queue: string, id: string): Promise<string | undefined> => {
    const { rows } = await pool.query('select state from pgboss.job where name = $1 and id = $2', [queue, id]);
    return rows[0]?.state;
  };

  const countOf = async (queue: string, state: string): Promise<number> => {
    const { rows } = await pool.query('select count(*)::int from pgboss.job where name = $1 and state = $2', [
      queue,
      state,
    ]);
    return rows[0]?.count;
  };

  async function send(queue: string, data: object, options: PgBoss.SendOptions = {}): Promise<string> {
    const id = await boss.send(queue, data, options);
    if (id === null) throw new Error(`${queue} took no job`);
    return id;
  }

  beforeAll(async () => {
    stage = await openStage();
    pool = stage.pool;
    await jitter(stage.servers);
    boss = newBoss();
    await boss.start();
  });
  afterAll(async () => {
    await boss.stop();
    await stage[Symbol.asyncDispose]();
  });

  it('finds at once what it has just installed', async () => {
    const second = newBoss({ migrate: false, schedule: false });
    await second.start();
    await second.stop();
  });

  it('creates a queue and changes it, and reads it back at once', async () => {
    await boss.createQueue('mail', { name: 'mail', retryLimit: 1 });
    expect(await boss.getQueue('mail')).toMatchObject({ name: 'mail', retryLimit: 1 });
    await boss.updateQueue('mail', { name: 'mail', retryLimit: 5 });
    expect(await boss.getQueue('mail')).toMatchObject({ name: 'mail', retryLimit: 5 });
    await boss.deleteQueue('mail');
    expect(await boss.getQueue('mail')).toBeNull();
  });

  it('sends, fetches, completes and fails jobs, and sees each state at once', async () => {
    await boss.createQueue('states');
    const id = await send('states', { to: 'Ada' }, { retryLimit: 0 });
    expect(await boss.getJobById('states', id)).toMatchObject({ state: 'created', data: { to: 'Ada' } });
    expect(await boss.getQueueSize('states')).toBe(1);
    expect(await boss.fetch('states')).toMatchObject([{ id, data: { to: 'Ada' } }]);
    expect(await boss.getJobById('states', id)).toMatchObject({ state: 'active' });
    await boss.complete('states', id, { sent: true });
    expect(await boss.getJobById('states', id)).toMatchObject({ state: 'completed', output: { sent: true } });

    const failing = await send('states', { to: 'nobody' }, { retryLimit: 0 });
    await boss.fetch('states');
    await boss.fail('states', failing, new Error('no such person'));
    expect(await boss.getJobById('states', failing)).toMatchObject({
      state: 'failed',
      output: { message: 'no such person' },
    });
  });

  it('sends a job with the transaction that it belongs to: it is there after commit, and never after rollback', async () => {
    await boss.createQueue('orders');
    const order = async (end: 'commit' | 'rollback'): Promise<string> => {
      const client = await pool.connect();
      try {
        await client.query('begin');
        await client.query(`update people set name = $1 where id = 0`, [end]);
        const id = await send('orders', { end }, { db: over(client) });
        await client.query(end);
        return id;
      } finally {
        client.release();
      }
    };
    const nameOf = async (id: number): Promise<unknown> =>
      (await pool.query('select name from people where id = $1', [id])).rows[0]?.name;

    const kept = await order('commit');
    expect(await boss.getJobById('orders', kept)).toMatchObject({ data: { end: 'commit' } });
    const dropped = await order('rollback');
    expect(await boss.getJobById('orders', dropped)).toBeNull();
    expect(await nameOf(0)).toBe('commit');
    expect(await boss.fetch('orders', { batchSize: 10 })).toMatchObject([{ id: kept }]);
  });

  it('hands an event to those who subscribed just before', async () => {
    await boss.createQueue('subscribers');
    for (let round = 1; round <= 5; round++) {
      await boss.subscribe(`event ${round}`, 'subscribers');
      await boss.publish(`event ${round}`, { round });
      expect(await boss.getQueueSize('subscribers')).toBe(round);
    }
  });

  it('reports a unique violation as it always does', async () => {
    await boss.createQueue('one waits', { name: 'one waits', policy: 'short' });
    const cancelled = await send('one waits', {});
    await boss.cancel('one waits', cancelled);
    await send('one waits', {});
    await expect(boss.resume('one waits', cancelled)).rejects.toMatchObject({ code: '23505' });
    expect(await stateOf('one waits', cancelled)).toBe('cancelled');

    // Where a duplicate is what the caller asked for, pg-boss answers with nothing instead.
    expect(await boss.send('one waits', {})).toBeNull();
    await boss.createQueue('one runs', { name: 'one runs', policy: 'singleton' });
    await send('one runs', {});
    await send('one runs', {});
    expect(await boss.fetch('one runs')).toHaveLength(1);
    expect(await boss.fetch('one runs')).toEqual([]);
  });

  it('keeps house, all in one text from BEGIN to COMMIT, and counts', async () => {
    const keeper = newBoss({ maintenanceIntervalSeconds: 1, monitorStateIntervalSeconds: 1, schedule: false });
    await boss.createQueue('archived');
    const id = await send('archived', {});
    await boss.fetch('archived');
    await boss.complete('archived', id);
    await pool.query(`update pgboss.job set completed_on = now() - interval '1 day' where id = $1`, [id]);
    await keeper.start();
    try {
      const [states] = (await once(keeper, 'monitor-states')) as [PgBoss.MonitorStates];
      expect(states.queues['subscribers']).toMatchObject({ created: 5 });
      await until('the completed job is archived', async () => (await stateOf('archived', id)) === undefined);
      const { rows } = await pool.query('select state from pgboss.archive where id = $1', [id]);
      expect(rows).toEqual([{ state: 'completed' }]);
    } finally {
      await keeper.stop();
    }
  });

  it(`works off ${JOBS} jobs, each once, and each sees the row that was written just before it was sent`, async () => {
    await boss.createQueue('people');
    const handled: string[] = [];
    let stale = 0;
    const before = readsOf(stage.cluster);
    const options = { pollingIntervalSeconds: 0.5 };
    const worker = await boss.work<Person>('people', options, async (jobs) => {
      for (const job of jobs) {
        const { rows } = await pool.query('select name from people where id = $1', [job.data.id]);
        if (rows[0]?.name !== `for ${job.data.id}`) stale++;
        handled.push(job.id);
      }
    });
    const sent = await Promise.all(
      Array.from({ length: 4 }, (_, session) =>
        stage.cluster.session(async () => {
          const ids: string[] = [];
          for (let i = 0; i < JOBS / 4; i++) {
            const id = 1_000 + session * JOBS + i;
            await pool.query('insert into people values ($1, $2, 0)', [id, `for ${id}`]);
            ids.push(await send('people', { id }));
            boss.notifyWorker(worker);
            await until('the job is handled', () => handled.includes(ids.at(-1)!));
          }
          return ids;
        }),
      ),
    );
    const share = replicaShare(stage.cluster, before);
    await until('all jobs are completed', async () => (await countOf('people', 'completed')) >= JOBS, 20_000);
    await boss.offWork('people');
    expect(handled.toSorted()).toEqual(sent.flat().toSorted());
    expect(stale).toBe(0);
    expect(share).toBeGreaterThan(0.5);
    report(`pg-boss, ${JOBS} jobs`, { stale, 'on replicas, %': share * 100 });
  });

  // To take a job is to write to its table: from then on the process must read what had been committed by then.
  it.each([
    ['a job', false],
    ['a job that carries a token and is run in a session of its own', true],
  ])('lets a worker in another process see what was written before %s', async (_, hasSession) => {
    await using elsewhere = await open(stage.servers);
    const workerPool = elsewhere.pool();
    const workers = new PgBoss({ db: over(workerPool), schedule: false });
    workers.on('error', (error) => errors.push(error));
    await workers.start();
    const queue = hasSession ? 'with-token' : 'without-token';
    await boss.createQueue(queue);
    const seen: unknown[] = [];
    const greet = async ({ id }: Person): Promise<void> => {
      const { rows } = await workerPool.query('select name from people where id = $1', [id]);
      seen.push(rows[0]?.name);
    };
    const first = hasSession ? 5_000 : 6_000;
    try {
      const options = { pollingIntervalSeconds: 0.5 };
      const worker = await workers.work<Person & { token: string }>(queue, options, async (jobs) => {
        for (const { data } of jobs) {
          const { token } = data;
          await (hasSession ? elsewhere.session(() => greet(data), { token, inherit: 'none' }) : greet(data));
        }
      });
      for (let id = first; id < first + 50; id++) {
        await stage.cluster.session(async (session) => {
          await pool.query('insert into people values ($1, $2, 0)', [id, `for ${id}`]);
          await send(queue, { id, token: await session.token() });
        });
        workers.notifyWorker(worker);
        await until('the job is handled', () => seen.length > id - first);
      }
      expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => `for ${first + i}`));
    } finally {
      await workers.stop();
      await workerPool.end();
    }
  });

  it('reads the application’s rows as they were last written, and mostly from a replica', async () => {
    const { stale, share } = await readYourWrites('pg-boss', stage.cluster, {
      save: (id, age) => pool.query('update people set age = $1 where id = $2', [age, id]),
      age: async (id) => (await pool.query<{ age: number }>('select age from people where id = $1', [id])).rows[0]?.age,
    });
    expect(stale).toBe(0);
    expect(share).toBeGreaterThanOrEqual(0.7);
  });

  it('had no error to report from what it does in the background', () => {
    expect(errors).toEqual([]);
  });
});
