/** A process that is frozen for a while, as between the requests of a function or on a laptop that sleeps, and connections that nobody remembers afterwards. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type Cluster, createCluster } from '../../src/index.js';
import { startTestCluster, type TestCluster } from '../../src/testing/index.js';
import { open, RunningClock, report, size } from '../behaviour/fixture.js';
import type { AppConfig, Order, Outcome } from './frozen-app.js';

const pause = (millis: number) => new Promise((resolve) => setTimeout(resolve, millis));

const FROZEN_MILLIS = size(3_000, 30_000);
/** What answers at all answers within that, on a busy machine; by a clock that runs while this process does. */
const SOON_MILLIS = 4_000;
const MONITORS = ['timer', 'onDemand'] as const;
const READ = 'select v from t where id = 1';
const WRITE = 'update t set v = v + 1 where id = 1 returning v';

let servers: TestCluster;
let clock: RunningClock;

beforeAll(async () => {
  clock = new RunningClock();
  servers = await startTestCluster({ replicas: 2, links: true });
  await using cluster = await open(servers);
  await cluster.write('create table t (id int primary key, v int not null)');
  await cluster.write('insert into t values (1, 0)');
  for (const replica of servers.replicas) await replica.waitForReplay();
});
afterAll(async () => {
  clock.stop();
  await servers.stop();
});

const nodes = () => [servers.primary, ...servers.replicas];
const forgetAll = () => {
  for (const { link } of nodes()) link.forget();
};
const addresses = () => ({
  primary: servers.primary.connectionString,
  replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
});

interface Answer extends Outcome {
  millis: number;
}

class App {
  readonly #child: ChildProcess;
  readonly #open = new Map<number, (outcome: Outcome) => void>();
  #count = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (outcome: Outcome) => this.#open.get(outcome.id)?.(outcome));
  }

  static async start(config: Omit<AppConfig, 'primary' | 'replicas'>): Promise<App> {
    const path = fileURLToPath(new URL('frozen-app.ts', import.meta.url));
    const child = fork(path, [JSON.stringify({ ...addresses(), ...config })], { execArgv: ['--import', 'tsx'] });
    await once(child, 'message');
    const app = new App(child);
    await app.ask('ready', WRITE);
    return app;
  }

  ask(run: Order['run'], text = '', afterMillis = 0): Promise<Answer> {
    const id = ++this.#count;
    const startedAt = performance.now();
    return new Promise((resolve) => {
      this.#open.set(id, (outcome) => resolve({ ...outcome, millis: performance.now() - startedAt }));
      this.#child.send({ id, run, text, afterMillis } satisfies Order);
    });
  }

  /** Warms every way up, so that connections of every kind are open. */
  async warmUp(): Promise<void> {
    for (let i = 0; i < 40; i++) await this.ask('read', READ);
    for (let i = 0; i < 3; i++) {
      await Promise.all([this.ask('write', WRITE), this.ask('pool', WRITE), this.ask('read', READ)]);
    }
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(name);
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGCONT');
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await ended;
  }
}

async function restartAll(): Promise<void> {
  for (const node of nodes()) await node.restart();
}

