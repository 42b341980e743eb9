/** Whoever tells a cluster of changes: what is kept stays current by that, and is never wrong without. On real servers. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LogicalSource } from '../../../src/changes/logical-source.js';
import { notifyInstallSql } from '../../../src/changes/notify-triggers.js';
import {
  type ChangeHandler,
  type ChangeRelay,
  type ChangeSource,
  type ChangesOptions,
  type Cluster,
  createCluster,
  LadderError,
} from '../../../src/index.js';
import type { Fleet } from '../../../src/nodes/fleet.js';
import { startTestCluster, type TestCluster, type TestNode } from '../../../src/testing/index.js';
import { query } from '../../testing/query.js';
import { open, until } from '../fixture.js';
import { fleetOver } from './source-log.js';

let servers: TestCluster;
let fleet: Fleet;

beforeAll(async () => {
  servers = await startTestCluster({ replicas: 2 });
  const { primary } = servers;
  await query(primary, 'create table profiles (id int primary key, name text)');
  await query(primary, 'create table rest (id int)');
  await query(primary, "insert into profiles select i, 'Ada' from generate_series(0, 99) as i");
  await query(primary, 'create publication pg_ladder for table profiles');
  for (const text of notifyInstallSql([{ schema: 'public', name: 'profiles' }])) await query(primary, text);
  for (const replica of servers.replicas) await replica.waitForReplay();
  fleet = await fleetOver(servers);
});
afterAll(async () => {
  await fleet?.close();
  await servers?.stop();
});

/** Somebody else's stream, which the application passes on. */
class OwnSource implements ChangeSource {
  #lose: () => void = () => undefined;
  #comeBack: () => void = () => undefined;

  subscribe(handler: ChangeHandler) {
    let inner = new LogicalSource(fleet).subscribe(handler);
    this.#lose = () => {
      void inner.close();
      handler.broken('the consumer was disconnected');
    };
    this.#comeBack = () => {
      inner = new LogicalSource(fleet).subscribe(handler);
    };
    return { close: () => inner.close() };
  }

  async lose(): Promise<void> {
    this.#lose();
  }

  async comeBack(): Promise<void> {
    this.#comeBack();
  }
}

/** Passes messages on within this process. */
class OwnRelay implements ChangeRelay {
  isLost = false;
  readonly #listeners = new Set<(message: string) => void>();

