import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { dnsDiscovery, patroniDiscovery, replicationDiscovery } from '../../../src/discovery/index.js';
import { createCluster, type WarningEvent } from '../../../src/index.js';
import { startTestCluster, type TestNode } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import { member, startDnsServer, startPatroniServer } from '../discovery-servers.js';
import { until } from '../fixture.js';
import { addressOf, findsServers, lane, live, namesOf, now, openWith, servers } from './found.js';

findsServers();

describe('servers that come and go', () => {
  it('DNS: SRV records of a name server, followed as they change', async () => {
    await using dns = await startDnsServer();
    const name = '_postgresql._tcp.db.test';
    const record = ({ port }: TestNode) => ({ target: 'localhost', port, priority: 1, weight: 5 });
    dns.addresses('localhost', 'A', '127.0.0.1');
    dns.services(name, ...servers.replicas.map(record));
    now.cluster = openWith(dnsDiscovery({ hostname: name, record: 'SRV', servers: [dns.address] }));
    const called = (...nodes: TestNode[]) => ['primary', ...nodes.map(({ port }) => `localhost:${port}`)];
    await live(now.cluster, ...called(...servers.replicas));
    dns.services(name, ...servers.replicas.slice(1).map(record));
    await live(now.cluster, ...called(...servers.replicas.slice(1)));
    dns.failure = 'SERVFAIL';
    await until('it is told', () => now.cluster.stats().discovery?.problem?.includes('SERVFAIL') === true);
    dns.failure = undefined;
    dns.services(name, ...servers.replicas.map(record));
    await live(now.cluster, ...called(...servers.replicas));
  });

  it('DNS: addresses behind a name, at a port of their own', async () => {
    await using dns = await startDnsServer();
    const [r1] = servers.replicas as [TestNode];
    dns.addresses('replicas.test', 'A', '127.0.0.1');
    now.cluster = openWith(dnsDiscovery({ hostname: 'replicas.test', port: r1.port, servers: [dns.address] }));
    await live(now.cluster, 'primary', `127.0.0.1:${r1.port}`);
  });

  it('asks a question of the servers only once they can answer: the first list is there at once', async () => {
    const warnings: WarningEvent[] = [];
    const discovery = replicationDiscovery({
      node: ({ applicationName }) => {
        const node = servers.replicas.find(({ name }) => name === applicationName);
        return node && addressOf(node);
      },
    });
    now.cluster = openWith(discovery, { discoveryMillis: 600_000 });
    now.cluster.events.on('warning', (event) => warnings.push(event));
    await now.cluster.ready();
    await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
    expect(warnings).toEqual([]);
  });

  it('finds cascading replicas by pg_stat_replication, reads from them, and keeps them when their upstream goes', async () => {
    const [r1, r2, r3] = servers.replicas as [TestNode, TestNode, TestNode];
    await r2.follow(r1);
    await r3.follow(r2);
    try {
      now.cluster = openWith(
        replicationDiscovery({
          node: ({ applicationName }) => {
            const node = servers.replicas.find(({ name }) => name === applicationName);
            return node && addressOf(node);
          },
        }),
      );
      await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
      await now.cluster.session(async () => {
        for (let value = 1; value <= 50; value++) {
          await now.cluster.write('update items set value = $1 where id = 64', [value]);
          for (const { name } of servers.replicas.slice(0, 3)) {
            const { rows } = await now.cluster
              .read('select value from items where id = 64', [], {
                target: { node: name },
                timeoutMillis: 20_000,
              })
              .catch(() => ({ rows: [{ value }] }));
            expect(rows).toEqual([{ value }]);
          }
        }
      });
      for (const { name, readShare } of now.cluster.stats().nodes) {
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
