/**
 * Sessions that travel with jobs of BullMQ: whoever queues a job puts the token of its writes into the payload, and the worker that reads by it, on another process,
 * finds them, also when it is tried once more.
 */
import { type Job, Queue, QueueEvents, Worker } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { orderOf } from '../../../src/http/sessions.js';
import type { Cluster, RouteEvent } from '../../../src/index.js';
import { type ReplayJitter, startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open, report, size, until } from '../../behaviour/fixture.js';
import { RedisServer } from '../redis/redis-server.js';

const found = findBinary('redis-server');
if (found === undefined)
  report('bullmq', { skipped: 'redis-server is not installed (Debian: apt-get install redis-server)' });

const JOBS = size(100, 1_000);
/** Requests that queue their jobs side by side, each with a moment to think before: the jobs spread over many pauses of replay. */
const CLIENTS = 10;
const THINK_MILLIS = 100;
const ATTEMPTS = 3;

interface Payload {
  readonly id: number;
  readonly token?: string;
}

/** What the worker found: the row's version. */
type Read = number | undefined;

describe.skipIf(found === undefined)('a job of BullMQ, queued right after a write', () => {
  let redis: RedisServer;
  let servers: TestCluster;
  let queuing: Cluster;
  let working: Cluster;
  let queue: Queue<Payload, Read>;
  let events: QueueEvents;
  let worker: Worker<Payload, Read> | undefined;
  /** Where the worker's reads went. */
  let routes: RouteEvent[];

  beforeAll(async () => {
    redis = await RedisServer.start(found ?? '');
    servers = await startTestCluster({ replicas: 2 });
    [queuing, working] = await Promise.all([openOne(), openOne()]);
    working.events.on('route', (event) => routes.push(event));
    await queuing.write('create table orders (id int primary key, version int not null)');
    await queuing.write('insert into orders select i, 0 from generate_series(0, $1) i', [JOBS]);
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    queue = new Queue('orders', { connection: connection() });
    events = new QueueEvents('orders', { connection: connection() });
    await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
  });
  beforeEach(() => {
    routes = [];
  });
  afterEach(async () => {
    await worker?.close();
    worker = undefined;
  });
  afterAll(async () => {
    await Promise.all([events.close(), queue.close()]);
    await Promise.all([queuing.close(), working.close()]);
    await Promise.all([servers.stop(), redis.stop()]);
  });

  const openOne = () => open(servers, { secrets: ['a secret of the tests'] });
  /** Workers insist on waiting for as long as Redis is away. */
  const connection = () => ({ host: '127.0.0.1', port: redis.port, maxRetriesPerRequest: null });

  const startWorker = async (handle: (job: Job<Payload, Read>) => Promise<Read>): Promise<void> => {
    worker = new Worker<Payload, Read>('orders', handle, { connection: connection(), concurrency: CLIENTS });
    await worker.waitUntilReady();
  };

  const versionOf = async (id: number): Promise<Read> => {
    const { rows } = await working.read<{ version: number }>('select version from orders where id = $1', [id]);
    return rows[0]?.version;
  };

  /** As a worker should: what it knows beside the token is nobody's business. */
  const versionForJob = ({ data: { id, token } }: Job<Payload, Read>): Promise<Read> =>
    working.session(() => versionOf(id), { ...(token === undefined ? {} : { token }), inherit: 'none' });

  /** A request of its own that changes a row and queues a job about it. @returns that job */
  const change = (id: number, version: number, withToken: boolean, attempts = 1): Promise<Job<Payload, Read>> =>
    queuing.session(
      async (session) => {
        await session.write('update orders set version = $2 where id = $1', [id, version]);
        const payload = withToken ? { id, token: await session.token() } : { id };
        return queue.add('changed', payload, { attempts, backoff: { type: 'fixed', delay: 20 } });
      },
      { inherit: 'none' },
    );

  /** Changes each row once and has a worker look at it. @returns stale reads */
  const staleReads = async (version: number, withToken: boolean): Promise<number> => {
    await startWorker(versionForJob);
    let stale = 0;
    const client = async (number: number): Promise<void> => {
      for (let id = number; id < JOBS; id += CLIENTS) {
        await new Promise((resolve) => setTimeout(resolve, THINK_MILLIS * Math.random()));
        const job = await change(id, version, withToken);
        if ((await job.waitUntilFinished(events)) !== version) stale++;
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
    const onReplicas = routes.filter(({ role }) => role === 'replica').length;
    report(`${JOBS} jobs ${withToken ? 'with' : 'without'} a token`, { stale, share: onReplicas / routes.length });
    expect(routes.length).toBeGreaterThanOrEqual(JOBS);
    return stale;
  };

  describe('while the replicas’ replay is paused half of the time', () => {
    let jitters: ReplayJitter[];
    beforeAll(async () => {
      jitters = await Promise.all(
        servers.replicas.map((replica, i) => replica.jitterReplay({ seed: i + 1, maxMillis: 300, share: 0.5 })),
      );
    });
    afterAll(() => Promise.all(jitters.map((one) => one.stop())));

    it('reads that write, for every job that has its token', async () => {
      expect(await staleReads(1, true)).toBe(0);
    });

    it('reads the past for many a job without one', async () => {
      expect(await staleReads(2, false)).toBeGreaterThan(0);
    });
  });

  it('keeps its token when it fails and is tried again, whatever was written in between', async () => {
    await Promise.all(servers.replicas.map((replica) => replica.pauseReplay()));
    const tries: { readonly token: string | undefined; readonly version: Read }[] = [];
    await startWorker(async (job) => {
      const version = await versionForJob(job);
      tries.push({ token: job.data.token, version });
      // The worker's own write, and the process's: both are beyond the token that the next try starts from.
      await working.write('update orders set version = version + 1 where id = $1', [JOBS]);
      if (job.attemptsMade + 1 < ATTEMPTS) throw new Error('not yet');
      return version;
    });
    const job = await change(JOBS, 10, true, ATTEMPTS);
    expect(await job.waitUntilFinished(events)).toBe(12);
    const { token } = job.data;
    expect(orderOf(token ?? '')).toMatchObject({ isPrimaryOnly: false });
    expect(tries).toEqual([10, 11, 12].map((version) => ({ token, version })));
    expect((await queue.getJob(job.id ?? ''))?.data.token).toBe(token);
    const reads = routes.filter(({ reason }) => reason !== 'write');
    expect(reads.map(({ role }) => role)).toEqual(['primary', 'primary', 'primary']);
    // A token asks for no more than its own write: without it the worker reads where nothing of all this has arrived.
    expect(await working.session(() => versionOf(JOBS), { inherit: 'none' })).toBe(0);
    // Once replicas are that far, the old token is no reason to ask the primary.
    await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    await until('replicas are known to be that far', async () => {
      routes = [];
      expect(await versionForJob(job)).toBe(13);
      return routes[0]?.role === 'replica';
    });
  });
});
