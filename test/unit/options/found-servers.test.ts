import tls, { type ConnectionOptions, type PeerCertificate } from 'node:tls';
import pg from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import { settingsFrom } from '../../../src/options/cluster.js';
import { foundServers } from '../../../src/options/found-servers.js';
import type { NodeOptions } from '../../../src/options/servers.js';

const pools: pg.Pool[] = [];
afterEach(async () => {
  const open = [...new Set(pools.splice(0))].filter(({ ending }) => !ending);
  await Promise.all(open.map((pool) => pool.end()));
});

/** Nothing of these tests is about who may be sent a login. */
const defaults = { lane: undefined, inheritCredentials: 'always' } as const;

function given(first: NodeOptions) {
  const { nodes } = settingsFrom({ primary: first });
  pools.push(...nodes.filter(({ ownsPool }) => ownsPool).map(({ pool }) => pool));
  return nodes;
}

/** What pg makes of the options of a server that was found beside `first`. */
function made(first: NodeOptions, found: NodeOptions) {
  const { servers } = foundServers([found], given(first), defaults);
  const [server] = servers;
  if (server === undefined) throw new Error('it was not found');
  const { pool, ...settings } = server.open();
  pools.push(pool);
  const client = new pg.Client(pool.options);
  return { server, settings, options: pool.options as pg.PoolConfig & { password?: unknown }, client };
}

