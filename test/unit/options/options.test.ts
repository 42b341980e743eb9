import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { createCluster, LadderError } from '../../../src/index.js';
import { settingsFrom } from '../../../src/options/cluster.js';

const url = 'postgres://app:s3cret@127.0.0.1:1/shop';

function refusal(options: unknown): LadderError {
  try {
    createCluster(options as Parameters<typeof createCluster>[0]);
  } catch (error) {
    if (error instanceof LadderError) return error;
    throw error;
  }
  throw new Error('the options were accepted');
}

/** What pg and pg-pool also read of their options. */
const OF_PG = `Client Promise allowExitOnIdle connectionTimeoutMillis enableChannelBinding idleTimeoutMillis keepAlive
  keepAliveInitialDelayMillis log max maxLifetimeSeconds maxUses min onConnect pipeline poolSize query_timeout
  scramMaxIterations ssl sslNegotiation statement_timeout stream types verify replication isDomainSocket`.split(/\s+/);

describe('the options of createCluster', () => {
  it.each([
    ['nothing', undefined, /createCluster: options/],
    ['no primary', {}, /primary/],
    ['an empty URL', { primary: '' }, /primary/],
    [
      'a URL from a variable that is not set',
      { primary: { connectionString: undefined } },
      /primary\.connectionString.*undefined.*environment/,
    ],
    ['a URL that pg cannot parse', { primary: 'postgres://a:s3cret@h:notaport/db' }, /primary: expected postgres:/],
    ['an unknown option', { primary: url, wait: 5 }, /unknown option "wait", did you mean "waitMillis"\?/],
    ['a primary under another name', { primray: url }, /unknown option "primray", did you mean "primary"\?/],
    ['an option like no other', { primary: url, colour: 5 }, /unknown option "colour"$/],
    [
      'several unknown options',
      { primary: url, zoen: 'a', hangMs: 2 },
      /unknown option "zoen", did you mean "zone"\?; unknown option "hangMs", did you mean "hangMillis"\?$/,
    ],
    [
      'one within another',
      { primary: url, lane: { conections: 2 } },
      /lane: unknown option "conections", did you mean "connections"/,
    ],
    [
      'a label with a letter wrong',
      { nodes: [{ host: 'h', wieght: 2 }] },
      /nodes\.0\.wieght: unknown option, did you mean "weight"/,
    ],
    [
      'a server’s address with a letter wrong',
      { primary: { conectionString: url } },
      /primary\.conectionString: .*"connectionString"/,
    ],
    ['a negative number', { primary: url, waitMillis: -1 }, /waitMillis/],
    ['a bound on transactions that is none', { primary: url, idleInTransactionMillis: 9 }, /idleInTransactionMillis/],
    ['not a number', { primary: url, maxLagMillis: '10s' }, /maxLagMillis/],
    ['a number that is none', { primary: url, probeMillis: Number.NaN }, /probeMillis/],
    ['a consistency that does not exist', { primary: url, consistency: 'linearizable' }, /consistency/],
    ['a weight of 0', { primary: url, replicas: [{ connectionString: url, weight: 0 }] }, /replicas\.0\.weight/],
    [
      'text as a weight',
      { primary: url, replicas: [{ connectionString: url, weight: '2' }] },
      /replicas\.0\.weight: .*expected number/,
    ],
    ['a zone that is none', { nodes: [{ connectionString: url, zone: 1 }] }, /nodes\.0\.zone: .*expected string/],
    ['text as a share', { primary: url, hotKeys: { share: '0.5' } }, /hotKeys\.share: .*expected number/],
    ['a target that does not exist', { primary: url, hotKeys: { target: 'all' } }, /hotKeys\.target: .*"primary"/],
    ['an option of hotKeys that does not exist', { primary: url, hotKeys: { shares: 1 } }, /hotKeys: .*"shares"/],
    [
      'two nodes of one name',
      { primary: url, replicas: [{ name: 'primary', connectionString: url }] },
      /two nodes are named "primary"/,
    ],
    ['labels beside nodes', { primary: url, nodes: [url] }, /either nodes or primary and replicas/],
    ['no nodes at all', { nodes: [] }, /nodes/],
    ['a URL without a host', 'postgres://app:s3cret@/shop', /expected postgres:.*got text that is none/],
    ['a URL with an empty host', 'postgres://app:s3cret@h1,,h3/shop', /before and after each comma/],
    ['another kind of URL', 'mysql://app:s3cret@h1/shop', /expected postgres:/],
    ['a budget of nothing', { primary: url, primaryReadBudget: 0 }, /primaryReadBudget/],
    ['a policy that does not exist', { primary: url, onTwoPrimaries: 'both' }, /onTwoPrimaries/],
    ['a pool that is none', { primary: { pool: {} } }, /primary\.pool/],
    ['a pool that is not in its place', { primary: new pg.Pool() }, /primary: .*a pool is given as \{ pool \}/],
    ['a URL that is no text', { primary: new URL('postgres://app:s3cret@h/shop') }, /primary: .*a URL as its text/],
    ['a server that is none', { primary: 5 }, /primary: expected a connection string, pg's options or \{ pool \}/],
    ['an address in place of a URL', { primary: '10.0.0.5' }, /primary: expected postgres:.*or \{ host, port \}/],
    ['a host and a port in place of a URL', { nodes: ['s3cret.internal:5432'] }, /nodes\[0\]: expected postgres:/],
    ['several hosts for one server', { primary: 'postgres://app:s3cret@h1,h2/shop' }, /primary: expected one host/],
    ['a URL in place of a host', { primary: { host: url } }, /primary\.host: expected the name or the address/],
    ['a login in place of a host', { primary: { host: 'app:s3cret@h' } }, /primary\.host/],
    ['a port that is none', { primary: { host: 'h', port: 'abc' } }, /primary\.port: expected a port/],
    ['a URL in place of a name', { primary: { name: url, host: 'h' } }, /primary\.name: expected a name/],
    [
      'a weight that no sum can hold',
      { primary: url, replicas: [{ host: 'h', weight: 1e308 }] },
      /replicas\.0\.weight/,
    ],
    ['hot keys that are none', { primary: url, hotKeys: true }, /hotKeys: expected false or \{ share, target \}/],
  ])('refuse %s, and name it', (_, options, message) => {
    const error = refusal(options);
    expect(error.code).toBe('LADDER_INVALID_OPTIONS');
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('s3cret');
  });

  it('take a socket, a port as text, and whatever is undefined', () => {
    const { nodes } = settingsFrom({
      primary: { host: '/var/run/postgresql', port: '5432' as unknown as number, name: undefined, zone: undefined },
      replicas: ['postgresql://h/shop', 'socket:/run/pg?db=shop', '/run/pg shop'],
      zone: undefined,
      hotKeys: undefined,
      discovery: undefined,
    });
    expect(nodes.map(({ name }) => name)).toEqual(['primary', 'r1', 'r2', 'r3']);
  });

  it('take what only a class of clients of one’s own knows, and what pg knows', () => {
    class Own extends pg.Client {}
    const primary = { host: 'h', hosts: ['h'], keepAlive: true, Client: Own } as pg.PoolConfig;
    expect(() => settingsFrom({ primary, replicas: [{ host: 'h', ports: 1, pool: new pg.Pool() } as never] })).toThrow(
      /"port"/,
    );
    expect(() => settingsFrom({ primary, replicas: [{ host: 'r', dbname: 'x', engine: 'y' } as never] })).not.toThrow();
  });

  it('take whatever pg takes, and what is near one of ours that is given as well', () => {
    const known = [...Object.keys(pg.defaults), ...OF_PG].filter((option) => option !== 'connectionString');
    for (const option of known) {
      const value = { host: '127.0.0.1', port: 5432, user: 'u', database: 'd' }[option];
      expect(() => settingsFrom({ primary: { connectionString: url, [option]: value } }), option).not.toThrow();
    }
    const near = { host: 'h', port: 1, name: 'n', cost: 1, sort: 'asc', hosts: [], same: 1 };
    expect(() => settingsFrom({ primary: near })).not.toThrow();
    expect(() => settingsFrom({ primary: { host: 'h', post: 1 } as never })).toThrow('did you mean "port"?');
  });

  it('refuse one pool for two nodes, and an ended one', async () => {
    const pool = new pg.Pool({ connectionString: url });
    expect(refusal({ primary: { pool }, replicas: [{ pool }] }).message).toMatch(/same pool/);
    await pool.end();
    expect(refusal({ primary: { pool } }).message).toMatch(/ended/);
  });

  it('give pg its own options untouched, functions and all', () => {
    const password = () => 'late';
    const ssl = { rejectUnauthorized: true };
    const {
      nodes: [primary],
    } = settingsFrom({
      primary: { host: 'h', password, ssl, statement_timeout: 7, max: 3, name: 'main' },
    });
    if (primary === undefined) throw new Error('no node');
    expect(primary.name).toBe('main');
    expect(primary.pool.options).toMatchObject({ host: 'h', statement_timeout: 7, max: 3 });
    expect(primary.pool.options.ssl).toBe(ssl);
    expect((primary.pool.options as { password?: unknown }).password).toBe(password);
    expect(primary.pool.options).not.toHaveProperty('name');
  });

  it('take a URL that names all servers, each with what else stands in it', () => {
    const { nodes } = settingsFrom('postgres://app:s%2Cc@h1,h2:5433,[::1]:5434/shop?application_name=web');
    expect(nodes.map(({ name, role }) => [name, role])).toEqual([
      ['h1', 'primary'],
      ['h2', 'replica'],
      ['[::1]', 'replica'],
    ]);
    expect(
      nodes
        .map(({ pool }) => new pg.Client(pool.options))
        .map(({ host, port, user, database }) => [host, port, user, database]),
    ).toEqual([
      ['h1', 5432, 'app', 'shop'],
      ['h2', 5433, 'app', 'shop'],
      ['::1', 5434, 'app', 'shop'],
    ]);
    expect(settingsFrom('postgres://h1,h2/shop', { waitMillis: 7 }).waitMillis).toBe(7);
    expect(() => settingsFrom({ primary: url }, { waitMillis: 7 })).toThrow(/only beside a URL/);
    const twins = settingsFrom('postgres://app@h:1,h:2/shop').nodes;
    expect(twins.map(({ name }) => name)).toEqual(['h:1', 'h:2']);
  });

  it('come back frozen, with every default', () => {
    const settings = settingsFrom({ primary: url, replicas: [url] });
    expect(settings).toMatchObject({
      waitMillis: 50,
      maxLagMillis: 10_000,
      hangMillis: 500,
      probeMillis: 250,
      idleProbeMillis: 1_000,
    });
    expect(settings.nodes[1]).toMatchObject({ name: 'r1', weight: 1, ownsPool: true });
    expect(Object.isFrozen(settings)).toBe(true);
  });
});

describe('an error of the library', () => {
  it('is recognised across copies of the package by its brand, and by its code', () => {
    const foreign = { [Symbol.for('pg-ladder.error')]: true };
    expect(foreign instanceof LadderError).toBe(true);
    expect(new Error('no') instanceof LadderError).toBe(false);
  });
});