/** One process with each kind of monitor: what befalls the network befalls both. */
describe('processes that are frozen for a while, with a monitor that has a timer and with one on demand', () => {
  let apps: App[];
  beforeAll(async () => {
    apps = await Promise.all(MONITORS.map((monitor) => App.start({ monitor, primaryWaitMillis: FROZEN_MILLIS - 200 })));
  });
  afterAll(() => Promise.all(apps.map((app) => app.stop())));

  const askAll = (...orders: [Order['run'], string, number?][]): Promise<Answer[]> =>
    Promise.all(apps.flatMap((app) => orders.map((order) => app.ask(...order))));
  const freeze = async (during: () => unknown): Promise<void> => {
    for (const app of apps) app.signal('SIGSTOP');
    await pause(FROZEN_MILLIS / 2);
    await during();
    await pause(FROZEN_MILLIS / 2);
  };
  const thaw = () => {
    for (const app of apps) app.signal('SIGCONT');
  };
  /** Over when they are frozen. */
  const seconds = FROZEN_MILLIS / 2_000 + 0.4;

  it('read and write soon after, although nothing comes on their old connections any more', async () => {
    await Promise.all(apps.map((app) => app.warmUp()));
    const slow = askAll(
      ['read', `select v, pg_sleep(${seconds}) from t where id = 1`],
      ['read', `select v, pg_sleep(${seconds}) from t where id = 1`],
    );
    const slowWrite = askAll([
      'write',
      `with slept as (select pg_sleep(${seconds})) update t set v = v + 1 from slept returning v`,
    ]);
    await pause(100);
    await freeze(forgetAll);
    thaw();
    const thawedAt = clock.now();
    const answers = await askAll(['read', READ], ['write', WRITE], ['pool', WRITE], ['transaction', WRITE]);
    const soon = clock.now() - thawedAt;
    const slowAnswers = await slow;
    const slowSoon = clock.now() - thawedAt;
    const slowWrites = await slowWrite;
    const told = clock.now() - thawedAt;
    report('after a freeze', { 'what is new': soon, 'reads under way': slowSoon, 'writes under way': told });
    expect(codesOf(answers)).toEqual([]);
    expect(soon).toBeLessThan(SOON_MILLIS);
    expect(codesOf(slowAnswers)).toEqual([]);
    expect(codesOf(slowWrites)).toEqual(apps.map(() => 'LADDER_WRITE_OUTCOME_UNKNOWN'));
    expect(told).toBeLessThan(2 * SOON_MILLIS);
  });

  it('read and write soon after, although all connections died meanwhile', async () => {
    await Promise.all(apps.map((app) => app.warmUp()));
    const text = `select v, pg_sleep(${seconds}) from t where id = 1`;
    const slow = askAll(...Array.from({ length: 5 }, (): [Order['run'], string] => ['read', text]));
    // Of a write that was never sent on a living connection, nobody says that it may have happened.
    const soon = FROZEN_MILLIS / 2;
    const waking = askAll(
      ['write', WRITE, soon],
      ['transaction', WRITE, soon],
      ['pool', WRITE, soon],
      ['read', READ, soon],
    );
    await pause(100);
    await freeze(restartAll);
    thaw();
    const answers = await waking;
    expect(codesOf(answers)).toEqual([]);
    expect(codesOf(await slow)).toEqual([]);
  });
});

describe('connections that a firewall has forgotten', () => {
  let clusters: Cluster[];
  beforeAll(async () => {
    clusters = MONITORS.map((monitor) => createCluster({ ...addresses(), monitor }));
    await Promise.all(clusters.map((cluster) => cluster.ready()));
  });
  afterAll(() => Promise.all(clusters.map((cluster) => cluster.close())));
  afterEach(() => {
    for (const { link } of nodes()) link.restore();
  });

  it('reads are run on new ones, and a write that was sent is told to be uncertain', async () => {
    for (const cluster of clusters) {
      for (let i = 0; i < 40; i++) await cluster.read(READ);
      await Promise.all(Array.from({ length: 5 }, () => cluster.write(WRITE)));
    }
    forgetAll();
    const startedAt = clock.now();
    const reads = clusters.flatMap((cluster) => Array.from({ length: 20 }, () => cluster.read(READ)));
    const writes = clusters.map((cluster) => cluster.write(WRITE).then(() => 'done', codeOf));
    expect((await Promise.all(reads)).every(({ rows }) => rows.length === 1)).toBe(true);
    const readMillis = clock.now() - startedAt;
    expect(await Promise.all(writes)).toEqual(clusters.map(() => 'LADDER_WRITE_OUTCOME_UNKNOWN'));
    const writeMillis = clock.now() - startedAt;
    report('forgotten', { reads: readMillis, writes: writeMillis });
    expect(readMillis).toBeLessThan(SOON_MILLIS);
    expect(writeMillis).toBeLessThan(2 * SOON_MILLIS);
    for (const cluster of clusters) expect((await cluster.write(WRITE)).rowCount).toBe(1);
  });

  it('what still runs on its server is left alone, although all were silent for a while', async () => {
    const slow = clusters.flatMap((cluster) => [
      cluster.write('select 1 as one from pg_sleep(3)'),
      cluster.read('select 1 as one from pg_sleep(3)'),
    ]);
    await pause(200);
    for (const { link } of nodes()) link.halfOpen();
    await pause(1_200);
    for (const { link } of nodes()) link.restore();
    for (const { rows } of await Promise.all(slow)) expect(rows).toEqual([{ one: 1 }]);
  });
});

/** What went wrong. */
function codesOf(answers: readonly Answer[]): unknown[] {
  return answers.filter(({ code }) => code !== undefined).map(({ code }) => code);
}

function codeOf(error: { code?: string }): string | undefined {
  return error.code;
}
