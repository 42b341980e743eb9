/** Three processes, one log: whatever is killed or frozen, the others go on, and none says that it has heard what it has not. */
import { Client } from 'pg';
import { createClient } from 'redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findBinary } from '../../../bench/binaries.js';
import { freePort } from '../../../bench/free-port.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { percentile, report, until } from '../../behaviour/fixture.js';
import { type Participant, Play } from './changes-play.js';
import { RedisServer } from './redis-server.js';

const binary = findBinary('redis-server');
if (binary === undefined) report('redis', { skipped: 'redis-server is not installed' });

/** What a fault may cost; by a clock that runs while this process does. */
const RECOVERY_MILLIS = 10_000;
describe.skipIf(binary === undefined)('three processes that share a log', () => {
  let servers: TestCluster;
  const begin = (library: 'node-redis' | 'ioredis', port?: number) =>
    Play.begin(servers.primary.connectionString, binary as string, library, port);

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 0, settings: { wal_level: 'logical' } });
    const client = new Client({ connectionString: servers.primary.connectionString });
    await client.connect();
    await client.query('create table items (id int primary key)');
    await client.query('create publication pg_ladder for table items');
    await client.end();
  });
  afterAll(() => servers?.stop());

  it('go on when the one that reads is killed, frozen, woken up again or ended', async () => {
    await using play = await begin('node-redis');
    const figures: Record<string, number> = {};

    const killed = play.leader;
    await play.remove(killed, 'killed');
    figures['killed'] = await play.recovers('another one reads');
    const third = play.add();
    await play.recovers('one that comes later hears', [third]);

    const frozen = play.leader;
    const others = play.processes.filter((one) => one !== frozen);
    frozen.signal('SIGSTOP');
    figures['frozen'] = await play.recovers('another one reads', others);
    frozen.signal('SIGCONT');
    figures['woken'] = await play.recovers('the one that was frozen hears again');
    expect(frozen.role).toBe('following');

    const ended = play.leader;
    await play.remove(ended, 'asked');
    figures['ended'] = await play.recovers('another one reads');
    expect(play.judge()).toBeGreaterThan(0);
    report('until all hear again, in milliseconds, after the leader was', figures);
    for (const millis of Object.values(figures)) expect(millis).toBeLessThan(RECOVERY_MILLIS);
  });

  it('hear again what they miss while one of them is frozen, and its messages are lost', async () => {
    await using play = await begin('ioredis');
    const [frozen, other] = play.followers as [Participant, Participant];
    frozen.signal('SIGSTOP');
    await play.recovers('the others go on', [other]);
    const admin = await createClient({ url: `redis://127.0.0.1:${play.redis.port}` }).connect();
    await admin.clientKill({ filter: 'TYPE', type: 'pubsub' }).catch(() => undefined);
    await play.recovers('the others hear again', [play.leader, other]);
    frozen.signal('SIGCONT');
    const millis = await play.recovers('the one that was frozen hears again');
    admin.destroy();
    play.judge();
    report('a follower that was frozen, and lost its connection', { 'hears again after': millis });
    expect(millis).toBeLessThan(RECOVERY_MILLIS);
  });

  it.each(['node-redis', 'ioredis'] as const)(
    'hear again when Redis was paused, flushed, frozen or restarted: through %s',
    async (library) => {
      const port = await freePort();
      await using play = await begin(library, port);
      const figures: Record<string, number> = {};
      const admin = await createClient({ url: `redis://127.0.0.1:${port}` })
        .on('error', () => undefined)
        .connect();

      await admin.sendCommand(['CLIENT', 'PAUSE', '5000', 'ALL']);
      await play.isSilent();
      const alone = play.processes.find((one) => one.role === 'leading');
      await play.recovers('the one that reads goes on for itself', alone === undefined ? [] : [alone]);
      await admin.ping();
      figures['paused'] = await play.recovers('all hear');

      await admin.flushAll();
      figures['flushed'] = await play.recovers('all hear');

      play.redis.hang();
      await play.isSilent();
      play.redis.goOn();
      figures['frozen'] = await play.recovers('all hear');

      admin.destroy();
      await play.redis.stop();
      await play.isSilent();
      await using _again = await RedisServer.start(binary as string, [], port);
      figures['restarted'] = await play.recovers('all hear');
      play.judge();
      report(`until all hear again through ${library}, in milliseconds, after Redis was`, figures);
      for (const millis of Object.values(figures)) expect(millis).toBeLessThan(RECOVERY_MILLIS);
    },
  );

  it('hear of a commit soon', async () => {
    await using play = await begin('node-redis');
    const first = play.writer.ends.length;
    await until('enough was written', () => play.writer.ends.length > first + 500);
    await play.recovers('all have heard it');
    const { leader, followers, writer } = play;
    const heardBy = (one: Participant) => {
      const at = new Map<number, number>();
      for (const told of one.told) if (told.kind === 'changed') for (const key of told.keys) at.set(key, told.at);
      return at;
    };
    const byLeader = heardBy(leader);
    const sinceCommit: number[] = [];
    const sinceLeader: number[] = [];
    for (const one of followers) {
      for (const [key, at] of heardBy(one)) {
        if (key < first) continue;
        sinceCommit.push(at - (writer.committedAt[key] ?? Number.NaN));
        sinceLeader.push(at - (byLeader.get(key) ?? Number.NaN));
      }
    }
    expect(sinceLeader.length).toBeGreaterThan(900);
    report('until a follower hears, in milliseconds', {
      'p50 since the commit returned': percentile(sinceCommit, 0.5),
      'p99 since the commit returned': percentile(sinceCommit, 0.99),
      'p50 since the leader heard': percentile(sinceLeader, 0.5),
      'p99 since the leader heard': percentile(sinceLeader, 0.99),
    });
    play.judge();
  });
});
