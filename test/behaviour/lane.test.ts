import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, type ClusterBehaviour, createCluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until } from './fixture.js';

/** Statements that went through shared connections. */
const shared = (cluster: Cluster) => cluster.stats().nodes.reduce((sum, { lane }) => sum + lane.statementCount, 0);

/** Runs a read until it is known well enough to share a connection. */
async function warm(cluster: Cluster, text: string, values: unknown[] = []): Promise<void> {
  const before = shared(cluster);
  await until(`“${text}” shares a connection`, async () => {
    await cluster.read(text, values);
    return shared(cluster) > before + 30;
  });
}

let servers: TestCluster;
let primaryUrl: string;
let replicaUrl: string;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
  primaryUrl = servers.primary.connectionString;
  replicaUrl = servers.replicas[0]?.connectionString ?? '';
  await using cluster = await open(servers);
  await cluster.write('create table t (id int primary key, v int not null)');
  await cluster.write('insert into t select i, i from generate_series(1, 1000) i');
  await cluster.write(
    "create function remembers(v text) returns text language plpgsql volatile as $$ begin perform set_config('app.who', v, false); return v; end $$",
  );
  await cluster.write(
    'create function slowly(s float) returns int stable language plpgsql as $$ begin return (select 1 from pg_sleep(s)); end $$',
  );
  await servers.replicas[0]?.waitForReplay();
});
afterAll(() => servers.stop());

/** A connection of the test's own to the replica. */
async function onReplica<T extends pg.QueryResultRow>(text: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: replicaUrl });
  await client.connect();
  try {
    return (await client.query<T>(text)).rows;
  } finally {
    await client.end();
  }
}

