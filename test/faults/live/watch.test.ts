// A thousand who watch are shown every final state, and never an older one behind a newer one:
// while a replica is killed, the stream of changes breaks off, and the primary fails over.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Cluster, Watch } from '../../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { open, readsOf, report, size, until } from '../../behaviour/fixture.js';
import { query } from '../../testing/query.js';
import { ask, isPrimary } from '../promoted.js';

const WATCHERS = size(300, 1_000);
const QUERIES = 50;
const CHANGES_A_SECOND = 200;
/** Between two faults, and after the last one. */
const PLAY_MILLIS = size(700, 20_000);
const MIN_INTERVAL_MILLIS = 100;
/** Nothing is read anew for its age: what is missed stays missed. */
const OPTIONS = { minIntervalMillis: MIN_INTERVAL_MILLIS, maxStalenessMillis: 3_600_000 };
const SLOW_MILLIS = 250;

interface Row extends Record<string, unknown> {
  readonly n: number;
}

/** Half of them fix a key, half are sums. Both only grow. */
const askOf = (i: number): readonly [string, readonly unknown[]] =>
  i % 2 === 0
    ? ['select n from counters where id = $1', [i]]
    : [`select sum(n)::int as n from counters where id between ${i - 1} and $1`, [i + 3]];

class Seen {
  last = -1;
  stateCount = 0;
  backwardsCount = 0;
  readonly query: number;
  readonly watch: Watch<Row>;
  readonly over: Promise<void>;

  constructor(cluster: Cluster, query: number, isSlow: boolean) {
    this.query = query;
    this.watch = cluster.watch<Row>(...askOf(query), OPTIONS);
    this.over = this.#follow(isSlow);
  }

  async #follow(isSlow: boolean): Promise<void> {
    for await (const { rows } of this.watch) {
      const n = rows[0]?.n ?? -1;
      if (n < this.last) this.backwardsCount++;
      this.last = n;
      this.stateCount++;
      if (isSlow) await new Promise((resolve) => setTimeout(resolve, SLOW_MILLIS));
    }
  }
}

/** Changes one row after the other until it is stopped. */
function write(cluster: Cluster): { readonly stop: () => Promise<number> } {
  let count = 0;
  let isOver = false;
  const under = new Set<Promise<unknown>>();
  const ticking = setInterval(() => {
    if (isOver || under.size > 20) return;
    const id = count++ % (QUERIES + 4);
    const writing = cluster.write('update counters set n = n + 1 where id = $1', [id]).catch(() => undefined);
    under.add(writing);
    void writing.then(() => under.delete(writing));
  }, 1_000 / CHANGES_A_SECOND);
  return {
    stop: async () => {
      isOver = true;
      clearInterval(ticking);
      await Promise.all(under);
      return count;
    },
  };
}

describe('a thousand who watch', () => {
  let servers: TestCluster;
  let cluster: Cluster;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 3, settings: { wal_level: 'logical' } });
    await query(servers.primary, 'create table counters (id int primary key, n int not null)');
    await query(servers.primary, 'insert into counters select i, 0 from generate_series(0, 60) as i');
    await query(servers.primary, 'create publication pg_ladder for table counters');
    for (const replica of servers.replicas) await replica.waitForReplay();
    cluster = await open(servers, { changes: {} });
    await until('changes are heard', () => cluster.changes.stats().state === 'current');
  });
  afterAll(async () => {
    await cluster?.close();
    await servers?.stop();
  });

  it(
    'end at the final state, in order, whatever befalls the servers',
    async () => {
      const [first, second, third] = servers.replicas as [TestNode, TestNode, TestNode];
      const all = Array.from({ length: WATCHERS }, (_, i) => new Seen(cluster, i % QUERIES, i % 10 === 0));
      await until('all have a first state', () => all.every(({ stateCount }) => stateCount > 0));
      const runsBefore = readsOf(cluster).all;
      const startedAt = performance.now();
      const play = async (writer: { readonly stop: () => Promise<number> }): Promise<number> => {
        await new Promise((resolve) => setTimeout(resolve, PLAY_MILLIS));
        return writer.stop();
      };
      /** All are shown what there is now. */
      const settles = async (what: string, primary: TestNode): Promise<void> => {
        const rows = await ask<{ id: number; n: number }>(primary, 'select id, n from counters');
        const of = new Map(rows.map(({ id, n }) => [id, n]));
        const truth = Array.from({ length: QUERIES }, (_, i) =>
          i % 2 === 0 ? of.get(i) : [0, 1, 2, 3, 4].reduce((sum, by) => sum + (of.get(i - 1 + by) ?? 0), 0),
        );
        await until(`all are shown the final state after ${what}`, () =>
          all.every(({ last, query }) => last === truth[query]),
        ).catch((error: unknown) => {
          const late = all.filter(({ last, query }) => last !== truth[query]);
          throw new Error(`${late.length} are not, such as query ${late[0]?.query}: ${late[0]?.last}`, {
            cause: error,
          });
        });
      };

      let changeCount = await play(write(cluster));
      await settles('writes', servers.primary);

      let writer = write(cluster);
      await first.kill();
      changeCount += await play(writer);
      await settles('a replica was killed', servers.primary);

      writer = write(cluster);
      const { beginCount } = cluster.changes.stats();
      await ask(
        servers.primary,
        "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_type = 'logical'",
      );
      changeCount += await play(writer);
      await settles('the stream broke off', servers.primary);
      await until('it begins anew', () => cluster.changes.stats().beginCount > beginCount);

      // What replicas do not have would be lost: that is no matter of who watches.
      await second.waitForReplay();
      await third.waitForReplay();
      await servers.primary.kill();
      await second.promote();
      await third.follow(second);
      await until('it is the primary', isPrimary(cluster, second.name));
      changeCount += await play(write(cluster));
      await settles('a failover', second);

      const elapsed = performance.now() - startedAt;
      const runCount = readsOf(cluster).all - runsBefore;
      const stateCount = all.reduce((sum, seen) => sum + seen.stateCount, 0);
      report(`${WATCHERS} watchers of ${QUERIES} queries`, {
        changeCount,
        runCount,
        stateCount,
        elapsed,
        heapMegabytes: process.memoryUsage().heapUsed / 2 ** 20,
      });
      expect(all.filter(({ backwardsCount }) => backwardsCount > 0)).toEqual([]);
      // One run for each query and interval, and each fault has all of them run once more.
      expect(runCount).toBeLessThan(QUERIES * (elapsed / MIN_INTERVAL_MILLIS + 10));
      expect(runCount).toBeLessThan(stateCount);
      for (const { watch } of all) await watch.return();
      await Promise.all(all.map(({ over }) => over));
    },
    size(60_000, 600_000),
  );
});
