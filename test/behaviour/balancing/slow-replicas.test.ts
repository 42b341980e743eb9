import { describe, expect, it } from 'vitest';
import { bestOf, nodeOf, open, RunningClock, report, signal, size, until } from '../fixture.js';
import { anyItem, balancesReads, now, READ, type Run, run, servers, shareOf, shares } from './callers.js';

/** With a long way to all of them, no busy machine makes one look far slower than the others. */
const awayBy = (millis: number): void => {
  for (const { link } of servers.replicas) link?.delay(millis);
};

/** In the short form far more than other work on the machine makes of any. */
const SLOWED_MILLIS = size(400, 20);
/** What other work spoils now and then it does not spoil each time. */
const ROUNDS = size(8, 1);

balancesReads();

describe('which of several replicas answers', () => {
  it('writes leave no replica alone with all reads', async () => {
    now.cluster = await open(servers);
    const pool = now.cluster.pool();
    const ways = {
      reads: (id: number) => now.cluster.read(READ, [id]),
      'a pool’s': (id: number) => pool.query(READ, [id]),
    };
    let isOn = true;
    const writing = (async () => {
      for (let i = 0; isOn; i++) {
        await now.cluster.write('update items set value = value + 1 where id = $1', [i % 100]);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    })();
    // Where all have got as far by what is known, reads can go to any of them.
    let [looks, even] = [0, 0];
    const looking = setInterval(() => {
      const known = now.cluster.stats().nodes.flatMap(({ role, lsn }) => (role === 'replica' ? [lsn] : []));
      looks++;
      if (new Set(known).size === 1) even++;
    }, 3);
    for (const [how, read] of Object.entries(ways)) {
      const round = async (): Promise<{ shareEven: number; least: number }> => {
        [looks, even] = [0, 0];
        const { counts } = await run(now.cluster, 8, size(1_000, 10_000), () => read(anyItem()));
        report(`beside writes, ${how}`, { ...shares(counts), 'share of time with all as far': even / looks });
        return { shareEven: even / looks, least: Math.min(...Object.values(shares(counts))) };
      };
      const isFair = ({ shareEven, least }: Awaited<ReturnType<typeof round>>): boolean =>
        shareEven > 0.5 && least > size(0.02, 0.2);
      expect(await bestOf(ROUNDS, round, isFair)).toSatisfy(isFair);
    }
    clearInterval(looking);
    isOn = false;
    await writing;
  });

  it.each([
    ['without a session', (id: number) => now.cluster.read(READ, [id])],
    [
      'each in a session of its own',
      (id: number) => now.cluster.session(() => now.cluster.read(READ, [id]), { inherit: 'none' }),
    ],
  ])(
    `a replica slowed by ${SLOWED_MILLIS} ms gets hardly any reads %s, and its share again within 5 s of its recovery`,
    async (how, read) => {
      now.cluster = await open(servers, { hangMillis: 10_000 });
      const anyOf = () => read(anyItem());
      await run(now.cluster, 16, 500, anyOf);
      const hasItsShare = ({ counts }: Run): boolean => shareOf(counts, 'r1') > size(0.04, 0.15);
      const healthy = await bestOf(ROUNDS, () => run(now.cluster, 16, size(700, 10_000), anyOf), hasItsShare);
      expect(healthy).toSatisfy(hasItsShare);
      servers.replicas[0]?.link?.delay(SLOWED_MILLIS);
      await run(now.cluster, 16, 500, anyOf);
      // It is above what it is slowed by when more than one read in a hundred waited for it.
      const isLeft = ({ counts, p99 }: Run): boolean =>
        shareOf(counts, 'r1') < 0.1 && p99 < Math.max(size(0, 2 * healthy.p99), size(SLOWED_MILLIS, 18));
      const slowed = await bestOf(ROUNDS, () => run(now.cluster, 16, size(1_200, 20_000), anyOf), isLeft);
      servers.replicas[0]?.link?.restore();
      const clock = new RunningClock();
      let back: Run;
      // It had its share when these reads began, however long they took.
      let recovery: number;
      do {
        recovery = clock.now();
        back = await run(now.cluster, 16, 250, anyOf);
      } while (shareOf(back.counts, 'r1') < Math.min(0.2, shareOf(healthy.counts, 'r1')) && recovery < 10_000);
      clock.stop();
      report(`slowed, ${how}`, {
        'its share': shareOf(slowed.counts, 'r1'),
        'p99 healthy': healthy.p99,
        'p99 slowed': slowed.p99,
        'recovery ms': recovery,
      });
      expect(slowed).toSatisfy(isLeft);
      expect(recovery).toBeLessThan(5_000);
    },
    90_000,
  );

  it.each([
    ['a replica that has become slow', undefined],
    ['the replica of their own zone when it has become far slower than others', 'here'],
  ])('sessions leave %s, and see nothing older for it', async (_, zone) => {
    const slowMillis = 600;
    awayBy(20);
    const replicas = servers.replicas.map(({ name, connectionString }) => ({
      name,
      connectionString,
      zone: name === 'r2' ? 'here' : 'there',
    }));
    now.cluster = await open(servers, { replicas, zone, hangMillis: 10_000 });
    // Where they stand, and how soon they answer, is known by then; a first answer may be a slow one.
    await until('all are known', () => now.cluster.stats().nodes.every(({ state }) => state === 'live'));
    for (let i = 0; i < 200; i++) await now.cluster.read(READ, [1]);
    const isSlow = signal();
    let current = new Map<string, number>();
    now.cluster.events.on('route', ({ node, reason }) => {
      if (reason !== 'write') current.set(node, (current.get(node) ?? 0) + 1);
    });
    let backwards = 0;
    const caller = async (): Promise<void> => {
      let seen = 0;
      const read = async (): Promise<void> => {
        const { rows } = await now.cluster.read<{ value: number }>(READ, [1]);
        const value = rows[0]?.value ?? 0;
        if (value < seen) backwards++;
        seen = value;
      };
      for (let i = 0; i < 15; i++) await read();
      await isSlow.given;
      for (let i = 0; i < 50; i++) {
        if (i % 10 === 0) await now.cluster.write('update items set value = value + 1 where id = 1');
        await read();
      }
    };
    const callers: Promise<unknown>[] = [];
    // Where they go at first is a matter of chance.
    await until('some have found the replica that is slowed next', async () => {
      current = new Map();
      for (let i = 0; i < 12; i++) callers.push(now.cluster.session(caller, { inherit: 'none' }));
      await until('each has found one', () => [...current.values()].reduce((sum, n) => sum + n, 0) >= 12 * 15);
      return shareOf(Object.fromEntries(current), 'r2') > (zone === undefined ? 0.08 : 0.5);
    });
    servers.replicas[1]?.link?.delay(slowMillis);
    await until('it is noticed', () => nodeOf(now.cluster, 'r2').responseMillis > slowMillis * 0.6);
    current = new Map();
    isSlow.give();
    await Promise.all(callers);
    const after = Object.fromEntries(current);
    report('sessions beside a slow replica', { ...after, moves: now.cluster.stats().moveCount });
    expect(backwards).toBe(0);
    expect(now.cluster.stats().moveCount).toBeGreaterThan(0);
    // Whoever was there noticed with one of his next few reads.
    expect(shareOf(after, 'r2')).toBeLessThan(0.1);
  });

  it('the own zone’s replica comes first, until as much is under way on it as its pool holds', async () => {
    const replicas = servers.replicas.map(({ name, connectionString }) => ({
      name,
      connectionString,
      max: 4,
      zone: name === 'r3' ? 'here' : 'there',
    }));
    awayBy(60);
    now.cluster = await open(servers, { replicas, zone: 'here' });
    const routes: string[] = [];
    now.cluster.events.on('route', ({ node }) => routes.push(node));
    const round = async (): Promise<{ short: string[]; onOwn: number }> => {
      routes.length = 0;
      for (let i = 0; i < 20; i++) await now.cluster.read(READ, [i]);
      const short = [...new Set(routes)];
      routes.length = 0;
      await Promise.all(Array.from({ length: 12 }, () => now.cluster.read('select pg_sleep(0.3)')));
      return { short, onOwn: routes.filter((node) => node === 'r3').length };
    };
    const isOwnFirst = ({ short, onOwn }: Awaited<ReturnType<typeof round>>): boolean =>
      short.join() === 'r3' && onOwn >= 4 && onOwn <= 6;
    expect(await bestOf(ROUNDS, round, isOwnFirst)).toSatisfy(isOwnFirst);
  });

  it('long queries do not make their replica look slow to short ones', async () => {
    now.cluster = await open(servers);
    let isOn = true;
    const long = (async (): Promise<void> => {
      while (isOn) await now.cluster.read('select pg_sleep(0.2)', [], { target: { node: 'r1' } });
    })();
    const round = () => run(now.cluster, 8, size(1_500, 8_000), () => now.cluster.read(READ, [anyItem()]));
    // Taken for slow by 200 ms, it would get nothing at all.
    const hasItsShare = ({ counts }: Run): boolean => shareOf(counts, 'r1') > size(0.04, 0.15);
    const short = await bestOf(ROUNDS, round, hasItsShare);
    isOn = false;
    await long;
    report('beside long queries', shares(short.counts));
    expect(short).toSatisfy(hasItsShare);
  });

  it('work counts and not connections: one that is busy with long queries gets fewer of the next', async () => {
    awayBy(60);
    now.cluster = await open(servers);
    const controller = new AbortController();
    const held = Array.from({ length: 8 }, () =>
      now.cluster.read('select pg_sleep(300)', [], { target: { node: 'r1' }, signal: controller.signal }),
    );
    const ended = Promise.allSettled(held);
    await until('they run', () => nodeOf(now.cluster, 'r1').inFlight === 8);
    const routes: string[] = [];
    now.cluster.events.on('route', ({ node }) => routes.push(node));
    const round = async (): Promise<{ r1: number; r2: number; r3: number }> => {
      routes.length = 0;
      await Promise.all(Array.from({ length: 16 }, () => now.cluster.read('select pg_sleep(0.3)')));
      const [r1, r2, r3] = ['r1', 'r2', 'r3'].map((name) => routes.filter((node) => node === name).length) as [
        number,
        number,
        number,
      ];
      report('beside eight long ones', { r1, r2, r3 });
      return { r1, r2, r3 };
    };
    const isByWork = ({ r1, r2, r3 }: Awaited<ReturnType<typeof round>>): boolean => r1 < 4 && Math.abs(r2 - r3) < 8;
    expect(await bestOf(ROUNDS, round, isByWork)).toSatisfy(isByWork);
    controller.abort();
    await ended;
  });

  it.each([
    ['them', () => ({})],
    ['keys, not even its own', (id: number) => ({ partitionKey: `item:${id}` })],
  ])(
    'one that refuses every statement at once does not attract %s',
    async (what, optionsOf) => {
      const replicas = servers.replicas.map(({ name, connectionString }) => ({
        name,
        connectionString,
        // Every statement but the library's own position question finds no memory there.
        ...(name === 'r1' ? { options: '-c temp_file_limit=0 -c work_mem=64kB' } : {}),
      }));
      now.cluster = await open(servers, { replicas });
      const sort =
        'select count(*) from (select id from generate_series(1, 5000) id order by -id offset 1) t where $1 = $1';
      let failed = 0;
      const read = () => now.cluster.read(sort, [1], optionsOf(anyItem())).catch(() => failed++);
      const round = async (): Promise<number> => {
        failed = 0;
        const sorted = await run(now.cluster, 4, size(1_500, 10_000), read);
        report(`one refuses ${what}`, { reads: sorted.reads, failed, ...shares(sorted.counts) });
        expect(failed).toBeLessThan(sorted.reads);
        return failed / sorted.reads;
      };
      // Those that fail before that is known weigh more where there are few.
      expect(await bestOf(ROUNDS, round, (share) => share < 0.25)).toBeLessThan(0.25);
    },
    60_000,
  );
});