describe('reads that share a connection', () => {
  const text = 'select v from t where id = $1';

  it('get their own answers, in one session and side by side, over one connection', async () => {
    await using cluster = await open(servers, { lane: { connections: 1 } });
    await warm(cluster, text, [1]);
    const before = nodeOf(cluster, 'r1');
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => cluster.read<{ v: number }>(text, [i + 1])),
    );
    expect(answers.map(({ rows }) => rows[0]?.v)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    const { lane } = nodeOf(cluster, 'r1');
    expect(lane.connectionCount).toBe(1);
    // How many at once depends on how busy the machine is; the others take the pool.
    expect(lane.statementCount - before.lane.statementCount).toBeGreaterThan(5);
  });

  it('take any form that pg takes: row mode, type parsers, a name of the caller’s own', async () => {
    await using cluster = await open(servers);
    await warm(cluster, text, [1]);
    const before = shared(cluster);
    const types = { getTypeParser: () => (value: unknown) => `<${String(value)}>` } as unknown as pg.CustomTypesConfig;
    expect((await cluster.read({ text, values: [7], rowMode: 'array' } as pg.QueryConfig)).rows).toEqual([[7]]);
    expect((await cluster.read({ text, types }, [7])).rows).toEqual([{ v: '<7>' }]);
    expect((await cluster.read({ text, values: [7], name: 'mine' })).rows).toEqual([{ v: 7 }]);
    expect(shared(cluster)).toBeGreaterThanOrEqual(before + 3);
  });

  it('see what their session wrote a moment ago', async () => {
    await using cluster = await open(servers);
    await warm(cluster, text, [1]);
    const before = shared(cluster);
    await cluster.session(async () => {
      for (let v = 1; v <= 100; v++) {
        await cluster.write('update t set v = $1 where id = 1', [v]);
        expect((await cluster.read(text, [1])).rows).toEqual([{ v }]);
      }
      await cluster.write('update t set v = 1 where id = 1');
    });
    expect(shared(cluster) - before).toBeGreaterThan(20);
  });

  it('are held to the floor by the position that travels with them', async () => {
    await using cluster = await open(servers, { waitMillis: 0 });
    await warm(cluster, text, [2]);
    await servers.replicas[0]?.pauseReplay();
    await cluster.write('update t set v = 20 where id = 2');
    const seen = await Promise.all(Array.from({ length: 20 }, () => cluster.read(text, [2])));
    await servers.replicas[0]?.resumeReplay();
    expect(new Set(seen.map(({ rows }) => rows[0]?.['v']))).toEqual(new Set([20]));
  });

  it('fail alone: errors, type parsers and values that throw', async () => {
    await using cluster = await open(servers);
    const divide = 'select 1 / $1::int as v';
    await warm(cluster, divide, [1]);
    const before = shared(cluster);
    const types = {
      getTypeParser: () => () => {
        throw new Error('this parser throws');
      },
    } as unknown as pg.CustomTypesConfig;
    const value = {
      toPostgres: () => {
        throw new Error('this value throws');
      },
    };
    const results = await Promise.allSettled(
      Array.from({ length: 60 }, (_, i) => {
        if (i % 4 === 1) return cluster.read(divide, [0]);
        if (i % 4 === 2) return cluster.read({ text: divide, types }, [1]);
        return cluster.read(divide, [i % 4 === 3 ? value : 1]);
      }),
    );
    const told = results.map((result) =>
      result.status === 'fulfilled' ? result.value.rows[0]?.['v'] : String((result.reason as Error).message),
    );
    expect(told.slice(0, 4)).toEqual([1, 'division by zero', 'this parser throws', 'this value throws']);
    expect(told).toEqual(Array.from({ length: 15 }, () => told.slice(0, 4)).flat());
    expect(shared(cluster) - before).toBeGreaterThan(5);
  });

  it('do not suffer from a huge row beside them', async () => {
    await using cluster = await open(servers);
    const huge = "select repeat('x', $1::int) as x";
    await warm(cluster, huge, [1]);
    await warm(cluster, text, [3]);
    const [row, ...others] = await Promise.all([
      cluster.read<{ x: string }>(huge, [20_000_000]),
      ...Array.from({ length: 20 }, () => cluster.read(text, [3])),
    ]);
    expect(row.rows[0]?.x.length).toBe(20_000_000);
    expect(others.every(({ rows }) => rows[0]?.['v'] === 3)).toBe(true);
  });

  it('tell who awaits them in the stack of their errors', async () => {
    await using cluster = await open(servers);
    const divide = 'select 1 / $1::int as v';
    await warm(cluster, divide, [1]);
    async function whoAwaits() {
      await cluster.read(divide, [0]);
    }
    await expect(whoAwaits()).rejects.toMatchObject({ code: '22012', stack: expect.stringContaining('whoAwaits') });
  });

  it('have the row security of the role that onConnect sets', async () => {
    await using setUp = createCluster({ primary: primaryUrl });
    await setUp.write('create role tenant nologin');
    await setUp.write('create table secrets (owner text, s text)');
    await setUp.write("insert into secrets values ('tenant', 'own'), ('other', 'not yours')");
    await setUp.write('alter table secrets enable row level security');
    await setUp.write('create policy own on secrets using (owner = current_user)');
    await setUp.write('grant select on secrets to tenant');
    await servers.replicas[0]?.waitForReplay();
    await using cluster = await open(servers, {
      onConnect: async (client) => void (await client.query('set role tenant')),
    });
    await warm(cluster, 'select s from secrets');
    for (let i = 0; i < 50; i++) expect((await cluster.read('select s from secrets')).rows).toEqual([{ s: 'own' }]);
  });

  it('do not fail for what a replica that is behind the floor still has', async () => {
    await using cluster = await open(servers, { waitMillis: 0 });
    const divide = 'select 1 / v as v from t where id = $1';
    await cluster.write('insert into t values (2001, 0)');
    await servers.replicas[0]?.waitForReplay();
    await warm(cluster, divide, [1]);
    const { gated } = cluster.stats().routes;
    await servers.replicas[0]?.pauseReplay();
    await cluster.write('update t set v = 1 where id = 2001');
    const before = shared(cluster);
    const seen = await Promise.allSettled(Array.from({ length: 20 }, () => cluster.read(divide, [2001])));
    await servers.replicas[0]?.resumeReplay();
    expect(shared(cluster)).toBeGreaterThan(before);
    expect(cluster.stats().routes.gated).toBe(gated);
    expect(seen.map((result) => (result.status === 'fulfilled' ? result.value.rows : result.reason))).toEqual(
      Array.from({ length: 20 }, () => [{ v: 1 }]),
    );
    await cluster.write('delete from t where id = 2001');
  });
});

