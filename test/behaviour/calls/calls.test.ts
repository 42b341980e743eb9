import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { nodeOf, open, runningMillis, until } from '../fixture.js';
import { asRole, callsAsOrdinaryRole, cluster, idle, routes, servers } from './ordinary-role.js';

const pauseAll = () => Promise.all(servers.replicas.map((replica) => replica.pauseReplay()));

callsAsOrdinaryRole();

describe('everything that a cluster can do, with an ordinary login role', () => {
  describe('timeoutMillis and signal', () => {
    it('end a read that runs, and what runs on the server too', async () => {
      const took = await runningMillis(async () => {
        const reading = cluster.read("select pg_sleep(20), 'given up'", [], { timeoutMillis: 60 });
        await expect(reading).rejects.toMatchObject({ code: 'LADDER_TIMEOUT' });
      });
      expect(took).toBeLessThan(1_000);
      const running = async (node: pg.Client) =>
        (
          await node.query(
            "select 1 from pg_stat_activity where query like '%given up%' and pid <> pg_backend_pid() and state = 'active'",
          )
        ).rowCount;
      for (const { connectionString } of servers.replicas) {
        const client = new pg.Client(connectionString);
        await client.connect();
        await until('the server has stopped', async () => (await running(client)) === 0);
        await client.end();
      }
      await until('nothing is under way', idle);
    });

    it('end a read that waits for a replica, or for a connection', async () => {
      await using narrow = await open(servers, {
        ...asRole(servers, 'app'),
        waitMillis: 10_000,
        primary: { connectionString: asRole(servers, 'app').primary, max: 1 },
      });
      await pauseAll();
      await narrow.session(async () => {
        await narrow.write('insert into numbers values (0)');
        await expect(narrow.read('select 1', [], { timeoutMillis: 50 })).rejects.toMatchObject({
          code: 'LADDER_TIMEOUT',
        });
      });
      const holding = narrow.write('select pg_sleep(0.5)');
      const controller = new AbortController();
      const waiting = narrow.write('select 1', [], { signal: controller.signal });
      controller.abort(new Error('enough'));
      await expect(waiting).rejects.toThrow('enough');
      await holding;
      expect((await narrow.write('select 1 as one')).rows).toEqual([{ one: 1 }]);
      expect(nodeOf(narrow, 'primary')).toMatchObject({ inFlight: 0, pool: { totalCount: 1, idleCount: 1 } });
    });

    it('say of a write that was sent that its outcome is unknown, and keep its session on the primary until it is known', async () => {
      await cluster.session(async () => {
        const writing = cluster.write('insert into numbers select -1 from (select pg_sleep(3)) as pause', [], {
          timeoutMillis: 300,
        });
        await expect(writing).rejects.toMatchObject({
          code: 'LADDER_WRITE_OUTCOME_UNKNOWN',
          cause: { code: 'LADDER_TIMEOUT' },
        });
        await cluster.read('select 1');
        expect(routes.at(-1)).toMatchObject({ role: 'primary', reason: 'floor-unknown' });
        await until('a replica answers again', async () => {
          const { rows } = await cluster.read<{ n: number }>('select count(*)::int as n from numbers where n = -1');
          expect(rows).toEqual([{ n: 0 }]);
          return routes.at(-1)?.role === 'replica';
        });
      });
    });

    it('give their reason back as it is, frozen or not, with whatever code', async () => {
      for (const reason of [
        Object.assign(new Error('enough'), { code: 'ECONNRESET', stack: 'its own' }),
        Object.freeze(Object.assign(new Error('enough'), { code: '57014', stack: 'its own' })),
      ]) {
        const controller = new AbortController();
        const reading = cluster.read('select pg_sleep(1)', [], { signal: controller.signal });
        setTimeout(() => controller.abort(reason), 20);
        await expect(reading).rejects.toBe(reason);
        expect(reason.stack).toBe('its own');
      }
    });

    it('refuse a signal that has aborted before anything is sent', async () => {
      await expect(cluster.write('select 1', [], { signal: AbortSignal.abort() })).rejects.toMatchObject({
        name: 'AbortError',
      });
      expect(routes).toEqual([]);
    });
  });

  describe('stream', () => {
    it('gives the rows one after the other, from a replica that has the session’s writes', async () => {
      await cluster.session(async () => {
        await cluster.write('insert into numbers values (5001)');
        let sum = 0;
        for await (const { n } of cluster.stream<{ n: number }>('select n from numbers where n > $1', [0])) sum += n;
        expect(sum).toBe((5001 * 5002) / 2);
        expect(routes.at(-1)).toMatchObject({ role: 'replica' });
        await cluster.write('delete from numbers where n = 5001');
      });
    });

    it('leaves nothing behind when a value cannot be written', async () => {
      const circular: { self?: unknown } = {};
      circular.self = circular;
      const stream = cluster.stream('select n from numbers where $1 is not null', [circular]);
      await expect(stream.next()).rejects.toThrow('circular');
      for (const { pool, inFlight } of cluster.stats().nodes) {
        expect([inFlight, pool.totalCount]).toEqual([0, pool.idleCount]);
      }
    });

    it('leaves nothing behind when it is left early, fails or is aborted', async () => {
      for await (const row of cluster.stream('select n from numbers')) {
        expect(row['n']).toBe(1);
        break;
      }
      const drain = async (text: string, options = {}) => {
        for await (const _ of cluster.stream(text, [], options));
      };
      await expect(drain('select 1 / (n - 200) from numbers')).rejects.toMatchObject({ code: '22012' });
      const controller = new AbortController();
      setTimeout(() => controller.abort(new Error('enough')), 30);
      await expect(
        drain('select pg_sleep(0.01) from numbers', { signal: controller.signal, batchRows: 1 }),
      ).rejects.toThrow('enough');
      await expect(drain('select pg_sleep(0.01) from numbers', { timeoutMillis: 40 })).rejects.toMatchObject({
        code: 'LADDER_TIMEOUT',
      });
      await until('nothing is under way', idle);
      // What was given up is closed when the server has been asked to stop it.
      const isFree = (): boolean => cluster.stats().nodes.every(({ pool }) => pool.totalCount === pool.idleCount);
      await until('no connection is held', isFree);
    });
  });

  describe('connection', () => {
    it('hands out a raw client of the primary, whose writes the session sees, and closes it afterwards', async () => {
      await pauseAll();
      await cluster.session(async () => {
        const held = await cluster.connection(async (client) => {
          await client.query(
            "select pg_advisory_lock(1); set application_name = 'raw'; insert into numbers values (-5)",
          );
          return (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid;
        });
        const { rows } = await cluster.read<{ n: number }>('select n from numbers where n = -5');
        expect(rows).toEqual([{ n: -5 }]);
        await until('its lock is gone with it', async () => {
          const alive = await cluster.read('select 1 from pg_stat_activity where pid = $1', [held], {
            target: 'primary',
          });
          return alive.rowCount === 0;
        });
        await cluster.write('delete from numbers where n = -5');
      });
    });

    it('fails with its callback’s own error, which says nothing of the server, whatever its code', async () => {
      const missing = Object.assign(new Error('no such file'), { code: 'ENOENT' });
      await expect(cluster.connection(() => Promise.reject(missing))).rejects.toBe(missing);
      expect(nodeOf(cluster, 'primary').state).toBe('live');
    });

    it('a session finds what its callback left running when it failed', async () => {
      await pauseAll();
      // The catalogue is read first: what runs on must not be over by then.
      await cluster.explain('select 1');
      await cluster.session(async () => {
        const attempt = cluster.connection((client) =>
          Promise.all([
            client.query('insert into numbers select -6 from pg_sleep(0.3)'),
            Promise.reject(new Error('the other one failed')),
          ]),
        );
        await expect(attempt).rejects.toThrow('the other one failed');
        expect((await cluster.explain('select 1')).reason).toBe('floor-unknown');
        await until('it has committed', async () => {
          const { rowCount } = await cluster.read('select n from numbers where n = -6', [], { target: 'primary' });
          return rowCount === 1;
        });
        expect((await cluster.read('select n from numbers where n = -6')).rowCount).toBe(1);
        await cluster.write('delete from numbers where n = -6');
      });
    });

    it('is on the primary also where target is left open, as a hint holds beside options that say nothing', async () => {
      const isOnReplica = await cluster.connection(
        async (client) => (await client.query<{ is: boolean }>('select pg_is_in_recovery() as is')).rows[0]?.is,
        { target: undefined },
      );
      expect(isOnReplica).toBe(false);
      await cluster.query('/* primary */ select 1', [], { target: undefined, timeoutMillis: 5_000 });
      expect(routes.at(-1)).toMatchObject({ role: 'primary', reason: 'hint' });
    });

    it('hands out one of a replica that is fresh enough, on request', async () => {
      const port = await cluster.connection(
        async (client) => (await client.query<{ port: number }>('select inet_server_port() as port')).rows[0]?.port,
        { target: { node: 'r2' } },
      );
      expect(port).toBe(servers.replicas[1]?.port);
    });
  });

  it('explain says where a read would go, and why not elsewhere, without running it', async () => {
    await cluster.session(async () => {
      expect(await cluster.explain('select 1')).toMatchObject({ role: 'replica', reason: 'balanced' });
      await servers.replicas[0]?.pauseReplay();
      await cluster.write('insert into numbers values (-7)');
      await servers.replicas[1]?.waitForReplay();
      await until('r2 is seen to have it', async () => (await cluster.explain('select 1')).node === 'r2');
      expect((await cluster.explain('select 1')).replicas).toMatchObject([
        { name: 'r1', verdict: 'behind-floor' },
        { name: 'r2', verdict: 'fresh' },
      ]);
      expect(await cluster.explain('select 1', [], { target: 'primary' })).toMatchObject({
        node: 'primary',
        reason: 'hint',
      });
    });
    expect(routes.map((route) => route.reason)).toEqual(['write']);
  });

  it('tracking: window keeps a session on the primary for a while after a write, asks for no LSN, and has no token', async () => {
    await using windowed = await open(servers, {
      ...asRole(servers, 'app'),
      tracking: 'window',
      stickinessMillis: 150,
    });
    await pauseAll();
    await windowed.session(async (session) => {
      await windowed.read('select 1');
      const seen = async () => (await windowed.read('select 1 from numbers where n = -9')).rows.length > 0;
      let writtenAt = 0;
      expect(windowed.stats().routes.balanced).toBe(1);
      await until('it is read within the window, which a machine that stands still lets pass', async () => {
        await windowed.write('insert into numbers values (-9)');
        writtenAt = performance.now();
        const isSeen = await seen();
        if (performance.now() - writtenAt > 100) return false;
        expect(isSeen).toBe(true);
        return true;
      });
      expect(windowed.stats().routes.sticky).toBeGreaterThan(0);
      await expect(session.token()).rejects.toMatchObject({ code: 'LADDER_POSITION_UNAVAILABLE' });
      // What it does not promise: a replica that lags longer than the window shows the past again.
      await until('a replica answers again', async () => !(await seen()));
      expect(performance.now() - writtenAt).toBeGreaterThanOrEqual(150);
      // Without positions nothing can be dated.
      await windowed.read('select 1', [], { maxStalenessMillis: 60_000 });
      expect(windowed.stats().routes['too-stale']).toBe(1);
    });
  });
});
