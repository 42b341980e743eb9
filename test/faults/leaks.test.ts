import { describe, expect, it } from 'vitest';
import { startTestCluster } from '../../src/testing/index.js';
import { nodeOf, open, report, size, until } from '../behaviour/fixture.js';

describe('reads, writes and sessions that are aborted and time out at random', () => {
  it(
    'leak no client, no timer and no memory',
    async () => {
      await using servers = await startTestCluster({ replicas: 2 });
      await using cluster = await open(servers);
      await cluster.write('create table t (id int primary key, v int)');
      await cluster.write('insert into t select i, 0 from generate_series(1, 100) as i');
      const perSession = 10;
      const shared = new AbortController();

      const one = async (i: number) => {
        const slow = i % 50 === 0;
        const controller = i % 20 === 0 ? new AbortController() : undefined;
        const options = {
          ...(i % 10 === 0 && { timeoutMillis: 1 + (i % 7) }),
          // One signal for thousands of reads: each must take its listener off again.
          signal: controller?.signal ?? shared.signal,
        };
        if (controller !== undefined) setTimeout(() => controller.abort(), i % 5);
        const text = slow ? 'select v, pg_sleep(0.003) from t where id = $1' : 'select v from t where id = $1';
        if (i % 40 === 0) await cluster.write('update t set v = v + 1 where id = $1', [1 + (i % 100)], options);
        else await cluster.read(text, [1 + (i % 100)], options);
      };
      const codes = new Map<string, number>();
      let count = 0;
      const run = async (sessions: number) => {
        for (let s = 0; s < sessions; s += 20) {
          const group = Array.from({ length: 20 }, () =>
            cluster.session(async () => {
              for (let j = 0; j < perSession; j++) {
                await one(count++).catch((error: { code?: string; name: string }) => {
                  const code = typeof error.code === 'string' ? error.code : error.name;
                  codes.set(code, (codes.get(code) ?? 0) + 1);
                });
              }
            }),
          );
          await Promise.all(group);
        }
      };
      const { setFlagsFromString } = await import('node:v8');
      const { runInNewContext } = await import('node:vm');
      setFlagsFromString('--expose_gc');
      const gc = runInNewContext('gc') as () => void;
      const settled = async () => {
        await until('nothing is under way', () =>
          cluster.stats().nodes.every((n) => n.inFlight === 0 && n.pool.totalCount === n.pool.idleCount),
        );
        gc();
        gc();
        const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
        return { heap: process.memoryUsage().heapUsed, timers };
      };
      await run(size(200, 5_000));
      const before = await settled();
      const countBefore = count;
      await run(size(600, 100_000));
      const after = await settled();
      report(`${count - countBefore} statements in ${(count - countBefore) / perSession} sessions`, {
        'heap grown by bytes': after.heap - before.heap,
        'timers before': before.timers,
        'timers after': after.timers,
        ...Object.fromEntries(codes),
      });
      expect(
        [...codes.keys()].filter(
          (code) =>
            !['LADDER_TIMEOUT', 'LADDER_OVERLOADED', '20', 'AbortError', 'LADDER_WRITE_OUTCOME_UNKNOWN'].includes(code),
        ),
      ).toEqual([]);
      expect(codes.get('LADDER_TIMEOUT')).toBeGreaterThan(0);
      expect(after.heap - before.heap).toBeLessThan(3_000_000);
      expect(after.timers).toBeLessThan(before.timers + 40);
      for (const name of ['primary', 'r1', 'r2']) expect(nodeOf(cluster, name).pool.totalCount).toBeLessThanOrEqual(10);
    },
    size(120_000, 0),
  );
});
