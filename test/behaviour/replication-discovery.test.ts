import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  type DiscoveryContext,
  type ReplicationDiscoveryOptions,
  replicationDiscovery,
} from '../../src/discovery/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { until } from './fixture.js';

describe.each([14, 18])('the standbys of a real cluster of PostgreSQL %i', (postgresVersion) => {
  let servers: TestCluster;
  const clients: pg.Client[] = [];
  let slots = 0;

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 3, postgresVersion });
    await sql(servers.primary, `create role ordinary login password '${servers.primary.password}'`);
    await sql(
      servers.primary,
      `create role watcher login password '${servers.primary.password}' in role pg_read_all_stats`,
    );
    await sql(servers.primary, 'create publication everything for all tables');
    for (const replica of servers.replicas) await replica.waitForReplay();
    const [, second, third] = servers.replicas as [TestNode, TestNode, TestNode];
    await third.follow(second);
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((client) => client.end()));
  });
  afterAll(() => servers.stop());

  async function connect(node: TestNode, config: pg.ClientConfig & { replication?: string } = {}) {
    const client = new pg.Client({
      host: node.host,
      port: node.port,
      user: 'postgres',
      password: node.password,
      database: 'postgres',
      ...config,
    });
    client.on('error', () => {});
    await client.connect();
    return client;
  }
  async function sql<Row extends pg.QueryResultRow>(node: TestNode, text: string, user = 'postgres'): Promise<Row[]> {
    const client = await connect(node, { user });
    try {
      return (await client.query<Row>(text)).rows;
    } finally {
      await client.end();
    }
  }

  /** What a cluster would hand to a discovery. */
  const contextOf = (user: string, nodes: () => readonly TestNode[] = () => servers.nodes): DiscoveryContext => ({
    signal: new AbortController().signal,
    ask: async <Row>(text: string) => {
      const answers = nodes().map(async (node) => ({
        node: node.name,
        role: await node.role(),
        rows: (await sql<pg.QueryResultRow>(node, text, user)) as Row[],
      }));
      return Promise.all(answers);
    },
  });
  const byName: ReplicationDiscoveryOptions = {
    node: ({ applicationName: name, clientAddress: host }) => ({ name, host }),
  };
  // All of them are at one address, and at most one of them can be had without a name.
  const byPort: ReplicationDiscoveryOptions = {
    node: ({ applicationName: name, clientAddress: host }) => {
      const node = servers.nodes.find((server) => server.name === name);
      return node === undefined ? { name, host, port: 1 } : { name, host, port: node.port };
    },
  };
  const names = async (options = byPort, context = contextOf('watcher')) => {
    const found = await replicationDiscovery(options)(context);
    return found.map((server) => String(Object(server).name)).sort();
  };

  /** Takes log as a tool does, and says that it has written all of it, and replayed it where it is one that replays. */
  async function receive(kind: 'PHYSICAL' | 'LOGICAL', name: string, isReplaying: boolean): Promise<void> {
    const replication = kind === 'LOGICAL' ? 'database' : 'true';
    const client = await connect(servers.primary, { replication, application_name: name });
    clients.push(client);
    const [system] = (await client.query<{ xlogpos: string }>('IDENTIFY_SYSTEM')).rows;
    // A name of its own: that of a test before may not be free yet.
    const slot = `${name}_${++slots}`;
    if (kind === 'LOGICAL') await client.query(`CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL pgoutput`);
    const [high = 0, low = 0] = (system?.xlogpos.split('/') ?? []).map((half) => Number.parseInt(half, 16));
    const segment = `${high.toString(16)}/${(low - (low % 2 ** 24)).toString(16)}`;
    const options = "(proto_version '1', publication_names 'everything')";
    const start =
      kind === 'LOGICAL'
        ? `START_REPLICATION SLOT ${slot} LOGICAL 0/0 ${options}`
        : `START_REPLICATION PHYSICAL ${segment}`;
    const { connection } = client as unknown as {
      connection: { sendCopyFromChunk(chunk: Buffer): void; once(event: string, heard: () => void): void };
    };
    const started = new Promise<void>((resolve) => connection.once('replicationStart', resolve));
    const ended = client.query(start).catch((error: Error) => error);
    const failed = await Promise.race([started, ended]);
    if (failed instanceof Error) throw failed;
    // Standby status update: what is written, flushed and applied, the time, and that no answer is wanted.
    const update = Buffer.alloc(34);
    const position = (BigInt(high) << 32n) + BigInt(low);
    update.write('r');
    update.writeBigUInt64BE(position, 1);
    update.writeBigUInt64BE(position, 9);
    update.writeBigUInt64BE(isReplaying ? position : 0n, 17);
    connection.sendCopyFromChunk(update);
    await until(`${name} streams`, async () => {
      const rows = await sql(
        servers.primary,
        `select from pg_stat_replication where application_name = '${name}' and state = 'streaming' and flush_lsn is not null
         and (replay_lsn is not null) = ${isReplaying}`,
      );
      return rows.length === 1;
    });
  }

  it('are all found, the cascading one below its own upstream', async () => {
    await until('all stream', async () => (await names()).length === 3);
    expect(await names()).toEqual(['r1', 'r2', 'r3']);
    const direct = contextOf('watcher', () => [servers.primary]);
    expect(await names(byPort, direct)).toEqual(['r1', 'r2']);
  });

  it('are one server where they have one address, unless they are told apart', async () => {
    const found = await replicationDiscovery()(contextOf('watcher'));
    expect(found).toEqual([{ host: '127.0.0.1' }]);
    expect(await names(byName)).toHaveLength(1);
  });

  it('are only those that replicate as the role that is named', async () => {
    expect(await names({ ...byPort, user: 'postgres' })).toEqual(['r1', 'r2', 'r3']);
    expect(await names({ ...byPort, user: 'replicator' })).toEqual([]);
  });

  it('are not shown to an ordinary role, which is told what it needs', async () => {
    await expect(names(byPort, contextOf('ordinary'))).rejects.toThrow(
      'the role may not see who replicates from primary: grant it pg_read_all_stats (or pg_monitor)',
    );
    const leaf = servers.replicas[2] as TestNode;
    expect(await sql(leaf, 'select from pg_stat_replication', 'ordinary')).toEqual([]);
  });

  it('are no subscribers, which replay too, and no tools that only write the log down', async () => {
    await receive('LOGICAL', 'subscriber', true);
    await receive('PHYSICAL', 'pg_receivewal', false);
    await receive('PHYSICAL', 'some_backup', false);
    expect(await names()).toEqual(['r1', 'r2', 'r3']);
  });

  it('are not said to be hidden from an ordinary role where it cannot see a subscriber alone', async () => {
    await receive('LOGICAL', 'subscriber', true);
    const counts: number[] = [];
    const context = contextOf('ordinary', () => [servers.primary]);
    const ask: DiscoveryContext['ask'] = async <Row>(text: string) => {
      const answers = await context.ask<Row>(text);
      counts.push(...answers.map(({ rows }) => rows.length));
      return answers;
    };
    await expect(names(byPort, { ...context, ask })).rejects.toThrow('pg_read_all_stats');
    expect(counts).toEqual([2]);
  });

  it('stay through a failover: the promoted one, and one that has no upstream yet', async () => {
    const find = replicationDiscovery(byPort);
    const told = async () => {
      const context = contextOf('watcher', () => servers.nodes.filter((node) => node.running));
      return (await find(context)).map((server) => String(Object(server).name)).sort();
    };
    const [first, second, third] = servers.replicas as [TestNode, TestNode, TestNode];
    expect(await told()).toEqual(['r1', 'r2', 'r3']);
    await servers.primary.kill();
    await expect(told()).rejects.toThrow('no primary has answered');
    await first.promote();
    expect(await told()).toEqual(['r1', 'r2', 'r3']);
    await second.follow(first);
    expect(await told()).toEqual(['r1', 'r2', 'r3']);
    await third.kill();
    await until('the one that is gone leaves', async () => (await told()).length === 2);
    expect(await told()).toEqual(['r1', 'r2']);
  });
});
