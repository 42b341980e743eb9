import { execFile } from 'node:child_process';
import type { EventEmitter } from 'node:events';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Cluster, RouteEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { query } from '../testing/query.js';
import { open, replicaShare, size, until } from './fixture.js';

const run = promisify(execFile);

describe('a session', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let routes: RouteEvent[];

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 2 });
    await using setUp = await open(servers);
    await setUp.write('create table names (id int primary key, name text not null)');
    await setUp.write("insert into names values (1, 'old')");
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());
  beforeEach(async () => {
    // However long a test takes beside other work, a replica whose replay it has paused stays one.
    cluster = await open(servers, { maxLagMillis: 300_000 });
    routes = [];
    cluster.events.on('route', (event) => routes.push(event));
  });
  afterEach(async () => {
    await cluster.close();
    await Promise.all(servers.replicas.map((replica) => replica.resumeReplay()));
  });

  const pauseAll = () => Promise.all(servers.replicas.map((replica) => replica.pauseReplay()));
  const rename = (name: string) => cluster.write('update names set name = $1 where id = 1', [name]);
  const nameNow = async (options = {}) => {
    const { rows } = await cluster.read<{ name: string }>('select name from names where id = 1', [], options);
    return rows[0]?.name;
  };

  it('sees its own write from the primary while no replica has it, and from a replica once one has', async () => {
    await pauseAll();
    await cluster.session(async () => {
      await rename('Ada');
      expect(await nameNow()).toBe('Ada');
      expect(routes.at(-1)).toMatchObject({ role: 'primary', reason: 'behind-floor' });
      await servers.replicas[1]?.resumeReplay();
      await servers.replicas[1]?.waitForReplay();
      expect(await nameNow()).toBe('Ada');
      expect(routes.at(-1)).toMatchObject({ node: 'r2', role: 'replica' });
    });
  });

  it('reads from replicas without asking the primary anything while it has written nothing', async () => {
    const reads = async () => {
      for (let i = 0; i < 50; i++) await nameNow();
    };
    // A replica that is far slower for a while may be left.
    await until('a session stays on its replica', async () => {
      const { affinity } = cluster.stats().routes;
      await cluster.session(reads, { inherit: 'none' });
      return cluster.stats().routes.affinity - affinity > 40;
    });
    expect(replicaShare(cluster)).toBe(1);
    expect(cluster.stats().routes.balanced).toBeGreaterThan(0);
  });

  it('survives awaits, timers and events', async () => {
    await pauseAll();
    await cluster.session(async (session) => {
      await rename('Grace');
      await new Promise((resolve) => setTimeout(resolve, 1));
      await new Promise((resolve) => setImmediate(resolve));
      expect(cluster.currentSession()).toBe(session);
      expect(await nameNow()).toBe('Grace');
    });
    expect(cluster.currentSession()).toBeUndefined();
  });

  it('does not wait for others’ writes with inherit: none, and does by default', async () => {
    await rename('before');
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    await pauseAll();
    await rename('after');
    expect(await cluster.session(() => nameNow(), { inherit: 'none' })).toBe('before');
    expect(await cluster.session(() => nameNow())).toBe('after');
  });

  it('folds a nested session’s write into the outer one', async () => {
    await pauseAll();
    await cluster.session(async () => {
      await cluster.session(() => rename('inner'), { inherit: 'none' });
      expect(await nameNow()).toBe('inner');
    });
  });

  it('shows a nested session nothing older than either of two reads side by side has shown', async () => {
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    const onReplica = (node: string, text: string) => cluster.read(text, [], { target: { node } });
    const text = 'select name from names where id = 1';
    const readsSideBySide = async () => {
      await Promise.all([onReplica('r1', text), onReplica('r2', `${text} and pg_sleep(0.2) is not null`)]);
      return nameNow();
    };
    await r2.pauseReplay();
    const name = `seen ${Math.random()}`;
    await query(servers.primary, `update names set name = '${name}' where id = 1`);
    await r1.waitForReplay();
    const alone = { inherit: 'none' } as const;
    expect(await cluster.session(readsSideBySide, alone)).toBe(name);
    expect(await cluster.session(() => cluster.session(readsSideBySide), alone)).toBe(name);
    // And what an inner session has shown, the outer one goes by.
    const inner = () => cluster.session(() => onReplica('r1', text));
    for (let i = 0; i < 20; i++) {
      expect(await cluster.session(() => inner().then(() => nameNow()), alone)).toBe(name);
    }
  });

  it('covers a failed statement that committed on its way', async () => {
    await cluster.write(`create or replace procedure rename_then_fail() language plpgsql as $$
      begin update names set name = 'half'; commit; raise 'enough'; end $$`);
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    await pauseAll();
    await cluster.session(async () => {
      await expect(cluster.write('call rename_then_fail()')).rejects.toThrow('enough');
      expect(await nameNow()).toBe('half');
    });
  });

  it('hands its position to another process by a token', async () => {
    const child = `
      import { createCluster } from ${JSON.stringify(new URL('../../src/index.ts', import.meta.url).href)};
      const cluster = createCluster({ primary: process.argv[1] });
      const token = await cluster.session(async (session) => {
        await session.write("update names set name = 'from afar' where id = 1");
        return session.token();
      });
      await cluster.close();
      process.stdout.write(token);`;
    await rename('near');
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    await pauseAll();
    const args = ['--import', 'tsx', '--input-type=module', '-e', child, servers.primary.connectionString];
    const { stdout: token } = await run(process.execPath, args, {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
    });
    expect(token).toHaveLength(52);
    const seen = await cluster.session(() => nameNow(), { inherit: 'none' });
    expect(seen).toBe('near');
    expect(await cluster.session(() => nameNow(), { inherit: 'none', token })).toBe('from afar');
    expect(await cluster.session(() => nameNow({ atLeast: token }), { inherit: 'none' })).toBe('from afar');
    expect(await cluster.session(() => nameNow({ atLeast: token, consistency: 'eventual' }))).toBe('from afar');
    await cluster.session(
      async (session) => {
        session.observe(token);
        expect(await session.read('select name from names where id = 1').then((r) => r.rows)).toEqual([
          { name: 'from afar' },
        ]);
      },
      { inherit: 'none' },
    );
  });

  it('takes no harm from tokens that are forged, foreign or nonsense: they cost one look at the primary', async () => {
    const genuine = await cluster.session((session) => session.token());
    const forged = genuine.slice(0, 25) + 'f'.repeat(16) + genuine.slice(41);
    const cluster8 = `2${'8'.padStart(16, '0')}${genuine.slice(17)}`;
    for (const token of ['', 'x', '1'.repeat(1e5), cluster8, forged]) {
      await cluster.session(
        async () => {
          await nameNow();
          await nameNow();
        },
        { token, inherit: 'none' },
      );
      expect(routes.slice(-1)).toMatchObject([{ role: 'replica' }]);
    }
    expect(cluster.stats().tokens).toEqual({
      malformed: 3,
      forged: 0,
      expired: 0,
      foreign: 1,
      ahead: 1,
      lost: 0,
      uncertain: 0,
    });
    expect(replicaShare(cluster)).toBe(1);
  });

  it('takes no harm from any string, and believes only what was signed for it, and not for ever', async () => {
    const secrets = ['the secret of this test, in use'];
    await using signed = await open(servers, { secrets, tokenLifetimeMillis: 10_000 });
    await using rotated = await open(servers, { secrets: ['a younger secret, in front', ...secrets] });
    const seen: RouteEvent[] = [];
    rotated.events.on('route', (event) => seen.push(event));
    await signed.write("update names set name = 'before' where id = 1");
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    await pauseAll();
    const issue = (subject?: string) =>
      signed.session(
        async (session) => {
          await session.write("update names set name = 'signed' where id = 1");
          return session.token();
        },
        { subject },
      );
    const read = async (token: string, subject?: string) =>
      (
        await rotated.session((session) => session.read('select name from names where id = 1'), {
          token,
          subject,
          inherit: 'none',
        })
      ).rows[0]?.['name'];
    const [mine, anybodys] = [await issue('user 1'), await issue()];
    expect(await read(mine, 'user 1')).toBe('signed');
    expect(await read(anybodys)).toBe('signed');
    expect(await read(mine, 'user 2')).toBe('before');
    expect(await read(mine)).toBe('before');
    expect(await read(anybodys.slice(0, -1))).toBe('before');
    expect(rotated.stats().tokens).toMatchObject({ forged: 2, malformed: 1, expired: 0 });
    expect(seen.slice(-3).every((route) => route.role === 'replica')).toBe(true);

    const alphabet = '0123456789abcdefABCDEF/-_=.~ é\u0000';
    const random = () => {
      const length = [0, 1, 51, 52, 53, 94, 95, 96, 500][Math.floor(Math.random() * 9)] as number;
      return Array.from({ length }, () => alphabet[Math.floor(Math.random() * alphabet.length)]).join('');
    };
    const strings = size(3_000, 100_000);
    rotated.session((session) => {
      for (let i = 0; i < strings; i++) session.observe(i % 2 === 0 ? random() : `2${random().slice(1)}`);
    });
    const { malformed, forged } = rotated.stats().tokens;
    expect(malformed + forged).toBe(3 + strings);
  });

  it('refuses a subject where tokens are not signed, and a secret that is too short', async () => {
    expect(() => cluster.session(() => 1, { subject: 'me' })).toThrow(/subject.*secrets/);
    await expect(open(servers, { secrets: ['short'] })).rejects.toMatchObject({ code: 'LADDER_INVALID_OPTIONS' });
  });

  it('misses a write with consistency eventual, which is what that is for', async () => {
    await rename('first');
    await Promise.all(servers.replicas.map((replica) => replica.waitForReplay()));
    await pauseAll();
    await rename('second');
    expect(await nameNow({ consistency: 'eventual' })).toBe('first');
    expect(await nameNow()).toBe('second');
  });

  it('runs where target says, and nowhere else', async () => {
    const port = async (options = {}) =>
      (await cluster.read<{ port: number }>('select inet_server_port() as port', [], options)).rows[0]?.port;
    expect(await port({ target: 'primary' })).toBe(servers.primary.port);
    expect(await port({ target: { node: 'r2' } })).toBe(servers.replicas[1]?.port);
    await pauseAll();
    await rename('unseen');
    await expect(port({ target: 'replica' })).rejects.toMatchObject({ code: 'LADDER_NO_CANDIDATE' });
    expect(await port({ target: 'replica', consistency: 'eventual' })).not.toBe(servers.primary.port);
    await expect(port({ target: { node: 'r9' } })).rejects.toMatchObject({ code: 'LADDER_INVALID_OPTIONS' });
  });

  it('works over pools that are yours, and leaves them open', async () => {
    const [primary, replica] = [servers.primary, servers.replicas[0]].map(
      (n) => new pg.Pool({ connectionString: n?.connectionString }),
    );
    if (primary === undefined || replica === undefined) throw new Error('no pools');
    await using own = await open(servers, { primary: { pool: primary }, replicas: [{ pool: replica, name: 'mine' }] });
    await own.write("update names set name = 'pooled' where id = 1");
    const { rows } = await own.read('select name from names where id = 1');
    expect(rows).toEqual([{ name: 'pooled' }]);
    expect(own.stats().nodes.map((n) => n.name)).toEqual(['primary', 'mine']);
    await own.close();
    expect((await primary.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect(primary.listenerCount('error')).toBe(0);
    // Nor anything on its clients.
    const client = await primary.connect();
    const fresh = new pg.Client(servers.primary.connectionString);
    await fresh.connect();
    const listening = (of: object) =>
      ['error', 'end', 'parameterStatus'].map((name) => (of as EventEmitter).listenerCount(name));
    expect(listening(client)).toEqual(listening(fresh));
    const wire = (of: object) => (of as { connection: EventEmitter }).connection;
    expect(listening(wire(client))).toEqual(listening(wire(fresh)));
    client.release();
    await fresh.end();
    await Promise.all([primary.end(), replica.end()]);
  });
});