  publish(message: string): void {
    if (this.isLost) return;
    for (const heard of this.#listeners) setImmediate(heard, message);
  }

  listen(heard: (message: string) => void) {
    this.#listeners.add(heard);
    return { close: () => void this.#listeners.delete(heard) };
  }
}

interface Case {
  readonly changes: ChangesOptions | 'notify';
  readonly lose: () => Promise<unknown>;
  readonly comeBack: () => Promise<unknown>;
}

const own = new OwnSource();
const replica = (): TestNode => servers.replicas[0] as TestNode;
const CASES: Record<string, Case> = {
  'triggers that notify': {
    changes: 'notify',
    lose: () => query(servers.primary, 'alter table profiles disable trigger pg_ladder_changes'),
    comeBack: () => query(servers.primary, 'alter table profiles enable always trigger pg_ladder_changes'),
  },
  'the log of a replica': {
    changes: { source: { node: 'r1' } },
    lose: () => replica().kill(),
    comeBack: () => replica().restart(),
  },
  'a source of its own': { changes: { source: own }, lose: () => own.lose(), comeBack: () => own.comeBack() },
};

async function read(cluster: Cluster, id: number): Promise<string | undefined> {
  const options = { cache: { maxStalenessMillis: 60_000 } };
  const { rows } = await cluster.read<{ name: string }>('select name from profiles where id = $1', [id], options);
  return rows[0]?.name;
}

/** Something that was kept is known to be current behind a write elsewhere. */
async function advances(cluster: Cluster): Promise<void> {
  await until(`an answer is advanced: ${JSON.stringify(cluster.changes.stats())}`, async () => {
    const { advancedCount } = cluster.cache.stats();
    await read(cluster, 1);
    await cluster.write('insert into rest values (1)');
    await new Promise((resolve) => setTimeout(resolve, 100));
    await read(cluster, 1);
    return cluster.cache.stats().advancedCount > advancedCount;
  });
}

/** Of its own writes it reads each. */
async function missesNone(cluster: Cluster, what: string): Promise<void> {
  for (let i = 0; i < 30; i++) {
    const name = `${what} ${i}`;
    await cluster.write('update profiles set name = $1 where id = 1', [name]);
    expect(await read(cluster, 1)).toBe(name);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe.each(Object.entries(CASES))('a cluster that hears of changes by %s', (_, { changes, lose, comeBack }) => {
  it('keeps answers current, misses no write of its own, and only stops advancing when that is lost', async () => {
    await using cluster = await open(servers, { cache: true, changes });
    await advances(cluster);
    await missesNone(cluster, 'heard');

    await lose();
    await until('it is lost', () => cluster.changes.stats().state === 'broken');
    const { problem, position } = cluster.changes.stats();
    expect(problem).toMatch(/\w/);
    expect(position).toBeUndefined();
    const { advancedCount } = cluster.cache.stats();
    await missesNone(cluster, 'unheard');
    expect(cluster.cache.stats().advancedCount).toBe(advancedCount);

    await comeBack();
    await advances(cluster);
    await missesNone(cluster, 'heard again');
  });
});

describe('clusters that share what one of them reads of the log', () => {
  it('keep answers current, miss no write of their own, and only stop advancing when nothing is passed on', async () => {
    const relay = new OwnRelay();
    await using one = await open(servers, { cache: true, changes: { relay } });
    await using other = await open(servers, { cache: true, changes: { relay } });
    const both = [one, other];
    for (const cluster of both) await advances(cluster);
    const slots = "select count(*)::int from pg_replication_slots where slot_type = 'logical'";
    expect(await query(servers.primary, slots)).toBe(1);
    for (const cluster of both) await missesNone(cluster, 'heard');

    relay.isLost = true;
    await until('one of them hears nothing', () => both.some(({ changes }) => changes.stats().state === 'broken'));
    const deaf = both.find(({ changes }) => changes.stats().state === 'broken') as Cluster;
    const { advancedCount } = deaf.cache.stats();
    await missesNone(deaf, 'unheard');
    expect(deaf.cache.stats().advancedCount).toBe(advancedCount);
    relay.isLost = false;
    for (const cluster of both) await advances(cluster);
  });
});

describe('what a cluster cannot hear of', () => {
  const problems: [changes: ChangesOptions, words: string][] = [
    [{ source: { node: 'nobody' } }, 'the node that is to be read is not there'],
    [{ publication: 'nothing' }, 'publication'],
    [{ tables: ['profiles', 'rest'] }, 'the source does not tell of rest'],
  ];
  it.each(problems)('is told: %j', async (changes, words) => {
    await using cluster = await open(servers, { cache: true, changes });
    await until(`it says so: ${cluster.changes.stats().problem}`, () =>
      Boolean(cluster.changes.stats().problem?.includes(words)),
    );
  });

  const mistakes: [changes: unknown, words: RegExp][] = [
    ['log', /expected 'notify' or \{ tables/],
    [{ source: 'replica' }, /expected 'primary', 'notify', \{ node \} or a source/],
    [{ source: { node: '' } }, /changes/],
    [{ source: 'notify', relay: new OwnRelay() }, /expected a source that reads the log beside it/],
    [{ relay: {} }, /expected a relay, such as redisRelay/],
    [{ sauce: 'primary' }, /sauce/],
  ];
  it.each(mistakes)('is refused at once: %j', (changes, words) => {
    const make = () =>
      createCluster({ primary: servers.primary.connectionString, replicas: [], changes: changes as ChangesOptions });
    expect(make).toThrow(LadderError);
    expect(make).toThrow(words);
  });
});
