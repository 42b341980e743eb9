/** graphile-worker takes a pool as `pgPool`: its migrations, jobs and notifications run over it, and jobs see what was written before them. */
import { once } from 'node:events';
import { Logger, makeWorkerUtils, type Runner, type RunnerOptions, run, runMigrations, runOnce } from 'graphile-worker';
import type { Pool } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { open, readsOf, replicaShare, report, until } from '../../behaviour/fixture.js';
import { jitter, openStage, readYourWrites, type Stage } from '../workload.js';

interface Person {
  readonly id: number;
}

const JOBS = 100;
const HOUR = 3_600_000;

describe('graphile-worker on cluster.pool(), while the replicas’ replay is paused half of the time', () => {
  let stage: Stage;
  let pool: Pool;
  let utils: Awaited<ReturnType<typeof makeWorkerUtils>>;
  const errors: string[] = [];
  const logger = new Logger(() => (level, message) => {
    if (level === 'error') errors.push(message);
  });

  /** Workers that look for jobs when they are told to, and of their own accord only once in an hour. */
  async function runWorkers(options: RunnerOptions): Promise<Runner> {
    const runner = await run({ pgPool: pool, logger, noHandleSignals: true, pollInterval: HOUR, ...options });
    await untilListening(runner);
    return runner;
  }

  /** A job that is added before its workers listen would wait for an hour. What they are told of here is no job, and wakes nobody up. */
  async function untilListening({ events }: Runner): Promise<void> {
    let hasHeard = false;
    events.once('pool:listen:notification', () => {
      hasHeard = true;
    });
    await until('the workers listen', async () => {
      await pool.query(`notify "jobs:insert", '{"count": 0}'`);
      return hasHeard;
    });
  }

  async function jobs(task: string): Promise<Record<string, unknown>[]> {
    const { rows } = await pool.query<Record<string, unknown>>(
      'select id, key, priority, attempts, last_error from graphile_worker.jobs where task_identifier = $1 order by id',
      [task],
    );
    return rows;
  }

  beforeAll(async () => {
    stage = await openStage();
    pool = stage.pool;
    await jitter(stage.servers);
    await runMigrations({ pgPool: pool, logger });
    utils = await makeWorkerUtils({ pgPool: pool, logger });
  });
  afterAll(async () => {
    await utils.release();
    await stage[Symbol.asyncDispose]();
  });

  it('migrates once, and finds at once that it has', async () => {
    const migrations = async (): Promise<unknown[]> =>
      (await pool.query('select id, ts from graphile_worker.migrations order by id')).rows;
    const before = await migrations();
    expect(before.length).toBeGreaterThan(10);
    await utils.migrate();
    expect(await migrations()).toEqual(before);
  });

  it('adds a job, changes it and removes it, and reads it back at once', async () => {
    const { id } = await utils.addJob('change', { id: 1 }, { jobKey: 'k', priority: 1 });
    expect(await jobs('change')).toMatchObject([{ id, key: 'k', priority: 1 }]);
    await utils.addJob('change', { id: 2 }, { jobKey: 'k', priority: 2 });
    expect(await jobs('change')).toMatchObject([{ id, priority: 2 }]);
    await utils.rescheduleJobs([id], { priority: 3 });
    expect(await jobs('change')).toMatchObject([{ id, priority: 3 }]);
    await utils.completeJobs([id]);
    expect(await jobs('change')).toEqual([]);
  });

  it('adds a job with the transaction that it belongs to: it is there after commit, and never after rollback', async () => {
    const order = (end: 'commit' | 'rollback'): Promise<void> =>
      utils.withPgClient(async (client) => {
        await client.query('begin');
        await client.query('update people set name = $1 where id = 0', [end]);
        await client.query('select graphile_worker.add_job($1, job_key => $2)', ['order', end]);
        await client.query(end);
      });
    await order('commit');
    expect(await jobs('order')).toMatchObject([{ key: 'commit' }]);
    await order('rollback');
    expect(await jobs('order')).toMatchObject([{ key: 'commit' }]);
    expect((await pool.query('select name from people where id = 0')).rows).toEqual([{ name: 'commit' }]);
  });

  it('runs what is due once, in the order of priority and one at a time in a named queue', async () => {
    const ran: unknown[] = [];
    for (const priority of [3, 1, 2]) {
      await utils.addJob('sort', { priority }, { priority, queueName: 'sorted' });
    }
    const sort = async (payload: unknown, helpers: { getQueueName(): PromiseLike<string | null> | string | null }) => {
      ran.push({ ...(payload as object), queue: await helpers.getQueueName() });
    };
    await runOnce({ pgPool: pool, logger, noHandleSignals: true, concurrency: 3, taskList: { sort } });
    expect(ran).toEqual([1, 2, 3].map((priority) => ({ priority, queue: 'sorted' })));
    expect(await jobs('sort')).toEqual([]);
  });

  it('reports a unique violation as the failure of the job that met it', async () => {
    const { id } = await utils.addJob('duplicate', {}, { maxAttempts: 1 });
    const runner = await runWorkers({
      taskList: {
        duplicate: async (_, helpers) => {
          await helpers.query(`insert into people values (0, 'again', 0)`);
        },
      },
    });
    await until('the job has failed', async () => (await jobs('duplicate'))[0]?.['last_error'] !== null);
    await runner.stop();
    expect(await jobs('duplicate')).toMatchObject([
      { id, attempts: 1, last_error: expect.stringContaining('people_pkey') },
    ]);
    expect(errors.splice(0)).toEqual([expect.stringContaining('duplicate key value violates unique constraint')]);
  });

  it('remembers its crontab from the start', async () => {
    const runner = await runWorkers({ crontab: '0 0 1 1 * yearly', taskList: { yearly: () => undefined } });
    const known = async (): Promise<unknown[]> =>
      (await pool.query('select identifier from graphile_worker._private_known_crontabs')).rows;
    await until('the crontab is known', async () => (await known()).length > 0);
    await runner.stop();
    expect(await known()).toEqual([{ identifier: 'yearly' }]);
  });

  it('wakes up by LISTEN and NOTIFY, also after the connection that listens was lost', async () => {
    const ran: unknown[] = [];
    const runner = await runWorkers({ taskList: { wake: (payload) => void ran.push(payload) } });
    try {
      await utils.addJob('wake', 'first');
      await until('the worker has heard of it', () => ran.length === 1, 5_000);

      const failed = once(runner.events, 'pool:listen:error');
      await pool.query(`select pg_terminate_backend(pid) from pg_stat_activity where query like 'LISTEN%'`);
      await failed;
      await untilListening(runner);

      await utils.addJob('wake', 'second');
      await until('the worker has heard of that, too', () => ran.length === 2, 5_000);
      expect(ran).toEqual(['first', 'second']);
      expect(errors.splice(0)).toContainEqual(expect.stringContaining('Error with notify listener'));
    } finally {
      await runner.stop();
    }
  });

  it(`works off ${JOBS} jobs, each once, and each sees the row that was written just before it was added`, async () => {
    const handled: string[] = [];
    let stale = 0;
    const before = readsOf(stage.cluster);
    const runner = await runWorkers({
      concurrency: 4,
      taskList: {
        greet: async (payload, { job, query }) => {
          const { id } = payload as Person;
          const text = 'select name from people where id = $1';
          const found = await Promise.all([pool.query(text, [id]), query<{ name: string }>(text, [id])]);
          for (const { rows } of found) if (rows[0]?.name !== `for ${id}`) stale++;
          handled.push(job.id);
        },
      },
    });
    const added = await Promise.all(
      Array.from({ length: 4 }, (_, session) =>
        stage.cluster.session(async () => {
          const ids: string[] = [];
          for (let i = 0; i < JOBS / 4; i++) {
            const id = 1_000 + session * JOBS + i;
            await pool.query('insert into people values ($1, $2, 0)', [id, `for ${id}`]);
            const job = await utils.addJob('greet', { id });
            ids.push(job.id);
            await until('the job is handled', () => handled.includes(job.id));
          }
          return ids;
        }),
      ),
    );
    const share = replicaShare(stage.cluster, before);
    await runner.stop();
    expect(handled.toSorted()).toEqual(added.flat().toSorted());
    expect(await jobs('greet')).toEqual([]);
    expect(stale).toBe(0);
    expect(share).toBeGreaterThan(0.5);
    report(`graphile-worker, ${JOBS} jobs`, { stale, 'on replicas, %': share * 100 });
  });

  // To take a job is to write to its table: from then on the process must read what had been committed by then.
  it.each([
    ['a job', false],
    ['a job that carries a token and is run in a session of its own', true],
  ])('lets a worker in another process see what was written before %s', async (_, hasSession) => {
    await using elsewhere = await open(stage.servers);
    const workerPool = elsewhere.pool();
    const seen: unknown[] = [];
    const greet = async ({ id }: Person): Promise<void> => {
      const { rows } = await workerPool.query('select name from people where id = $1', [id]);
      seen.push(rows[0]?.name);
    };
    const inSession = (payload: unknown): Promise<void> => {
      const { token, ...person } = payload as Person & { token: string };
      return hasSession ? elsewhere.session(() => greet(person), { token, inherit: 'none' }) : greet(person);
    };
    const runner = await runWorkers({ pgPool: workerPool, taskList: { 'greet elsewhere': inSession } });
    const first = hasSession ? 5_000 : 6_000;
    try {
      for (let id = first; id < first + 50; id++) {
        await stage.cluster.session(async (session) => {
          await pool.query('insert into people values ($1, $2, 0)', [id, `for ${id}`]);
          await utils.addJob('greet elsewhere', { id, token: await session.token() });
        });
        await until('the job is handled', () => seen.length > id - first);
      }
      expect(seen).toEqual(Array.from({ length: 50 }, (_, i) => `for ${first + i}`));
    } finally {
      await runner.stop();
      await workerPool.end();
    }
  });

  it('reads the application’s rows as they were last written, and mostly from a replica', async () => {
    const { stale, share } = await readYourWrites('graphile-worker', stage.cluster, {
      save: (id, age) => pool.query('update people set age = $1 where id = $2', [age, id]),
      age: async (id) => (await pool.query<{ age: number }>('select age from people where id = $1', [id])).rows[0]?.age,
    });
    expect(stale).toBe(0);
    expect(share).toBeGreaterThanOrEqual(0.7);
  });

  it('had no other error to report', () => {
    expect(errors).toEqual([]);
  });
});
