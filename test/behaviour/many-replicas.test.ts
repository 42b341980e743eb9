import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { createCluster } from '../../src/index.js';
import { startTestCluster } from '../../src/testing/index.js';
import { bestOf, report, size, until } from './fixture.js';

const PROBE = 'pg_is_in_recovery';
let probes = 0;

/** pg's client, which tells when the library asks where a server stands on a connection of its own. */
class Counting extends pg.Client {
  // biome-ignore lint/suspicious/noExplicitAny: pg's query has as many shapes as callers.
  override query(...args: any[]): any {
    const [config] = args as [{ text?: string; name?: string } | string];
    if (typeof config === 'object' && config.text?.includes(PROBE) && config.name === 'pgladder_probe') probes++;
    // biome-ignore lint/suspicious/noExplicitAny: the same.
    return (super.query as any)(...args);
  }
}

describe('fifty replicas', () => {
  it('are asked where they stand at most fifty times a second when idle, and hardly more under load, where answers ride along', async () => {
    await using servers = await startTestCluster({ replicas: 1, settings: { max_connections: 300 } });
    const [replica] = servers.replicas;
    // Fifty names of one server: what is counted is what each of fifty servers would be asked.
    const replicas = Array.from({ length: 50 }, (_, i) => ({
      name: `r${i + 1}`,
      connectionString: replica?.connectionString,
      Client: Counting,
      max: 1,
    }));
    await using cluster = createCluster({ primary: servers.primary.connectionString, replicas });
    await until('all are live', () => cluster.stats().nodes.every(({ state }) => state === 'live'), 20_000);
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    const perSecond = async (millis: number): Promise<number> => {
      probes = 0;
      const startedAt = performance.now();
      await new Promise((resolve) => setTimeout(resolve, millis));
      return (probes * 1_000) / (performance.now() - startedAt);
    };
    // After the machine stood still all are asked at once; while it did none was.
    const isQuiet = (perSecondCount: number): boolean => perSecondCount > 10 && perSecondCount <= 50;
    const idle = await bestOf(size(5, 1), () => perSecond(size(2_000, 20_000)), isQuiet);

    let isOn = true;
    let reads = 0;
    const caller = async (): Promise<void> => {
      for (let i = 0; isOn; i++) {
        await cluster.read('select 1 as one where $1 = $1', [i], { partitionKey: `${i % 1_000}` });
        reads++;
      }
    };
    const callers = Promise.all(Array.from({ length: 16 }, caller));
    await until('all have shared connections', () =>
      cluster.stats().nodes.every(({ role, lane }) => role === 'primary' || lane.connectionCount > 0),
    );
    const before = reads;
    const startedAt = performance.now();
    // 200 if no answer rode along; few reads do for fifty when other work holds them up.
    const most = size(170, 130);
    const busy = await bestOf(
      size(10, 1),
      () => perSecond(size(1_500, 20_000)),
      (perSecondCount) => perSecondCount < most,
    );
    const readsPerSecond = ((reads - before) * 1_000) / (performance.now() - startedAt);
    isOn = false;
    await callers;
    report('probes a second of fifty replicas', { idle, 'under load': busy, 'reads a second': readsPerSecond });
    expect(idle).toSatisfy(isQuiet);
    expect(busy).toBeLessThan(most);
  }, 60_000);
});
