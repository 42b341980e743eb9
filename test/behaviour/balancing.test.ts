import type { PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster, Discovery, QueryEvent, ReadOptions } from '../../src/index.js';
import { hashOf, rankOf } from '../../src/routing/partition.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { query } from '../testing/query.js';
import { nodeOf, open, percentile, report, signal, size, until } from './fixture.js';

/** What callers saw of a run, and what each node had to do. */
interface Run {
  readonly reads: number;
  readonly p50: number;
  readonly p99: number;
  /** Reads, by node. */
  readonly counts: Readonly<Record<string, number>>;
  /** Time that statements ran, in milliseconds, by node. */
  readonly work: Readonly<Record<string, number>>;
}

/** So many callers who read one after the other for a while. */
async function run(cluster: Cluster, callers: number, millis: number, read: () => Promise<unknown>): Promise<Run> {
  const [counts, work]: Record<string, number>[] = [{}, {}];
  const heard = ({ node, durationMillis }: QueryEvent): void => {
    (counts as Record<string, number>)[node] = ((counts as Record<string, number>)[node] ?? 0) + 1;
    (work as Record<string, number>)[node] = ((work as Record<string, number>)[node] ?? 0) + durationMillis;
  };
  cluster.events.on('query', heard);
  const took: number[] = [];
  const giveUpAt = performance.now() + millis;
  const caller = async (): Promise<void> => {
    while (performance.now() < giveUpAt) {
      const startedAt = performance.now();
      await read();
      took.push(performance.now() - startedAt);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  cluster.events.off('query', heard);
  return {
    reads: took.length,
    p50: percentile(took, 0.5),
    p99: percentile(took, 0.99),
    counts: counts as Record<string, number>,
    work: work as Record<string, number>,
  };
}

const shareOf = (of: Readonly<Record<string, number>>, name: string): number =>
  (of[name] ?? 0) / Object.values(of).reduce((sum, n) => sum + n, 0);
const shares = (of: Readonly<Record<string, number>>): Record<string, number> =>
  Object.fromEntries(['r1', 'r2', 'r3'].map((name) => [name, shareOf(of, name)]));
const READ = 'select value from items where id = $1';
const ITEMS = 10_000;
const anyItem = (): number => Math.floor(Math.random() * ITEMS);

describe('which of several replicas answers', () => {
  let servers: TestCluster;
  let cluster: Cluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 3, links: true });
    await query(
      servers.primary,
      `create table items as select i as id, 0 as value from generate_series(0, ${ITEMS - 1}) i`,
    );
    await query(servers.primary, 'alter table items add primary key (id)');
    await query(servers.primary, 'analyze items');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());
  afterEach(async () => {
    for (const replica of servers.replicas) replica.link?.restore();
    await cluster.close();
  });

  /** With a long way to all of them, no busy machine makes one look far slower than the others. */
  const awayBy = (millis: number): void => {
    for (const { link } of servers.replicas) link?.delay(millis);
  };

  it('keys are shared evenly; those of a replica that leaves are shared by the others, and come back with it', async () => {
    let members = servers.replicas;
    const discovery: Discovery = () => members.map(({ name, connectionString }) => ({ name, connectionString }));
    cluster = await open(servers, { replicas: [], discovery, discoveryMillis: 10 });
    const present = async (count: number): Promise<void> => {
      await until('the list is followed', () => {
        const live = cluster.stats().nodes.filter(({ state }) => state === 'live');
        return live.length === count + 1;
      });
    };
    await present(3);
    const keys = size(2_000, ITEMS);
    const placed = async (): Promise<string[]> => {
      const places: string[] = [];
      let at = 0;
      const heard = ({ node }: { node: string }): void => {
        // A server that is held up may answer too late, and the read runs again elsewhere.
        places[at] ??= node;
      };
      cluster.events.on('route', heard);
      for (at = 0; at < keys; at++) await cluster.read(READ, [at], { partitionKey: `item:${at}` });
      cluster.events.off('route', heard);
      return places;
    };
    const all = await placed();
    for (const { name } of servers.replicas) {
      const share = all.filter((node) => node === name).length / keys;
      // Four standard deviations of a fair draw.
      expect(Math.abs(share - 1 / 3)).toBeLessThan(4 * Math.sqrt(2 / 9 / keys));
    }
    members = servers.replicas.slice(0, 2);
    await present(2);
    const without = await placed();
    for (const [i, node] of all.entries()) if (node !== 'r3') expect(without[i]).toBe(node);
    const inherited = without.filter((_, i) => all[i] === 'r3');
    expect(inherited.filter((node) => node === 'r1').length / inherited.length).toBeCloseTo(0.5, 1);
    const states: string[] = [];
    cluster.events.on('node', ({ node, state }) => node === 'r3' && states.push(state));
    members = servers.replicas;
    // A server that joins gets its keys bit by bit, since its caches are cold.
    await until('it is back', () => nodeOf(cluster, 'primary').state === 'live' && cluster.stats().nodes.length === 4);
    await until('all of its keys are back', () => nodeOf(cluster, 'r3').state === 'live', 15_000);
    expect(states).toEqual(['probation', 'live']);
    expect(await placed()).toEqual(all);
    expect(cluster.stats().routes).toMatchObject({ 'next-in-order': 0 });
  }, 60_000);

  it('a key with half of the traffic loads no replica with more than one and a half of its share, and slows nobody', async () => {
    cluster = await open(servers);
    const millis = size(1_000, 15_000);
    const by = (id: number) => cluster.read(READ, [id], { partitionKey: `item:${id}` });
    await run(cluster, 16, 500, () => by(anyItem()));
    const uniform = await run(cluster, 16, millis, () => by(anyItem()));
    const celebrity = () => by(Math.random() < 0.5 ? 42 : anyItem());
    await run(cluster, 16, 300, celebrity);
    const hot = await run(cluster, 16, millis, celebrity);
    const { hotKeys, routes } = cluster.stats();
    report('uniform', { reads: uniform.reads, p99: uniform.p99, ...shares(uniform.work) });
    report('celebrity', { reads: hot.reads, p99: hot.p99, ...shares(hot.work), 'found share': hotKeys[0]?.share ?? 0 });
    for (const { name } of servers.replicas) {
      expect(shareOf(uniform.counts, name)).toBeLessThan(1.25 / 3);
      expect(shareOf(hot.work, name)).toBeLessThan(1.5 / 3);
      expect(shareOf(hot.counts, name)).toBeLessThan(1.5 / 3);
    }
    // Beside other work a short run's percentile is mostly that of the other work.
    expect(hot.p99).toBeLessThan(Math.max(2 * uniform.p99, size(60, 5)));
    expect(hotKeys).toHaveLength(1);
    expect(hotKeys[0]?.share).toBeGreaterThan(0.15);
    expect(hotKeys[0]?.share).toBeLessThan(0.6);
    expect(routes['hot-key']).toBeGreaterThan(hot.reads / 4);
    await until('the crowd is forgotten', async () => {
      await run(cluster, 16, 200, () => by(anyItem()));
      return cluster.stats().hotKeys.length === 0;
    });
  }, 60_000);

  it('a hot key goes to the primary where that is chosen, and to its own replica where nothing is', async () => {
    for (const [hotKeys, role] of [
      [{ target: 'primary', share: 0.5 }, 'primary'],
      [false, 'replica'],
    ] as const) {
      cluster = await open(servers, { hotKeys, loadFactor: 100 });
      for (let i = 0; i < 1_000; i++) await cluster.read(READ, [42], { partitionKey: 'celebrity' });
      const routes: string[] = [];
      cluster.events.on('route', ({ node, reason }) => routes.push(`${node} ${reason}`));
      for (let i = 0; i < 50; i++) await cluster.read(READ, [42], { partitionKey: 'celebrity' });
      await cluster.read(READ, [7], { partitionKey: 'somebody' });
      expect(new Set(routes.slice(0, 50)).size).toBe(1);
      expect(routes[0]).toMatch(role === 'primary' ? /^primary hot-key$/ : /^r\d partition$/);
      expect(routes.at(-1)).toMatch(/^r\d partition$/);
      expect((await cluster.explain(READ, [42], { partitionKey: 'celebrity' })).reason).toBe(
        role === 'primary' ? 'hot-key' : 'partition',
      );
      await cluster.close();
    }
  });

  it('an empty key is none, in a read, a session and a hint', async () => {
    cluster = await open(servers);
    const reasons = new Set<string>();
    cluster.events.on('route', ({ reason }) => reasons.add(reason));
    for (let i = 0; i < 20; i++) {
      await cluster.read(READ, [1], { partitionKey: '' });
      await cluster.session(() => cluster.read(READ, [1]), { partitionKey: '', inherit: 'none' });
      await cluster.query('/* ladder: partition= */ select value from items where id = 1');
    }
    expect([...reasons].filter((reason) => ['partition', 'next-in-order', 'hot-key'].includes(reason))).toEqual([]);
    await cluster.session(
      async () => {
        await cluster.read(READ, [1], { target: 'primary' });
        await cluster.read(READ, [1], { target: { node: 'r1' } });
        expect(cluster.stats().moveCount).toBe(0);
      },
      { inherit: 'none' },
    );
  });

  it('a hot key goes to the primary also where there is one replica', async () => {
    const replicas = servers.replicas.slice(0, 1).map(({ name, connectionString }) => ({ name, connectionString }));
    cluster = await open(servers, { replicas, hotKeys: { target: 'primary' } });
    for (let i = 0; i < 500; i++) await cluster.read(READ, [42], { partitionKey: 'celebrity' });
    expect(cluster.stats().routes['hot-key']).toBeGreaterThan(200);
  });

  it('no more reads of a hot key are on the primary at once than its budget allows', async () => {
    cluster = await open(servers, { hotKeys: { target: 'primary', share: 0.3 }, primaryReadBudget: 3 });
    const read = () => cluster.read('select pg_sleep(0.02)', [], { partitionKey: 'celebrity' });
    let most = 0;
    const caller = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        await read();
        most = Math.max(most, nodeOf(cluster, 'primary').inFlight);
      }
    };
    await Promise.all(Array.from({ length: 24 }, caller));
    const { routes, fallback } = cluster.stats();
    expect(most).toBeLessThanOrEqual(3);
    expect(routes['hot-key']).toBeGreaterThan(20);
    expect(routes['hot-key']).toBeLessThan(400);
    expect(fallback.inUse).toBe(0);
  });

  it('writes leave no replica alone with all reads', async () => {
    cluster = await open(servers);
    const pool = cluster.pool();
    const ways = {
      reads: (id: number) => cluster.read(READ, [id]),
      'a pool’s': (id: number) => pool.query(READ, [id]),
    };
    let isOn = true;
    const writing = (async () => {
      for (let i = 0; isOn; i++) {
        await cluster.write('update items set value = value + 1 where id = $1', [i % 100]);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    })();
    // Where all have got as far by what is known, reads can go to any of them.
    let [looks, even] = [0, 0];
    const looking = setInterval(() => {
      const known = cluster.stats().nodes.flatMap(({ role, lsn }) => (role === 'replica' ? [lsn] : []));
      looks++;
      if (new Set(known).size === 1) even++;
    }, 3);
    for (const [how, read] of Object.entries(ways)) {
      [looks, even] = [0, 0];
      const { counts } = await run(cluster, 8, size(1_000, 10_000), () => read(anyItem()));
      report(`beside writes, ${how}`, { ...shares(counts), 'share of time with all as far': even / looks });
      expect(even / looks).toBeGreaterThan(0.5);
      for (const share of Object.values(shares(counts))) expect(share).toBeGreaterThan(size(0.02, 0.2));
    }
    clearInterval(looking);
    isOn = false;
    await writing;
  });

  it('what is more than a replica’s fair share of the work under way goes to the next one, and comes back when it has ended', async () => {
    cluster = await open(servers, { hotKeys: false });
    const sleep = () => cluster.read('select pg_sleep(0.4)', [], { partitionKey: 'slow' });
    const running = Array.from({ length: 24 }, sleep);
    await until(
      'all are under way',
      () => cluster.stats().nodes.reduce((sum, { inFlight }) => sum + inFlight, 0) === 24,
    );
    const under = cluster
      .stats()
      .nodes.filter(({ role }) => role === 'replica')
      .map(({ inFlight }) => inFlight);
    expect(Math.max(...under)).toBeLessThanOrEqual(Math.ceil((1.25 * 24) / 3));
    await Promise.all(running);
    const places = new Set<string>();
    cluster.events.on('route', ({ node, reason }) => places.add(`${node} ${reason}`));
    for (let i = 0; i < 50; i++) await cluster.read(READ, [i], { partitionKey: 'slow' });
    expect([...places]).toEqual([expect.stringMatching(/^r\d partition$/)]);
  });

  it('a replica whose lag jitters around a bound keeps its keys away until that has been at half of it', async () => {
    cluster = await open(servers, { probeMillis: 40 });
    const place = async (partitionKey: string): Promise<string> => {
      const asked = { partitionKey, maxStalenessMillis: 800, consistency: 'eventual' } as const;
      return (await cluster.explain(READ, [1], asked)).node;
    };
    let key = 'a';
    while ((await place(key)) !== 'r1') key += 'a';
    let isOn = true;
    const writing = (async () => {
      for (; isOn; await new Promise((resolve) => setTimeout(resolve, 10))) {
        await cluster.write('update items set value = value + 1 where id = 2');
      }
    })();
    const [r1] = servers.replicas as [TestNode];
    const age = (): number => nodeOf(cluster, 'r1').stalenessMillis ?? Number.POSITIVE_INFINITY;
    try {
      await r1.delayReplay(1_500);
      await until('it is over the bound', () => age() > 900);
      expect(await place(key)).not.toBe('r1');
      await r1.delayReplay(550);
      const isBetween = (): boolean => age() > 450 && age() < 780;
      await until('it is below the bound, and above half of it', isBetween);
      let between = 0;
      for (let i = 0; i < 40; i++) {
        if (isBetween()) between++;
        expect(await place(key)).not.toBe('r1');
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      expect(between).toBeGreaterThan(20);
      await r1.delayReplay(0);
      await until('it is back', async () => (await place(key)) === 'r1');
    } finally {
      isOn = false;
      await writing;
      await r1.delayReplay(0);
    }
  }, 30_000);

  it('keys stay where they belong, whatever chance brings at once, also when a session reads by several', async () => {
    cluster = await open(servers);
    const read = (id: number) => cluster.read(READ, [id], { partitionKey: `item:${id}` });
    await run(cluster, 32, 300, () => read(anyItem()));
    const before = cluster.stats().routes;
    const { reads } = await run(cluster, 32, size(1_000, 10_000), () => read(anyItem()));
    const passedOn = cluster.stats().routes['next-in-order'] - before['next-in-order'];
    // Many keys within a session, by statements that take a while: also where it read last, it read by another key.
    const told = servers.replicas.map(async (node) => [await query(node, 'select inet_server_port()'), node.name]);
    const names = new Map((await Promise.all(told)) as [number, string][]);
    const foremost = (key: string): string | undefined => {
      const rank = (name: string) => rankOf(hashOf(key), { hash: hashOf(name), weight: 1 });
      return [...names.values()].sort((a, b) => rank(b) - rank(a))[0];
    };
    let [own, all] = [0, 0];
    const caller = async (first: number): Promise<void> => {
      for (let id = first; id < first + 30; id++) {
        const key = `item:${id}`;
        const text = 'select inet_server_port() as port from pg_sleep(0.005)';
        const { rows } = await cluster.read<{ port: number }>(text, [], { partitionKey: key });
        if (names.get(rows[0]?.port ?? 0) === foremost(key)) own++;
        all++;
      }
    };
    const session = (_: unknown, i: number) => cluster.session(() => caller(i * 100), { inherit: 'none' });
    await Promise.all(Array.from({ length: 8 }, session));
    // A transaction as a whole, too.
    const port = async (client: PoolClient) => (await client.query('select inet_server_port() as port')).rows[0].port;
    for (let id = 0; id < 20; id++) {
      const partitionKey = `item:${id}`;
      const at = names.get(await cluster.transaction(port, { readOnly: true, partitionKey }));
      expect(at).toBe(foremost(partitionKey));
    }
    report('keys', { reads, 'passed on': passedOn / reads, 'own in sessions': own / all });
    expect(passedOn / reads).toBeLessThan(0.12);
    expect(own / all).toBeGreaterThan(0.6);
  });

  it('after a write, too, a key’s own replica answers, or the one where its session has read, where others are as fresh', async () => {
    cluster = await open(servers);
    const nodes: string[] = [];
    cluster.events.on('route', ({ node, role }) => role === 'replica' && nodes.push(node));
    const read = () => cluster.transaction((client) => client.query('select 1'), { readOnly: true });
    for (let i = 0; i < size(60, 600); i++) {
      await cluster.session(
        async () => {
          await cluster.write('update items set value = value + 1 where id = 3');
          await read();
        },
        { inherit: 'none', partitionKey: 'item:3' },
      );
    }
    const rank = (name: string) => rankOf(hashOf('item:3'), { hash: hashOf(name), weight: 1 });
    const [own] = servers.replicas.map(({ name }) => name).sort((a, b) => rank(b) - rank(a));
    const share = nodes.filter((node) => node === own).length / nodes.length;
    report('after a write', { reads: nodes.length, 'by the key’s own': share });
    expect(share).toBeGreaterThan(size(0.42, 0.5));
  });

  it.each([
    ['without a session', (id: number) => cluster.read(READ, [id])],
    [
      'each in a session of its own',
      (id: number) => cluster.session(() => cluster.read(READ, [id]), { inherit: 'none' }),
    ],
  ])(
    'a replica slowed by 20 ms gets hardly any reads %s, and its share again within 5 s of its recovery',
    async (how, read) => {
      cluster = await open(servers);
      const anyOf = () => read(anyItem());
      await run(cluster, 16, 500, anyOf);
      const healthy = await run(cluster, 16, size(700, 10_000), anyOf);
      servers.replicas[0]?.link?.delay(20);
      await run(cluster, 16, 500, anyOf);
      const slowed = await run(cluster, 16, size(1_200, 20_000), anyOf);
      servers.replicas[0]?.link?.restore();
      const restoredAt = performance.now();
      let back: Run;
      do back = await run(cluster, 16, 250, anyOf);
      while (shareOf(back.counts, 'r1') < 0.2 && performance.now() - restoredAt < 10_000);
      const recovery = performance.now() - restoredAt;
      report(`slowed, ${how}`, {
        'its share': shareOf(slowed.counts, 'r1'),
        'p99 healthy': healthy.p99,
        'p99 slowed': slowed.p99,
        'recovery ms': recovery,
      });
      expect(shareOf(healthy.counts, 'r1')).toBeGreaterThan(size(0.04, 0.15));
      expect(shareOf(slowed.counts, 'r1')).toBeLessThan(0.1);
      // It is above the 20 ms when more than one read in a hundred waited for it; in a short run also when the machine has other work.
      expect(slowed.p99).toBeLessThan(Math.max(2 * healthy.p99, size(60, 18)));
      expect(recovery).toBeLessThan(5_000);
    },
    60_000,
  );

  it.each([
    ['a replica that has become slow', undefined, 120],
    ['the replica of their own zone when it has become far slower than others', 'here', 240],
  ])('sessions leave %s, and see nothing older for it', async (_, zone, slowMillis) => {
    awayBy(20);
    const replicas = servers.replicas.map(({ name, connectionString }) => ({
      name,
      connectionString,
      zone: name === 'r2' ? 'here' : 'there',
    }));
    cluster = await open(servers, { replicas, zone });
    // Where they stand, and how soon they answer, is known by then; a first answer may be a slow one.
    await until('all are known', () => cluster.stats().nodes.every(({ state }) => state === 'live'));
    for (let i = 0; i < 200; i++) await cluster.read(READ, [1]);
    const isSlow = signal();
    let current = new Map<string, number>();
    cluster.events.on('route', ({ node, reason }) => {
      if (reason !== 'write') current.set(node, (current.get(node) ?? 0) + 1);
    });
    let backwards = 0;
    const caller = async (): Promise<void> => {
      let seen = 0;
      const read = async (): Promise<void> => {
        const { rows } = await cluster.read<{ value: number }>(READ, [1]);
        const value = rows[0]?.value ?? 0;
        if (value < seen) backwards++;
        seen = value;
      };
      for (let i = 0; i < 15; i++) await read();
      await isSlow.given;
      for (let i = 0; i < 50; i++) {
        if (i % 10 === 0) await cluster.write('update items set value = value + 1 where id = 1');
        await read();
      }
    };
    const callers = Array.from({ length: 12 }, () => cluster.session(caller, { inherit: 'none' }));
    await until('each has found its replica', () => [...current.values()].reduce((sum, n) => sum + n, 0) >= 12 * 15);
    const before = current;
    expect(shareOf(Object.fromEntries(before), 'r2')).toBeGreaterThan(zone === undefined ? 0.08 : 0.5);
    servers.replicas[1]?.link?.delay(slowMillis);
    await until('it is noticed', () => nodeOf(cluster, 'r2').responseMillis > slowMillis * 0.6);
    current = new Map();
    isSlow.give();
    await Promise.all(callers);
    const after = Object.fromEntries(current);
    report('sessions beside a slow replica', { ...after, moves: cluster.stats().moveCount });
    expect(backwards).toBe(0);
    expect(cluster.stats().moveCount).toBeGreaterThan(0);
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
    cluster = await open(servers, { replicas, zone: 'here' });
    const routes: string[] = [];
    cluster.events.on('route', ({ node }) => routes.push(node));
    for (let i = 0; i < 20; i++) await cluster.read(READ, [i]);
    expect(new Set(routes)).toEqual(new Set(['r3']));
    await Promise.all(Array.from({ length: 12 }, () => cluster.read('select pg_sleep(0.3)')));
    const long = routes.slice(20);
    const onOwn = long.filter((node) => node === 'r3').length;
    expect(onOwn).toBeGreaterThanOrEqual(4);
    expect(onOwn).toBeLessThanOrEqual(6);
  });

  it('long queries do not make their replica look slow to short ones', async () => {
    cluster = await open(servers);
    const long = (async (): Promise<void> => {
      for (let i = 0; i < size(8, 40); i++) await cluster.read('select pg_sleep(0.2)', [], { target: { node: 'r1' } });
    })();
    const short = await run(cluster, 8, size(1_500, 8_000), () => cluster.read(READ, [anyItem()]));
    await long;
    report('beside long queries', shares(short.counts));
    // Taken for slow by 200 ms, it would get nothing at all.
    expect(shareOf(short.counts, 'r1')).toBeGreaterThan(size(0.04, 0.15));
  });

  it('work counts and not connections: one that is busy with long queries gets fewer of the next', async () => {
    cluster = await open(servers);
    const held = Array.from({ length: 8 }, () => cluster.read('select pg_sleep(0.8)', [], { target: { node: 'r1' } }));
    await until('they run', () => nodeOf(cluster, 'r1').inFlight === 8);
    const next = await Promise.all(
      Array.from({ length: 16 }, async () => {
        await cluster.read('select pg_sleep(0.3)');
      }),
    );
    expect(next).toHaveLength(16);
    await Promise.all(held);
    const [r1, r2, r3] = ['r1', 'r2', 'r3'].map((name) => nodeOf(cluster, name).statementCount) as [
      number,
      number,
      number,
    ];
    report('beside eight long ones', { r1: r1 - 8, r2, r3 });
    expect(r1 - 8).toBeLessThan(4);
    expect(Math.abs(r2 - r3)).toBeLessThan(8);
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
      cluster = await open(servers, { replicas });
      const sort =
        'select count(*) from (select id from generate_series(1, 20000) id order by -id offset 1) t where $1 = $1';
      let failed = 0;
      const read = () => cluster.read(sort, [1], optionsOf(anyItem())).catch(() => failed++);
      const sorted = await run(cluster, 4, size(1_500, 10_000), read);
      report(`one refuses ${what}`, { reads: sorted.reads, failed, ...shares(sorted.counts) });
      expect(failed / sorted.reads).toBeLessThan(0.25);
    },
    30_000,
  );
});

