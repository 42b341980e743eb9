import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Cluster, createCluster, type NodeOptions, type WarningEvent } from '../../src/index.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../src/testing/index.js';
import { nodeOf, until } from '../behaviour/fixture.js';
import { PlayedServer, place, type Said } from '../behaviour/played-server.js';
import { query } from '../testing/query.js';

const named = ({ name, connectionString }: TestNode): NodeOptions => ({ name, connectionString });
const LATEST = 0xffff_ffff;

describe('a server that lies about being the primary', () => {
  let servers: TestCluster;
  let liar: PlayedServer;
  let cluster: Cluster;
  let warnings: WarningEvent[];
  let lsn: string;

  const follower = (): Said => ({
    clusterId: servers.clusterId,
    startedAt: '1700000000000000',
    inRecovery: true,
    timeline: 1,
    lsn,
  });
  const promoted = (claim: Partial<Said> = {}): Said => ({
    ...follower(),
    inRecovery: false,
    timeline: 2,
    forkLsn: lsn,
    ...claim,
  });
  const opened = (options: object = {}): Cluster => {
    cluster = createCluster({
      primary: named(servers.primary),
      replicas: [...servers.replicas.map(named), { name: 'liar', connectionString: liar.connectionString }],
      hangMillis: 100,
      probeMillis: 20,
      idleProbeMillis: 20,
      ...options,
    });
    cluster.events.on('warning', (warning) => warnings.push(warning));
    return cluster;
  };
  const isHeard = (from = liar.answerCount) => until('the liar was asked again', () => liar.answerCount > from + 3);
  const rowsOf = (node: TestNode) => query(node, 'select count(*)::int from t') as Promise<number>;
  const suspicions = () => warnings.filter(({ code }) => code === 'suspicious-primary');
  /** What was written through the library is on the real primary, and nowhere else. */
  const goesOn = async (): Promise<void> => {
    const before = await rowsOf(servers.primary);
    for (let i = 0; i < 2; i++) {
      await cluster.session(async () => {
        await cluster.write('insert into t values (1)');
        const { rows } = await cluster.read<{ count: number }>('select count(*)::int from t');
        expect(rows).toEqual([{ count: before + i + 1 }]);
      });
    }
    expect(await rowsOf(servers.primary)).toBe(before + 2);
  };

  beforeAll(async () => {
    servers = await startTestCluster({ replicas: 1 });
    await query(servers.primary, 'create table t (v int)');
  });
  beforeEach(async () => {
    lsn = (await query(servers.primary, 'select pg_current_wal_lsn()::text')) as string;
    liar = await PlayedServer.start(follower());
    warnings = [];
  });
  afterEach(async () => {
    await cluster?.close();
    await liar[Symbol.asyncDispose]();
  });
  afterAll(() => servers.stop());

  it.each([
    ['whose timeline no cluster has had', { timeline: LATEST }, 'no cluster has had so many promotions'],
    ['below what it had replayed', { forkLsn: '0/1000028' }, 'it had left behind as a replica'],
    ['on the timeline that it followed', { timeline: 1 }, 'a promotion begins a timeline of its own'],
  ])('gets no write for a claim %s, whatever is to be done about two primaries, and is told', async (_, claim, why) => {
    const cautious = opened({ onTwoPrimaries: 'refuse' });
    opened();
    try {
      await Promise.all([cautious.ready(), cluster.ready()]);
      liar.said = promoted(claim);
      await isHeard();
      await goesOn();
      await cautious.write('insert into t values (1)');
      expect(liar.statements).toEqual([]);
      expect(nodeOf(cluster, 'liar').problem).toContain(why);
      expect(suspicions()).toHaveLength(2);
      for (const { message } of suspicions()) expect(message).toContain(why);
    } finally {
      await cautious.close();
    }
  });

  it('gets no write when it lies from the start', async () => {
    for (const timeline of [LATEST, 1_000]) {
      liar.said = promoted({ timeline });
      // Where nobody else answers in time, it is believed.
      opened({ hangMillis: 5_000 });
      await goesOn();
      await isHeard();
      await goesOn();
      expect(liar.statements).toEqual([]);
      await cluster.close();
    }
  });

  it('gets no write when a second connection to it tells otherwise', async () => {
    opened();
    await cluster.ready();
    const first = liar.connectionCount;
    liar.said = promoted();
    liar.answer = (text, _said, { pid }) =>
      pid > first + 1 && text.includes('wal_file') ? place(follower()) : undefined;
    await isHeard();
    await goesOn();
    expect(liar.statements).toEqual([]);
    expect(nodeOf(cluster, 'primary').role).toBe('primary');
  });

  it('is forgotten when it was believed and is gone: reads and writes go on where they did before', async () => {
    opened();
    await cluster.ready();
    const session = cluster.session(async (own) => {
      await cluster.write('insert into t values (1)');
      const before = await rowsOf(servers.primary);
      // As a real promotion would look: this cannot be told apart.
      liar.said = promoted();
      await until('the liar is believed', () => nodeOf(cluster, 'liar').role === 'primary');
      await cluster.write('insert into t values (2)');
      expect(liar.statements).toEqual(['insert into t values (2)']);
      const token = await own.token();
      await liar.stop();
      await until('it is missed', () => cluster.stats().topology.at(-1)?.change !== 'promotion');
      await cluster.write('insert into t values (3)');
      const { rows } = await cluster.read<{ count: number }>('select count(*)::int from t');
      expect(rows).toEqual([{ count: before + 1 }]);
      return token;
    });
    const token = await session;
    await goesOn();
    expect(cluster.stats()).toMatchObject({ timeline: 1 });
    // A real primary that is held up by other work is missed for a moment, too: before, or afterwards.
    const changes = cluster.stats().topology.map(({ change, primary }) => `${change} ${primary}`);
    const at = changes.indexOf('promotion liar');
    expect(changes.slice(at, at + 3)).toEqual(['promotion liar', 'vacant undefined', 'returned primary']);
    expect(changes.filter((each) => each === 'promotion liar')).toHaveLength(1);
    expect(suspicions()).toHaveLength(1);
    expect(suspicions()[0]?.message).toContain('by its own word alone');
    // What the liar told of positions holds nobody up for ever, and never shows less than was written before.
    const before = await rowsOf(servers.primary);
    const { rows } = await cluster.session(() => cluster.read('select count(*)::int from t'), {
      token,
      inherit: 'none',
    });
    expect(rows).toEqual([{ count: before }]);
  });

  it('is forgotten as well when a discovery had found it, and drops it', async () => {
    let found: NodeOptions[] = [];
    opened({ replicas: servers.replicas.map(named), discovery: async () => found, discoveryMillis: 10 });
    await cluster.ready();
    liar.said = promoted({ timeline: LATEST });
    found = [{ name: 'liar', host: '127.0.0.1', port: liar.port }];
    await until('it was found', () => suspicions().length > 0);
    await goesOn();
    liar.said = promoted({ startedAt: '1700000000000001' });
    await until('the liar is believed', () => nodeOf(cluster, 'liar').role === 'primary');
    await liar.stop();
    await until('it is missed', () => cluster.stats().topology.at(-1)?.change !== 'promotion');
    found = [];
    await goesOn();
    await until('it has left', () => cluster.stats().nodes.length === 2);
    await goesOn();
  });

  it('does not count as primary, nor as replica, once it has taken its word back', async () => {
    opened();
    await cluster.ready();
    liar.said = promoted();
    await until('the liar is believed', () => nodeOf(cluster, 'liar').role === 'primary');
    let asked = 0;
    liar.answer = (text) =>
      text.includes('wal_file') ? place(++asked % 2 === 0 ? promoted() : follower()) : undefined;
    await until('the primary is believed again', () => nodeOf(cluster, 'primary').role === 'primary');
    await goesOn();
    expect(nodeOf(cluster, 'liar').problem).toContain('it takes no writes any more, and was not restarted');
  });

  it('gets no reads as a replica that says it is ahead of all that was written', async () => {
    for (const ahead of ['FFFFFFFF/FFFFFFFF', '0/FF000000']) {
      liar.said = { ...follower(), lsn: ahead };
      opened();
      await until('it is found out', () => nodeOf(cluster, 'liar').problem?.includes('more log') === true);
      liar.statements.length = 0;
      for (let i = 0; i < 50; i++) await cluster.read('select 1');
      expect(liar.statements).toEqual([]);
      await cluster.close();
    }
  });
});
