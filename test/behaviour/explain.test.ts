/** `explain()` is a look: what comes after it goes, counts and is learnt as if nobody had looked. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, createCluster, routeOf } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from './fixture.js';

const READ = 'select id from items where id = $1';

/** What `stats()` tells of what was asked so far. */
function counted(cluster: Cluster) {
  const { routes, hotKeys, moveCount, fallback, tokens, nodes } = cluster.stats();
  const ofNodes = nodes.map(({ name, readShare, inFlight }) => ({ name, readShare, inFlight }));
  return { routes, hotKeys, moveCount, fallback, tokens, nodes: ofNodes };
}

describe('explain() changes nothing', () => {
  let servers: TestCluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    await using setUp = await open(servers);
    await setUp.write('create table items (id int primary key); insert into items select generate_series(1, 10)');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());

  it('of what is counted and told: routes, reads of a node, hot keys, turns on the primary', async () => {
    await using cluster = await open(servers);
    for (let i = 0; i < 20; i++) await cluster.read(READ, [i]);
    const told: string[] = [];
    for (const name of ['route', 'query', 'tokenLost', 'warning'] as const)
      cluster.events.on(name, () => told.push(name));
    const before = counted(cluster);
    const asked = { partitionKey: 'celebrity' };
    for (let i = 0; i < 400; i++) await cluster.explain(READ, [1], asked);
    for (const text of ['select nextval($1)', 'delete from items', 'no statement']) await cluster.explain(text);
    await cluster.explain(READ, [1], { target: 'primary', consistency: 'strong' });
    expect([counted(cluster), told]).toEqual([before, []]);
    // Reads do count, and so many make a key hot.
    for (let i = 0; i < 400; i++) await cluster.read(READ, [1], asked);
    expect(counted(cluster).hotKeys.length).toBe(1);
  });

  it('of how reads are shared out: a few in a row go to one replica, also with looks in between', async () => {
    await using cluster = await open(servers);
    await cluster.explain(READ);
    // A noisy machine may have them change more often in one round; looks that count would in every one.
    await until(
      'reads keep to one replica for a while',
      async () => {
        const nodes: (string | undefined)[] = [];
        for (let i = 0; i < 64; i++) {
          for (let look = 0; look < 7; look++) await cluster.explain(READ);
          nodes.push(routeOf(await cluster.read(READ, [1]))?.node);
        }
        return nodes.filter((name, i) => i > 0 && name !== nodes[i - 1]).length < 16;
      },
      30_000,
    );
  });

  it('of where a session goes on: it stays on its replica, whatever was looked at', async () => {
    await using cluster = await open(servers);
    const staying = async (): Promise<boolean> => {
      const { moveCount } = cluster.stats();
      const home = routeOf(await cluster.read(READ, [1]))?.node as string;
      const elsewhere = { target: { node: home === 'r1' ? 'r2' : 'r1' } };
      const found = new Set<string>();
      for (let i = 0; i < 10; i++) {
        expect((await cluster.explain(READ, [1], elsewhere)).node).toBe(elsewhere.target.node);
        await cluster.explain(READ, [1], { consistency: 'strong' });
        const { node, reason } = routeOf(await cluster.read(READ, [1])) ?? {};
        found.add(`${node} ${reason}`);
      }
      return [...found].join() === `${home} affinity` && cluster.stats().moveCount === moveCount;
    };
    // A replica that is held up by other work is left in one round; looks that count would have it left in every one.
    await until('a session stays', () => cluster.session(staying, { inherit: 'none' }));
  });

  it.skipIf(process.env['LANE'] === 'off')(
    'of what is learnt of a text: it was not run, so it has no name yet, and shares no connection',
    async () => {
      const [r1] = servers.replicas;
      await using cluster = createCluster({
        primary: servers.primary.connectionString,
        replicas: [{ name: 'r1', connectionString: r1?.connectionString as string, max: 1 }],
      });
      await until('both are live', () => cluster.stats().nodes.every(({ state }) => state === 'live'));
      const text = 'select id from items where id > $1';
      const named = async () => {
        const question = `select count(*)::int as n from pg_prepared_statements where statement like '${text.slice(0, 30)}%'`;
        return (await cluster.read<{ n: number }>(question, undefined, { target: 'replica' })).rows[0]?.n;
      };
      for (let i = 0; i < 5; i++) await cluster.explain(text);
      const laneCount = nodeOf(cluster, 'r1').lane.statementCount;
      await cluster.read(text, [1]);
      expect([await named(), nodeOf(cluster, 'r1').lane.statementCount]).toEqual([0, laneCount]);
    },
  );
});
