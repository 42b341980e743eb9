/** Kept answers right behind reads of servers: a replica is asked how far those can have seen, and only where that pays. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { definitionsSql } from '../../../src/changes/installation.js';
import { type Cluster, type ClusterBehaviour, routeOf, type Session } from '../../../src/index.js';
import { startTestCluster, type TestCluster } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import { open, until } from '../fixture.js';
import { urlOf } from '../whole-life.js';

const PROFILE = 'select name from profiles where id = $1';
const KEPT = 0;
const ROUNDS = 20;
/** Beside the questions behind reads, next to nothing tells where the primary stands. */
const SELDOM: ClusterBehaviour = { probeMillis: 5_000, idleProbeMillis: 5_000 };
const cache = { maxStalenessMillis: 600_000 };

let servers: TestCluster;
let nextId = KEPT + 1;

beforeAll(async () => {
  servers = await startTestCluster({
    replicas: 1,
    settings: { wal_level: 'logical' },
    replicaSettings: { log_statement: 'all' },
  });
  const { primary } = servers;
  await query(primary, 'create table profiles (id int primary key, name text)');
  await query(primary, "insert into profiles select i, 'Ada' from generate_series(0, 99999) as i");
  await query(primary, 'create publication pg_ladder for table profiles');
  for (const sql of definitionsSql()) await query(primary, sql);
  await query(primary, `create role app login replication password '${primary.password}'`);
  await query(primary, 'grant select on profiles to app');
  await servers.replicas[0]?.waitForReplay();
});
afterAll(() => servers.stop());

/** How often the replica was asked what it receives. */
async function lookCount(): Promise<number> {
  const log = (await servers.replicas[0]?.log()) ?? '';
  return log.split('flushed_lsn').length - 1;
}

const rungOf = async (session: Session, id: number, isKept = true) =>
  routeOf(await session.read(PROFILE, [id], isKept ? { cache } : {}))?.rung;

/** Each session reads a new row from the replica, and then the one that is kept. @returns how often that was given */
async function play(cluster: Cluster, isKept = true): Promise<number> {
  let hitCount = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await cluster.session(async (session) => {
      await rungOf(session, nextId++, isKept);
      if ((await rungOf(session, KEPT, isKept)) === 'memory') hitCount++;
    });
  }
  return hitCount;
}

async function hearing(user: string, own: ClusterBehaviour = { changes: {} }): Promise<Cluster> {
  const [primary, replica] = servers.nodes.map((node) => ({ name: node.name, connectionString: urlOf(node, user) }));
  const nodes = { primary: primary as object, replicas: [replica as object] };
  const cluster = await open(servers, { ...nodes, ...SELDOM, cache: true, ...own });
  if (own.changes !== undefined) await until('changes are heard', () => cluster.changes.stats().state === 'current');
  return cluster;
}

describe('a kept answer right behind a read of a replica', () => {
  it.skipIf(process.env['LANE'] === 'off')(
    'is given, since the replica says how far that read can have seen',
    async () => {
      await using cluster = await hearing('postgres');
      await until('it is given behind most reads', async () => {
        // The log moves on, so that what is kept has to be shown to be current.
        await query(servers.primary, "update profiles set name = 'Bea' where id = 99999");
        return (await play(cluster)) > ROUNDS / 2;
      });
    },
  );

  it.skipIf(process.env['LANE'] === 'off')(
    'is not compared with what is hidden: a role without pg_read_all_stats causes a question a second at most',
    async () => {
      await using cluster = await hearing('app');
      const [before, startedAt] = [await lookCount(), performance.now()];
      await until('it was asked', async () => {
        await query(servers.primary, "update profiles set name = 'Cyd' where id = 99999");
        await play(cluster);
        return (await lookCount()) > before;
      });
      for (let i = 0; i < 5; i++) await play(cluster);
      const asked = (await lookCount()) - before;
      // The log has each question twice: as it is prepared and as it runs.
      expect(asked).toBeLessThanOrEqual(2 * (2 + (performance.now() - startedAt) / 1_000));
    },
  );

  it.each<[string, ClusterBehaviour, boolean]>([
    ['no changes are heard', {}, true],
    ['nobody asks for kept answers', { changes: {} }, false],
  ])('costs no question where %s', async (_, own, isKept) => {
    await using cluster = await hearing('postgres', own);
    const before = await lookCount();
    await play(cluster, isKept);
    await play(cluster, isKept);
    expect((await lookCount()) - before).toBe(0);
  });
});
