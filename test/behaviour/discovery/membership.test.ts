import pg from 'pg';
import { describe, expect, it } from 'vitest';
import type { MembershipEvent } from '../../../src/index.js';
import type { TestNode } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import { report, signal, size, until } from '../fixture.js';
import { addressOf, findsServers, list, live, namesOf, now, openWith, servers } from './found.js';

/** Connections of clients, the replication of the servers among themselves left out. */
async function connectionsTo(node: TestNode): Promise<number> {
  const text =
    "select count(*)::int from pg_stat_activity where backend_type = 'client backend' and application_name = 'of the test'";
  return (await query(node, text)) as number;
}

findsServers();

describe('servers that come and go', () => {
  it('join with the first server’s options, take reads, and leave with all their connections', async () => {
    const events: MembershipEvent[] = [];
    now.cluster = openWith(list);
    now.cluster.events.on('membership', (event) => events.push(event));
    await now.cluster.ready();
    await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
    expect(now.cluster.stats().discovery).toMatchObject({ nodeCount: 3, problem: undefined });
    await until('each has its share', async () => {
      for (let i = 0; i < 200; i++) await now.cluster.read('select value from items where id = $1', [1 + (i % 64)]);
      return now.cluster.stats().nodes.every(({ role, readShare }) => role === 'primary' || readShare > 0.2);
    });
    now.found = servers.replicas.slice(0, 1).map(addressOf);
    await live(now.cluster, 'primary', 'r1');
    expect(events.map(({ node, change }) => `${node} ${change}`)).toEqual([
      'r1 joined',
      'r2 joined',
      'r3 joined',
      'r2 left',
      'r3 left',
    ]);
    for (const replica of servers.replicas.slice(1)) {
      await until('no connection is left', async () => (await connectionsTo(replica)) === 0);
    }
    expect(await connectionsTo(servers.replicas[0] as TestNode)).toBeGreaterThan(0);
  });

  it('in pools of their owner’s: whoever waits for one that he ends as it leaves is answered elsewhere', async () => {
    const [going, staying] = servers.replicas.map(
      ({ connectionString }) => new pg.Pool({ connectionString, max: 2 }),
    ) as [pg.Pool, pg.Pool];
    const both = [
      { name: 'going', pool: going },
      { name: 'staying', pool: staying },
    ];
    now.found = both;
    now.cluster = openWith(list);
    await live(now.cluster, 'primary', 'going', 'staying');
    const reads = Array.from({ length: 24 }, () => now.cluster.read('select pg_sleep(0.05)'));
    await until('some wait', () => going.waitingCount > 0);
    now.found = both.slice(1);
    await going.end();
    expect(await Promise.all(reads)).toHaveLength(24);
    await live(now.cluster, 'primary', 'staying');
    await now.cluster.close();
    await staying.end();
  });

  it('a hundred times under load: no read fails, none is stale, and no pool is left behind', async () => {
    now.cluster = openWith(list);
    await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
    let [joins, leaves, reads, stale, onReplicas] = [0, 0, 0, 0, 0];
    const failures: unknown[] = [];
    now.cluster.events.on('membership', ({ change }) => (change === 'joined' ? joins++ : leaves++));
    now.cluster.events.on('route', ({ role }) => role === 'replica' && onReplicas++);
    let isOn = true;
    const caller = (id: number) =>
      now.cluster.session(
        async () => {
          for (let value = 1; isOn; value++) {
            try {
              if (value % 4 === 0) await now.cluster.write('update items set value = $2 where id = $1', [id, value]);
              const written = value - (value % 4);
              const text = 'select value from items where id = $1';
              const { rows } =
                value % 16 === 0
                  ? await now.cluster.transaction(async (client) => client.query(text, [id]), { readOnly: true })
                  : await now.cluster.read(text, [id], value % 3 === 0 ? { partitionKey: `item:${value}` } : {});
              reads++;
              if ((rows[0] as { value: number }).value !== written) stale++;
              if (value % 64 === 0)
                for await (const row of now.cluster.stream(text, [id])) expect(row).toHaveProperty('value');
            } catch (error) {
              failures.push(error);
            }
          }
        },
        { inherit: 'none', ...(id % 2 === 0 ? { partitionKey: `item:${id}` } : {}) },
      );
    const callers = Array.from({ length: 16 }, (_, i) => caller(i + 1));
    const all = servers.replicas;
    for (let round = 1; leaves < size(100, 1_000); round++) {
      const kept = all.filter((_, i) => ((round * 5) >> i) % 2 === 1);
      now.found = kept.map(addressOf);
      const expected = kept.length + 1;
      await until('the list is followed', () => namesOf(now.cluster).length === expected);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 20));
    }
    isOn = false;
    await Promise.all(callers);
    report('churn', { joins, leaves, reads, failures: failures.length, stale, 'on replicas': onReplicas / reads });
    expect({ failures, stale }).toEqual({ failures: [], stale: 0 });
    expect(joins).toBeGreaterThan(90);
    now.found = [];
    await until('all have left', () => namesOf(now.cluster).length === 1);
    for (const replica of all) await until('no connection is left', async () => (await connectionsTo(replica)) === 0);
  });

  it('what is under way on a server that leaves ends there', async () => {
    now.cluster = openWith(list);
    await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
    const routes: string[] = [];
    now.cluster.events.on('route', ({ node }) => routes.push(node));
    const slow = now.cluster.read('select pg_sleep(0.5), 1 as one', [], { target: { node: 'r2' } });
    const [begun, mayEnd] = [signal(), signal()];
    const transaction = now.cluster.session(
      () =>
        now.cluster.transaction(
          async (client) => {
            await client.query('select 1');
            begun.give();
            await mayEnd.given;
            return (await client.query('select inet_server_port() as port')).rows[0] as { port: number };
          },
          { readOnly: true },
        ),
      { inherit: 'none' },
    );
    await begun.given;
    now.found = [];
    await until('all have left', () => namesOf(now.cluster).length === 1);
    await now.cluster.read('select 1');
    expect(routes.at(-1)).toBe('primary');
    expect((await slow).rows).toEqual([{ pg_sleep: '', one: 1 }]);
    mayEnd.give();
    expect(servers.replicas.map(({ port }) => port)).toContain((await transaction).port);
    for (const replica of servers.replicas) {
      await until('no connection is left', async () => (await connectionsTo(replica)) === 0);
    }
  });

  it('whoever waits for a connection of a server that leaves gets it', async () => {
    const [, r2] = servers.replicas as [TestNode, TestNode];
    now.found = [{ name: 'r2', host: r2.host, port: r2.port, max: 1 }];
    now.cluster = openWith(list);
    await live(now.cluster, 'primary', 'r2');
    const target = { node: 'r2' };
    const reads = Promise.all(
      Array.from({ length: 5 }, (_, i) => now.cluster.read('select pg_sleep(0.1), $1::int as i', [i], { target })),
    );
    now.found = [];
    await until('it has left', () => namesOf(now.cluster).length === 1);
    expect((await reads).map(({ rows: [row] }) => (row as { i: number }).i)).toEqual([0, 1, 2, 3, 4]);
    await until('no connection is left', async () => (await connectionsTo(r2)) === 0);
  });

  it('one that hangs and leaves is let go, and its reads are answered elsewhere', async () => {
    now.cluster = openWith(list);
    await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
    const [r1] = servers.replicas as [TestNode];
    await r1.freeze();
    try {
      const reads = Array.from({ length: 30 }, () => now.cluster.read('select 1 as one'));
      now.found = servers.replicas.slice(1).map(addressOf);
      for (const { rows } of await Promise.all(reads)) expect(rows).toEqual([{ one: 1 }]);
      await live(now.cluster, 'primary', 'r2', 'r3');
    } finally {
      await r1.thaw();
    }
    await until('no connection is left', async () => (await connectionsTo(r1)) === 0);
  });

  it('closing ends those that have left, and those that still run something', async () => {
    now.cluster = openWith(list);
    await live(now.cluster, 'primary', 'r1', 'r2', 'r3');
    const slow = Promise.all(
      servers.replicas.map(({ name }) => now.cluster.read('select pg_sleep(0.3)', [], { target: { node: name } })),
    );
    now.found = [];
    await until('all have left', () => namesOf(now.cluster).length === 1);
    await now.cluster.close();
    await slow;
    for (const replica of servers.replicas)
      await until('no connection is left', async () => (await connectionsTo(replica)) === 0);
  });

  it('is asked by statements alone with a monitor on demand', async () => {
    let asked = 0;
    now.cluster = openWith(
      async () => {
        asked++;
        return servers.replicas.map(addressOf);
      },
      { monitor: 'onDemand' },
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(asked).toBe(0);
    await until('a replica answers', async () => {
      await now.cluster.read('select 1');
      return now.cluster.stats().nodes.some(({ role, readShare }) => role === 'replica' && readShare > 0);
    });
    const before = asked;
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(asked).toBeLessThanOrEqual(before + 1);
  });
});
