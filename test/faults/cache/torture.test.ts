// Who writes and reads under stumbling replay, with answers from caches, is shown nothing that the
// guarantees rule out.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster } from '../../../src/index.js';
import type { TestCluster } from '../../../src/testing/index.js';
import { open, report, size, until } from '../../behaviour/fixture.js';
import { type Inherit, type Monotonic, type Plan, play, type SessionLog } from './torture.js';
import { judge } from './torture-judge.js';
import { begin, inProcesses, startServers } from './torture-processes.js';

const READS = size(1_500, 200_000);

let servers: TestCluster;

beforeAll(async () => {
  servers = await startServers();
});
afterAll(() => servers.stop());

async function inThisProcess(monotonic: Monotonic, plan: Plan): Promise<SessionLog[]> {
  await using cluster = await open(servers, { cache: { monotonic, maxStalenessMillis: plan.maxStalenessMillis } });
  await begin(servers, cluster);
  const logs = await play(cluster, 'here', plan);
  report('misses', cluster.cache.stats().misses);
  return logs;
}

const NOTHING = { stale: 0, beyond: 0, backwards: 0, torn: 0 };

describe('reads after writes, answered from memory where that is fresh enough', () => {
  const manners: [Inherit, Monotonic][] = [
    ['none', 'tables'],
    ['process', 'all'],
    ...size<[Inherit, Monotonic][]>(
      [],
      [
        ['none', 'all'],
        ['process', 'tables'],
      ],
    ),
  ];
  it.each(manners)(
    'miss nothing, are within their bound and never go back: inherit %s, monotonic %s',
    async (...manner) => {
      const [inherit, monotonic] = manner;
      const plan = { seed: 7, readCount: READS, sessionCount: 16, inherit, maxStalenessMillis: 5_000 };
      const logs = await inThisProcess(monotonic, plan);
      const { readCount, hitShares, ...faults } = judge(logs, monotonic, plan.maxStalenessMillis);
      report(`${readCount} reads, inherit ${inherit}, monotonic ${monotonic}`, { ...faults, ...hitShares });
      expect(faults).toEqual(NOTHING);
      expect(readCount).toBeGreaterThanOrEqual(READS);
    },
  );

  it('are within a tight bound', async () => {
    const plan = { seed: 11, readCount: READS, sessionCount: 16, inherit: 'none', maxStalenessMillis: 150 } as const;
    const { hitShares, ...faults } = judge(await inThisProcess('tables', plan), 'tables', plan.maxStalenessMillis);
    report('within 150 ms', { ...faults, ...hitShares });
    expect(faults).toMatchObject(NOTHING);
  });

  it('hold in several processes at once', async () => {
    const plan = { seed: 13, readCount: READS, sessionCount: 8, inherit: 'none', maxStalenessMillis: 1_000 } as const;
    const { hitShares, ...faults } = judge(
      (await inProcesses(servers, 'all', plan)).logs,
      'all',
      plan.maxStalenessMillis,
    );
    report('in three processes', { ...faults, ...hitShares });
    expect(faults).toMatchObject(NOTHING);
  });
});

describe('the judge', () => {
  it('finds all of it where nothing holds', async () => {
    await using cluster = await open(servers, { consistency: 'eventual' });
    await begin(servers, cluster);
    const plan = { seed: 17, readCount: 1_000, sessionCount: 16, inherit: 'none', maxStalenessMillis: 5_000 } as const;
    await until('reads are stale, old and go back', async () => {
      const logs = await play(heedless(cluster), 'here', { ...plan, seed: plan.seed + 1 });
      await begin(servers, cluster);
      const { stale, beyond, backwards } = judge(logs, 'all', 20);
      return stale > 0 && beyond > 0 && backwards > 0;
    });
  });
});

/** Asks for nothing, whatever it says. */
function heedless(cluster: Cluster): Cluster {
  const read: Cluster['read'] = (query, values) => cluster.read(query, values, { consistency: 'eventual' });
  return new Proxy(cluster, {
    get(target, name) {
      if (name === 'transaction') return (run: (client: unknown) => unknown) => run({ query: read });
      if (name === 'outsideTransaction') return (run: () => unknown) => run();
      if (name !== 'session') return Reflect.get(target, name);
      return (run: (session: unknown) => unknown) =>
        target.session((session) =>
          run({ read, write: session.write.bind(session), token: () => Promise.resolve(undefined) }),
        );
    },
  });
}
