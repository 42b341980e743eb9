import pg from 'pg';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { settingsFrom } from '../../../src/options/cluster.js';
import type { InheritCredentials } from '../../../src/options/credentials.js';
import { foundServers } from '../../../src/options/found-servers.js';
import type { NodeOptions } from '../../../src/options/servers.js';

const pools: pg.Pool[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(pools.splice(0).map((pool) => pool.end()));
});

const PASSWORD = 'hunter2';
const FIRST: NodeOptions = `postgres://app:${PASSWORD}@db.test:5432/shop`;

/** What becomes of one server that was found beside `first`. */
function find(found: NodeOptions, first: NodeOptions = FIRST, inheritCredentials: InheritCredentials = 'tls') {
  const { nodes } = settingsFrom({ primary: first });
  pools.push(...nodes.filter(({ ownsPool }) => ownsPool).map(({ pool }) => pool));
  const { servers, refused } = foundServers([found], nodes, { lane: undefined, inheritCredentials });
  expect(servers.length + refused.length).toBe(1);
  const [server] = servers;
  if (server === undefined) return { why: refused[0]?.why ?? '', who: refused[0]?.who };
  const { pool, ownsPool } = server.open();
  if (ownsPool) pools.push(pool);
  return { client: new pg.Client(pool.options) as pg.Client & { password?: unknown; ssl?: { key?: unknown } } };
}

