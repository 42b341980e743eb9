import { describe, expect, it } from 'vitest';
import { createCluster } from '../../../src/index.js';
import { until } from '../fixture.js';
import { addressOf, findsServers, list, namesOf, now, servers } from './found.js';
import { Gate } from './gate.js';

findsServers();

describe('a server with two addresses', () => {
  it('the primary by another address is no second one, and gets no reads', async () => {
    const { host, port, password } = servers.primary;
    now.found = [{ name: 'leader', host, port }, ...servers.replicas.map(addressOf)];
    now.cluster = createCluster({
      primary: { host: 'localhost', port, user: 'postgres', password, database: 'postgres' },
      discovery: list,
      discoveryMillis: 10,
      onTwoPrimaries: 'refuse',
    });
    await now.cluster.ready({ timeoutMillis: 5_000 });
    await now.cluster.write('update items set value = 0 where id = 1');
    await until('all have joined', () => namesOf(now.cluster).length === 5);
    for (let i = 0; i < 50; i++) await now.cluster.read('select 1');
    const leader = now.cluster.stats().nodes.find(({ name }) => name === 'leader');
    expect(leader).toMatchObject({
      readShare: 0,
      problem: 'node "leader" is the primary "primary" by another address, and gets no reads',
    });
  });

  it('the primary that was given is ready, also where its server was found by another address before it answered', async () => {
    const { host, port, password } = servers.primary;
    await using gate = await Gate.before(port);
    now.found = [{ name: 'leader', host, port }, ...servers.replicas.map(addressOf)];
    now.cluster = createCluster({
      primary: { host: '127.0.0.1', port: gate.port, user: 'postgres', password, database: 'postgres' },
      discovery: list,
      discoveryMillis: 10,
    });
    await until('it is found', () =>
      now.cluster.stats().nodes.some(({ role, name }) => role === 'primary' && name === 'leader'),
    );
    gate.open();
    await now.cluster.ready({ timeoutMillis: 5_000 });
    expect(now.cluster.stats().nodes.find(({ name }) => name === 'primary')?.problem).toBe(
      'node "primary" is the primary "leader" by another address, and gets no reads',
    );
  });
});
