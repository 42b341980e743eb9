/** Interleaved rounds: every contender runs in each, in turning order, and is judged by its ratio to the first within the round. */

export interface Contender {
  readonly name: string;
  /** One operation. */
  readonly run: (caller: number) => Promise<unknown>;
}

export interface Standing {
  readonly name: string;
  /** Median operations per second over all rounds. */
  readonly perSecond: number;
  /** Median ratio to the first contender. */
  readonly ratio: number;
  /** Where that median lies with 95 % confidence. */
  readonly interval: readonly [number, number];
}

export interface Plan {
  readonly rounds: number;
  readonly callers: number;
  readonly roundMillis: number;
}

export async function compare(contenders: readonly Contender[], plan: Plan): Promise<Standing[]> {
  for (const contender of contenders) await throughput(contender, plan);
  const speeds = contenders.map((): number[] => []);
  for (let round = 0; round < plan.rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const index = (i + round) % contenders.length;
      speeds[index]?.push(await throughput(contenders[index] as Contender, plan));
    }
  }
  const [base = []] = speeds;
  return contenders.map(({ name }, i) => {
    const own = speeds[i] ?? [];
    const ratios = own.map((speed, round) => speed / (base[round] as number));
    return { name, perSecond: median(own), ratio: median(ratios), interval: intervalOfMedian(ratios) };
  });
}

async function throughput({ run }: Contender, { callers, roundMillis }: Plan): Promise<number> {
  let count = 0;
  const startedAt = performance.now();
  const until = startedAt + roundMillis;
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      while (performance.now() < until) {
        await run(caller);
        count++;
      }
    }),
  );
  return (count * 1000) / (performance.now() - startedAt);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
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
  return [sorted[low] as number, sorted[high] as number];
}