describe('statements that must not share a connection', () => {
  it.each([
    ["select set_config('app.who', 'me', false)", []],
    ['select remembers($1)', ['me']],
    ['select pg_advisory_lock(7), pg_advisory_unlock(7)', []],
    ['select 1; select 2', []],
    ['show work_mem', []],
    ["select current_setting('statement_timeout')", []],
    ['select pg_sleep(0)', []],
    ['explain select 1', []],
  ])('%s has one of its own', async (text, values) => {
    await using cluster = await open(servers);
    await warm(cluster, 'select 1');
    const before = shared(cluster);
    for (let i = 0; i < 20; i++) await cluster.read(text, values).catch(() => undefined);
    // Positions are asked for on shared connections, too, but no more than 100 times a second.
    expect(shared(cluster) - before).toBe(0);
  });

  it('nor those that were slow, until they are fast', async () => {
    await using cluster = await open(servers);
    await warm(cluster, 'select 1');
    const before = shared(cluster);
    for (let i = 0; i < 10; i++) await cluster.read('select slowly($1)', [0.02]);
    expect(shared(cluster)).toBe(before);
    await warm(cluster, 'select slowly($1)', [0]);
  });

  it('nor any, with lane: false or a pool that sets its connections up', async () => {
    const asked: { options: ClusterBehaviour; pool?: pg.Pool; shares: boolean }[] = [
      { options: { lane: false }, shares: false },
      { options: {}, pool: new pg.Pool({ connectionString: replicaUrl }), shares: true },
      {
        options: {},
        pool: new pg.Pool({ connectionString: replicaUrl }).on('connect', () => undefined),
        shares: false,
      },
      {
        options: { lane: true },
        pool: new pg.Pool({ connectionString: replicaUrl }).on('connect', () => undefined),
        shares: true,
      },
    ];
    for (const { options, pool, shares } of asked) {
      await using cluster = createCluster({
        primary: primaryUrl,
        replicas: [pool === undefined ? replicaUrl : { pool }],
        ...options,
      });
      await cluster.ready();
      if (shares) await warm(cluster, 'select 1');
      for (let i = 0; i < 100; i++) await cluster.read('select 1');
      expect(shared(cluster) > 0).toBe(shares);
      await cluster.close();
      await pool?.end();
    }
  });

  /** Reads through both until those of the one that may share connections do: by then the other would, too. */
  async function beside(control: Cluster, cluster: Cluster): Promise<void> {
    await cluster.explain('select 1');
    await until('the other one shares connections', async () => {
      for (let i = 0; i < 10; i++) await Promise.all([control.read('select 1'), cluster.read('select 1')]);
      return shared(control) > 200;
    });
  }

  it.each<[string, ClusterBehaviour, boolean]>([
    ['with lane: false', { lane: false }, false],
    ['through a pool with a connect listener', {}, true],
  ])('nor any %s, however often they come', async (_, options, hasListener) => {
    const pool = new pg.Pool({ connectionString: replicaUrl });
    if (hasListener) pool.on('connect', () => undefined);
    await using control = await open(servers);
    const cluster = await open(servers, { replicas: [{ name: 'r1', pool }], ...options });
    await beside(control, cluster);
    const count = shared(cluster);
    await cluster.close();
    await pool.end();
    expect(count).toBe(0);
  });

  it.each([undefined, true])(
    'nor any behind a pooler, which tells a process id of its own, and none is named; with lane: %s',
    async (lane) => {
      const names = new Set<unknown>();
      class Pooled extends pg.Client {
        constructor(config?: string | pg.ClientConfig) {
          super(config);
          // pg's own assignment has no effect.
          Object.defineProperty(this, 'processID', { get: () => -1, set: () => {} });
          const query = this.query.bind(this) as (...args: unknown[]) => unknown;
          this.query = (...args: unknown[]) => {
            const { name } = args[0] as { name?: unknown };
            if (name !== undefined) names.add(name);
            return query(...args) as never;
          };
        }
      }
      await using control = await open(servers);
      await using cluster = await open(servers, {
        primary: { connectionString: primaryUrl, Client: Pooled },
        replicas: [{ name: 'r1', connectionString: replicaUrl, Client: Pooled }],
        ...(lane === undefined ? {} : { lane }),
      });
      await beside(control, cluster);
      for (let i = 0; i < 5; i++) await cluster.write('update t set v = v where id = $1', [i]);
      expect(shared(cluster) > 0).toBe(lane === true);
      expect([...names]).toEqual([]);
    },
  );

  it('nor any over a connection that reaches another server than the node’s', async () => {
    class Astray extends pg.Client {
      constructor(config: pg.ClientConfig & { pipeline?: boolean } = {}) {
        super(config.pipeline === true ? { ...config, connectionString: primaryUrl } : config);
      }
    }
    await using control = await open(servers);
    await using cluster = await open(servers, {
      replicas: [{ name: 'r1', connectionString: replicaUrl, Client: Astray }],
    });
    await beside(control, cluster);
    expect(nodeOf(cluster, 'r1').lane.statementCount).toBe(0);
    // Nor does what it says count for the node, when it is tried after a pause.
    await until('it is open', async () => {
      await cluster.read('select 1');
      await new Promise((resolve) => setTimeout(resolve, 100));
      return nodeOf(cluster, 'r1').lane.connectionCount === 1;
    });
    const states: string[] = [];
    cluster.events.on('node', ({ node, state }) => states.push(`${node} ${state}`));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_000);
    for (let i = 0; i < 100; i++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
      await cluster.read('select 1');
    }
    expect(nodeOf(cluster, 'r1').lane.statementCount).toBe(0);
    expect(states).toEqual([]);
  });

  it('nor one with a key that pg knows and a shared connection does not', async () => {
    const text = 'select v from t where id = $1';
    await using cluster = await open(servers);
    await warm(cluster, text, [7]);
    const before = shared(cluster);
    for (let i = 0; i < 5; i++) {
      const { rows } = await cluster.read({ text, values: [7], binary: true } as pg.QueryConfig);
      expect(rows).toEqual([{ v: 7 }]);
    }
    expect(shared(cluster) - before).toBe(0);
  });
});

