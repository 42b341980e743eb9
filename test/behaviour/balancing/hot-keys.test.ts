import { describe, expect, it } from 'vitest';
import { bestOf, nodeOf, open, report, size, until } from '../fixture.js';
import { anyItem, balancesReads, now, READ, type Run, run, servers, shareOf, shares } from './callers.js';

balancesReads();

describe('which of several replicas answers', () => {
  it('a key with half of the traffic loads no replica with more than one and a half of its share, and slows nobody', async () => {
    now.cluster = await open(servers);
    const millis = size(1_000, 15_000);
    const by = (id: number) => now.cluster.read(READ, [id], { partitionKey: `item:${id}` });
    await run(now.cluster, 16, 500, () => by(anyItem()));
    const names = servers.replicas.map(({ name }) => name);
    // Other work on this machine may hold up one server for a while, never the same one in each round.
    const rounds = size(8, 1);
    const isEven = ({ counts }: Run): boolean => names.every((name) => shareOf(counts, name) < 1.25 / 3);
    const uniform = await bestOf(rounds, () => run(now.cluster, 16, millis, () => by(anyItem())), isEven);
    expect(uniform).toSatisfy(isEven);
    const celebrity = () => by(Math.random() < 0.5 ? 42 : anyItem());
    await run(now.cluster, 16, 300, celebrity);
    const batch = async () => {
      const before = now.cluster.stats().routes['hot-key'];
      const hot = await run(now.cluster, 16, millis, celebrity);
      const { hotKeys, routes } = now.cluster.stats();
      const [{ share } = { share: 0 }] = hotKeys;
      report('celebrity', { reads: hot.reads, p99: hot.p99, ...shares(hot.work), 'found share': share });
      return { hot, keyCount: hotKeys.length, share, spreadCount: routes['hot-key'] - before };
    };
    const largest = (of: Run['work' | 'counts']): number => Math.max(...names.map((name) => shareOf(of, name)));
    // Beside other work a short run's percentile is mostly that of the other work.
    const isSpread = ({ hot, keyCount, share, spreadCount }: Awaited<ReturnType<typeof batch>>): boolean =>
      Math.max(largest(hot.work), largest(hot.counts)) < 1.5 / 3 &&
      hot.p99 < Math.max(2 * uniform.p99, size(60, 5)) &&
      keyCount === 1 &&
      share > 0.15 &&
      share < 0.6 &&
      spreadCount > hot.reads / 4;
    report('uniform', { reads: uniform.reads, p99: uniform.p99, ...shares(uniform.work) });
    expect(await bestOf(rounds, batch, isSpread)).toSatisfy(isSpread);
    await until('the crowd is forgotten', async () => {
      await run(now.cluster, 16, 200, () => by(anyItem()));
      return now.cluster.stats().hotKeys.length === 0;
    });
  }, 60_000);

  it('a hot key goes to the primary where that is chosen, and to its own replica where nothing is', async () => {
    for (const [hotKeys, role] of [
      [{ target: 'primary', share: 0.5 }, 'primary'],
      [false, 'replica'],
    ] as const) {
      now.cluster = await open(servers, { hotKeys, loadFactor: 100 });
      for (let i = 0; i < 1_000; i++) await now.cluster.read(READ, [42], { partitionKey: 'celebrity' });
      const routes: string[] = [];
      now.cluster.events.on('route', ({ node, reason }) => routes.push(`${node} ${reason}`));
      for (let i = 0; i < 50; i++) await now.cluster.read(READ, [42], { partitionKey: 'celebrity' });
      await now.cluster.read(READ, [7], { partitionKey: 'somebody' });
      expect(new Set(routes.slice(0, 50)).size).toBe(1);
      expect(routes[0]).toMatch(role === 'primary' ? /^primary hot-key$/ : /^r\d partition$/);
      expect(routes.at(-1)).toMatch(/^r\d partition$/);
      expect((await now.cluster.explain(READ, [42], { partitionKey: 'celebrity' })).reason).toBe(
        role === 'primary' ? 'hot-key' : 'partition',
      );
      await now.cluster.close();
    }
  });

  it('an empty key is none, in a read, a session and a hint', async () => {
    now.cluster = await open(servers);
    const reasons = new Set<string>();
    now.cluster.events.on('route', ({ reason }) => reasons.add(reason));
    for (let i = 0; i < 20; i++) {
      await now.cluster.read(READ, [1], { partitionKey: '' });
      await now.cluster.session(() => now.cluster.read(READ, [1]), { partitionKey: '', inherit: 'none' });
      await now.cluster.query('/* ladder: partition= */ select value from items where id = 1');
    }
    expect([...reasons].filter((reason) => ['partition', 'next-in-order', 'hot-key'].includes(reason))).toEqual([]);
    await now.cluster.session(
      async () => {
        await now.cluster.read(READ, [1], { target: 'primary' });
        await now.cluster.read(READ, [1], { target: { node: 'r1' } });
        expect(now.cluster.stats().moveCount).toBe(0);
      },
      { inherit: 'none' },
    );
  });

  it('a hot key goes to the primary also where there is one replica', async () => {
    const replicas = servers.replicas.slice(0, 1).map(({ name, connectionString }) => ({ name, connectionString }));
    now.cluster = await open(servers, { replicas, hotKeys: { target: 'primary' } });
    for (let i = 0; i < 500; i++) await now.cluster.read(READ, [42], { partitionKey: 'celebrity' });
    expect(now.cluster.stats().routes['hot-key']).toBeGreaterThan(200);
  });

  it('no more reads of a hot key are on the primary at once than its budget allows', async () => {
    now.cluster = await open(servers, { hotKeys: { target: 'primary', share: 0.3 }, primaryReadBudget: 3 });
    const read = () => now.cluster.read('select pg_sleep(0.02)', [], { partitionKey: 'celebrity' });
    let most = 0;
    const caller = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        await read();
        most = Math.max(most, nodeOf(now.cluster, 'primary').inFlight);
      }
    };
    await Promise.all(Array.from({ length: 24 }, caller));
    const { routes, fallback } = now.cluster.stats();
    expect(most).toBeLessThanOrEqual(3);
    expect(routes['hot-key']).toBeGreaterThan(20);
    expect(routes['hot-key']).toBeLessThan(400);
    expect(fallback.inUse).toBe(0);
  });
});
