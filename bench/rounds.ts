/**
 * Interleaved rounds: every contender runs in each, in turning order, and is judged by its ratio to the first within the round, so that whatever
 * the machine does meanwhile happens to all. A contender that fails drops out, and says why.
 */
import type { Contender, Heap, Sample, Task } from './contenders/contender.js';

export interface Standing {
  readonly name: string;
  /** Median operations per second over all rounds. */
  readonly perSecond: number;
  /** Median ratio to the first contender. */
  readonly ratio: number;
  /** Where that median lies with 95 % confidence. */
  readonly interval: Interval;
  readonly cpuMicros: number | undefined;
  /** What all servers computed for each operation; `undefined` where the system does not tell. */
  readonly serverMicros: number | undefined;
  readonly heap: Heap | undefined;
  readonly checkedCount: number;
  readonly staleCount: number;
  readonly errorCount: number;
  readonly firstError: string | undefined;
  /** Operations per second of each round, in order. */
  readonly speeds: readonly number[];
}

export type Interval = readonly [low: number, high: number];

export interface Pace {
  readonly rounds: number;
  readonly roundMillis: number;
}

/**
 * @param serverMicros how long all servers have computed so far
 * @throws the signal's reason, between two rounds
 */
export async function compare<T = Task>(
  contenders: readonly Contender<T>[],
  task: T,
  { rounds, roundMillis }: Pace,
  signal: AbortSignal,
  serverMicros?: () => number,
): Promise<Standing[]> {
  const lanes: Lane<T>[] = [];
  for (const contender of contenders) {
    signal.throwIfAborted();
    const lane = new Lane(contender);
    await lane.try(() => contender.open(task));
    lanes.push(lane);
  }
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < lanes.length; i++) {
      signal.throwIfAborted();
      const lane = lanes[(i + round) % lanes.length] as Lane<T>;
      await lane.try(async () => {
        const before = serverMicros?.();
        const sample = await lane.contender.round(roundMillis);
        lane.samples.push(sample);
        if (before === undefined || serverMicros === undefined) return;
        lane.serverMicros.push((serverMicros() - before) / Math.max(1, (sample.perSecond * roundMillis) / 1_000));
      });
    }
  }
  for (const lane of lanes) {
    await lane.try(async () => {
      lane.heap = await lane.contender.close();
    });
  }
  const base = (lanes[0]?.samples ?? []).map(({ perSecond }) => perSecond);
  return lanes.map((lane) => lane.standing(base));
}

/** One contender's way through the rounds. */
class Lane<T> {
  readonly samples: Sample[] = [];
  readonly serverMicros: number[] = [];
  heap: Heap | undefined;
  #failure: string | undefined;

  constructor(readonly contender: Contender<T>) {}

  async try(step: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      await step();
    } catch (error) {
      this.#failure = error instanceof Error ? error.message : String(error);
      this.contender.stop();
    }
  }

  standing(base: readonly number[]): Standing {
    const { samples, serverMicros, heap } = this;
    const speeds = samples.map(({ perSecond }) => perSecond);
    const total = (count: (sample: Sample) => number) => samples.reduce((sum, sample) => sum + count(sample), 0);
    const cpu = samples.flatMap(({ cpuMicros }) => cpuMicros ?? []);
    return {
      name: this.contender.name,
      perSecond: median(speeds),
      ...ratioOf(speeds, base),
      cpuMicros: cpu.length > 0 ? median(cpu) : undefined,
      serverMicros: serverMicros.length > 0 ? median(serverMicros) : undefined,
      heap,
      checkedCount: total(({ checkedCount }) => checkedCount),
      staleCount: total(({ staleCount }) => staleCount),
      errorCount: total(({ errorCount }) => errorCount) + (this.#failure === undefined ? 0 : 1),
      firstError: this.#failure ?? samples.find(({ firstError }) => firstError !== undefined)?.firstError,
      speeds,
    };
  }
}

/** Both run in the same rounds: the ratio is taken in each. */
export function ratioOf(
  speeds: readonly number[],
  base: readonly number[],
): { readonly ratio: number; readonly interval: Interval } {
  const ratios = speeds.slice(0, base.length).map((speed, round) => speed / (base[round] as number));
  return { ratio: median(ratios), interval: intervalOfMedian(ratios) };
}

/** Not a number when there are none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

/** By order statistics: no assumption about how the values are spread. */
export function intervalOfMedian(values: readonly number[]): [number, number] {
  const sorted = [...values].sort((a, b) => a - b);
  const half = (1.96 * Math.sqrt(sorted.length)) / 2;
  const low = Math.max(0, Math.floor(sorted.length / 2 - half));
  const high = Math.min(sorted.length - 1, Math.ceil(sorted.length / 2 + half) - 1);
  return [sorted[low] ?? Number.NaN, sorted[high] ?? Number.NaN];
}
