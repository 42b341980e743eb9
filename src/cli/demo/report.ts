/**
 * The figures of a run, as data, as a table, and in two sentences that are made from them. Pure.
 */
import type { Placed, Strategy } from './strategies.js';
import type { Seen } from './workload.js';

export interface Figures {
  readonly strategy: Strategy['id'];
  readonly saveCount: number;
  readonly readCount: number;
  readonly staleCount: number;
  /** Those of them that came from a cache. */
  readonly staleKeptCount: number;
  /** Share of the reads that replicas answered, 0 to 1. */
  readonly replicaShare: number;
  /** Share of the reads that no server saw, 0 to 1. */
  readonly cacheShare: number;
  readonly readP50Millis: number;
  readonly readP99Millis: number;
  /** The users' reads and writes that the primary ran. */
  readonly primaryQueryCount: number;
  /**
   * All that the primary ran by its own count: those, connections being opened, and pg-ladder's own
   * questions.
   */
  readonly primaryTransactionCount: number;
  /** Of pg-ladder's questions, those that travelled with a save, in its round trip. */
  readonly riderCount: number;
  /** pg-ladder's own account of where queries went and why. */
  readonly reasons?: Readonly<Record<string, number>>;
}

export function figuresOf({ id }: Strategy, seen: Seen, placed: Placed, primaryTransactionCount: number): Figures {
  const sorted = seen.readMillis.toSorted((a, b) => a - b);
  return {
    strategy: id,
    saveCount: seen.saveCount,
    readCount: seen.readCount,
    staleCount: seen.staleCount,
    staleKeptCount: seen.staleKeptCount,
    replicaShare: share(placed.onReplicas, seen.readCount),
    cacheShare: share(placed.inCache ?? 0, seen.readCount),
    readP50Millis: percentile(sorted, 0.5),
    readP99Millis: percentile(sorted, 0.99),
    primaryQueryCount: placed.onPrimary,
    primaryTransactionCount,
    riderCount: placed.riders ?? 0,
    ...(placed.reasons && { reasons: placed.reasons }),
  };
}

/** A table for people, as narrow as it can be. */
export function table(titles: readonly string[], figures: readonly Figures[]): string {
  const head = ['', 'reads', 'stale reads', 'replicas', 'cache', 'p50', 'p99', 'primary'];
  const lines = figures.map((each, index) => [
    titles[index] ?? each.strategy,
    count(each.readCount),
    each.staleCount === 0 ? '0' : `${count(each.staleCount)} (${percent(share(each.staleCount, each.readCount))})`,
    percent(each.replicaShare),
    percent(each.cacheShare),
    millis(each.readP50Millis),
    millis(each.readP99Millis),
    count(each.primaryQueryCount),
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]?.length ?? 0)));
  const aligned = [head, widths.map((width) => '-'.repeat(width)), ...lines].map((line) =>
    line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))),
  );
  return aligned.map((line) => line.join('  ').trimEnd()).join('\n');
}

/** What the columns leave out. @param isPaused whether replay was paused half of the time */
export function remark(figures: readonly Figures[], isPaused: boolean): string {
  const times = [
    'p50 and p99 are times of all reads, and half of the time replay is paused: where no replica',
    "has the user's save yet, pg-ladder waits up to 50 ms for one before it asks the primary.",
  ];
  const alone = figureOf(figures, 'primary-only');
  return [
    'replicas, cache: who answered the reads. primary: the reads and saves that it ran.',
    ...(isPaused ? times : []),
    "In all, with connections being opened and pg-ladder's own questions, which read no table, it ran:",
    `  primary only: ${count(alone.primaryTransactionCount)}`,
    ...(['pg-ladder', 'pg-ladder-cached'] as const).map((id) => inAll(figureOf(figures, id), alone)),
  ].join('\n');
}

function inAll(ladder: Figures, alone: Figures): string {
  const { strategy, primaryTransactionCount, primaryQueryCount, riderCount } = ladder;
  const title = strategy === 'pg-ladder' ? 'pg-ladder' : 'with caches';
  const others = Math.max(0, primaryTransactionCount - primaryQueryCount - riderCount);
  return (
    `  ${title}: ${count(primaryTransactionCount)}, ${changeOf(primaryTransactionCount, alone.primaryTransactionCount)} ` +
    `(${count(primaryQueryCount)} of users, ${count(riderCount)} that travelled with a save, ${count(others)} others)`
  );
}

/** What was seen: who was shown old data, and who did the work. */
export function conclusions(figures: readonly Figures[]): [string, string] {
  const [alone, robin, sticky, aside, ladder, cached] = [
    figureOf(figures, 'primary-only'),
    figureOf(figures, 'round-robin'),
    figureOf(figures, 'sticky-window'),
    figureOf(figures, 'cache-aside'),
    figureOf(figures, 'pg-ladder'),
    figureOf(figures, 'pg-ladder-cached'),
  ];
  const stale = ({ staleCount, readCount }: Figures) => (staleCount === 0 ? 'none' : percent(staleCount / readCount));
  return [
    `Reads older than the user's own last save: round robin ${stale(robin)}, sticky window ${stale(sticky)}, ` +
      `cache-aside ${stale(aside)}, pg-ladder ${stale(ladder)}, with caches ${stale(cached)}.`,
    `Reads that spared the primary: sticky window ${percent(sticky.replicaShare)}, pg-ladder ${percent(ladder.replicaShare)}; ` +
      `with it the primary ran ${changeOf(ladder.primaryQueryCount, alone.primaryQueryCount)} user queries. ` +
      `With caches ${percent(cached.cacheShare)} of the reads reached no server.`,
  ];
}

/** `12.3 % fewer` */
function changeOf(value: number, than: number): string {
  return `${percent(Math.abs(share(value - than, than)))} ${value > than ? 'more' : 'fewer'}`;
}

function figureOf(figures: readonly Figures[], id: Strategy['id']): Figures {
  return figures.find(({ strategy }) => strategy === id) as Figures;
}

export function share(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}

function percentile(sorted: readonly number[], rank: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * rank) - 1)] ?? 0;
}

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

export function percent(value: number): string {
  // No rounding to nothing or to all: 1 of 10,000 is neither.
  if (value > 0 && value < 0.001) return '<0.1 %';
  if (value > 0.999 && value < 1) return '>99.9 %';
  return `${(value * 100).toFixed(1)} %`;
}

export function millis(value: number): string {
  return `${value.toFixed(1)} ms`;
}
