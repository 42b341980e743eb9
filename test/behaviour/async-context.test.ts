/** An application's AsyncLocalStorage on real servers: what the library does by itself is nobody's, and what a call causes is that call's. */
import { AsyncLocalStorage } from 'node:async_hooks';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, createCluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { nodeOf, open, until, withClient } from './fixture.js';

const request = new AsyncLocalStorage<string>();
let servers: TestCluster;

/** As those who trace pg do it: whose statement each is where it is sent. */
class Watching extends pg.Client {
  static sent: { readonly text: string; readonly by: string | undefined }[] = [];
  override query(...given: unknown[]): never {
    const [query] = given as [string | { text?: string }];
    const text = typeof query === 'string' ? query : (query.text ?? '');
    Watching.sent.push({ text, by: request.getStore() });
    return (super.query as (...args: unknown[]) => never)(...given);
  }
}

const serversOf = () => {
  const at = ({ connectionString }: { connectionString: string }) =>
    ({ connectionString, max: 2, Client: Watching }) as unknown as { connectionString: string };
  return {
    primary: at(servers.primary),
    replicas: servers.replicas.map((replica) => ({ name: replica.name, ...at(replica) })),
  };
};

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 1 });
});
afterAll(() => servers.stop());

describe('with a store that is set during the first request', () => {
  it('no later event, discovery, onConnect or timer sees it', async () => {
    const seen: string[] = [];
    const note = (what: string) => seen.push(`${what}: ${request.getStore()}`);
    const found = await request.run('alice', async () => {
      const cluster = createCluster({
        primary: servers.primary.connectionString,
        replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
        discovery: async () => {
          note('discovery');
          return [];
        },
        discoveryMillis: 100,
        onConnect: () => void note('onConnect'),
      });
      for (const event of ['node', 'topology'] as const) cluster.events.on(event, () => note(event));
      await cluster.ready();
      await cluster.write('create table if not exists visits (by text)');
      for (let i = 0; i < 20; i++) await cluster.read('select 1 as alices');
      await cluster.pool().query('insert into visits values ($1)', ['alice']);
      return cluster;
    });
    await using cluster = found;
    const discoveries = seen.length;
    await servers.replicas[0]?.restart();
    await until('it is back', () => {
      const states = seen.filter((each) => each.startsWith('node'));
      return states.length >= 2 && cluster.stats().nodes.every((node) => node.state === 'live');
    });
    await until('it was discovered again', () => seen.length > discoveries + 3);
    for (const what of ['node', 'topology', 'discovery', 'onConnect']) expect(seen).toContain(`${what}: undefined`);
    expect(seen.filter((each) => each.endsWith('alice'))).toEqual([]);
  });

  it('sockets do not keep it: a notification that comes later sees none', async () => {
    const cluster = await request.run('alice', () => open(servers));
    await using _ = cluster;
    // Alice's is the connection that the pool opens; Bob listens on it.
    await request.run('alice', () => cluster.write('select 1'));
    await request.run('bob', () =>
      cluster.connection(async (client) => {
        const heard = new Promise((resolve) => {
          client.on('notification', () => resolve(request.getStore()));
        });
        await client.query('listen news');
        await cluster.write("select pg_notify('news', '')");
        expect(await heard).toBeUndefined();
      }),
    );
  });
});

describe('many requests at once', () => {
  let cluster: Cluster;
  let pool: pg.Pool;
  beforeAll(async () => {
    cluster = await open(servers, serversOf());
    pool = cluster.pool();
    await cluster.write('create table notes (id serial, body text)');
    await until(
      'it is known to read',
      async () => (await cluster.explain('select count(*) from notes')).class === 'read',
    );
  });
  afterAll(() => cluster.close());

  const ways: Record<string, (text: string, tag: string) => Promise<unknown>> = {
    read: (text) => cluster.read(text),
    'a read on connections that all wait for': (text) => cluster.read(text, [], { target: 'primary' }),
    write: (text) => cluster.write(text),
    'a read after a write': (text, tag) =>
      cluster.session(async () => {
        await cluster.write('insert into notes (body) values ($1)', [tag]);
        await cluster.read(text);
      }),
    query: (text) => cluster.query(text),
    'a transaction': (text) => cluster.transaction((client) => client.query(text)),
    'a read-only transaction': (text) => cluster.transaction((client) => client.query(text), { readOnly: true }),
    'a statement that fails': (text) => cluster.read(`${text} where nothing`).catch(() => undefined),
    'a client of a pool': (text) => withClient(pool, (client) => client.query(text)),
    'a pool with a callback': (text, tag) =>
      new Promise((resolve, reject) => {
        pool.query(text, (error: Error | null) => {
          if (error) reject(error);
          else if (request.getStore() !== tag) reject(new Error(`${tag} was called back in ${request.getStore()}`));
          else resolve(undefined);
        });
      }),
  };

  it.each(Object.entries(ways))('%s: each statement is sent in its own request, and told of there', async (_, run) => {
    const told: string[] = [];
    const note = () => told.push(request.getStore() ?? 'nobody');
    cluster.events.on('query', note).on('route', note);
    Watching.sent = [];
    const tags = Array.from({ length: 40 }, (__, i) => `request ${i}`);
    await Promise.all(tags.map((tag) => request.run(tag, () => run(`select count(*) /* ${tag}. */ from notes`, tag))));
    cluster.events.off('query', note).off('route', note);
    const own = Watching.sent.filter(({ text }) => text.includes('/* request '));
    expect(own.length).toBeGreaterThanOrEqual(40);
    expect(own.filter(({ text, by }) => !text.includes(`/* ${by}. */`))).toEqual([]);
    expect(new Set(told)).toEqual(new Set(tags));
    const library = Watching.sent.filter(
      ({ text, by }) => /^select .*\/\* pg-ladder \*\/$/.test(text) && by !== undefined,
    );
    expect(library).toEqual([]);
  });

  it('a client that one request has taken runs the statements of another in that one', async () => {
    const client = await request.run('alice', () => pool.connect());
    Watching.sent = [];
    await request.run('bob', async () => {
      await Promise.all([
        client.query('begin /* bob */'),
        client.query('select 1 /* bob */'),
        client.query('commit /* bob */'),
      ]);
    });
    client.release();
    const bobs = Watching.sent.filter(({ text }) => text.includes('bob'));
    expect(bobs.map(({ by }) => by)).toEqual(['bob', 'bob', 'bob']);
  });

  it('two that wait for one position share its question, which is neither’s', async () => {
    await servers.replicas[0]?.pauseReplay();
    Watching.sent = [];
    const both = ['alice', 'bob'].map((tag) =>
      request.run(tag, () =>
        cluster.session(async () => {
          await cluster.write('insert into notes (body) values ($1)', [tag]);
          await cluster.read(`select body /* ${tag} */ from notes`);
        }),
      ),
    );
    await Promise.all(both);
    await servers.replicas[0]?.resumeReplay();
    for (const tag of ['alice', 'bob'])
      expect(Watching.sent.filter(({ text }) => text.includes(`/* ${tag} */`)).every(({ by }) => by === tag)).toBe(
        true,
      );
    expect(Watching.sent.filter(({ text, by }) => text.includes('pg-ladder') && by !== undefined)).toEqual([]);
    expect(nodeOf(cluster, 'primary').role).toBe('primary');
  });
});
