/**
 * `pg-ladder demo`: a primary and replicas whose replay stumbles, users who save and reload, six
 * strategies one after the other, one table, and a picture for who wants one. Whatever it started
 * is gone when it returns.
 */
import { writeFileSync } from 'node:fs';
import { within } from './demo/deadline.js';
import type { DemoOptions, SvgFiles } from './demo/options.js';
import { type Drawing, picture } from './demo/picture.js';
import { createProfiles, transactionCount } from './demo/primary.js';
import { Progress } from './demo/progress.js';
import { openStore, type Store } from './demo/redis.js';
import { conclusions, type Figures, figuresOf, remark, table } from './demo/report.js';
import { type Strategy, strategiesWith } from './demo/strategies.js';
import { runUsers, type Seen, USERS } from './demo/workload.js';
import { startTestCluster, type TestCluster } from './library.js';

const CLOSE_MILLIS = 5_000;

/**
 * @returns what belongs on stdout
 * @throws what went wrong, or anything at all once `signal` has been aborted
 */
export async function demo(options: DemoOptions, signal: AbortSignal): Promise<string> {
  const { replicas, seconds, jitterMillis, seed } = options;
  const progress = new Progress(process.stderr);
  signal.addEventListener('abort', () => progress.say('stopping...'), { once: true });
  progress.say(`starting a primary and ${counted(replicas, 'replica')}...`);
  const [cluster, store] = await startAll(replicas);
  const strategies = strategiesWith(store);
  const titles = strategies.map(({ title }) => title);
  try {
    signal.throwIfAborted();
    await createProfiles(cluster.primary.connectionString);
    const figures: Figures[] = [];
    for (const strategy of strategies) {
      progress.begin(strategy.title, seconds * 1_000);
      const seen = await runStrategy(strategy, cluster, options, signal);
      figures.push(seen);
      progress.say(`${strategy.title}: ${seen.readCount} reads, ${seen.staleCount} stale`);
    }
    if (options.svg) draw(options.svg, { titles, figures, setting: settingOf(cluster.version, options) }, progress);
    if (!options.json) return report(titles, figures, cluster.version, options);
    const facts = { postgres: cluster.version, replicas, seconds, jitterMillis, seed, users: USERS };
    return `${JSON.stringify({ ...facts, strategies: figures, conclusions: conclusions(figures) }, null, 2)}\n`;
  } finally {
    progress.end();
    await Promise.all([cluster.stop(), store.close()]);
  }
}

/** @throws what keeps the servers from starting; then the store is gone, too */
async function startAll(replicas: number): Promise<[TestCluster, Store]> {
  const opening = openStore();
  try {
    return [await startTestCluster({ replicas }), await opening];
  } catch (error) {
    await (await opening).close();
    throw error;
  }
}

/** One strategy, from replicas that have caught up, against pauses that are the same for each. */
async function runStrategy(
  strategy: Strategy,
  { primary, replicas }: TestCluster,
  { seconds, jitterMillis, seed }: DemoOptions,
  signal: AbortSignal,
): Promise<Figures> {
  await Promise.all(replicas.map((replica) => replica.waitForReplay()));
  const pauses = { maxMillis: jitterMillis, share: 0.5 };
  const jitters =
    jitterMillis === 0
      ? []
      : await Promise.all(
          replicas.map((replica, index) => replica.jitterReplay({ ...pauses, seed: seed * 101 + index })),
        );
  const before = await transactionCount(primary.connectionString);
  const access = await strategy.open(
    primary.connectionString,
    replicas.map((replica) => replica.connectionString),
  );
  let seen: Seen;
  try {
    seen = await runUsers(access, seconds, seed, signal);
  } finally {
    await within(CLOSE_MILLIS, `closing ${strategy.title}`, access.close());
    await Promise.all(jitters.map((jitter) => jitter.stop()));
  }
  const after = await transactionCount(primary.connectionString);
  return figuresOf(strategy, seen, access.placed(), after - before);
}

function report(titles: readonly string[], figures: readonly Figures[], version: string, options: DemoOptions): string {
  return [
    ...settingOf(version, options),
    '',
    table(titles, figures),
    '',
    remark(figures, options.jitterMillis > 0),
    '',
    ...conclusions(figures),
    '',
  ].join('\n');
}

function draw(files: SvgFiles, shown: Omit<Drawing, 'conclusions'>, progress: Progress): void {
  const drawing = { ...shown, conclusions: conclusions(shown.figures) };
  writeFileSync(files.light, picture(drawing, 'light'));
  writeFileSync(files.dark, picture(drawing, 'dark'));
  progress.say(`wrote ${files.light} and ${files.dark}`);
}

function settingOf(version: string, { replicas, seconds, jitterMillis }: DemoOptions): string[] {
  const replay = jitterMillis === 0 ? 'never paused' : `paused half the time, up to ${jitterMillis} ms at once`;
  return [
    `PostgreSQL ${version}: a primary and ${counted(replicas, 'replica')}, replay ${replay}.`,
    `${USERS} users open, save and reload their profiles, ${seconds} s with each strategy.`,
  ];
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
