import { EventEmitter } from 'node:events';
import { parse } from 'pg-protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, createCluster, LadderError } from '../../src/index.js';
import { AnswerGuard } from '../../src/nodes/answer-guard.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, report, size, until } from '../behaviour/fixture.js';
import { honest, PlayedServer, type Said } from '../behaviour/played-server.js';
import type { Rows } from '../behaviour/wire-messages.js';
import { Random } from '../simulation/random.js';
import { query } from '../testing/query.js';
import { Liar } from './liar.js';

const ANSWERS = size(200, 100_000);
const CLUSTERS = size(2, 16);
/** A pause of the event loop beyond what a slow machine makes by itself, of this process's own time. */
const HANG_MILLIS = size(2_000, 1_000);
/** What other processes take of the machine does not count. */
const busyMillis = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};
const MOST_BYTES = 400 * 2 ** 20;

describe('a server that lies in every field of every answer, beside a real primary and a real replica', () => {
  let servers: TestCluster;
  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    await query(servers.primary, 'create table counters (id int primary key, v int)');
    await query(servers.primary, 'insert into counters select i, 0 from generate_series(1, 1000) i');
  });
  afterAll(() => servers.stop());

  it(
    'ends no process, holds nothing up, fills no memory, and makes no read staler than promised',
    async () => {
      const seed = Number(process.env['LIAR_SEED'] ?? 1);
      let lsn = (await query(servers.primary, 'select pg_current_wal_lsn()::text')) as string;
      const liars = await Promise.all(Array.from({ length: CLUSTERS }, () => PlayedServer.start({} as Said)));
      const clusters: Cluster[] = [];
      const faults: string[] = [];
      const escaped = (error: unknown): unknown => faults.push(`escaped: ${(error as Error).stack}`);
      process.on('uncaughtException', escaped);
      process.on('unhandledRejection', escaped);
      let isOn = true;
      let [longestMillis, mostBytes, checkedCount, liarReadCount, lostCount] = [0, 0, 0, 0, 0];
      const watching = (async () => {
        let at = busyMillis();
        while (isOn) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          longestMillis = Math.max(longestMillis, busyMillis() - at);
          at = busyMillis();
          mostBytes = Math.max(mostBytes, process.memoryUsage().rss);
        }
      })();
      const before = process.memoryUsage().rss;
      let life = 0;
      const caller = async (cluster: Cluster, liar: PlayedServer, id: number): Promise<void> => {
        for (let v = 1; isOn; v++) {
          await cluster.session(
            async () => {
              const text = `update counters set v = ${v} where id = ${id}`;
              // One that failed, or that the liar was taken for the primary of, need not have happened.
              const written = await cluster.write(text).catch((error: unknown) => checkError(error));
              const isLost = !('rowCount' in written) || liar.statements.includes(text);
              liar.statements.length = 0;
              if (isLost) lostCount++;
              const { rows } = await cluster
                .read<{ v: number | string }>(`select v from counters where id = ${id}`)
                .catch((error: unknown) => checkError(error));
              if (rows[0]?.v === 'liar') liarReadCount++;
              else if (rows.length > 0 && !isLost) {
                checkedCount++;
                if ((rows[0]?.v as number) < v) faults.push(`stale: ${rows[0]?.v} for ${v}`);
              }
            },
            { inherit: 'none' },
          );
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      };
      const checkError = (error: unknown): { rows: never[] } => {
        if (!(error instanceof Error)) faults.push(`no error: ${String(error)}`);
        const { code, message: text } = error as { code?: string; message: string };
        // The library's own, the liar's own, or a connection that was lost twice.
        const isExpected =
          error instanceof LadderError || /^[0-9A-Z]{5}$/.test(code ?? '') || /terminated|makes no sense/.test(text);
        if (!isExpected) faults.push(`error: ${(error as Error).stack}`);
        return { rows: [] };
      };

      const work = liars.map((liar, i) => {
        const lies = new Liar(seed * 1_000 + i, [0.6, 0.95, 0.8, 0.99][i % 4] as number, () => ({
          clusterId: servers.clusterId,
          startedAt: String(1_600_000_000_000_000 + life),
          inRecovery: true,
          timeline: 1,
          lsn,
        }));
        liar.answer = (text, _said, asked) => lies.answer(text, asked);
        const cluster = createCluster({
          primary: servers.primary.connectionString,
          replicas: [
            { name: 'r1', connectionString: (servers.replicas[0] as { connectionString: string }).connectionString },
            { name: 'liar', connectionString: liar.connectionString, max: 3 },
          ],
          hangMillis: 50,
          probeMillis: 1,
          idleProbeMillis: 1,
          primaryWaitMillis: 1_000,
          onConnect: async (client, node) => {
            if (node.name === 'liar') await client.query('select of_the_user');
          },
        });
        clusters.push(cluster);
        return caller(cluster, liar, i + 1);
      });
      const answered = (): number => liars.reduce((sum, { answerCount }) => sum + answerCount, 0);
      // How many reads there are beside so many answers is a matter of the machine's speed.
      while (answered() < ANSWERS || checkedCount <= 20) {
        await new Promise((resolve) => setTimeout(resolve, 50));
        lsn = (await query(servers.primary, 'select pg_current_wal_lsn()::text')) as string;
        if (answered() % 7 === 0) life++;
        if (faults.length > 0) break;
      }
      isOn = false;
      await Promise.all([...work, watching]);
      for (const liar of liars) await liar.stop();
      const count = answered();
      // It is gone, and all is as if it had never been there.
      for (const cluster of clusters) {
        await cluster.session(async () => {
          await cluster.write('update counters set v = -1 where id = 1000', []);
          const { rows } = await cluster.read('select v from counters where id = 1000');
          expect(rows).toEqual([{ v: -1 }]);
        });
        await until('the replica serves', () => ['live', 'probation'].includes(nodeOf(cluster, 'r1').state));
        await cluster.close();
      }
      process.off('uncaughtException', escaped);
      process.off('unhandledRejection', escaped);
      report('a lying server', {
        seed,
        answers: count,
        'reads checked': checkedCount,
        'reads it was given': liarReadCount,
        'writes that failed, or it was given': lostCount,
        'longest pause ms': longestMillis,
        'memory grew by MB': (mostBytes - before) / 2 ** 20,
      });
      expect(faults.slice(0, 5)).toEqual([]);
      expect(checkedCount).toBeGreaterThan(20);
      expect(longestMillis).toBeLessThan(HANG_MILLIS);
      expect(mostBytes - before).toBeLessThan(MOST_BYTES);
    },
    size(60_000, 0),
  );
});

describe('answers of random bytes', () => {
  it('are never thrown past the library, and never hold it up', () => {
    const random = new Random(7);
    const lies = new Liar(7, 0, () => ({ clusterId: '7', startedAt: '1', inRecovery: true, timeline: 1, lsn: '0/1' }));
    let slowest = 0;
    for (let i = 0; i < size(5_000, 100_000); i++) {
      const stream = Object.assign(new EventEmitter(), { destroy: () => undefined });
      const connection = Object.assign(new EventEmitter(), { stream, ssl: false });
      new AnswerGuard().watch({ connection });
      void parse(stream as never, () => undefined);
      connection.emit('connect');
      const at = busyMillis();
      for (let n = 0; n < 3; n++) {
        const bytes = lies.oddFrame(honest(random.pick(['wal_file', 'system_identifier']), lies.said(), 1) as Rows);
        const cut = Math.floor(random.next() * bytes.length);
        stream.emit('data', Buffer.from(bytes.subarray(0, cut)));
        stream.emit('data', Buffer.from(bytes.subarray(cut)));
      }
      slowest = Math.max(slowest, busyMillis() - at);
    }
    expect(slowest).toBeLessThan(HANG_MILLIS);
  });
});
