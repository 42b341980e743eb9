import { inspect } from 'node:util';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dnsDiscovery, patroniDiscovery, replicationDiscovery } from '../../src/discovery/index.js';
import {
  type Cluster,
  type ClusterBehaviour,
  createCluster,
  type Discovery,
  type MembershipEvent,
  type NodeOptions,
  type WarningEvent,
} from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { query } from '../testing/query.js';
import { member, startDnsServer, startEavesdropper, startPatroniServer } from './discovery-servers.js';
import { report, signal, size, until } from './fixture.js';

const lane = process.env['LANE'] === 'off' ? { lane: false, namedStatements: false } : {};
const addressOf = ({ name, host, port }: TestNode): NodeOptions => ({ name, host, port });
const namesOf = (cluster: Cluster) => cluster.stats().nodes.map(({ name }) => name);
const live = (cluster: Cluster, ...names: string[]) =>
  until(`exactly ${names.join()} are there and answer`, () => {
    const nodes = cluster.stats().nodes.filter(({ state }) => state === 'live' || state === 'probation');
    return (
      nodes.length === namesOf(cluster).length &&
      nodes
        .map(({ name }) => name)
        .sort()
        .join() === names.sort().join()
    );
  });

/** Connections of clients, the replication of the servers among themselves left out. */
async function connectionsTo(node: TestNode): Promise<number> {
  const text =
    "select count(*)::int from pg_stat_activity where backend_type = 'client backend' and application_name = 'of the test'";
  return (await query(node, text)) as number;
}