describe('the servers’ memory', () => {
  it('reads by key take half as many blocks from outside it as reads that go round, or fewer', async () => {
    // A page of rows to each key, two and a half times as many pages as each server keeps in memory.
    const buffers = 16 * 128;
    const keys = buffers * 2.5;
    const callers = 32;
    await using servers = await startTestCluster({ replicas: 3, settings: { shared_buffers: '16MB' } });
    await query(servers.primary, 'create table pages (id int, body text)');
    await query(servers.primary, 'alter table pages alter body set storage plain');
    await query(servers.primary, `insert into pages select i, repeat('x', 7000) from generate_series(1, ${keys}) i`);
    await query(servers.primary, 'create index on pages (id)');
    await query(servers.primary, 'analyze pages');
    for (const replica of servers.replicas) await replica.waitForReplay();
    const blocks = async (): Promise<number> => {
      const sums = servers.replicas.map((node: TestNode) =>
        query(node, 'select blks_read::float8 from pg_stat_database where datname = current_database()'),
      );
      return (await Promise.all(sums)).reduce((sum: number, n) => sum + Number(n), 0);
    };
    type Options = (id: number) => ReadOptions;
    const read = async (count: number, optionsOf: Options): Promise<void> => {
      // Backends tell all that they have counted when they end.
      await using cluster = await open(servers);
      const caller = async (): Promise<void> => {
        for (let i = 0; i < count / callers; i++) {
          const id = 1 + Math.floor(Math.random() * keys);
          await cluster.read('select length(body) from pages where id = $1', [id], optionsOf(id));
        }
      };
      await Promise.all(Array.from({ length: callers }, caller));
    };
    const count = size(8_000, 100_000);
    const reads = async (optionsOf: Options): Promise<number> => {
      // Until the servers' memory holds what it will hold.
      await read(keys * 2, optionsOf);
      const before = await blocks();
      await read(count, optionsOf);
      return (await blocks()) - before;
    };
    const round = await reads(() => ({}));
    const byKey = await reads((id) => ({ partitionKey: `page:${id}` }));
    report('blocks read per 1,000 reads', {
      'going round': (round / count) * 1_000,
      'by key': (byKey / count) * 1_000,
    });
    expect(byKey).toBeLessThan(round / 2);
  }, 60_000);
});
