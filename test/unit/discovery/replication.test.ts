import pg from 'pg';
import { describe, expect, it } from 'vitest';
import {
  type DiscoveryContext,
  type NodeAnswer,
  type ReplicationDiscoveryOptions,
  replicationDiscovery,
} from '../../../src/discovery/index.js';
import { LadderError } from '../../../src/errors.js';

interface Standby {
  applicationName: string;
  clientAddress: string | null;
  clientHostname: string | null;
  state: string | null;
  user: string | null;
}

const standby = (clientAddress: string | null, more: Partial<Standby> = {}): Standby => ({
  applicationName: 'walreceiver',
  clientAddress,
  clientHostname: null,
  state: 'streaming',
  user: 'replicator',
  ...more,
});
const primary = (...rows: Standby[]) => ({ node: 'primary', role: 'primary' as const, rows });
const replica = (node: string, ...rows: Standby[]) => ({ node, role: 'replica' as const, rows });

describe('servers by who replicates', () => {
  let answers: NodeAnswer<Standby>[] = [];
  const ask = (async () => answers) as unknown as DiscoveryContext['ask'];
  const open = (options?: ReplicationDiscoveryOptions) => {
    const discovery = replicationDiscovery(options);
    return async (...now: NodeAnswer<Standby>[]) => {
      answers = now;
      return discovery({ signal: new AbortController().signal, ask });
    };
  };

  it("are the standbys of all servers, at the first server's port", async () => {
    const found = await open()(
      primary(standby('10.0.0.2'), standby('fd00::3', { state: 'catchup' })),
      replica('10.0.0.2:5432', standby('10.0.0.4')),
    );
    expect(found).toEqual([{ host: '10.0.0.2' }, { host: 'fd00::3' }, { host: '10.0.0.4' }]);
  });

  it('are told once where two servers tell of one, as while it changes its upstream', async () => {
    const found = await open()(primary(standby('10.0.0.2'), standby('10.0.0.2')), replica('x', standby('10.0.0.2')));
    expect(found).toEqual([{ host: '10.0.0.2' }]);
  });

  it('are none that replicate through a Unix socket, or as another role than the one that is named', async () => {
    const found = await open({ user: 'standby' })(
      primary(standby(null, { user: 'standby' }), standby('10.0.0.2'), standby('10.0.0.3', { user: 'standby' })),
    );
    expect(found).toEqual([{ host: '10.0.0.3' }]);
  });

  it('are reached as the mapping says, which may leave some out', async () => {
    const seen: unknown[] = [];
    const find = open({
      node: (row) => {
        seen.push(row);
        return row.applicationName === 'delayed'
          ? undefined
          : { name: row.applicationName, host: `${row.clientHostname}` };
      },
    });
    const row = standby('10.0.0.2', { applicationName: 'r1', clientHostname: 'r1.test' });
    expect(await find(primary(row, standby('10.0.0.3', { applicationName: 'delayed' })))).toEqual([
      { name: 'r1', host: 'r1.test' },
    ]);
    expect(seen[0]).toEqual({
      applicationName: 'r1',
      clientAddress: '10.0.0.2',
      clientHostname: 'r1.test',
      state: 'streaming',
    });
  });

  it('may be mapped to connection strings and pools, each of them once', async () => {
    const pool = new pg.Pool();
    const find = open({ node: ({ applicationName }) => (applicationName === 'p' ? { pool } : 'postgres://a@b/c') });
    const rows = [standby('10.0.0.2', { applicationName: 'p' }), standby('10.0.0.3')];
    expect(await find(primary(...rows, ...rows))).toEqual([{ pool }, 'postgres://a@b/c']);
    await pool.end();
  });

  it('stay while they answer, although nobody sends them log: promoted, or between two upstreams', async () => {
    const find = open();
    await find(primary(standby('10.0.0.2'), standby('10.0.0.3'), standby('fd00::4')));
    const promoted: NodeAnswer<Standby> = { node: '10.0.0.2:5432', role: 'primary', rows: [standby('10.0.0.3')] };
    expect(await find(promoted, replica('[fd00::4]:5432'))).toEqual([
      { host: '10.0.0.3' },
      { host: '10.0.0.2' },
      { host: 'fd00::4' },
    ]);
    expect(await find(promoted, replica('10.0.0.20:5432'))).toEqual([{ host: '10.0.0.3' }, { host: '10.0.0.2' }]);
  });

  it('stay by their names and ports where they have been given some', async () => {
    const ports: Record<string, number> = { a: 1, b: 2 };
    const find = open({
      node: ({ applicationName: name }) =>
        name === 'c' || name === 'd' ? { name, host: `${name}-host` } : { host: '::1', port: ports[name] as number },
    });
    const rows = ['a', 'b', 'c', 'd'].map((applicationName) => standby('::1', { applicationName }));
    await find(primary(...rows));
    expect(await find(primary(), replica('::1:2'), replica('c@c-host:5432'), replica('d-host:5432'))).toEqual([
      { host: '::1', port: 2 },
      { name: 'c', host: 'c-host' },
    ]);
  });

  it('leave when nobody sends them log and they do not answer either', async () => {
    const find = open();
    await find(primary(standby('10.0.0.2'), standby('10.0.0.3')));
    expect(await find(primary(standby('10.0.0.3')))).toEqual([{ host: '10.0.0.3' }]);
    expect(await find(primary())).toEqual([]);
  });

  it('change nothing while no primary answers', async () => {
    const find = open();
    await expect(find()).rejects.toThrow('no primary has answered');
    await expect(find(replica('r1', standby('10.0.0.4')))).rejects.toThrow('no primary has answered');
  });

  it('change nothing where the role may not see them, and say what to grant', async () => {
    const hidden = standby(null, { state: null, user: null });
    await expect(open()(primary(standby('10.0.0.2')), replica('r1', hidden))).rejects.toThrow(
      'replicationDiscovery: the role may not see who replicates from r1: grant it pg_read_all_stats (or pg_monitor)',
    );
  });

  it('change nothing when there are more than any cluster has, or the mapping throws', async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => standby(`10.0.${i >> 8}.${i & 255}`));
    await expect(open()(primary(...many))).rejects.toThrow('expected at most 1000 servers, got 10000');
    const node = () => {
      throw new Error('no such zone');
    };
    await expect(open({ node })(primary(standby('10.0.0.2')))).rejects.toThrow('no such zone');
  });

  it.each([
    [{ node: 'host' }, 'node: expected a function'],
    [{ user: '' }, 'user'],
    [{ port: 5432 }, 'port'],
  ])('are not looked for with %j', (options, words) => {
    const attempt = () => replicationDiscovery(options as ReplicationDiscoveryOptions);
    expect(attempt).toThrow(LadderError);
    expect(attempt).toThrow(words);
  });
});