describe('a server that was found', () => {
  it('is like the first server, but for what was said of it', () => {
    const first = 'postgres://app:s%40crit@first:6000/shop?application_name=web&options=-c%20geqo%3Doff';
    const { server, settings, client } = made(first, { host: 'second' });
    expect(client).toMatchObject({ host: 'second', port: 6000, user: 'app', password: 's@crit', database: 'shop' });
    expect((client as { connectionParameters?: unknown }).connectionParameters).toMatchObject({
      application_name: 'web',
      options: '-c geqo=off',
    });
    expect(server).toMatchObject({ name: 'second:6000', place: expect.stringMatching(/^second:6000\//), weight: 1 });
    expect(settings).toMatchObject({ name: 'second:6000', role: 'replica', ownsPool: true, lane: undefined });
  });

  it.each([
    ['in the options', { host: 'first', user: 'app', password: 'secret' }, 'secret'],
    ['as a function', { host: 'first', user: 'app', password: () => 'secret' }, expect.any(Function)],
  ])('has the first server’s password, which pools hide: %s', (_, first, password) => {
    expect(made(first, { host: 'second', port: 7 }).options.password).toEqual(password);
  });

  it('has that of a pool that was handed in, its client and its other options', () => {
    class Client extends pg.Client {}
    const pool = new pg.Pool({
      host: 'first',
      password: 'secret',
      max: 3,
      statement_timeout: 70,
      Client,
    } as pg.PoolConfig);
    pools.push(pool);
    const { options } = made({ pool }, { host: 'second', port: 7, max: 4 });
    expect(options).toMatchObject({ host: 'second', port: 7, max: 4, statement_timeout: 70, Client });
    expect(options.password).toBe('secret');
  });

  it('says what it says of itself, over the parts of a connection string, too', () => {
    const found = {
      host: 'second',
      port: 7,
      user: 'other',
      database: 'db',
      name: 'n',
      weight: 2,
      zone: 'z',
      lane: false,
    };
    const { client, settings, server } = made('postgres://app:pw@first/shop', found);
    expect(client).toMatchObject({ host: 'second', port: 7, user: 'other', database: 'db', password: 'pw' });
    expect(settings).toMatchObject({ name: 'n', weight: 2, zone: 'z', lane: false });
    expect(server).toMatchObject({ name: 'n', weight: 2, zone: 'z', place: 'second:7/db' });
    expect(made('postgres://first/shop', { host: 'second' }).settings.lane).toBeUndefined();
  });

  it('is taken as it is when it has a connection string, or is one, or a pool', () => {
    const url = 'postgres://me@third:9/own';
    for (const found of [url, { connectionString: url, name: 'n' }]) {
      expect(made('postgres://app:pw@first/shop', found).client).toMatchObject({
        host: 'third',
        port: 9,
        user: 'me',
        database: 'own',
      });
    }
    const pool = new pg.Pool({ host: 'fourth', port: 9 });
    pools.push(pool);
    const { server, settings } = made('postgres://app:pw@first/shop', { pool });
    expect(server).toMatchObject({ name: 'fourth:9', place: pool });
    expect(settings.ownsPool).toBe(false);
  });

  it('has its certificate checked against another name than its host, whatever says that TLS is used, and keeps the key', () => {
    const key = 'PRIVATE';
    const ssl = { ca: 'CA', key };
    const { options } = made({ host: 'first', ssl }, { host: '10.0.0.7', servername: 'db.test' });
    expect(options.ssl).toMatchObject({ ca: 'CA', servername: 'db.test' });
    expect((options.ssl as { key?: string }).key).toBe(key);
    expect(JSON.stringify(options)).not.toContain(key);
    const byUrl = made('postgres://first/shop?ssl=true', { host: '10.0.0.7', servername: 'db.test' });
    expect(byUrl.options.ssl).toMatchObject({ servername: 'db.test' });
    expect(made({ host: 'first' }, { host: '10.0.0.7', servername: 'db.test' }).options.ssl).toBeFalsy();
  });

  describe('has its certificate checked against its own name', () => {
    const certificate = (...names: string[]) =>
      ({ subject: { CN: names[0] }, subjectaltname: names.map((name) => `DNS:${name}`).join(', ') }) as PeerCertificate;
    /** As TLS asks: what it calls the host, and whose certificate came. */
    const accepts = ({ ssl, host }: { ssl?: unknown; host?: string | undefined }, name: string) => {
      const { checkServerIdentity = tls.checkServerIdentity, servername = host } = ssl as ConnectionOptions;
      return checkServerIdentity(String(servername), certificate(name)) === undefined;
    };
    const firsts: [string, NodeOptions][] = [
      ['in the options', { host: '10.0.0.1', ssl: { ca: 'CA', key: 'KEY' }, servername: 'first.test' }],
      ['where ssl is just on', { host: '10.0.0.1', ssl: true, servername: 'first.test' }],
      [
        'beside a connection string',
        { connectionString: 'postgres://app@10.0.0.1/db?ssl=true', servername: 'first.test' },
      ],
    ];

    it.each(firsts)('and not the first server’s: %s', (_, first) => {
      const { options } = made(first, { host: '10.0.0.2', servername: 'second.test' });
      expect([accepts(options, 'second.test'), accepts(options, 'first.test')]).toEqual([true, false]);
      expect(options.ssl).toMatchObject({ servername: 'second.test' });
    });

    it.each(firsts)('which is its host where that is one: %s', (_, first) => {
      const { options } = made(first, { host: 'second.test' });
      expect([accepts(options, 'second.test'), accepts(options, 'first.test')]).toEqual([true, false]);
    });

    it.each(firsts)('and against the first server’s where it has an address and nothing else: %s', (_, first) => {
      const { options } = made(first, { host: '10.0.0.2' });
      expect([accepts(options, 'first.test'), accepts(options, '10.0.0.2')]).toEqual([true, false]);
    });

    it('by the function of the first server, which is told that name', () => {
      const told: string[] = [];
      const checkServerIdentity = (name: string) => void told.push(name);
      const first = { host: '10.0.0.1', ssl: { checkServerIdentity }, servername: 'first.test' };
      accepts(made(first, { host: '10.0.0.2', servername: 'second.test' }).options, 'x');
      accepts(made(first, { host: '10.0.0.2' }).options, 'x');
      expect(told).toEqual(['second.test', 'first.test']);
    });

    it('also when it is listed by a connection string that says itself that TLS is used', () => {
      const connectionString = 'postgres://app:pw@10.0.0.1:6000/db?sslmode=verify-full&application_name=web';
      const [first] = given({ connectionString, servername: 'first.test', max: 3 });
      const options = first?.pool.options as pg.PoolConfig;
      const client = new pg.Client(options) as pg.Client & { ssl: unknown; connectionParameters: object };
      expect([accepts(client, 'first.test'), accepts(client, '10.0.0.1')]).toEqual([true, false]);
      expect(client).toMatchObject({ host: '10.0.0.1', port: 6000, user: 'app', password: 'pw', database: 'db' });
      expect(client.connectionParameters).toMatchObject({ application_name: 'web' });
      expect(options.max).toBe(3);
    });
  });

  it('is one of the given servers when it has the address and database of one, and each such place is one server', () => {
    const [primary] = given('postgres://app@FIRST/shop');
    const found = [
      { host: 'first', name: 'other' },
      { host: 'first', port: 5432 },
      { host: 'second' },
      { host: 'SECOND', name: 'twin' },
      'postgres://x@second:5432/shop',
      // Behind a pooler, one for each server.
      { host: 'second', database: 'r2' },
      { host: 'second', database: 'r3', name: 'r3' },
    ];
    const names = foundServers(found, [primary as never], defaults).servers.map(({ name }) => name);
    expect(names).toEqual(['second:5432', 'second:5432/r2', 'r3']);
  });

  it('is told apart by its address when its name is taken', () => {
    const found = [
      { host: 'a', name: 'primary' },
      { host: 'b', name: 'x' },
      { host: 'c', name: 'x' },
    ];
    const { servers } = foundServers(found, given('postgres://first/shop'), defaults);
    expect(servers.map(({ name }) => name)).toEqual(['primary@a:5432', 'x', 'x@c:5432']);
    const [, , last] = servers;
    const { name, pool } = last?.open() ?? {};
    expect(name).toBe('x@c:5432');
    if (pool !== undefined) pools.push(pool);
  });

  it('is called by what can be shown of its name, and by its address where that is nothing', () => {
    const found = [
      { host: 'a', name: '\u001b[2Jr1\u202e\n' },
      { host: 'b', name: 'r\u200b1' },
      { host: 'c', name: '\u001b\u202e' },
      'postgres://u@d%1b%5b2J/shop',
    ];
    const { servers } = foundServers(found, given('postgres://first/shop'), defaults);
    expect(servers.map(({ name }) => name)).toEqual(['r1', 'r1@b:5432', 'c:5432', 'd:5432']);
  });

  it.each(['h\u001b[2J', 'h\u202e', 'h\u0085'])('is refused at a host that no server can have: %j', (host) => {
    const find = () => foundServers([{ host }], given('postgres://first/shop'), defaults);
    expect(find).toThrow(/discovery: 0\.host: expected/);
  });

  it('is refused among more servers than a cluster has', () => {
    const many = Array.from({ length: 1_001 }, (_, i) => ({ host: `h${i}` }));
    expect(() => foundServers(many, given('postgres://first/shop'), defaults)).toThrow('expected at most 1000 servers');
  });

  it('is what is stated of it: what is undefined says nothing', () => {
    const found = [{ host: 'h', connectionString: undefined, name: undefined }];
    const { servers } = foundServers(found, given('postgres://first:5433/shop'), defaults);
    expect(servers[0]).toMatchObject({ name: 'h:5433', place: 'h:5433/shop' });
  });

  it('is refused when its pool was ended', async () => {
    const pool = new pg.Pool();
    await pool.end();
    expect(() => foundServers([{ pool }], given('postgres://first/shop'), defaults)).toThrow(/discovery\[0\]\.pool/);
  });

  it.each([
    ['no list', 'postgres://app:secret@host/db'],
    ['nothing', undefined],
    ['something else in it', [7]],
    ['a weight below 0', [{ host: 'h', weight: -1 }]],
    ['an empty name', [{ host: 'h', name: '' }]],
    ['nothing of where it is', [{ address: 'h' }]],
    ['a promise', [Promise.resolve({ host: 'h' })]],
    ['text that is no connection string', [{ connectionString: 'http://app:secret@[' }]],
    ['a host in place of a connection string', ['secret.internal']],
    ['a URL in place of a host', [{ host: 'postgres://app:secret@h' }]],
  ])('%s: an error that tells no secret', (_, answer) => {
    const find = () => foundServers(answer, given('postgres://app:secret@first/shop'), defaults);
    expect(find).toThrow(expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS' }));
    expect(find).toThrow(expect.objectContaining({ message: expect.not.stringContaining('secret') }));
  });
});
