import type { PoolClient } from 'pg';
import { describe, expect, it } from 'vitest';
import type { Discovery, ReadOptions, RouteEvent } from '../../../src/index.js';
import { hashOf, rankOf } from '../../../src/routing/partition.js';
import { startTestCluster, type TestNode } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import { bestOf, nodeOf, open, report, size, until } from '../fixture.js';
import { anyItem, balancesReads, ITEMS, now, READ, run, servers } from './callers.js';

balancesReads();

describe('which of several replicas answers', () => {
  it('keys are shared evenly; those of a replica that leaves are shared by the others, and come back with it', async () => {
    let members = servers.replicas;
    const discovery: Discovery = () => members.map(({ name, connectionString }) => ({ name, connectionString }));
    now.cluster = await open(servers, { replicas: [], discovery, discoveryMillis: 10 });
    const present = async (count: number): Promise<void> => {
      await until('the list is followed', () => {
        const live = now.cluster.stats().nodes.filter(({ state }) => state === 'live');
        return live.length === count + 1;
      });
    };
    await present(3);
    const keys = size(300, ITEMS);
    /** Where each key belongs, and how many reads went elsewhere at first. */
    const placed = async (): Promise<{ places: string[]; mislaidCount: number }> => {
      const places: string[] = [];
      let mislaidCount = 0;
      let at = 0;
      const heard = ({ node, reason }: RouteEvent): void => {
        if (reason === 'partition') places[at] ??= node;
        else mislaidCount++;
      };
      now.cluster.events.on('route', heard);
      const read = () => now.cluster.read(READ, [at], { partitionKey: `item:${at}` });
      for (at = 0; at < keys; at++) {
        await read();
        // A busy machine may make a server look slow for a moment.
        if (places[at] === undefined) {
          await until('its own replica answers', async () => {
            await read();
            return places[at] !== undefined;
          });
        }
      }
      now.cluster.events.off('route', heard);
      return { places, mislaidCount };
    };
    const { places: all } = await placed();
    for (const { name } of servers.replicas) {
      const share = all.filter((node) => node === name).length / keys;
      // Four standard deviations of a fair draw.
      expect(Math.abs(share - 1 / 3)).toBeLessThan(4 * Math.sqrt(2 / 9 / keys));
    }
    members = servers.replicas.slice(0, 2);
    await present(2);
    const { places: without } = await placed();
    expect(all.filter((node, i) => node !== 'r3' && without[i] !== node)).toEqual([]);
    const inherited = without.filter((_, i) => all[i] === 'r3');
    const ofR1 = inherited.filter((node) => node === 'r1').length / inherited.length;
    expect(Math.abs(ofR1 - 1 / 2)).toBeLessThan(4 * Math.sqrt(1 / 4 / inherited.length));
    const states: string[] = [];
    now.cluster.events.on('node', ({ node, state }) => node === 'r3' && states.push(state));
    members = servers.replicas;
    // A server that joins gets its keys bit by bit, since its caches are cold.
    await until(
      'it is back',
      () => nodeOf(now.cluster, 'primary').state === 'live' && now.cluster.stats().nodes.length === 4,
    );
    await until('all of its keys are back', () => nodeOf(now.cluster, 'r3').state === 'live');
    expect(states).toEqual(['probation', 'live']);
    // The long form has the machine to itself.
    const most = size(keys * 0.03, 0);
    const again = await bestOf(size(5, 1), placed, ({ mislaidCount }) => mislaidCount <= most);
    expect(again.places).toEqual(all);
    expect(again.mislaidCount).toBeLessThanOrEqual(most);
  }, 120_000);

  it('what is more than a replica’s fair share of the work under way goes to the next one, and comes back when it has ended', async () => {
    now.cluster = await open(servers, { hotKeys: false });
    const controller = new AbortController();
    const options = { partitionKey: 'slow', signal: controller.signal };
    const sleep = () => now.cluster.read('select pg_sleep(300)', [], options);
    const running = Promise.allSettled(Array.from({ length: 24 }, sleep));
    await until(
      'all are under way',
      () => now.cluster.stats().nodes.reduce((sum, { inFlight }) => sum + inFlight, 0) === 24,
    );
    const under = now.cluster
      .stats()
      .nodes.filter(({ role }) => role === 'replica')
      .map(({ inFlight }) => inFlight);
    expect(Math.max(...under)).toBeLessThanOrEqual(Math.ceil((1.25 * 24) / 3));
    controller.abort();
    await running;
    const places = new Set<string>();
    now.cluster.events.on('route', ({ node, reason }) => places.add(`${node} ${reason}`));
    await until('its own replica answers again, and no other', async () => {
      places.clear();
      for (let i = 0; i < 20; i++) await now.cluster.read(READ, [i], { partitionKey: 'slow' });
      return places.size === 1 && /^r\d partition$/.test([...places].join());
    });
  });

  it('a replica whose lag jitters around a bound keeps its keys away until that has been at half of it', async () => {
    now.cluster = await open(servers, { probeMillis: 40 });
    const place = async (partitionKey: string): Promise<string> => {
      const asked = { partitionKey, maxStalenessMillis: 800, consistency: 'eventual' } as const;
      return (await now.cluster.explain(READ, [1], asked)).node;
    };
    let key = '';
    let count = 0;
    await until('a key of r1 is found', async () => {
      key = `key ${count++}`;
      return (await place(key)) === 'r1';
    });
    let isOn = true;
    const writing = (async () => {
      for (; isOn; await new Promise((resolve) => setTimeout(resolve, 10))) {
        await now.cluster.write('update items set value = value + 1 where id = 2');
      }
    })();
    const [r1] = servers.replicas as [TestNode];
    const age = (): number => nodeOf(now.cluster, 'r1').stalenessMillis ?? Number.POSITIVE_INFINITY;
    try {
      await r1.delayReplay(1_500);
      await until('it is over the bound', () => age() > 900);
      expect(await place(key)).not.toBe('r1');
      /** Half of the bound, and what an answer takes on its way. */
      const isBetween = (): boolean => age() > 450 && age() < 780;
      await until(
        'it has been between half of the bound and the bound for a while, and kept its keys away',
        async () => {
          await r1.delayReplay(1_500);
          await until('it is over the bound', () => age() > 900);
          await r1.delayReplay(550);
          await until('it is below the bound', () => age() < 780);
          let between = 0;
          for (let i = 0; i < 40; i++) {
            const wasBetween = isBetween();
            const node = await place(key);
            // A machine that stands still lets it catch up: then it is all to do again.
            if (age() < 450) return false;
            expect(node).not.toBe('r1');
            if (wasBetween) between++;
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
          return between > 20;
        },
      );
      await r1.delayReplay(0);
      await until('it is back', async () => (await place(key)) === 'r1');
    } finally {
      isOn = false;
      await writing;
      await r1.delayReplay(0);
    }
  });

  it('keys stay where they belong, whatever chance brings at once, also when a session reads by several', async () => {
    now.cluster = await open(servers);
    const read = (id: number) => now.cluster.read(READ, [id], { partitionKey: `item:${id}` });
    await run(now.cluster, 32, 300, () => read(anyItem()));
    const round = async (): Promise<number> => {
      const before = now.cluster.stats().routes;
      const { reads } = await run(now.cluster, 32, size(1_000, 10_000), () => read(anyItem()));
      return (now.cluster.stats().routes['next-in-order'] - before['next-in-order']) / reads;
    };
    const rounds = size(8, 1);
    const passedOn = await bestOf(rounds, round, (share) => share < 0.12);
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
        const { rows } = await now.cluster.read<{ port: number }>(text, [], { partitionKey: key });
        if (names.get(rows[0]?.port ?? 0) === foremost(key)) own++;
        all++;
      }
    };
    const session = (_: unknown, i: number) => now.cluster.session(() => caller(i * 100), { inherit: 'none' });
    const inSessions = async (): Promise<number> => {
      [own, all] = [0, 0];
      await Promise.all(Array.from({ length: 8 }, session));
      return own / all;
    };
    const ownShare = await bestOf(rounds, inSessions, (share) => share > 0.6);
    report('keys', { 'passed on': passedOn, 'own in sessions': ownShare });
    expect(passedOn).toBeLessThan(0.12);
    expect(ownShare).toBeGreaterThan(0.6);
    // A transaction as a whole, too.
    const port = async (client: PoolClient) => (await client.query('select inet_server_port() as port')).rows[0].port;
    for (let id = 0; id < 20; id++) {
      const partitionKey = `item:${id}`;
      const at = () => now.cluster.transaction(port, { readOnly: true, partitionKey });
      await until('its own replica answers', async () => names.get(await at()) === foremost(partitionKey));
    }
  });

  it('after a write, too, a key’s own replica answers, or the one where its session has read, where others are as fresh', async () => {
    now.cluster = await open(servers);
    const nodes: string[] = [];
    now.cluster.events.on('route', ({ node, role }) => role === 'replica' && nodes.push(node));
    const read = () => now.cluster.transaction((client) => client.query('select 1'), { readOnly: true });
    const rank = (name: string) => rankOf(hashOf('item:3'), { hash: hashOf(name), weight: 1 });
    const [own] = servers.replicas.map(({ name }) => name).sort((a, b) => rank(b) - rank(a));
    const round = async (): Promise<number> => {
      nodes.length = 0;
      for (let i = 0; i < size(60, 600); i++) {
        await now.cluster.session(
          async () => {
            await now.cluster.write('update items set value = value + 1 where id = 3');
            await read();
          },
          { inherit: 'none', partitionKey: 'item:3' },
        );
      }
      return nodes.filter((node) => node === own).length / nodes.length;
    };
    const least = size(0.42, 0.5);
    const share = await bestOf(size(8, 1), round, (each) => each > least);
    report('after a write', { reads: nodes.length, 'by the key’s own': share });
    expect(share).toBeGreaterThan(least);
  });
});

describe('the servers’ memory', () => {
  it('reads by key take half as many blocks from outside it as reads that go round, or fewer', async () => {
    // A page of rows to each key, twice as many pages as each server keeps in memory, or more.
    const megabytes = size(8, 16);
    const buffers = megabytes * 128;
    const keys = buffers * size(2, 2.5);
    const callers = 32;
    await using servers = await startTestCluster({ replicas: 3, settings: { shared_buffers: `${megabytes}MB` } });
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
    const count = size(4_000, 100_000);
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
  }, 120_000);
});
