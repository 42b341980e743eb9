/**
 * A rolling deploy from release 0.1.0 to this version, and then from tokens of version 2 to 3: users
 * go on while processes of both answer them by turns, over replicas whose replay stumbles.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { type ReplayJitter, startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { open, report, size, until } from '../../behaviour/fixture.js';
import { RedisServer } from '../redis/redis-server.js';
import { type App, type AppStats, type LoadBalancer, startApp, startLoadBalancer } from './processes.js';
import { saveAndReload, User, type Way } from './users.js';

const binary = findBinary('redis-server');
if (binary === undefined)
  report('redis', { skipped: 'redis-server is not installed (Debian: apt-get install redis-server): cookies only' });
const WAYS: readonly Way[] = binary === undefined ? ['cookies'] : ['cookies', 'store', 'both'];

const PAIRS = size(120, 2_000);
/** By a number that is odd, two processes that take turns share each user out. */
const USERS_OF_A_WAY = 5;
/** Users of a test, one a row. */
let nextId = 0;
const newUsers = (ways: readonly Way[], count = USERS_OF_A_WAY): User[] =>
  ways.flatMap((way) => Array.from({ length: count }, () => new User(way, nextId++)));

describe('a rolling deploy', () => {
  let servers: TestCluster;
  let redis: RedisServer | undefined;
  let balancer: LoadBalancer;
  /** `0.1.0`, and this version by the tokens that it writes. */
  let apps: Record<'0.1.0' | 'by default' | 'version 3', App>;
  let jitters: ReplayJitter[] = [];
  const users = newUsers(WAYS);

  beforeAll(async () => {
    [servers, balancer, redis] = await Promise.all([
      startTestCluster({ replicas: 2 }),
      startLoadBalancer(),
      binary === undefined ? undefined : RedisServer.start(binary),
    ]);
    const cluster = await open(servers);
    await cluster.write('create table names (id int primary key, name text not null)');
    await cluster.write("insert into names select id, 'new here' from generate_series(0, 999) as id");
    await cluster.close();
    await caughtUp();
    const shared = {
      primary: servers.primary.connectionString,
      replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
      secrets: ['a secret that all the processes share'],
      // No user thinks for so long, on the slowest machine either.
      tokenLifetimeMillis: 3_600_000,
      ...(redis === undefined ? {} : { redisPort: redis.port }),
    };
    const [old, byDefault, three] = await Promise.all([
      startApp({ ...shared, name: '0.1.0', release: 'pg-ladder-0.1.0' }),
      startApp({ ...shared, name: 'by default', release: 'pg-ladder' }),
      startApp({ ...shared, name: 'version 3', release: 'pg-ladder', tokenVersion: 3 }),
    ]);
    apps = { '0.1.0': old, 'by default': byDefault, 'version 3': three };
  });
  afterAll(async () => {
    await Promise.all([...Object.values(apps ?? {}), balancer].map((each) => each?.stop()));
    await redis?.stop();
    await servers?.stop();
  });
  afterEach(steady);

  async function caughtUp(): Promise<void> {
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
  }

  async function stumble(): Promise<void> {
    const options = { maxMillis: 200, share: 0.5 };
    jitters = await Promise.all(servers.replicas.map((each, i) => each.jitterReplay({ ...options, seed: 31 + i })));
  }

  async function steady(): Promise<void> {
    await Promise.all(jitters.map((jitter) => jitter.stop()));
    jitters = [];
    await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
    await caughtUp();
  }

  /** What each of them counted during `task`. */
  async function during(those: readonly App[], task: () => Promise<unknown>): Promise<AppStats[]> {
    const before = await Promise.all(those.map((app) => app.stats()));
    await task();
    const after = await Promise.all(those.map((app) => app.stats()));
    return after.map(({ reads, refused, warnings }, index) => {
      const { reads: readsBefore, refused: refusedBefore, warnings: warningsBefore } = before[index] as AppStats;
      const counts = Object.entries(refused).map(([why, count]) => [why, count - (refusedBefore[why] ?? 0)]);
      return {
        reads: {
          primary: reads.primary - readsBefore.primary,
          replica: reads.replica - readsBefore.replica,
        },
        refused: Object.fromEntries(counts.filter(([, count]) => count !== 0)),
        warnings: warnings.slice(warningsBefore.length),
      };
    });
  }

  const shareOf = ({ reads }: AppStats): number => reads.replica / (reads.primary + reads.replica);

  it.each<{ names: (keyof typeof apps)[]; what: string }>([
    { names: ['0.1.0'], what: 'before: 0.1.0 alone' },
    { names: ['0.1.0', 'by default'], what: '0.1.0 and this version by turns' },
    { names: ['by default'], what: 'after: this version alone' },
    { names: ['by default', 'version 3'], what: 'version 2 and version 3 of tokens by turns' },
    { names: ['version 3'], what: 'after that: version 3 alone' },
  ])('shows no user an old name, refuses no token and keeps nobody on the primary: $what', async ({ names, what }) => {
    const those = names.map((name) => apps[name]);
    await balancer.turnTo(those);
    await stumble();
    const pairs = names.length > 1 ? PAIRS : PAIRS / 4;
    let seen: Awaited<ReturnType<typeof saveAndReload>> | undefined;
    const counted = await during(those, async () => {
      seen = await saveAndReload(balancer.origin, users, pairs);
    });
    report(`${pairs} pairs of ${users.length} users, ${what}`, {
      stale: seen?.stale ?? Number.NaN,
      ...Object.fromEntries(seen?.across ?? []),
      ...Object.fromEntries(counted.map((each, i) => [`${names[i]}’s share on replicas`, shareOf(each)])),
    });
    expect(seen?.stale).toBe(0);
    expect(counted.map(({ refused, warnings }) => ({ refused, warnings }))).toEqual(
      names.map(() => ({ refused: {}, warnings: [] })),
    );
    for (const saved of names) {
      for (const reloaded of names) {
        if (saved !== reloaded) expect(seen?.across.get(`${saved} → ${reloaded}`)).toBeGreaterThan(0);
      }
    }
    // Few pairs may all fall into one pause.
    if (names.length > 1) for (const each of counted) expect(shareOf(each)).toBeGreaterThan(0.5);

    await steady();
    for (const app of those) await until(`replicas answer all users in ${app.name}`, () => isOnReplicas(app));
  });

  /** Whether replicas answer every user's reload, with what was saved last. */
  async function isOnReplicas(app: App): Promise<boolean> {
    let stale = Number.NaN;
    const [counted] = await during([app], async () => {
      const answers = await Promise.all(users.map((user) => user.reload(app.origin)));
      stale = answers.filter(({ isStale }) => isStale).length;
    });
    expect(stale).toBe(0);
    return counted?.reads.primary === 0;
  }

  it.each(WAYS)(
    'every release sets the same cookie, and none where a store carries the token alone: %s',
    async (way) => {
      const [user] = newUsers([way], 1) as [User];
      for (const app of Object.values(apps)) {
        await user.save(app.origin);
        expect(await user.cookies()).toEqual(way === 'store' ? [] : ['pg-ladder']);
      }
    },
  );

  describe('while no replica has what was written', () => {
    beforeEach(async () => {
      await Promise.all(servers.replicas.map((replica) => replica.pauseReplay()));
    });

    /** A user who saves in one process and reloads in the other. */
    async function saveThenReload(way: Way, from: App, to: App) {
      const [user] = newUsers([way], 1) as [User];
      let isStale: boolean | undefined;
      const [counted] = await during([to], async () => {
        await user.save(from.origin);
        ({ isStale } = await user.reload(to.origin));
      });
      return { isStale, refused: counted?.refused, onReplicas: counted?.reads.replica };
    }

    it.each(WAYS)('a user who saved in one process sees it in the other, from the primary: %s', async (way) => {
      const { '0.1.0': old, 'by default': byDefault, 'version 3': three } = apps;
      for (const [from, to] of [
        [old, byDefault],
        [byDefault, old],
        [old, three],
        [byDefault, three],
        [three, byDefault],
      ] as const) {
        expect(await saveThenReload(way, from, to)).toEqual({ isStale: false, refused: {}, onReplicas: 0 });
      }
    });

    it.each(WAYS)(
      '0.1.0 shows an old name where the new process writes version 3, so 2 is the default: %s',
      async (way) => {
        // On a machine that stands still, a read may go to the primary for other reasons.
        await until('it shows one', async () => {
          const { isStale, refused } = await saveThenReload(way, apps['version 3'], apps['0.1.0']);
          expect(refused).toEqual(way === 'store' ? {} : { malformed: 1 });
          return isStale === true;
        });
      },
    );
  });

  it('shows old names, and refuses tokens, where 0.1.0 and version 3 answer by turns', async () => {
    const those = [apps['0.1.0'], apps['version 3']];
    const others = newUsers(WAYS);
    await balancer.turnTo(those);
    await stumble();
    let stale = Number.NaN;
    const [old, three] = await during(those, async () => {
      ({ stale } = await saveAndReload(balancer.origin, others, PAIRS));
    });
    const malformed = old?.refused['malformed'] ?? 0;
    report(`${PAIRS} pairs, 0.1.0 and version 3 by turns`, { stale, 'refused by 0.1.0': malformed });
    expect(malformed).toBeGreaterThan(0);
    expect(three?.refused).toEqual({});
  });
});
