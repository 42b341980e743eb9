/** Sixty-four callers who write and read without a pause, each in a session of its own, and what became of it. */
import type { Cluster } from '../../src/index.js';
import { percentile, RunningClock } from '../behaviour/fixture.js';

const CALLERS = 64;
/** Reads that are looked at for what is usual. */
const RECENT_COUNT = 1_000;

/** A row that was acknowledged, and when. */
export interface Acknowledged {
  readonly caller: number;
  readonly v: number;
}

export class Traffic {
  /** How reads failed, and how often. */
  readReports: Record<string, number> = {};
  /** How writes failed, and how often. */
  writeReports: Record<string, number> = {};
  readCount = 0;
  /** The most reads that the primary's budget let run at once. */
  mostFallbacks = 0;
  /** By {@link Traffic.now}. */
  lastWriteAt = 0;
  readonly acknowledged: Acknowledged[] = [];
  /** Acknowledged writes of a session that a later read of it did not show. */
  readonly missed: Acknowledged[] = [];
  readonly tokens: string[] = [];
  readonly #cluster: Cluster;
  readonly #writeShare: number;
  readonly #watch: NodeJS.Timeout;
  readonly #clock = new RunningClock();
  /** Reads that each caller has had answered. */
  readonly #answered: number[] = Array.from({ length: CALLERS }, () => 0);
  readonly #longMillis: number[] = [];
  readonly #recentMillis: number[] = [];
  #isOn = true;
  readonly #callers: Promise<unknown>;

  private constructor(cluster: Cluster, writeShare: number) {
    this.#cluster = cluster;
    this.#writeShare = writeShare;

    this.#watch = setInterval(() => {
      this.mostFallbacks = Math.max(this.mostFallbacks, cluster.stats().fallback.inUse);
    }, 2);
    this.#callers = Promise.all(this.#answered.map((_, caller) => this.#call(caller)));
  }

  /** @param writeShare how many of the calls write first, 0 to 1 */
  static async start(cluster: Cluster, writeShare: number): Promise<Traffic> {
    await cluster.write('create table if not exists rows (caller int, v int, primary key (caller, v))');
    return new Traffic(cluster, writeShare);
  }

  /** Forgets the reports, for the next fault. */
  reset(): void {
    this.readReports = {};
    this.writeReports = {};
    this.readCount = 0;
    this.#longMillis.length = 0;
    this.mostFallbacks = 0;
  }

  /** A {@link RunningClock}'s time. */
  now(): number {
    return this.#clock.now();
  }

  /** Reads that took over a second more than what is usual on this machine while it has its other work. */
  get slowCount(): number {
    const usual = percentile(this.#recentMillis, 0.5) || 0;
    return this.#longMillis.filter((millis) => millis > 1_000 + 10 * usual).length;
  }

  /** @returns whether each caller has had that many more reads answered by now */
  goesOn(count: number): () => boolean {
    const before = [...this.#answered];
    return () => this.#answered.every((answered, caller) => answered >= (before[caller] ?? 0) + count);
  }

  async stop(): Promise<void> {
    this.#isOn = false;
    clearInterval(this.#watch);
    await this.#callers;
    this.#clock.stop();
  }

  #call(caller: number): Promise<void> {
    return this.#cluster.session(async (session) => {
      let own: number[] = [];
      let v = 0;
      while (this.#isOn) {
        v++;
        if (Math.random() < this.#writeShare && (await this.#write(caller, v))) {
          own.push(v);
          if (v % 16 === 0)
            session.token().then(
              (token) => this.tokens.push(token),
              () => undefined,
            );
        }
        own = (await this.#read(caller, own)).slice(-20);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    });
  }

  async #write(caller: number, v: number): Promise<boolean> {
    try {
      await this.#cluster.write('insert into rows values ($1, $2)', [caller, v]);
      this.acknowledged.push({ caller, v });
      this.lastWriteAt = this.now();
      return true;
    } catch (error) {
      count(this.writeReports, error);
      return false;
    }
  }

  /** @returns those of the caller's own writes that the next read must show */
  async #read(caller: number, own: readonly number[]): Promise<number[]> {
    const startedAt = this.now();
    try {
      const { rows } = await this.#cluster.read<{ v: number }>('select v from rows where caller = $1', [caller]);
      const shown = new Set(rows.map(({ v }) => v));
      for (const v of own) if (!shown.has(v)) this.missed.push({ caller, v });
      this.readCount++;
      this.#answered[caller] = (this.#answered[caller] ?? 0) + 1;
      return own.filter((v) => shown.has(v));
    } catch (error) {
      count(this.readReports, error);
      return [...own];
    } finally {
      const millis = this.now() - startedAt;
      this.#recentMillis.push(millis);
      if (this.#recentMillis.length > 2 * RECENT_COUNT) this.#recentMillis.splice(0, RECENT_COUNT);
      if (millis > 1_000) this.#longMillis.push(millis);
    }
  }
}

function count(reports: Record<string, number>, error: unknown): void {
  const { code = 'no code', message } = error as { code?: string; message: string };
  const what = `${code}: ${message}`;
  reports[what] = (reports[what] ?? 0) + 1;
}
