/** What moves the stamps of the catalogue, as an ordinary login role sees them on a replica, and how far definitions count as unchanged. */
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ChangePosition } from '../../../src/change-source.js';
import { localStamp, SHARED_STAMP } from '../../../src/changes/definition-stamps.js';
import { type DefinitionDepth, DefinitionWatch } from '../../../src/changes/definition-watch.js';
import { parseLsn } from '../../../src/freshness/lsn.js';
import { Fleet } from '../../../src/nodes/fleet.js';
import { settingsFrom } from '../../../src/options/cluster.js';
import { Publisher } from '../../../src/publisher.js';
import { isBackendAvailable, startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { size, until } from '../fixture.js';
import { type Moves, SCHEMA, STATEMENTS } from './definition-statements.js';

const majors = [14, 18];
const available = await Promise.all(majors.map((major) => isBackendAvailable('embedded', major)));

describe.each(majors)('on PostgreSQL %i', (major) => {
  const isHere = available[majors.indexOf(major)] === true;
  let servers: TestCluster;
  let primary: pg.Client;
  let onReplica: pg.Client;

  beforeAll(async () => {
    if (!isHere) return;
    servers = await startTestCluster({
      replicas: major === 18 ? 2 : 1,
      backend: 'embedded',
      postgresVersion: major,
      settings: { wal_level: 'logical' },
    });
    primary = new pg.Client(servers.primary.connectionString);
    // The tests kill servers.
    primary.on('error', () => undefined);
    await primary.connect();
    await primary.query(SCHEMA);
    const [replica] = servers.replicas as [TestNode];
    await replica.waitForReplay();
    onReplica = new pg.Client(asReader(replica));
    onReplica.on('error', () => undefined);
    await onReplica.connect();
  });

  afterAll(async () => {
    await Promise.all([primary?.end(), onReplica?.end()]);
    await servers?.stop();
  });

  async function stamps(): Promise<{ readonly shared: string; readonly local: string }> {
    await servers.replicas[0]?.waitForReplay();
    const { rows: shared } = await onReplica.query(SHARED_STAMP, [[]]);
    const { rows: local } = await onReplica.query(localStamp(major * 10_000));
    return { shared: shared[0].stamp, local: local[0].stamp };
  }

  it.runIf(isHere)('an ordinary role sees on a replica what event triggers do and do not fire for', async () => {
    const wrong: string[] = [];
    let before = await stamps();
    for (const [text, moves, since = 0] of STATEMENTS) {
      if (since > major) continue;
      await primary.query(text);
      const after = await stamps();
      const local = after.local !== before.local;
      const shared = after.shared !== before.shared;
      const moved: Moves = local ? (shared ? 'both' : 'local') : shared ? 'shared' : 'neither';
      if (moved !== moves) wrong.push(`${text}: ${moved} instead of ${moves}`);
      before = after;
    }
    expect(wrong).toEqual([]);
  });

  it.runIf(isHere)('what is rolled back moves nothing, and what commits late is not missed', async () => {
    const before = await stamps();
    await primary.query('begin; alter table items add column gone int; rollback');
    expect(await stamps()).toEqual(before);
    // Three transactions whose numbers stand in one row, so that sums alone would be equal.
    await primary.query('create table late_a (id int); create table late_b (id int)');
    const other = new pg.Client(servers.primary.connectionString);
    await other.connect();
    await primary.query('begin; select pg_current_xact_id()');
    await other.query('comment on table late_b is null; alter table late_b set (fillfactor = 90)');
    const between = await stamps();
    await primary.query('alter table late_b set (fillfactor = 80); alter table late_a set (fillfactor = 80); commit');
    expect((await stamps()).local).not.toBe(between.local);
    await other.end();
  });

  describe.runIf(isHere)('a watch', () => {
    let fleet: Fleet;
    let watch: DefinitionWatch | undefined;
    let changes: ChangePosition[];
    /** How far definitions counted as unchanged when a change was told. */
    let throughs: (bigint | undefined)[];

    beforeEach(async () => {
      changes = [];
      throughs = [];
      fleet = new Fleet(
        settingsFrom({
          primary: asReader(servers.primary),
          replicas: servers.replicas.map((node) => ({ name: node.name, connectionString: asReader(node) })),
        }),
        new Publisher('shop'),
      );
      fleet.start();
      await fleet.ready(30_000);
    });

    afterEach(async () => {
      watch?.close();
      await fleet.close();
    });

    function begin(depth: DefinitionDepth = 'all', eventTriggers: readonly string[] = []): DefinitionWatch {
      const changed = (position: ChangePosition): void => {
        changes.push(position);
        throughs.push(watch?.unchangedThrough);
      };
      watch = new DefinitionWatch(fleet, { changed }, depth, eventTriggers);
      return watch;
    }

    /** Runs it on the primary. @returns a position that covers its commit */
    async function define(text: string): Promise<bigint> {
      await primary.query(text);
      const { rows } = await primary.query('select pg_current_wal_insert_lsn() as lsn');
      return parseLsn(rows[0].lsn) as bigint;
    }

    async function reaches(lsn: bigint): Promise<void> {
      // A position may lie behind the header of a page that no record has followed yet.
      await primary.query("select pg_logical_emit_message(true, 'a', 'b')");
      await until(`definitions are known through ${lsn}`, () => {
        watch?.want();
        const through = watch?.unchangedThrough;
        return through !== undefined && through >= lsn;
      });
    }

    it('does nothing until it is wanted, then tells how far nothing has changed', async () => {
      const own = begin();
      await new Promise((resolve) => setTimeout(resolve, 250));
      expect([own.unchangedThrough, own.stats().lookCount]).toEqual([undefined, 0]);
      await reaches(await define('select 1'));
      expect(own.problem).toBeUndefined();
      // What was before it began, it does not know.
      expect(changes).toHaveLength(1);
      const looks = own.stats().lookCount;
      await reaches(await define("insert into items values (2001, 'a') on conflict (id) do update set name = 'c'"));
      expect(own.stats().lookCount).toBeGreaterThan(looks);
      expect(changes).toHaveLength(1);
      expect(own.stats()).toMatchObject({ changeCount: 1 });
      expect(own.stats().costMillis).toBeGreaterThan(0);
      expect(own.stats().intervalMillis).toBeGreaterThanOrEqual(Math.min(5_000, 50 * own.stats().costMillis));
    });

    it('looks no more when nobody wants it, nor when the log stands still, nor once it is closed', async () => {
      const own = begin();
      await reaches(await define('select 1'));
      const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));
      await pause(1_200);
      const { lookCount } = own.stats();
      const through = own.unchangedThrough;
      await define("insert into items values (2002, 'a') on conflict do nothing");
      await pause(300);
      expect(own.stats().lookCount).toBe(lookCount);
      expect(own.unchangedThrough).toBe(through);
      own.want();
      own.close();
      await pause(200);
      own.want();
      await pause(200);
      expect(own.stats().lookCount).toBe(lookCount);
    });

    it('tells a change before it says that all is known beyond it, whatever is replayed when', async () => {
      const own = begin();
      await reaches(await define('select 1'));
      const jitter = await servers.replicas[0]?.jitterReplay({ seed: 7 });
      const told = (): number => changes.length;
      try {
        for (let n = 0; n < size(8, 60); n++) {
          await define(
            'insert into items values (3000, now()::text) on conflict (id) do update set name = excluded.name',
          );
          const before = told();
          const lsn = await define(`create or replace function f() returns int language sql stable as 'select ${n}'`);
          await reaches(lsn);
          expect(told()).toBeGreaterThan(before);
          // It was told of a position at or beyond the commit, while less was known.
          const at = changes.findIndex((change) => change.lsn >= lsn - 100n);
          expect(at).toBeGreaterThanOrEqual(0);
          expect((throughs[at] ?? 0n) < lsn).toBe(true);
        }
      } finally {
        await jitter?.stop();
      }
      expect(own.stats().changeCount).toBe(changes.length);
    });

    it('with a source that tells the rest, looks at roles only while its event trigger fires always', async () => {
      await primary.query(`create event trigger telling on ddl_command_end execute function et();
        alter event trigger telling enable always`);
      const own = begin('shared', ['telling']);
      const looksOn = async (lsn: bigint): Promise<void> => {
        for (const replica of servers.replicas) await replica.waitForReplay();
        const { lookCount } = own.stats();
        await reaches(lsn);
        await until('it has looked', () => {
          own.want();
          return own.stats().lookCount > lookCount;
        });
      };
      await looksOn(await define('select 1'));
      expect(changes).toHaveLength(1);
      await looksOn(await define("create or replace function f() returns int language sql as 'select 7'"));
      expect(changes).toHaveLength(1);
      await looksOn(await define('grant team to reader'));
      expect(changes).toHaveLength(2);
      await looksOn(await define('alter event trigger telling disable'));
      expect(changes).toHaveLength(3);
      await looksOn(await define("create or replace function f() returns int language sql as 'select 8'"));
      expect(changes).toHaveLength(4);
      await looksOn(await define('revoke team from reader; drop event trigger telling'));
      expect(changes).toHaveLength(5);
    });

    it('knows nothing beyond what its replicas have replayed', async () => {
      const own = begin();
      await reaches(await define('select 1'));
      await Promise.all(servers.replicas.map((replica) => replica.pauseReplay()));
      try {
        const lsn = await define("create or replace function f() returns int language sql as 'select 9'");
        const endsAt = performance.now() + 400;
        while (performance.now() < endsAt) {
          own.want();
          expect((own.unchangedThrough ?? 0n) < lsn).toBe(true);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        expect(changes).toHaveLength(1);
        await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
        await reaches(lsn);
        expect(changes).toHaveLength(2);
      } finally {
        await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
      }
    });

    it.runIf(major === 18)('goes on with another replica, which shows the same', async () => {
      begin();
      await reaches(await define('select 1'));
      const [first, second] = servers.replicas as [TestNode, TestNode];
      for (const [gone, other] of [
        [first, second],
        [second, first],
      ] as const) {
        await gone.pauseReplay();
        await reaches(await define("insert into items values (2003, 'a') on conflict do nothing"));
        await gone.resumeReplay();
        await other.kill();
        await reaches(await define("insert into items values (2004, 'a') on conflict do nothing"));
        await other.restart();
      }
      expect(changes).toHaveLength(1);
    });

    it.runIf(major === 18)('knows nothing without a replica, and begins anew after a failover', async () => {
      // An ordinary role may learn only after minutes that a replica follows a new primary.
      await primary.query('grant pg_read_all_stats to reader');
      const own = begin();
      await reaches(await define('select 1'));
      const before = own.unchangedThrough as bigint;
      const [heir, other] = servers.replicas as [TestNode, TestNode];
      await servers.primary.kill();
      await heir.promote();
      await until('the new primary is known', () => fleet.history.timelines.timeline === 2);
      expect(own.unchangedThrough).toBeUndefined();
      await until('it looks in vain', () => {
        own.want();
        expect(own.unchangedThrough).toBeUndefined();
        return own.problem === 'no replica is known to follow the primary';
      });
      expect(changes).toHaveLength(1);
      await other.follow(heir);
      await until('all is known anew', () => {
        own.want();
        return own.unchangedThrough !== undefined;
      });
      expect(changes).toHaveLength(2);
      expect(changes[1]?.timeline).toBe(2);
      expect((changes[1]?.lsn ?? 0n) >= before).toBe(true);
    });
  });
});

function asReader(node: TestNode): string {
  return node.connectionString.replace(/\/\/[^@]*@/, '//reader:reader@');
}