describe('the login of the first server', () => {
  const tls = { ca: 'CA' };

  it.each<[string, NodeOptions, NodeOptions]>([
    ['at an address', { host: '10.0.0.7' }, FIRST],
    ['at a name', { host: 'found.test' }, FIRST],
    ['at another port of the same host', { host: 'db.test', port: 6000 }, FIRST],
    ['with another database', { database: 'other' }, FIRST],
    ['with a user of its own', { host: '10.0.0.7', user: 'other' }, FIRST],
    ['where a function gives it', { host: '10.0.0.7' }, { host: 'db.test', password: () => PASSWORD }],
    [
      'with TLS that checks nothing',
      { host: '10.0.0.7' },
      { host: 'db.test', password: PASSWORD, ssl: { rejectUnauthorized: false } },
    ],
    ['with sslmode=no-verify', { host: '10.0.0.7' }, `${FIRST}?sslmode=no-verify`],
    ['with sslmode=require as libpq has it', { host: '10.0.0.7' }, `${FIRST}?uselibpqcompat=true&sslmode=require`],
    ['that turns TLS off', { host: '10.0.0.7', ssl: false }, { host: 'db.test', password: PASSWORD, ssl: tls }],
    [
      'that checks nothing itself',
      { host: '10.0.0.7', ssl: { rejectUnauthorized: false } },
      { host: 'db.test', password: PASSWORD, ssl: tls },
    ],
    ['at a name that only looks like this machine', { host: '127.0.0.1.evil.test' }, FIRST],
    ['at a name below localhost', { host: 'localhost.evil.test' }, FIRST],
    ['at an address that is a short form of one', { host: '127.1' }, FIRST],
    ['at the address of all interfaces', { host: '0.0.0.0' }, FIRST],
    ['at an address that ends like this machine', { host: '1.127.0.0' }, FIRST],
    [
      'that is a client’s key, and no password',
      { host: '10.0.0.7' },
      { host: 'db.test', ssl: { key: 'KEY', cert: 'CERT', rejectUnauthorized: false } },
    ],
  ])('goes to no found server without TLS that checks its certificate: %s', (_, found, first) => {
    const { client, why } = find(found, first);
    expect(client).toBeUndefined();
    expect(why).toMatch(/^it would be sent a login that is not its own .*; use ssl.*inheritCredentials: 'always'/);
    expect(why).not.toContain(PASSWORD);
  });

  it.each<[string, NodeOptions, NodeOptions]>([
    ['over TLS', { host: '10.0.0.7' }, { host: 'db.test', password: PASSWORD, ssl: tls }],
    [
      'over TLS with the certificates that the machine trusts',
      { host: '10.0.0.7' },
      { host: 'db.test', password: PASSWORD, ssl: true },
    ],
    ['over TLS by the connection string', { host: '10.0.0.7' }, `${FIRST}?sslmode=verify-full`],
    ['over TLS that the found server asks for', { host: '10.0.0.7', ssl: tls }, FIRST],
    ['at 127.0.0.1', { host: '127.0.0.1' }, FIRST],
    ['at another loopback address', { host: '127.8.0.1' }, FIRST],
    ['at ::1', { host: '::1' }, FIRST],
    ['at ::ffff:127.0.0.1', { host: '::ffff:127.0.0.1' }, FIRST],
    ['at localhost', { host: 'LocalHost', port: 6000 }, FIRST],
    ['at a Unix socket', { host: '/var/run/postgresql' }, FIRST],
  ])('goes to a found server %s', (_, found, first) => {
    expect(find(found, first).client?.password).toBe(PASSWORD);
  });

  it('goes nowhere when all of Node checks no certificate', () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    expect(find({ host: '10.0.0.7' }, { host: 'db.test', password: PASSWORD, ssl: true }).why).toContain(
      'no certificate',
    );
    const strict = { host: 'db.test', password: PASSWORD, ssl: { rejectUnauthorized: true } };
    expect(find({ host: '10.0.0.7' }, strict).client?.password).toBe(PASSWORD);
  });

  it('is not asked for by a server that has its own, or where there is none', () => {
    expect(find({ host: '10.0.0.7', user: 'own', password: 'own' }).client?.password).toBe('own');
    expect(find('postgres://own:own@10.0.0.7/shop').client?.password).toBe('own');
    expect(find({ connectionString: 'postgres://own:own@10.0.0.7/shop' }).client?.password).toBe('own');
    expect(find({ host: '10.0.0.7' }, 'postgres://app@db.test/shop').client).toMatchObject({ user: 'app' });
    const pool = new pg.Pool({ host: '10.0.0.7' });
    pools.push(pool);
    expect(find({ pool }).client).toBeDefined();
  });

  it('may be that of the environment, which is treated alike', () => {
    vi.stubEnv('PGPASSWORD', PASSWORD);
    for (const mode of ['tls', 'never'] as const) {
      for (const found of ['postgres://own@10.0.0.7/shop', { host: '10.0.0.7', user: 'own' }]) {
        const { client, why } = find(found, 'postgres://app@db.test/shop', mode);
        expect([client, why]).toEqual([undefined, expect.stringContaining('be sent')]);
      }
      expect(find('postgres://own:own@10.0.0.7/shop', FIRST, mode).client?.password).toBe('own');
    }
    expect(find({ host: '127.0.0.1' }, 'postgres://app@db.test/shop').client?.password).toBe(PASSWORD);
    // pg goes by an empty password in the text, and so by the environment.
    const empty = { connectionString: 'postgres://own@10.0.0.7/shop', password: 'own' };
    expect(find(empty).client).toBeUndefined();
  });

  it('goes anywhere where that is asked for', () => {
    expect(find({ host: '10.0.0.7' }, FIRST, 'always').client).toMatchObject({ user: 'app', password: PASSWORD });
  });

  it('goes nowhere where that is asked for, not even over TLS or to this machine', () => {
    const first = {
      host: 'db.test',
      user: 'app',
      password: PASSWORD,
      max: 3,
      ssl: { ca: 'CA', key: 'KEY', cert: 'CERT' },
    };
    for (const host of ['10.0.0.7', '127.0.0.1']) {
      const { client, why } = find({ host }, first, 'never');
      expect([client, why]).toEqual([undefined, expect.stringMatching(/no login of its own.*inheritCredentials/)]);
    }
    const { client } = find({ host: '10.0.0.7', user: 'own' }, first, 'never');
    expect(client).toMatchObject({ user: 'own', password: null, ssl: { ca: 'CA' } });
    expect(client?.ssl?.key).toBeUndefined();
    expect(client?.ssl).not.toHaveProperty('cert');
    expect(find('postgres://own@10.0.0.7/shop', first, 'never').client).toMatchObject({ user: 'own', password: null });
  });

  it('is told of by name and place', () => {
    expect(find({ host: '10.0.0.7', name: 'r\u001b[2J9' }).who).toBe('"r9" (10.0.0.7:5432/shop)');
    expect(find({ host: '10.0.0.7' }).who).toBe('"10.0.0.7:5432/shop"');
  });

  it('is nothing that is asked of a server that was given anyway', () => {
    const { nodes } = settingsFrom({ primary: FIRST });
    pools.push(...nodes.map(({ pool }) => pool));
    const answer = [{ host: 'DB.test' }];
    const found = foundServers(answer, nodes, { lane: undefined, inheritCredentials: 'tls' });
    expect(found).toEqual({ servers: [], refused: [] });
  });
});
