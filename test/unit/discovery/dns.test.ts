import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DnsDiscoveryOptions, dnsDiscovery } from '../../../src/discovery/index.js';
import { LadderError } from '../../../src/errors.js';
import { type DnsServer, startDnsServer } from '../../behaviour/discovery-servers.js';

const NAME = 'replicas.db.test';

describe('servers by DNS', () => {
  let dns: DnsServer;
  beforeEach(async () => {
    dns = await startDnsServer();
  });
  afterEach(() => dns[Symbol.asyncDispose]());

  const open = (options: Partial<DnsDiscoveryOptions> = {}) => {
    const discovery = dnsDiscovery({ hostname: NAME, servers: [dns.address], ...options });
    return async (signal = new AbortController().signal) =>
      discovery({ signal, ask: () => Promise.reject(new Error('asks no server')) });
  };

  it('are all addresses behind the name, whose certificates are those of the name', async () => {
    dns.addresses(NAME, 'A', '10.0.0.1', '10.0.0.2');
    expect(await open()()).toEqual([
      { host: '10.0.0.1', servername: NAME },
      { host: '10.0.0.2', servername: NAME },
    ]);
    expect(dns.questions).toMatchObject([{ name: NAME, type: 'A' }]);
  });

  it('are those behind the name that it is another name of', async () => {
    dns.alias(NAME, 'db-7.provider.test');
    dns.addresses('db-7.provider.test', 'A', '10.0.0.1');
    expect(await open()()).toEqual([{ host: '10.0.0.1', servername: NAME }]);
  });

  it('have the port, the labels and the name of the certificate that they are given', async () => {
    dns.addresses(NAME, 'A', '10.0.0.1');
    const options = { port: 6432, zone: 'a', weight: 2, lane: false, servername: 'db.test' };
    expect(await open(options)()).toEqual([{ host: '10.0.0.1', ...options }]);
  });

  it('may be IPv6 addresses', async () => {
    dns.addresses(NAME, 'A', '10.0.0.1');
    dns.addresses(NAME, 'AAAA', 'fd00::1', 'fd00::2');
    expect(await open({ record: 'AAAA' })()).toMatchObject([{ host: 'fd00::1' }, { host: 'fd00::2' }]);
  });

  it('are asked for anew each time, so that a change is seen at once', async () => {
    const find = open();
    dns.addresses(NAME, 'A', '10.0.0.1');
    expect(await find()).toHaveLength(1);
    dns.addresses(NAME, 'A', '10.0.0.1', '10.0.0.2');
    expect(await find()).toHaveLength(2);
    expect(dns.questions).toHaveLength(2);
  });

  it('are told once where an address is told twice', async () => {
    dns.addresses(NAME, 'A', '10.0.0.1', '10.0.0.1');
    expect(await open()()).toHaveLength(1);
  });

  it('are found although the first question is lost', async () => {
    dns.addresses(NAME, 'A', '10.0.0.1');
    dns.lostCount = 1;
    expect(await open()()).toHaveLength(1);
    expect(dns.questions).toHaveLength(2);
  });

  describe('by SRV', () => {
    const find = (options: Partial<DnsDiscoveryOptions> = {}) => open({ record: 'SRV', ...options })();

    it('have the port and the weight of their record', async () => {
      dns.services(
        NAME,
        { target: 'a.db.test', port: 5433, weight: 10, priority: 0 },
        { target: 'b.db.test', port: 5434, weight: 30, priority: 0 },
      );
      expect(await find({ zone: 'z' })).toEqual([
        { host: 'a.db.test', port: 5433, weight: 10, zone: 'z' },
        { host: 'b.db.test', port: 5434, weight: 30, zone: 'z' },
      ]);
    });

    it('are those of the lowest priority alone', async () => {
      dns.services(
        NAME,
        { target: 'spare.db.test', port: 5432, weight: 1, priority: 20 },
        { target: 'a.db.test', port: 5432, weight: 1, priority: 10 },
        { target: 'b.db.test', port: 5432, weight: 1, priority: 10 },
      );
      const found = await find();
      expect(new Set(found.map((server) => String(Object(server).host)))).toEqual(new Set(['a.db.test', 'b.db.test']));
    });

    it('get little where their weight is 0 and others have one', async () => {
      dns.services(
        NAME,
        { target: 'a.db.test', port: 5432, weight: 0, priority: 0 },
        { target: 'b.db.test', port: 5432, weight: 5, priority: 0 },
      );
      expect(await find()).toMatchObject([{ weight: 0.5 }, { weight: 5 }]);
    });

    it('weigh the same as any other server where all weights are 0', async () => {
      dns.services(NAME, { target: 'a.db.test', port: 5432, weight: 0, priority: 0 });
      expect(await find()).toEqual([{ host: 'a.db.test', port: 5432 }]);
    });

    it('have the weight that is given instead of that of their record', async () => {
      dns.services(NAME, { target: 'a.db.test', port: 5432, weight: 33, priority: 0 });
      expect(await find({ weight: 1 })).toMatchObject([{ weight: 1 }]);
    });

    it('may be two at one host', async () => {
      dns.services(
        NAME,
        { target: 'a.db.test', port: 5432, weight: 1, priority: 0 },
        { target: 'a.db.test', port: 5433, weight: 1, priority: 0 },
      );
      expect(await find()).toHaveLength(2);
    });

    it.each([
      ['.', 5432],
      ['a.db.test', 0],
      ['/var/run/postgresql', 5432],
    ])('are none where the record names %s, port %i', async (target, port) => {
      dns.services(NAME, { target, port, weight: 1, priority: 0 });
      await expect(find()).rejects.toThrow(`SRV records of ${NAME}: the answer has no server in it`);
      dns.services(
        NAME,
        { target, port, weight: 1, priority: 0 },
        { target: 'b.db.test', port: 5432, weight: 1, priority: 5 },
      );
      expect(await find()).toMatchObject([{ host: 'b.db.test' }]);
    });
  });

  describe('change nothing', () => {
    beforeEach(() => dns.addresses(NAME, 'A', '10.0.0.1'));

    it.each([
      ['NXDOMAIN', 'there is no such name (NXDOMAIN)'],
      ['SERVFAIL', 'the name server has failed (SERVFAIL)'],
      ['REFUSED', 'the name server refuses to answer'],
    ] as const)('when the name server answers %s', async (failure, reason) => {
      dns.failure = failure;
      await expect(open()()).rejects.toThrow(`dnsDiscovery: A records of ${NAME}: ${reason}`);
      dns.failure = undefined;
      expect(await open()()).toHaveLength(1);
    });

    it('when the name has no such records', async () => {
      await expect(open({ record: 'AAAA' })()).rejects.toThrow(/AAAA records of .*: the name has no such records/);
    });

    it('when the name server is silent, and say so in time', async () => {
      dns.failure = 'silence';
      const begunAt = performance.now();
      await expect(open({ timeoutMillis: 200 })()).rejects.toThrow(`A records of ${NAME}: no answer within 200 ms`);
      expect(performance.now() - begunAt).toBeLessThan(1_000);
    });

    it('when no name server can be reached', async () => {
      const gone = await startDnsServer();
      await gone[Symbol.asyncDispose]();
      await expect(open({ servers: [gone.address] })()).rejects.toThrow(/no name server can be reached|no answer/);
    });

    it('when nobody waits any more, at once', async () => {
      dns.failure = 'silence';
      const closing = new AbortController();
      const found = open({ timeoutMillis: 10_000 })(closing.signal);
      setTimeout(() => closing.abort(), 20);
      const begunAt = performance.now();
      await expect(found).rejects.toThrow('the answer is no longer waited for');
      await expect(open()(AbortSignal.abort())).rejects.toThrow('no longer waited for');
      expect(performance.now() - begunAt).toBeLessThan(1_000);
    });

    it('for one question when another one is given up', async () => {
      const find = open({ timeoutMillis: 5_000 });
      dns.lostCount = 2;
      const closing = new AbortController();
      const [given, other] = [find(closing.signal), find()];
      setTimeout(() => closing.abort(), 20);
      await expect(given).rejects.toThrow('no longer waited for');
      expect(await other).toHaveLength(1);
    });
  });

  it.each([
    [{ hostname: '' }, 'hostname'],
    [{ hostname: '10.0.0.1' }, 'hostname: expected a name, got an address'],
    [{ hostname: 'a/b' }, 'hostname'],
    [{ record: 'TXT' }, 'record'],
    [{ port: 0 }, 'port'],
    [{ port: 70_000 }, 'port'],
    [{ record: 'SRV', port: 5432 }, 'port: expected none with SRV'],
    [{ record: 'SRV', servername: 'x' }, 'servername: expected none with SRV'],
    [{ servers: [] }, 'servers'],
    [{ servers: ['one.one'] }, 'servers: expected addresses'],
    [{ timeoutMillis: 0 }, 'timeoutMillis'],
    [{ timeoutMillis: 10_001 }, 'timeoutMillis'],
    [{ weight: 0 }, 'weight'],
    [{ zone: '' }, 'zone'],
    [{ name: 'all' }, 'name'],
  ])('are not looked for with %j', (options, words) => {
    const attempt = () => dnsDiscovery({ hostname: NAME, ...options } as DnsDiscoveryOptions);
    expect(attempt).toThrow(LadderError);
    expect(attempt).toThrow(expect.objectContaining({ code: 'LADDER_INVALID_OPTIONS' }));
    expect(attempt).toThrow(words);
  });
});
