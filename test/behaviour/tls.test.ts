import { chmod, chown, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { generate } from 'selfsigned';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { dnsDiscovery } from '../../src/discovery/index.js';
import { type Cluster, type ClusterBehaviour, createCluster, type NodeOptions } from '../../src/index.js';
import { cancelByKey } from '../../src/postgres/cancel.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { query } from '../testing/query.js';
import { startDnsServer } from './discovery-servers.js';
import { until } from './fixture.js';

const NAME = 'db.test';
/** What the last replica's certificate is made out to. */
const OTHER = 'other.test';

/** Has the server take connections with TLS alone, with a certificate that is made out to NAME. */
async function encrypt(node: TestNode, { cert, private: key }: { cert: string; private: string }): Promise<void> {
  const directory = (await query(node, 'show data_directory')) as string;
  const { uid, gid } = await stat(directory);
  for (const [file, text] of [
    ['server.crt', cert],
    ['server.key', key],
    ['pg_hba.conf', 'hostssl all all all trust\nhost replication all all trust\n'],
  ] as const) {
    const path = join(directory, file);
    await writeFile(path, text, { mode: 0o600 });
    await chmod(path, 0o600);
    await chown(path, uid, gid);
  }
  await writeFile(join(directory, 'postgresql.auto.conf'), '\nssl = on\n', { flag: 'a' });
  await query(node, 'select pg_reload_conf()');
}

describe('servers that take TLS alone', () => {
  let servers: TestCluster;
  let cluster: Cluster;
  let ca: string;
  let otherCa: string;
  let other: TestNode;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 3 });
    await query(servers.primary, 'create table items as select 1 as id');
    for (const replica of servers.replicas) await replica.waitForReplay();
    const certify = (value: string) =>
      generate([{ name: 'commonName', value }], {
        keyType: 'ec',
        extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value }] }],
      });
    const [pems, others] = await Promise.all([certify(NAME), certify(OTHER)]);
    ca = pems.cert;
    otherCa = others.cert;
    other = servers.replicas[2] as TestNode;
    for (const node of servers.nodes) await encrypt(node, node === other ? others : pems);
  });
  afterAll(() => servers.stop());
  afterEach(() => cluster?.close());

  const settings = ({ host, port }: TestNode, more: object = {}): pg.PoolConfig & { servername?: string } => ({
    host,
    port,
    user: 'postgres',
    database: 'postgres',
    ssl: { ca },
    ...more,
  });
  const openWith = (more: object, behaviour: ClusterBehaviour = {}): Cluster => {
    const replicas = servers.replicas.slice(0, 2).map((node) => ({ name: node.name, ...settings(node, more) }));
    return createCluster({ primary: settings(servers.primary, more), replicas, ...behaviour });
  };

  it('are not believed to be who they are when their certificate is made out to another name', async () => {
    cluster = openWith({ connectionTimeoutMillis: 1_000 });
    const told = await cluster.ready({ timeoutMillis: 2_000 }).catch((error: Error) => String(error.cause));
    expect(told).toMatch(/ERR_TLS_CERT_ALTNAME_INVALID|does not match certificate/);
  });

  it.each<[string, pg.PoolConfig]>([
    ['at an address', {}],
    ['at another name', { host: 'localhost' }],
    ['with direct negotiation', { sslnegotiation: 'direct' }],
  ])('are checked against servername %s; statements go on as without TLS', async (_, more) => {
    cluster = openWith({ servername: NAME, ...more });
    await cluster.ready();
    await cluster.session(async () => {
      for (let id = 1; id <= 50; id++) {
        await cluster.write('update items set id = $1', [id]);
        const [row, encrypted] = await Promise.all([
          cluster.read('select id from items'),
          cluster.read('select ssl from pg_stat_ssl where pid = pg_backend_pid()'),
        ]);
        expect([row.rows, encrypted.rows]).toEqual([[{ id }], [{ ssl: true }]]);
      }
    });
    const { nodes } = cluster.stats();
    expect(nodes.every(({ state }) => state === 'live')).toBe(true);
    expect(nodes.some(({ role, lane }) => role === 'replica' && lane.statementCount > 0)).toBe(true);
  });

  it('are checked against servername by the caller’s own function, where there is one', async () => {
    const names = new Set<string>();
    const checkServerIdentity = (name: string) => void names.add(name);
    cluster = openWith({ servername: NAME, ssl: { ca, checkServerIdentity } });
    await cluster.ready();
    expect([...names]).toEqual([NAME]);
  });

  it('are found by DNS at their addresses, and checked against the name that was asked for', async () => {
    await using dns = await startDnsServer();
    dns.addresses(NAME, 'A', '127.0.0.1');
    const [r1] = servers.replicas as [TestNode];
    cluster = createCluster({
      primary: settings(servers.primary, { servername: NAME }),
      discovery: dnsDiscovery({ hostname: NAME, port: r1.port, servers: [dns.address] }),
      discoveryMillis: 20,
    });
    await until('it is live', () => cluster.stats().nodes.filter(({ state }) => state === 'live').length === 2);
    expect((await cluster.read('select 1 as one', [], { target: 'replica' })).rows).toEqual([{ one: 1 }]);
  });

  describe('found beside a first server that is checked against another name', () => {
    const discovered = (...found: NodeOptions[]): Cluster =>
      createCluster({
        primary: settings(servers.primary, { servername: NAME, ssl: { ca: [ca, otherCa] }, password: 'hunter2' }),
        discovery: () => found,
        discoveryMillis: 20,
      });
    const asked = (name: string) => until(`${name} was asked`, () => problemOf(name) !== 'not asked yet');
    const problemOf = (name: string): string | undefined => {
      const node = cluster.stats().nodes.find((one) => one.name === name);
      return node?.state === 'live' ? undefined : (node?.problem?.match(/\((\w+)\)/)?.[1] ?? 'not asked yet');
    };

    it('are checked against their own, and answer', async () => {
      cluster = discovered({ name: 'found', host: '127.0.0.1', port: other.port, servername: OTHER });
      await asked('found');
      expect(problemOf('found')).toBeUndefined();
      const read = cluster.read('select inet_server_port() as port', [], { target: { node: 'found' } });
      expect((await read).rows).toEqual([{ port: other.port }]);
    });

    it('are not taken for one another: another server’s certificate is refused', async () => {
      const [r1] = servers.replicas as [TestNode];
      cluster = discovered(
        { name: 'says the first', host: '127.0.0.1', port: other.port },
        { name: 'is the first', host: '127.0.0.1', port: r1.port, servername: OTHER },
        { name: 'has a host', host: 'localhost', port: r1.port },
      );
      for (const name of ['says the first', 'is the first', 'has a host']) {
        await asked(name);
        expect([name, problemOf(name)]).toEqual([name, 'ERR_TLS_CERT_ALTNAME_INVALID']);
      }
    });

    it('are sent the first one’s login over that, also at an address of no loopback', async () => {
      // This machine, in a form that is not taken for it.
      cluster = discovered({ name: 'found', host: '0.0.0.0', port: other.port, servername: OTHER });
      await asked('found');
      expect(problemOf('found')).toBeUndefined();
    });
  });

  it.each<[string, pg.PoolConfig]>([
    ['as ever', {}],
    ['with direct negotiation', { sslnegotiation: 'direct' }],
  ])('%s, take a cancel by a connection’s own key', async (_, more) => {
    const pool = new pg.Pool({
      ...settings(servers.primary, { host: 'localhost' }),
      ssl: { ca, checkServerIdentity: () => undefined },
      ...more,
    });
    const client = await pool.connect();
    try {
      const slow = client.query('select pg_sleep(20)').catch(({ code }: { code: unknown }) => code);
      await new Promise((resolve) => setTimeout(resolve, 100));
      await cancelByKey(pool, client, 5_000);
      expect(await slow).toBe('57014');
    } finally {
      client.release();
      await pool.end();
    }
  });
});
