import { setTimeout as sleep } from 'node:timers/promises';
import { CookieJar } from 'tough-cookie';
import { request } from 'undici';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster, RouteEvent } from '../../src/index.js';
import { type ReplayJitter, startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, report, size, until } from './fixture.js';
import type { ReadCounts, Seen } from './http-app.js';
import { type App, start } from './http-app-process.js';

const secrets = ['a secret that all the processes share'];
const USERS = size(16, 32);
const PAIRS = size(160, 10_000);
const THINK_MILLIS = 20;
const HEADER = 'pg-ladder-token';
/** Below it, sessions end with their request. */
const BARE = '/bare';

describe('several processes', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let web: App;
  let middle: App;
  let last: App;
  let jitters: ReplayJitter[] = [];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    cluster = await open(servers, { secrets });
    await cluster.write('create table names (id int primary key, name text not null)');
    await cluster.write("insert into names select id, 'new here' from generate_series(0, 999) as id");
    await cluster.write('create table jobs (id bigserial primary key, payload jsonb not null)');
    for (const replica of servers.replicas) await replica.waitForReplay();
    const shared = {
      primary: servers.primary.connectionString,
      replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
      secrets,
    };
    last = await start({ ...shared, name: 'last' });
    middle = await start({ ...shared, name: 'middle', next: { origin: last.origin, by: 'agent' } });
    web = await start({ ...shared, name: 'web', next: { origin: middle.origin, by: 'fetch' } });
  });
  afterAll(async () => {
    await Promise.all([web, middle, last].map((app) => app?.stop()));
    await cluster.close();
    await servers.stop();
  });
  afterEach(async () => {
    await Promise.all(jitters.map((jitter) => jitter.stop()));
    jitters = [];
    await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
  });

  const pauseAll = () => Promise.all(servers.replicas.map((replica) => replica.pauseReplay()));
  const stumble = async () => {
    const options = { maxMillis: 500, share: 0.5 };
    jitters = await Promise.all(servers.replicas.map((r, i) => r.jitterReplay({ ...options, seed: 11 + i })));
  };
  const readsOf = async (apps: readonly App[]): Promise<ReadCounts> => {
    const counts = await Promise.all(apps.map((app) => app.reads()));
    return {
      primary: counts.reduce((sum, { primary }) => sum + primary, 0),
      replica: counts.reduce((sum, { replica }) => sum + replica, 0),
    };
  };
  /** Reads that replicas answered to `task`, as a share of all. */
  const shareDuring = async (apps: readonly App[], task: () => Promise<unknown>): Promise<number> => {
    const before = await readsOf(apps);
    await task();
    const after = await readsOf(apps);
    const onReplicas = after.replica - before.replica;
    return onReplicas / (onReplicas + after.primary - before.primary);
  };

  describe('behind a load balancer that takes turns', () => {
    /** @returns how often the page showed another name than the one saved last */
    const saveAndReload = async (pairs: number, below = ''): Promise<number> => {
      const apps = [web, middle];
      let turn = 0;
      let stale = 0;
      const browse = async (user: number) => {
        const jar = new CookieJar();
        const ask = async (method: 'GET' | 'POST', path: string) => {
          const url = `${apps[turn++ % apps.length]?.origin}${below}${path}`;
          const cookie = await jar.getCookieString(url);
          const { statusCode, headers, body } = await request(url, {
            method,
            headers: cookie === '' ? {} : { cookie },
          });
          for (const line of [headers['set-cookie'] ?? []].flat()) await jar.setCookie(line, url);
          const text = await body.text();
          if (statusCode >= 300) throw new Error(`${method} ${path}: ${statusCode} ${text}`);
          return text;
        };
        for (let i = 0; i < pairs / USERS; i++) {
          const name = `${below}${user}.${i}`;
          await ask('POST', `/name?id=${user}&name=${encodeURIComponent(name)}`);
          await sleep(THINK_MILLIS);
          if ((await ask('GET', `/name?id=${user}`)) !== name) stale++;
          await sleep(THINK_MILLIS);
        }
      };
      await Promise.all(Array.from({ length: USERS }, (_, user) => browse(user)));
      return stale;
    };

    it('show every user the name that was saved before, most often from a replica', async () => {
      await stumble();
      let stale = 0;
      let share = 0;
      const startedAt = performance.now();
      await until('most are answered by a replica', async () => {
        share = await shareDuring([web, middle], async () => {
          stale += await saveAndReload(PAIRS);
        });
        return share >= 0.7;
      });
      report(`${PAIRS} save-then-reload pairs of ${USERS} users on two processes`, {
        stale,
        'share on replicas': share,
        'pairs per second': (PAIRS / (performance.now() - startedAt)) * 1_000,
      });
      expect(stale).toBe(0);
    });

    it('show old names without the middleware', async () => {
      await stumble();
      const pairs = size(200, 1_000);
      await until('an old name is shown', async () => {
        const stale = await saveAndReload(pairs, BARE);
        report(`${pairs} save-then-reload pairs without the middleware`, { stale });
        return stale > 0;
      });
    });
  });

  describe('that call each other', () => {
    /** A call of the first one, by a service that keeps the header between its calls. */
    const ask = async (app: App, method: 'GET' | 'POST', path: string, token?: string) => {
      const headers = token === undefined ? {} : { [HEADER]: token };
      const answer = await request(`${app.origin}${path}`, { method, headers });
      const text = await answer.body.text();
      if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`);
      return { text, token: answer.headers[HEADER]?.toString() };
    };

    /** @returns how often each of them saw another name than the one that the last of them had written */
    const relay = async (rounds: number, below = '') => {
      const stale = { middle: 0, web: 0, 'web, next call': 0, 'middle, next call': 0 };
      const users = 8;
      const call = async (user: number) => {
        let token: string | undefined = '-';
        for (let i = 0; i < rounds / users; i++) {
          const id = 100 + user;
          const name = `${below}${id}.${i}`;
          const path = `${below}/relay?id=${id}&name=${encodeURIComponent(name)}`;
          const answer = await ask(web, 'POST', path, token);
          const seen = JSON.parse(answer.text) as Seen;
          if (seen['middle'] !== name) stale.middle++;
          if (seen['web'] !== name) stale.web++;
          token = answer.token ?? token;
          await sleep(THINK_MILLIS);
          if ((await ask(web, 'GET', `${below}/name?id=${id}`, token)).text !== name) stale['web, next call']++;
          if ((await ask(middle, 'GET', `${below}/name?id=${id}`, token)).text !== name) stale['middle, next call']++;
        }
      };
      await Promise.all(Array.from({ length: users }, (_, user) => call(user)));
      return stale;
    };

    it('all see what the last of them wrote, in the same call and in the next', async () => {
      await stumble();
      const rounds = size(50, 2_000);
      let stale: Awaited<ReturnType<typeof relay>> | undefined;
      const share = await shareDuring([web, middle], async () => {
        stale = await relay(rounds);
      });
      report(`${rounds} calls through three services`, { ...stale, 'share on replicas': share });
      expect(stale).toEqual({ middle: 0, web: 0, 'web, next call': 0, 'middle, next call': 0 });
    });

    it('see it from the primary while no replica has it, and from a replica afterwards', async () => {
      await pauseAll();
      const path = '/relay?id=200&name=Ada';
      let token: string | undefined;
      const paused = await shareDuring([web, middle], async () => {
        const answer = await ask(web, 'POST', path, '-');
        expect(JSON.parse(answer.text)).toEqual({ web: 'Ada', middle: 'Ada' });
        token = answer.token;
      });
      expect(paused).toBe(0);
      expect(token).toMatch(/^2[\w-]{94}$/);
      expect((await ask(web, 'GET', '/name?id=200')).text).toBe('new here');
      await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
      await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
      const caughtUp = await shareDuring([web], async () => {
        expect((await ask(web, 'GET', '/name?id=200', token)).text).toBe('Ada');
      });
      expect(caughtUp).toBe(1);
    });

    it('see what is old without the header', async () => {
      await stumble();
      await until('both see what is old', async () => {
        const stale = await relay(size(80, 400), BARE);
        report('calls through three services without sessions', stale);
        return stale.middle > 0 && stale.web > 0;
      });
    });
  });

  describe('with a queue of jobs between them', () => {
    interface Job {
      id: number;
      name: string;
      token?: string;
      /** The one it had when it was queued again. */
      first?: string;
    }

    const take = async (): Promise<Job | undefined> => {
      const { rows } = await cluster.write<{ payload: Job }>(
        'delete from jobs where id = (select id from jobs order by id limit 1 for update skip locked) returning payload',
      );
      return rows[0]?.payload;
    };
    const nameOf = async (id: number) =>
      (await cluster.read<{ name: string }>('select name from names where id = $1', [id])).rows[0]?.name;

    /** Works on that many jobs, each of which fails once and is queued again as it is. */
    const work = async (jobs: number) => {
      let done = 0;
      const stale = { 'first attempt': 0, 'second attempt': 0 };
      await until(
        'all jobs are done',
        async () => {
          const job = await take();
          if (job === undefined) return done === jobs;
          const { token } = job;
          const seen = await cluster.session(() => nameOf(job.id), {
            inherit: 'none',
            ...(token === undefined ? {} : { token }),
          });
          if (seen !== job.name) stale[job.first === undefined ? 'first attempt' : 'second attempt']++;
          if (job.first !== undefined) {
            if (token !== undefined) expect(token).toBe(job.first);
            done++;
          } else {
            // Whatever the worker has written or seen meanwhile is no business of the job's.
            await cluster.write('insert into jobs (payload) values ($1)', [{ ...job, first: token ?? 'none' }]);
          }
          return done === jobs;
        },
        size(40_000, 300_000),
      );
      return stale;
    };

    const queue = async (jobs: number, below = '') => {
      for (let i = 0; i < jobs; i++) {
        const path = `${below}/job?id=${300 + i}&name=${encodeURIComponent(`${below}job ${i} of ${jobs}`)}`;
        const { statusCode, body } = await request(`${[web, middle][i % 2]?.origin}${path}`, { method: 'POST' });
        await body.dump();
        expect(statusCode).toBe(204);
        await sleep(THINK_MILLIS);
      }
    };

    it('a job sees what the request wrote that queued it, also when it is queued again', async () => {
      await stumble();
      const jobs = size(48, 600);
      const roles: RouteEvent['role'][] = [];
      const count = ({ role, reason }: RouteEvent) => {
        if (reason !== 'write') roles.push(role);
      };
      cluster.events.on('route', count);
      const [stale] = await Promise.all([work(jobs), queue(jobs)]);
      cluster.events.off('route', count);
      const share = roles.filter((role) => role === 'replica').length / roles.length;
      report(`${jobs} jobs, each taken twice`, { ...stale, 'share on replicas': share });
      expect(stale).toEqual({ 'first attempt': 0, 'second attempt': 0 });
      // One that is let go by a shared connection, as on a busy machine, is placed once more.
      expect(roles.length).toBeGreaterThanOrEqual(2 * jobs);
    });

    it('a job that is queued again keeps its token, and sees it while no replica does', async () => {
      await pauseAll();
      await queue(2);
      expect(await cluster.session(() => nameOf(300), { inherit: 'none' })).not.toBe('job 0 of 2');
      expect(await work(2)).toEqual({ 'first attempt': 0, 'second attempt': 0 });
    });

    it('a job without a token sees what is old', async () => {
      await pauseAll();
      await queue(4, BARE);
      expect(await work(4)).toEqual({ 'first attempt': 4, 'second attempt': 4 });
    });
  });
});
