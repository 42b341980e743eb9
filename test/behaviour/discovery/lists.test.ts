import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  type ClusterBehaviour,
  createCluster,
  type MembershipEvent,
  type NodeOptions,
  type WarningEvent,
} from '../../../src/index.js';
import type { TestNode } from '../../../src/testing/index.js';
import { startEavesdropper } from '../discovery-servers.js';
import { until } from '../fixture.js';
import { addressOf, findsServers, lane, list, live, namesOf, now, openWith, servers } from './found.js';

findsServers();

describe('servers that come and go', () => {
  it('nothing changes when the list cannot be had, or makes no sense: a warning and stats() say why, never what others wrote', async () => {
    const warnings: WarningEvent[] = [];
    now.cluster = openWith(list);
    now.cluster.events.on('warning', (event) => warnings.push(event));
    await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
    for (const bad of [
      Object.assign(new Error('postgres://app:secret@host'), { code: 'ECONNREFUSED' }),
      new TypeError('postgres://app:secret@host'),
    ]) {
      now.found = bad;
      await until('it is told', () => now.cluster.stats().discovery?.problem !== undefined);
      expect(JSON.stringify([now.cluster.stats().discovery, warnings])).not.toContain('secret');
      now.found = servers.replicas.map(addressOf);
      await until('it is over', () => now.cluster.stats().discovery?.problem === undefined);
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
      now.found = bad as NodeOptions[];
      await until('it is told', () => now.cluster.stats().discovery?.problem !== undefined);
      expect(now.cluster.stats().discovery?.problem).toContain('discovery');
      expect(now.cluster.stats().discovery?.problem).not.toContain('secret');
      now.found = servers.replicas.map(addressOf);
      await until('it is over', () => now.cluster.stats().discovery?.problem === undefined);
    }
    expect(namesOf(now.cluster)).toEqual(['primary', 'r1', 'r2', 'r3']);
  });

  it.each([undefined, null, 'text', 7])('throwing %s is a failure like any other', async (thrown) => {
    let asked = 0;
    now.cluster = openWith(() => (asked++ % 2 === 0 ? Promise.reject(thrown) : servers.replicas.map(addressOf)));
    await until('it is told', () => now.cluster.stats().discovery?.problem !== undefined);
    await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
  });

  it('the reason is handed on as it is, for whoever listens, and told to nobody else', async () => {
    const why = Object.assign(new Error('no instance at postgres://app:s3cret@h'), { code: 'postgres://app:s3cret@h' });
    let isBroken = false;
    now.cluster = openWith(() => (isBroken ? Promise.reject(why) : servers.replicas.map(addressOf)));
    const warnings: WarningEvent[] = [];
    now.cluster.events.on('warning', (warning) => warning.code === 'discovery' && warnings.push(warning));
    await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
    isBroken = true;
    await until('it is told', () => warnings.length > 0);
    expect(warnings[0]?.cause).toBe(why);
    expect(inspect(warnings[0], { depth: null })).not.toContain('s3cret');
    expect(now.cluster.stats().discovery?.problem).toBe('Error');
  });

  describe('are sent the first server’s login', () => {
    const discoveredWith = (behaviour: ClusterBehaviour, ...more: NodeOptions[]) => {
      const { host, port, password } = servers.primary;
      now.found = [...servers.replicas.map(addressOf), ...more];
      now.cluster = createCluster({
        primary: { host, port, user: 'postgres', database: 'postgres', password },
        discovery: list,
        discoveryMillis: 10,
        ...lane,
        ...behaviour,
      });
      const warnings: WarningEvent[] = [];
      now.cluster.events.on('warning', (event) => warnings.push(event));
      return warnings;
    };

    it('not over a connection that anybody on the way can read: such a one is not joined, which is told once', async () => {
      await using thief = await startEavesdropper();
      // This machine, in a form that is not taken for it.
      const away = { name: 'away\u001b[2J', host: '0.0.0.0', port: thief.port };
      const warnings = discoveredWith({}, away);
      await now.cluster.ready();
      await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
      const before = now.cluster.stats().discovery?.answeredAt ?? 0;
      await until('it is found again', () => (now.cluster.stats().discovery?.answeredAt ?? 0) > before + 50);
      expect(namesOf(now.cluster)).toEqual(['primary', 'r1', 'r2', 'r3']);
      expect(warnings).toEqual([
        {
          cluster: 'postgres',
          code: 'discovery',
          message:
            `the discovery found "away" (0.0.0.0:${thief.port}/postgres), not joined: it would be sent a login that is not its own without TLS; ` +
            'use ssl, and leave rejectUnauthorized on; or give it a password of its own; ' +
            "or set inheritCredentials: 'always' where you trust the network and those who name servers",
        },
      ]);
      expect(now.cluster.stats().discovery).toMatchObject({ nodeCount: 3, problem: warnings[0]?.message });
      expect([thief.connectionCount, thief.heard]).toEqual([0, []]);
      // A password of its own is its own matter.
      now.found = [...servers.replicas.map(addressOf), { ...away, password: 'its own' }];
      await until('it has said its own', () => thief.heard.length > 0);
      expect(thief.heard[0]).toContain('its own');
      expect(now.cluster.stats().discovery?.problem).toBeUndefined();
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
      await until('it has answered', () => thief.connectionCount > 0 && now.cluster.stats().discovery !== undefined);
      expect(namesOf(now.cluster)).toEqual(['primary', 'own']);
      await now.cluster.close();
      expect(thief.heard.join()).not.toContain(servers.primary.password);
      expect(warnings.map(({ message }) => message)).toEqual([expect.stringContaining('no login of its own')]);
    });
  });

  it('are called, in events, stats and errors, by nothing that a terminal obeys', async () => {
    const told: string[] = [];
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    now.found = [
      { ...(addressOf(r1) as object), name: 'r\u202e1\u001b[31m\r\nFATAL' } as NodeOptions,
      { name: 'gone\u009b2J', host: '127.0.0.1', port: 1 },
      // The server quotes it in its error.
      { ...(addressOf(r2) as object), name: 'sick', database: 'none\u001b[2J\r\nFATAL' },
    ];
    now.cluster = openWith(list);
    for (const name of ['node', 'membership', 'route'] as const)
      now.cluster.events.on(name, (event: object) => told.push(JSON.stringify(event)));
    await now.cluster.ready();
    const target = { node: 'r1 FATAL' };
    await until('it answers', async () => (await now.cluster.read('select 1', [], { target })).rowCount === 1);
    const failure = await now.cluster
      .read('select 1', [], { target: { node: 'gone' } })
      .catch((error: unknown) => (error as Error).message);
    const isOut = () =>
      now.cluster
        .stats()
        .nodes.find(({ name }) => name === 'sick')
        ?.ejectedFor?.includes('does not exist');
    await until('the server has refused it', () => isOut() === true);
    const all = [...told, JSON.stringify(failure), JSON.stringify(now.cluster.stats().nodes)].join('');
    expect(all).toContain('r1 FATAL');
    expect(all).toContain('gone');
    expect(all).not.toMatch(/[\p{Cc}\p{Cf}]|\\u00|\\r|\\n/u);
  });

  it('ready() waits for the first answer, says when there is none, and does not fail for servers that were found and are none', async () => {
    now.cluster = openWith(() => new Promise(() => undefined));
    await expect(now.cluster.ready({ timeoutMillis: 1_500 })).rejects.toMatchObject({
      code: 'LADDER_DISCOVERY_FAILED',
      message: 'ready: the discovery has given no answer within 1500 ms',
    });
    await now.cluster.close();
    now.found = [...servers.replicas.map(addressOf), { name: 'gone', host: '127.0.0.1', port: 1 }];
    now.cluster = openWith(list);
    await now.cluster.ready({ timeoutMillis: 5_000 });
    expect(now.cluster.stats().nodes.find(({ name }) => name === 'gone')?.problem).toContain(
      'does not answer (ECONNREFUSED)',
    );
    expect((await now.cluster.read('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('one missing answer is no leave, and an answer that does not come holds up nobody', async () => {
    let asked = 0;
    let release = (): void => undefined;
    now.cluster = openWith(async ({ signal }) => {
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
    now.cluster.events.on('membership', (event) => event.change === 'left' && left.push(event));
    await until('it hangs', () => asked === 7);
    expect((await now.cluster.read('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(asked).toBe(7);
    release();
    await until('it goes on', () => asked > 8);
    expect(left).toEqual([]);
  });

  it('a server that was given stays, and is not taken twice under another name; names that clash are told apart', async () => {
    const [r1, r2, r3] = servers.replicas as [TestNode, TestNode, TestNode];
    now.found = [
      { name: 'other', host: 'LOCALHOST'.toLowerCase(), port: 1 },
      { name: 'again', host: r1.host, port: r1.port },
      { name: 'primary', host: r2.host, port: r2.port },
      { name: 'twice', host: r2.host, port: r2.port },
      { host: r3.host, port: r3.port },
    ];
    now.cluster = createCluster({
      primary: servers.primary.connectionString,
      replicas: [addressOf(r1) as { host: string }].map((own) => ({ ...own, user: 'postgres', database: 'postgres' })),
      discovery: list,
      discoveryMillis: 10,
    });
    await until('they have joined', () => namesOf(now.cluster).length === 5);
    const port = `${r3.host}:${r3.port}`;
    expect(namesOf(now.cluster)).toEqual(['primary', 'r1', 'other', `primary@${r2.host}:${r2.port}`, port]);
    now.found = [];
    await until('they have left', () => namesOf(now.cluster).length === 2);
  });

  it('a name at another place is another server, new labels are taken over, and a read may aim at what comes and goes', async () => {
    const [r1, r2] = servers.replicas as [TestNode, TestNode];
    now.found = [{ name: 'it', host: r1.host, port: r1.port }];
    now.cluster = openWith(list, { zone: 'here' });
    await live(now.cluster, 'primary', 'it');
    const portOf = async () =>
      (
        (await now.cluster.read('select inet_server_port() as port', [], { target: { node: 'it' } })).rows[0] as {
          port: number;
        }
      ).port;
    expect(await portOf()).toBe(r1.port);
    now.found = [{ name: 'it', host: r2.host, port: r2.port }];
    await until('it is the other one', async () => (await portOf().catch(() => 0)) === r2.port);
    now.found = [
      { name: 'it', host: r2.host, port: r2.port },
      { name: 'near', host: r1.host, port: r1.port, zone: 'here' },
    ];
    await live(now.cluster, 'primary', 'it', 'near');
    const nearly = async () => {
      const nodes = new Set<string>();
      const heard = ({ node }: { node: string }) => nodes.add(node);
      now.cluster.events.on('route', heard);
      for (let i = 0; i < 60; i++) await now.cluster.read('select 1', [], { consistency: 'eventual' });
      now.cluster.events.off('route', heard);
      return [...nodes].sort();
    };
    await until('the near one answers, and no other', async () => (await nearly()).join() === 'near');
    now.found = [
      { name: 'it', host: r2.host, port: r2.port, zone: 'here' },
      { name: 'near', host: r1.host, port: r1.port, zone: 'there' },
    ];
    await until('they have changed places', async () => (await nearly()).join() === 'it');
    now.found = [];
    await until('they have left', () => namesOf(now.cluster).length === 1);
    await expect(now.cluster.read('select 1', [], { target: { node: 'it' } })).rejects.toMatchObject({
      code: 'LADDER_NO_CANDIDATE',
    });
  });
});
