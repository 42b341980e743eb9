/** What the tests on a real cluster share: a cluster of ours over the test's servers, and its numbers, short or full. */

import type { Pool, PoolClient } from 'pg';
import {
  type Cluster,
  type ClusterBehaviour,
  createCluster,
  type LabelledNodes,
  type NodeStats,
} from '../../src/index.js';
import type { TestCluster } from '../../src/testing/index.js';

const isSoak = process.env['SOAK'] === '1';

/** `npm test` takes the short form, `npm run test:soak` the full one. */
export function size<T = number>(short: T, full: T): T {
  return isSoak ? full : short;
}

/** Figures that a soak run must show, and that nobody asserts on. */
export function report(what: string, figures: Record<string, number | string>): void {
  const parts = Object.entries(figures).map(
    ([name, value]) => `${name} ${typeof value === 'number' ? round(value) : value}`,
  );
  process.stdout.write(`  ${what}: ${parts.join(', ')}\n`);
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** No promise of how soon: it ends before the test's own time does, and then says what was waited for. */
const PATIENCE_MILLIS = 40_000;

/** Resolves when `holds` does; fails after `millis` with `what`. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  millis = PATIENCE_MILLIS,
): Promise<void> {
  const giveUpAt = performance.now() + millis;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) throw new Error(`waited ${millis} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Repeats `play` until what it gives `holds`. @returns what the last round gave, as it is when nothing ever held */
export async function bestOf<T>(rounds: number, play: () => Promise<T>, holds: (given: T) => boolean): Promise<T> {
  let given = await play();
  for (let round = 1; round < rounds && !holds(given); round++) given = await play();
  return given;
}

/** How late a timer may come before the machine, and not the library, is what holds this process up. */
const TICK_MILLIS = 5;
const LONGEST_TICK_MILLIS = 25;

/**
 * A clock that runs while this process does, in milliseconds: for upper bounds. A machine that stands still, or has
 * other work, adds next to nothing.
 */
export class RunningClock {
  #passed = 0;
  #at = performance.now();
  readonly #ticking = setInterval(() => this.#tick(), TICK_MILLIS).unref();

  #tick(): void {
    const at = performance.now();
    this.#passed += Math.min(at - this.#at, LONGEST_TICK_MILLIS);
    this.#at = at;
  }

  now(): number {
    return this.#passed + Math.min(performance.now() - this.#at, LONGEST_TICK_MILLIS);
  }

  stop(): void {
    clearInterval(this.#ticking);
  }
}

/** How long `run` takes by a {@link RunningClock}. */
export async function runningMillis(run: () => unknown): Promise<number> {
  const clock = new RunningClock();
  try {
    await run();
    return clock.now();
  } finally {
    clock.stop();
  }
}

/** Opens a cluster of ours over all servers of `servers`, once every node is known. */
export async function open(
  servers: TestCluster,
  options: Partial<LabelledNodes> & ClusterBehaviour = {},
): Promise<Cluster> {
  const cluster = createCluster({
    primary: servers.primary.connectionString,
    replicas: servers.replicas.map(({ name, connectionString }) => ({ name, connectionString })),
    ...(process.env['LANE'] === 'off' ? { lane: false, namedStatements: false } : {}),
    ...options,
  });
  try {
    await until('all nodes are live', () => cluster.stats().nodes.every((node) => node.state === 'live'));
  } catch (error) {
    const states = cluster.stats().nodes.map(({ name, state, problem }) => `${name} is ${state}: ${problem}`);
    throw new Error(states.join('; '), { cause: error });
  }
  return cluster;
}

export function nodeOf(cluster: Cluster, name: string): NodeStats {
  const node = cluster.stats().nodes.find((n) => n.name === name);
  if (node === undefined) throw new Error(`no node ${name}`);
  return node;
}

/** Reads that replicas answered, as a share of all: each counts once, however often it was run. */
export function replicaShare(cluster: Cluster, since: ReadCounts = { onReplicas: 0, all: 0 }): number {
  const { onReplicas, all } = readsOf(cluster);
  return (onReplicas - since.onReplicas) / (all - since.all);
}

interface ReadCounts {
  readonly onReplicas: number;
  readonly all: number;
}

export function readsOf(cluster: Cluster): ReadCounts {
  const { nodes } = cluster.stats();
  const count = (those: readonly NodeStats[]): number => those.reduce((sum, { readCount }) => sum + readCount, 0);
  return { onReplicas: count(nodes.filter(({ role }) => role === 'replica')), all: count(nodes) };
}

/** Something that is waited for, and happens when it is given. */
export function signal(): { readonly given: Promise<void>; give(): void } {
  let give = (): void => undefined;
  const given = new Promise<void>((resolve) => {
    give = resolve;
  });
  return { given, give };
}

/** Runs `run` with a client that is released afterwards. */
export async function withClient<T>(from: Pool, run: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await from.connect();
  try {
    return await run(client);
  } finally {
    client.release();
  }
}