describe('servers that come and go', () => {
  let servers: TestCluster;
  let found: NodeOptions[] | Error;
  let cluster: Cluster;
  const list: Discovery = async () => {
    if (found instanceof Error) throw found;
    return found;
  };
  const openWith = (discovery: Discovery, behaviour: ClusterBehaviour = {}) =>
    createCluster({
      primary: { connectionString: servers.primary.connectionString, application_name: 'of the test' },
      discovery,
      discoveryMillis: 10,
      ...lane,
      ...behaviour,
    });

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 3 });
    await query(servers.primary, 'create table items as select i as id, 0 as value from generate_series(1, 64) i');
    await query(servers.primary, 'alter table items add primary key (id)');
    for (const replica of servers.replicas) await replica.waitForReplay();
  });
  afterAll(() => servers.stop());
  beforeEach(() => {
    found = servers.replicas.map(addressOf);
  });
  afterEach(() => cluster?.close());

  it('join with the first server’s options, take reads, and leave with all their connections', async () => {
    const events: MembershipEvent[] = [];
    cluster = openWith(list);
    cluster.events.on('membership', (event) => events.push(event));
    await cluster.ready();
    await live(cluster, 'primary', 'r1', 'r2', 'r3');
    expect(cluster.stats().discovery).toMatchObject({ nodeCount: 3, problem: undefined });
    await until('each has its share', async () => {
      for (let i = 0; i < 200; i++) await cluster.read('select value from items where id = $1', [1 + (i % 64)]);
      return cluster.stats().nodes.every(({ role, readShare }) => role === 'primary' || readShare > 0.2);
    });
    found = servers.replicas.slice(0, 1).map(addressOf);
    await live(cluster, 'primary', 'r1');
    expect(events.map(({ node, change }) => `${node} ${change}`)).toEqual([
      'r1 joined',
      'r2 joined',
      'r3 joined',
      'r2 left',
      'r3 left',
    ]);
    for (const replica of servers.replicas.slice(1)) {
      await until('no connection is left', async () => (await connectionsTo(replica)) === 0);
    }
    expect(await connectionsTo(servers.replicas[0] as TestNode)).toBeGreaterThan(0);
  });

  it('in pools of their owner’s: whoever waits for one that he ends as it leaves is answered elsewhere', async () => {
    const [going, staying] = servers.replicas.map(
      ({ connectionString }) => new pg.Pool({ connectionString, max: 2 }),
    ) as [pg.Pool, pg.Pool];
    const both = [
      { name: 'going', pool: going },
      { name: 'staying', pool: staying },
    ];
    found = both;
    cluster = openWith(list);
    await live(cluster, 'primary', 'going', 'staying');
    const reads = Array.from({ length: 24 }, () => cluster.read('select pg_sleep(0.05)'));
    await until('some wait', () => going.waitingCount > 0);
    found = both.slice(1);
    await going.end();
    expect(await Promise.all(reads)).toHaveLength(24);
    await live(cluster, 'primary', 'staying');
    await cluster.close();
    await staying.end();
  });

  it('a hundred times under load: no read fails, none is stale, and no pool is left behind', async () => {
    cluster = openWith(list);
    await live(cluster, 'primary', 'r1', 'r2', 'r3');
    let [joins, leaves, reads, stale, onReplicas] = [0, 0, 0, 0, 0];
    const failures: unknown[] = [];
    cluster.events.on('membership', ({ change }) => (change === 'joined' ? joins++ : leaves++));
    cluster.events.on('route', ({ role }) => role === 'replica' && onReplicas++);
    let isOn = true;
    const caller = (id: number) =>
      cluster.session(
        async () => {
          for (let value = 1; isOn; value++) {
            try {
              if (value % 4 === 0) await cluster.write('update items set value = $2 where id = $1', [id, value]);
              const written = value - (value % 4);
              const text = 'select value from items where id = $1';
              const { rows } =
                value % 16 === 0
                  ? await cluster.transaction(async (client) => client.query(text, [id]), { readOnly: true })
                  : await cluster.read(text, [id], value % 3 === 0 ? { partitionKey: `item:${value}` } : {});
              reads++;
              if ((rows[0] as { value: number }).value !== written) stale++;
              if (value % 64 === 0)
                for await (const row of cluster.stream(text, [id])) expect(row).toHaveProperty('value');
            } catch (error) {
              failures.push(error);
            }
          }
        },
        { inherit: 'none', ...(id % 2 === 0 ? { partitionKey: `item:${id}` } : {}) },
      );
    const callers = Array.from({ length: 16 }, (_, i) => caller(i + 1));
    const all = servers.replicas;
    for (let round = 1; leaves < size(100, 1_000); round++) {
      const kept = all.filter((_, i) => ((round * 5) >> i) % 2 === 1);
      found = kept.map(addressOf);
      const expected = kept.length + 1;
      await until('the list is followed', () => namesOf(cluster).length === expected);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    }
    isOn = false;
    await Promise.all(callers);
    report('churn', { joins, leaves, reads, failures: failures.length, stale, 'on replicas': onReplicas / reads });
    expect({ failures, stale }).toEqual({ failures: [], stale: 0 });
    expect(joins).toBeGreaterThan(90);
    found = [];
    await until('all have left', () => namesOf(cluster).length === 1);
    for (const replica of all) await until('no connection is left', async () => (await connectionsTo(replica)) === 0);
  });

  it('what is under way on a server that leaves ends there', async () => {
    cluster = openWith(list);
    await live(cluster, 'primary', 'r1', 'r2', 'r3');
    const routes: string[] = [];
    cluster.events.on('route', ({ node }) => routes.push(node));
    const slow = cluster.read('select pg_sleep(0.5), 1 as one', [], { target: { node: 'r2' } });
    const [begun, mayEnd] = [signal(), signal()];
    const transaction = cluster.session(
      () =>
        cluster.transaction(
          async (client) => {
            await client.query('select 1');
            begun.give();
            await mayEnd.given;
            return (await client.query('select inet_server_port() as port')).rows[0] as { port: number };
          },
          { readOnly: true },
        ),
      { inherit: 'none' },
    );
    await begun.given;
    found = [];
    await until('all have left', () => namesOf(cluster).length === 1);
    await cluster.read('select 1');
    expect(routes.at(-1)).toBe('primary');
    expect((await slow).rows).toEqual([{ pg_sleep: '', one: 1 }]);
    mayEnd.give();
    expect(servers.replicas.map(({ port }) => port)).toContain((await transaction).port);
    for (const replica of servers.replicas) {
      await until('no connection is left', async () => (await connectionsTo(replica)) === 0);
    }
  });

  it('whoever waits for a connection of a server that leaves gets it', async () => {
    const [, r2] = servers.replicas as [TestNode, TestNode];
    found = [{ name: 'r2', host: r2.host, port: r2.port, max: 1 }];
    cluster = openWith(list);
    await live(cluster, 'primary', 'r2');
    const target = { node: 'r2' };
    const reads = Promise.all(
      Array.from({ length: 5 }, (_, i) => cluster.read('select pg_sleep(0.1), $1::int as i', [i], { target })),
    );
    found = [];
    await until('it has left', () => namesOf(cluster).length === 1);
    expect((await reads).map(({ rows: [row] }) => (row as { i: number }).i)).toEqual([0, 1, 2, 3, 4]);
    await until('no connection is left', async () => (await connectionsTo(r2)) === 0);
  });

  it('one that hangs and leaves is let go, and its reads are answered elsewhere', async () => {
    cluster = openWith(list);
    await live(cluster, 'primary', 'r1', 'r2', 'r3');
    const [r1] = servers.replicas as [TestNode];
    await r1.freeze();
    try {
      const reads = Array.from({ length: 30 }, () => cluster.read('select 1 as one'));
      found = servers.replicas.slice(1).map(addressOf);
      for (const { rows } of await Promise.all(reads)) expect(rows).toEqual([{ one: 1 }]);
      await live(cluster, 'primary', 'r2', 'r3');
    } finally {
      await r1.thaw();
    }
    await until('no connection is left', async () => (await connectionsTo(r1)) === 0);
  });

  it('closing ends those that have left, and those that still run something', async () => {
    cluster = openWith(list);
    await live(cluster, 'primary', 'r1', 'r2', 'r3');
    const slow = Promise.all(
      servers.replicas.map(({ name }) => cluster.read('select pg_sleep(0.3)', [], { target: { node: name } })),
    );
    found = [];
    await until('all have left', () => namesOf(cluster).length === 1);
    await cluster.close();
    await slow;
    for (const replica of servers.replicas) expect(await connectionsTo(replica)).toBe(0);
  });

  it('nothing changes when the list cannot be had, or makes no sense: a warning and stats() say why, never what others wrote', async () => {
    const warnings: WarningEvent[] = [];
    cluster = openWith(list);
    cluster.events.on('warning', (event) => warnings.push(event));
    await live(cluster, 'primary', 'r1', 'r2', 'r3');
    for (const bad of [
      Object.assign(new Error('postgres://app:secret@host'), { code: 'ECONNREFUSED' }),
      new TypeError('postgres://app:secret@host'),
    ]) {
      found = bad;
      await until('it is told', () => cluster.stats().discovery?.problem !== undefined);
      expect(JSON.stringify([cluster.stats().discovery, warnings])).not.toContain('secret');
      found = servers.replicas.map(addressOf);
      await until('it is over', () => cluster.stats().discovery?.problem === undefined);
    }
    expect(warnings.map(({ code }) => code)).toEqual(['discovery', 'discovery']);
    expect(warnings[0]?.message).toContain('ECONNREFUSED');
    for (const bad of [
      'r1',
      undefined,
      [42],
      [{ host: 'x', weight: -1 }],
      [{ connectionString: 'http://user:secret@[' }],
    ]) {
      found = bad as NodeOptions[];
      await until('it is told', () => cluster.stats().discovery?.problem !== undefined);
      expect(cluster.stats().discovery?.problem).toContain('discovery');
      expect(cluster.stats().discovery?.problem).not.toContain('secret');
      found = servers.replicas.map(addressOf);
      await until('it is over', () => cluster.stats().discovery?.problem === undefined);
    }
    expect(namesOf(cluster)).toEqual(['primary', 'r1', 'r2', 'r3']);
  });

  it.each([undefined, null, 'text', 7])('throwing %s is a failure like any other', async (thrown) => {
    let asked = 0;
    cluster = openWith(() => (asked++ % 2 === 0 ? Promise.reject(thrown) : servers.replicas.map(addressOf)));
    await until('it is told', () => cluster.stats().discovery?.problem !== undefined);
    await live(cluster, 'primary', 'r1', 'r2', 'r3');
  });

  it('the reason is handed on as it is, for whoever listens, and told to nobody else', async () => {
    const why = Object.assign(new Error('no instance at postgres://app:s3cret@h'), { code: 'postgres://app:s3cret@h' });
    let isBroken = false;
    cluster = openWith(() => (isBroken ? Promise.reject(why) : servers.replicas.map(addressOf)));
    const warnings: WarningEvent[] = [];
    cluster.events.on('warning', (warning) => warning.code === 'discovery' && warnings.push(warning));
    await live(cluster, 'primary', 'r1', 'r2', 'r3');
    isBroken = true;
    await until('it is told', () => warnings.length > 0);
    expect(warnings[0]?.cause).toBe(why);
    expect(inspect(warnings[0], { depth: null })).not.toContain('s3cret');
    expect(cluster.stats().discovery?.problem).toBe('Error');
  });

  describe('are sent the first server’s login', () => {
    const discoveredWith = (behaviour: ClusterBehaviour, ...more: NodeOptions[]) => {
      const { host, port, password } = servers.primary;
      found = [...servers.replicas.map(addressOf), ...more];
      cluster = createCluster({
        primary: { host, port, user: 'postgres', database: 'postgres', password },
        discovery: list,
        discoveryMillis: 10,
        ...lane,
        ...behaviour,
      });
      const warnings: WarningEvent[] = [];
      cluster.events.on('warning', (event) => warnings.push(event));
      return warnings;
    };

    it('not over a connection that anybody on the way can read: such a one is not joined, which is told once', async () => {
      await using thief = await startEavesdropper();
      // This machine, in a form that is not taken for it.
      const away = { name: 'away\u001b[2J', host: '0.0.0.0', port: thief.port };
      const warnings = discoveredWith({}, away);
      await cluster.ready();
      await live(cluster, 'primary', 'r1', 'r2', 'r3');
      const before = cluster.stats().discovery?.answeredAt ?? 0;
      await until('it is found again', () => (cluster.stats().discovery?.answeredAt ?? 0) > before + 50);
      expect(namesOf(cluster)).toEqual(['primary', 'r1', 'r2', 'r3']);
      expect(warnings).toEqual([
        {
          code: 'discovery',
          message:
            `the discovery found "away" (0.0.0.0:${thief.port}/postgres), not joined: it would be sent a login that is not its own without TLS; ` +
            'use ssl, and leave rejectUnauthorized on; or give it a password of its own; ' +
            "or set inheritCredentials: 'always' where you trust the network and whoever names servers",
        },
      ]);
      expect(cluster.stats().discovery).toMatchObject({ nodeCount: 3, problem: warnings[0]?.message });
      expect([thief.connectionCount, thief.heard]).toEqual([0, []]);
      // A password of its own is its own matter.
      found = [...servers.replicas.map(addressOf), { ...away, password: 'its own' }];
      await until('it has said its own', () => thief.heard.length > 0);
      expect(thief.heard[0]).toContain('its own');
      expect(cluster.stats().discovery?.problem).toBeUndefined();
    });

    it('over any connection where that is asked for', async () => {
      await using thief = await startEavesdropper();
      discoveredWith({ inheritCredentials: 'always' }, { name: 'away', host: '0.0.0.0', port: thief.port });
      await until('it was told', () => thief.heard.length > 0);
      expect(thief.heard[0]).toContain(servers.primary.password);
    });

    it('never where that is asked for, also not on this machine', async () => {
      await using thief = await startEavesdropper();
      const own = { name: 'own', host: '127.0.0.1', port: thief.port, user: 'own' };
      const warnings = discoveredWith({ inheritCredentials: 'never' }, own);
      await until('it has answered', () => thief.connectionCount > 0 && cluster.stats().discovery !== undefined);
      expect(namesOf(cluster)).toEqual(['primary', 'own']);
      await cluster.close();
      expect(thief.heard.join()).not.toContain(servers.primary.password);
      expect(warnings.map(({ message }) => message)).toEqual([expect.stringContaining('no login of its own')]);
    });
  });

  it('are called, in events, stats and errors, by nothing that a terminal obeys', async () => {
    const told: string[] = [];
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    found = [
      { ...(addressOf(r1) as object), name: 'r\u202e1\u001b[31m\r\nFATAL' } as NodeOptions,
      { name: 'gone\u009b2J', host: '127.0.0.1', port: 1 },
      // The server quotes it in its error.
      { ...(addressOf(r2) as object), name: 'sick', database: 'none\u001b[2J\r\nFATAL' },
    ];
    cluster = openWith(list);
    for (const name of ['node', 'membership', 'route'] as const)
      cluster.events.on(name, (event: object) => told.push(JSON.stringify(event)));
    await cluster.ready();
    const target = { node: 'r1 FATAL' };
    await until('it answers', async () => (await cluster.read('select 1', [], { target })).rowCount === 1);
    const failure = await cluster
      .read('select 1', [], { target: { node: 'gone' } })
      .catch((error: unknown) => (error as Error).message);
    const isOut = () =>
      cluster
        .stats()
        .nodes.find(({ name }) => name === 'sick')
        ?.ejectedFor?.includes('does not exist');
    await until('the server has refused it', () => isOut() === true);
    const all = [...told, JSON.stringify(failure), JSON.stringify(cluster.stats().nodes)].join('');
    expect(all).toContain('r1 FATAL');
    expect(all).toContain('gone');
    expect(all).not.toMatch(/[\p{Cc}\p{Cf}]|\\u00|\\r|\\n/u);
  });

  it('ready() waits for the first answer, says when there is none, and does not fail for servers that were found and are none', async () => {
    cluster = openWith(() => new Promise(() => undefined));
    await expect(cluster.ready({ timeoutMillis: 1_500 })).rejects.toMatchObject({
      code: 'LADDER_DISCOVERY_FAILED',
      message: 'ready: the discovery has given no answer within 1500 ms',
    });
    await cluster.close();
    found = [...servers.replicas.map(addressOf), { name: 'gone', host: '127.0.0.1', port: 1 }];
    cluster = openWith(list);
    await cluster.ready({ timeoutMillis: 5_000 });
    expect(cluster.stats().nodes.find(({ name }) => name === 'gone')?.problem).toContain(
      'does not answer (ECONNREFUSED)',
    );
    expect((await cluster.read('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('the primary by another address is no second one, and gets no reads', async () => {
    const { host, port, password } = servers.primary;
    found = [{ name: 'leader', host, port }, ...servers.replicas.map(addressOf)];
    cluster = createCluster({
      primary: { host: 'localhost', port, user: 'postgres', password, database: 'postgres' },
      discovery: list,
      discoveryMillis: 10,
      onTwoPrimaries: 'refuse',
    });
    await cluster.ready({ timeoutMillis: 5_000 });
    await cluster.write('update items set value = 0 where id = 1');
    await until('all have joined', () => namesOf(cluster).length === 5);
    for (let i = 0; i < 50; i++) await cluster.read('select 1');
    const leader = cluster.stats().nodes.find(({ name }) => name === 'leader');
    expect(leader).toMatchObject({
      readShare: 0,
      problem: 'node "leader" is the primary "primary" by another address, and gets no reads',
    });
  });

  it('one missing answer is no leave, and an answer that does not come holds up nobody', async () => {
    let asked = 0;
    let release = (): void => undefined;
    cluster = openWith(async ({ signal }) => {
      asked++;
      if (asked === 5) return [];
      if (asked === 7) {
        await new Promise<void>((resolve) => {
          release = resolve;
          signal.addEventListener('abort', () => resolve());
        });
      }
      return servers.replicas.map(addressOf);
    });
    const left: MembershipEvent[] = [];
    cluster.events.on('membership', (event) => event.change === 'left' && left.push(event));
    await until('it hangs', () => asked === 7);
    expect((await cluster.read('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(asked).toBe(7);
    release();
    await until('it goes on', () => asked > 8);
    expect(left).toEqual([]);
  });

  it('a server that was given stays, and is not taken twice under another name; names that clash are told apart', async () => {
    const [r1, r2, r3] = servers.replicas as [TestNode, TestNode, TestNode];
    found = [
      { name: 'other', host: 'LOCALHOST'.toLowerCase(), port: 1 },
      { name: 'again', host: r1.host, port: r1.port },
      { name: 'primary', host: r2.host, port: r2.port },
      { name: 'twice', host: r2.host, port: r2.port },
      { host: r3.host, port: r3.port },
    ];
    cluster = createCluster({
      primary: servers.primary.connectionString,
      replicas: [addressOf(r1) as { host: string }].map((own) => ({ ...own, user: 'postgres', database: 'postgres' })),
      discovery: list,
      discoveryMillis: 10,
    });
    await until('they have joined', () => namesOf(cluster).length === 5);
    const port = `${r3.host}:${r3.port}`;
    expect(namesOf(cluster)).toEqual(['primary', 'r1', 'other', `primary@${r2.host}:${r2.port}`, port]);
    found = [];
    await until('they have left', () => namesOf(cluster).length === 2);
  });

  it('a name at another place is another server, new labels are taken over, and a read may aim at what comes and goes', async () => {
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    found = [{ name: 'it', host: r1.host, port: r1.port }];
    cluster = openWith(list, { zone: 'here' });
    await live(cluster, 'primary', 'it');
    const portOf = async () =>
      (
        (await cluster.read('select inet_server_port() as port', [], { target: { node: 'it' } })).rows[0] as {
          port: number;
        }
      ).port;
    expect(await portOf()).toBe(r1.port);
    found = [{ name: 'it', host: r2.host, port: r2.port }];
    await until('it is the other one', async () => (await portOf().catch(() => 0)) === r2.port);
    found = [
      { name: 'it', host: r2.host, port: r2.port },
      { name: 'near', host: r1.host, port: r1.port, zone: 'here' },
    ];
    await live(cluster, 'primary', 'it', 'near');
    const nearly = async () => {
      const nodes = new Set<string>();
      const heard = ({ node }: { node: string }) => nodes.add(node);
      cluster.events.on('route', heard);
      for (let i = 0; i < 60; i++) await cluster.read('select 1', [], { consistency: 'eventual' });
      cluster.events.off('route', heard);
      return [...nodes].sort();
    };
    expect(await nearly()).toEqual(['near']);
    found = [
      { name: 'it', host: r2.host, port: r2.port, zone: 'here' },
      { name: 'near', host: r1.host, port: r1.port, zone: 'there' },
    ];
    await until('they have changed places', async () => (await nearly()).join() === 'it');
    found = [];
    await until('they have left', () => namesOf(cluster).length === 1);
    await expect(cluster.read('select 1', [], { target: { node: 'it' } })).rejects.toMatchObject({
      code: 'LADDER_NO_CANDIDATE',
    });
  });

  it('is asked by statements alone with a monitor on demand', async () => {
    let asked = 0;
    cluster = openWith(
      async () => {
        asked++;
        return servers.replicas.map(addressOf);
      },
      { monitor: 'onDemand' },
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(asked).toBe(0);
    await until('a replica answers', async () => {
      await cluster.read('select 1');
      return cluster.stats().nodes.some(({ role, readShare }) => role === 'replica' && readShare > 0);
    });
    const before = asked;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(asked).toBeLessThanOrEqual(before + 1);
  });

  it('DNS: SRV records of a name server, followed as they change', async () => {
    await using dns = await startDnsServer();
    const name = '_postgresql._tcp.db.test';
    const record = ({ port }: TestNode) => ({ target: 'localhost', port, priority: 1, weight: 5 });
    dns.addresses('localhost', 'A', '127.0.0.1');
    dns.services(name, ...servers.replicas.map(record));
    cluster = openWith(dnsDiscovery({ hostname: name, record: 'SRV', servers: [dns.address] }));
    const called = (...nodes: TestNode[]) => ['primary', ...nodes.map(({ port }) => `localhost:${port}`)];
    await live(cluster, ...called(...servers.replicas));
    dns.services(name, ...servers.replicas.slice(1).map(record));
    await live(cluster, ...called(...servers.replicas.slice(1)));
    dns.failure = 'SERVFAIL';
    await until('it is told', () => cluster.stats().discovery?.problem?.includes('SERVFAIL') === true);
    dns.failure = undefined;
    dns.services(name, ...servers.replicas.map(record));
    await live(cluster, ...called(...servers.replicas));
  });

  it('DNS: addresses behind a name, at a port of their own', async () => {
    await using dns = await startDnsServer();
    const [r1] = servers.replicas as [TestNode];
    dns.addresses('replicas.test', 'A', '127.0.0.1');
    cluster = openWith(dnsDiscovery({ hostname: 'replicas.test', port: r1.port, servers: [dns.address] }));
    await live(cluster, 'primary', `127.0.0.1:${r1.port}`);
  });

  it('asks a question of the servers only once they can answer: the first list is there at once', async () => {
    const warnings: WarningEvent[] = [];
    const discovery = replicationDiscovery({
      node: ({ applicationName }) => {
        const node = servers.replicas.find(({ name }) => name === applicationName);
        return node && addressOf(node);
      },
    });
    cluster = openWith(discovery, { discoveryMillis: 600_000 });
    cluster.events.on('warning', (event) => warnings.push(event));
    await cluster.ready();
    await live(cluster, 'primary', 'r1', 'r2', 'r3');
    expect(warnings).toEqual([]);
  });

  it('finds cascading replicas by pg_stat_replication, reads from them, and keeps them when their upstream goes', async () => {
    const [r1, r2, r3] = servers.replicas as [TestNode, TestNode, TestNode];
    await r2.follow(r1);
    await r3.follow(r2);
    try {
      cluster = openWith(
        replicationDiscovery({
          node: ({ applicationName }) => {
            const node = servers.replicas.find(({ name }) => name === applicationName);
            return node && addressOf(node);
          },
        }),
      );
      await live(cluster, 'primary', 'r1', 'r2', 'r3');
      await cluster.session(async () => {
        for (let value = 1; value <= 50; value++) {
          await cluster.write('update items set value = $1 where id = 64', [value]);
          for (const { name } of servers.replicas.slice(0, 3)) {
            const { rows } = await cluster
              .read('select value from items where id = 64', [], {
                target: { node: name },
                timeoutMillis: 2_000,
              })
              .catch(() => ({ rows: [{ value }] }));
            expect(rows).toEqual([{ value }]);
          }
        }
      });
      for (const { name, readShare } of cluster.stats().nodes) {
        if (name !== 'primary') expect(readShare).toBeGreaterThan(0.2);
      }
    } finally {
      await r2.follow(servers.primary);
      await r3.follow(servers.primary);
    }
  });
});

describe('Patroni', () => {
  it('names the members, also after a failover: those that are not up leave, and the promoted one takes writes', async () => {
    await using servers = await startTestCluster({ replicas: 2 });
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    const of = ({ name, host, port }: TestNode, more = {}) => member(name, host, { port, ...more });
    await using patroni = await startPatroniServer(
      of(servers.primary, { role: 'leader', state: 'running' }),
      of(r1),
      of(r2),
    );
    await using cluster = createCluster({
      nodes: [{ name: 'seed', connectionString: r2.connectionString }],
      discovery: patroniDiscovery({ urls: ['http://127.0.0.1:1', patroni.url] }),
      discoveryMillis: 20,
    });
    await cluster.write('create table t (id int)');
    await live(cluster, 'seed', servers.primary.name, r1.name);
    expect(cluster.stats().nodes.find(({ role }) => role === 'primary')?.name).toBe(servers.primary.name);
    // The primary stays for as long as no other one is known, whatever the list says.
    patroni.members = [of(r1), of(r2)];
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(namesOf(cluster)).toContain(servers.primary.name);
    await cluster.write('insert into t values (1)');
    await r1.waitForReplay();
    await servers.primary.kill();
    await r1.promote();
    await r2.follow(r1);
    patroni.members = [of(r1, { role: 'leader', state: 'running', timeline: 2 }), of(r2, { timeline: 2 })];
    await cluster.write('insert into t values (2)');
    await until('the old one has left', () => !namesOf(cluster).includes(servers.primary.name));
    await live(cluster, 'seed', r1.name);
    const rows = await cluster.session(() => cluster.read('select id from t order by id'));
    expect(rows.rows).toEqual([{ id: 1 }, { id: 2 }]);
  });
});

describe('a primary that starts again at another address', () => {
  it.each([
    ['under its name', true],
    ['where names are addresses', false],
  ])(
    'is the primary there, %s, and its replicas are read',
    async (_, hasName) => {
      await using servers = await startTestCluster({ replicas: 1, links: true });
      await query(servers.primary, 'create table t (v int)');
      await servers.replicas[0]?.waitForReplay();
      const { host, link } = servers.primary;
      const ownPort = (await query(servers.primary, 'select inet_server_port()')) as number;
      let port = link.port;
      const place = () => ({ ...(hasName ? { name: 'db-0' } : {}), host, port });
      await using cluster = createCluster({
        nodes: [{ name: 'db-1', connectionString: servers.replicas[0]?.connectionString ?? '' }],
        discovery: () => [place()],
        discoveryMillis: 50,
        ...lane,
      });
      await cluster.ready({ timeoutMillis: 5_000 });
      await cluster.write('insert into t values (1)');
      link.reset();
      await servers.primary.restart();
      port = ownPort;
      await until('it takes writes', () =>
        cluster.write('insert into t values (2)').then(
          () => true,
          () => false,
        ),
      );
      await until('it is read on the replica', async () => {
        const { rows } = await cluster.session(() => cluster.read('select v from t'));
        expect(rows).toEqual([{ v: 1 }, { v: 2 }]);
        return (await cluster.explain('select v from t')).node === 'db-1';
      });
      await until('the place before has left', () => namesOf(cluster).length === 2);
      expect(namesOf(cluster).sort()).toEqual(['db-1', hasName ? 'db-0' : `${host}:${port}`].sort());
    },
    30_000,
  );

  it('keeps a session on the primary while a write that was cut off runs on, also when it is reached at another address', async () => {
    await using servers = await startTestCluster({ replicas: 1, links: true });
    await query(servers.primary, 'create table t as select 0 as v');
    const [r1] = servers.replicas as [TestNode];
    await r1.waitForReplay();
    const { host, link } = servers.primary;
    const ownPort = (await query(servers.primary, 'select inet_server_port()')) as number;
    let port = link.port;
    await using cluster = createCluster({
      nodes: [{ name: 'db-1', connectionString: r1.connectionString }],
      discovery: () => [{ name: 'db-0', host, port }],
      discoveryMillis: 50,
      ...lane,
    });
    await cluster.ready({ timeoutMillis: 5_000 });
    const outside = new pg.Client(servers.primary.connectionString.replace(`:${link.port}`, `:${ownPort}`));
    await outside.connect();
    await outside.query('select pg_advisory_lock(1)');
    await cluster.session(async () => {
      const writing = cluster.write('update t set v = 1 where pg_advisory_xact_lock(1) is not null');
      const lost = expect(writing).rejects.toMatchObject({ code: 'LADDER_WRITE_OUTCOME_UNKNOWN' });
      await until('it waits for its lock', async () => {
        const { rowCount } = await outside.query("select 1 from pg_locks where locktype = 'advisory' and not granted");
        return rowCount === 1;
      });
      link.reset();
      port = ownPort;
      await lost;
      await until('it is followed', () =>
        cluster
          .stats()
          .nodes.some(({ name, role, state }) => name === 'db-0' && role === 'primary' && state === 'live'),
      );
      expect((await cluster.explain('select v from t')).reason).toBe('floor-unknown');
      await r1.waitForReplay();
      await r1.pauseReplay();
      await outside.query('select pg_advisory_unlock(1)');
      await until('it has committed', async () => (await outside.query('select v from t')).rows[0]?.v === 1);
      await outside.end();
      expect((await cluster.read('select v from t')).rows).toEqual([{ v: 1 }]);
      await r1.resumeReplay();
    });
  }, 30_000);
});