describe('a statement that takes long on a shared connection', () => {
  const text = 'select slowly($1)';

  it('is run on one of its own, and those behind it elsewhere', async () => {
    await using cluster = await open(servers, { lane: { connections: 1 } });
    await warm(cluster, text, [0]);
    await warm(cluster, 'select 1 as one');
    const before = nodeOf(cluster, 'r1');
    const startedAt = performance.now();
    const slow = cluster.read(text, [0.6]);
    await Promise.all(Array.from({ length: 30 }, () => cluster.read('select 1 as one')));
    const { statementCount, lane } = nodeOf(cluster, 'r1');
    // Those that were sent behind it have run a second time, before it was over.
    const behind = lane.statementCount - before.lane.statementCount - 1;
    expect(behind).toBeGreaterThan(0);
    expect(statementCount - before.statementCount).toBeGreaterThanOrEqual(31 + behind);
    expect((await slow).rows).toHaveLength(1);
    // It was cancelled there before it ran on a connection of its own.
    expect(performance.now() - startedAt).toBeGreaterThan(800);
    expect((await cluster.read('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('can be given up without harm to its neighbours', async () => {
    await using cluster = await open(servers, { lane: { connections: 1 } });
    await warm(cluster, text, [0]);
    await warm(cluster, 'select 1 as one');
    const given = cluster.read(text, [0.1], { timeoutMillis: 20 });
    const neighbours = Array.from({ length: 20 }, () => cluster.read('select 1 as one'));
    await expect(given).rejects.toMatchObject({ code: 'LADDER_TIMEOUT' });
    for (const { rows } of await Promise.all(neighbours)) expect(rows).toEqual([{ one: 1 }]);
  });

  it('is cancelled by the user’s own statement_timeout where that is shorter', async () => {
    await using cluster = await open(servers, {
      replicas: [{ name: 'r1', connectionString: replicaUrl, statement_timeout: 100 }],
    });
    await warm(cluster, text, [0]);
    await expect(cluster.read(text, [2])).rejects.toMatchObject({ code: '57014' });
  });

  it('does not take its connection with it by a query_timeout', async () => {
    await using cluster = await open(servers, {
      lane: { connections: 1 },
      replicas: [{ name: 'r1', connectionString: replicaUrl, query_timeout: 100 }],
    });
    await warm(cluster, text, [0]);
    const before = shared(cluster);
    await cluster.read(text, [0.2]).catch(() => undefined);
    expect(shared(cluster)).toBe(before + 1);
    expect(nodeOf(cluster, 'r1').lane.connectionCount).toBe(1);
  });
});

describe('statements that come again', () => {
  const names = (of: string) =>
    `select count(*)::int as n from pg_prepared_statements where name like 'ladder%' and statement like '${of}%'`;

  it('are prepared on the connections of the pools, too, by their exact text', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 } });
    for (let i = 0; i < 5; i++) {
      await cluster.write('update t set v = v where id = $1', [i]);
      // Equal but for a constant: under one name the second would get the first one's answer.
      expect((await cluster.write('select 1 as n where $1', [true])).rows).toEqual([{ n: 1 }]);
      expect((await cluster.write('select 2 as n where $1', [true])).rows).toEqual([{ n: 2 }]);
    }
    expect((await cluster.write(names('update t'))).rows).toEqual([{ n: 1 }]);
    expect((await cluster.write(names('select _ as n'))).rows).toEqual([{ n: 2 }]);
  });

  it('are not, with namedStatements: false, nor those that come once', async () => {
    await using off = createCluster({ primary: { connectionString: primaryUrl, max: 1 }, namedStatements: false });
    for (let i = 0; i < 5; i++) await off.write('update t set v = v where id = $1', [i]);
    expect((await off.write(names(''))).rows).toEqual([{ n: 0 }]);
    await using on = createCluster({ primary: { connectionString: primaryUrl, max: 1 }, lane: false });
    for (let i = 0; i < 50; i++) await on.write(`update t set v = v where id = $1 and v <> ${-i}`, [i]);
    expect((await on.write(names(''))).rows).toEqual([{ n: 0 }]);
  });

  it('are no more than 256 on a connection, the oldest making room', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 } });
    for (let i = 0; i < 400; i++) {
      for (let again = 0; again < 3; again++)
        await cluster.write(`update t set v = v where id = $1 and v <> ${-i}`, [i]);
    }
    const { rows } = await cluster.write<{ n: number }>(names('update'));
    expect(rows[0]?.n).toBeLessThanOrEqual(256);
    expect(rows[0]?.n).toBeGreaterThan(200);
  });

  it('go on when the table changes under them, and when somebody closes them', async () => {
    await using cluster = await open(servers, { primary: { connectionString: primaryUrl, max: 1 } });
    await cluster.write('create table changing (id int primary key, v int)');
    await cluster.write('insert into changing values (1, 1)');
    const text = 'select * from changing where id = $1';
    for (let i = 0; i < 3; i++) await cluster.write(text, [1]);
    await servers.replicas[0]?.waitForReplay();
    await warm(cluster, text, [1]);
    // Not through the library, which would notice.
    const [other] = [new pg.Client({ connectionString: primaryUrl })];
    await other.connect();
    await other.query('alter table changing add column added int default 5');
    await other.end();
    await servers.replicas[0]?.waitForReplay();
    const added = [{ id: 1, v: 1, added: 5 }];
    expect((await cluster.write(text, [1])).rows).toEqual(added);
    expect(
      (await Promise.all(Array.from({ length: 20 }, () => cluster.read(text, [1])))).every(
        ({ rows }) => JSON.stringify(rows) === JSON.stringify(added),
      ),
    ).toBe(true);
    await cluster.write('deallocate all');
    expect((await cluster.write(text, [1])).rows).toEqual(added);
    for (let i = 0; i < 3; i++) expect((await cluster.write(text, [1])).rows).toEqual(added);
  });

  it('leave no answer to whoever has the connection next, be it COPY or a cursor', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 }, lane: false });
    const fail = (text: string) => expect(cluster.write(text, [0])).rejects.toMatchObject({ code: '22012' });
    for (let i = 0; i < 3; i++) {
      const text = `select ${i} / v from (select $1::int as v) as given`;
      for (let again = 0; again < 3; again++) await fail(text);
      await cluster.connection(async (client) => {
        const copied = await client.query(copyTo('copy (select 1) to stdout')).toArray();
        expect(Buffer.concat(copied).toString()).toBe('1\n');
      });
      await fail(text);
      await cluster.connection(async (client) => {
        expect(await client.query(new Cursor('select 1 as v')).read(2)).toEqual([{ v: 1 }]);
      });
      await cluster.transaction(async (client) => {
        const copied = await client.query(copyTo('copy (select 2) to stdout')).toArray();
        expect(Buffer.concat(copied).toString()).toBe('2\n');
      });
    }
  });

  it('mean what they mean without a name as soon as a definition has passed through the library', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 } });
    await cluster.write('create table renewed (at timestamp)');
    await cluster.write("insert into renewed values ('2020-01-01T00:00:00')");
    const text = 'select count(*)::int as n from renewed where at = $1';
    for (let i = 0; i < 3; i++) await cluster.write(text, ['2020-01-01T05:00:00+05:00']);
    await cluster.write("alter table renewed alter at type timestamptz using at at time zone 'utc'");
    expect((await cluster.write(text, ['2020-01-01T05:00:00+05:00'])).rows).toEqual([{ n: 1 }]);
  });

  it('leave a value that throws to pg, and go on', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 } });
    const text = 'select $1::text as v';
    const value = {
      toPostgres: () => {
        throw new Error('this value throws');
      },
    };
    for (let i = 0; i < 3; i++) {
      await expect(cluster.write(text, [value])).rejects.toThrow('this value throws');
      expect((await cluster.write(text, ['a'])).rows).toEqual([{ v: 'a' }]);
    }
  });

  it('are not prepared in transactions, where a failure cannot be mended', async () => {
    await using cluster = createCluster({ primary: { connectionString: primaryUrl, max: 1 } });
    for (let i = 0; i < 3; i++) {
      await cluster.transaction(async () => {
        await cluster.write('update t set v = v where id = $1', [1]);
      });
    }
    expect((await cluster.write(names('update'))).rows).toEqual([{ n: 0 }]);
  });
});

it('close() leaves no shared connection behind', async () => {
  const [{ n } = { n: 0 }] = await onReplica<{ n: number }>(
    "select count(*)::int as n from pg_stat_activity where backend_type = 'client backend'",
  );
  const cluster = await open(servers);
  await warm(cluster, 'select 1');
  await cluster.close();
  await until('the connections are gone', async () => {
    const [row] = await onReplica<{ n: number }>(
      "select count(*)::int as n from pg_stat_activity where backend_type = 'client backend'",
    );
    return row !== undefined && row.n <= n;
  });
});
