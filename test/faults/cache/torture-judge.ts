/** Judges what sessions were shown, by what all of them wrote and when. */
import type { Monotonic, Read, SessionLog, Table, Write } from './torture.js';

export interface Verdict {
  readonly readCount: number;
  /** Reads that missed what their session had written, or what a token stood for. */
  stale: number;
  /** Reads that missed what had been acknowledged for longer than their bound. */
  beyond: number;
  /** Reads that showed less than their session had seen. */
  backwards: number;
  /** Answers that no state of the database can have given. */
  torn: number;
  /** Answers from caches, of all that were to be had from caches. */
  readonly hitShares: Record<string, string>;
}

/** Acknowledged writes of one row, by version. */
type History = (Write | undefined)[];

function historiesOf(logs: readonly SessionLog[]): Map<number, History> {
  const histories = new Map<number, History>();
  for (const { steps } of logs) {
    for (const step of steps) {
      if (step.kind === 'read') continue;
      const history = histories.get(step.row) ?? [];
      histories.set(step.row, history);
      history[step.version] = step;
    }
  }
  return histories;
}

/** The newest version of a row that had been acknowledged by then. */
function acknowledgedBy(history: History | undefined, at: number): number {
  if (history === undefined) return 0;
  for (let version = history.length - 1; version > 0; version--) {
    const write = history[version];
    if (write !== undefined && write.ackAt < at) return version;
  }
  return 0;
}

/** What a session has seen. */
interface Seen {
  readonly own: Map<number, number>;
  /** The newest version of each row of each table. */
  readonly versions: Map<string, number>;
  /** The start of the latest write that was seen, of each table: all that was acknowledged before is to be seen. */
  readonly frontier: Record<Table, number>;
}

const clean = (): Seen => ({
  own: new Map(),
  versions: new Map(),
  frontier: { orders: Number.NEGATIVE_INFINITY, items: Number.NEGATIVE_INFINITY },
});

const TABLES = ['orders', 'items'] as const;

/** @param logs of all who wrote */
export function judge(logs: readonly SessionLog[], monotonic: Monotonic, maxStalenessMillis: number): Verdict {
  const histories = historiesOf(logs);
  const seenBy = new Map<string, Seen>();
  const tally = new Tally();
  const allCount = logs.reduce((sum, { steps }) => sum + steps.length, 0);
  const verdict = { readCount: 0, stale: 0, beyond: 0, backwards: 0, torn: 0 };

  function judgeRead(read: Read, seen: Seen): void {
    const { row, at, shown, consistency, atLeast = 0 } = read;
    const history = histories.get(row);
    verdict.readCount++;
    // The first ones find nothing yet.
    if (verdict.readCount > allCount / 3) tally.count(read, history);
    const isHeld = consistency !== 'eventual';
    const own = isHeld ? (seen.own.get(row) ?? 0) : 0;
    const strong = consistency === 'strong' ? acknowledgedBy(history, at) : 0;
    const bound = acknowledgedBy(history, at - maxStalenessMillis);
    const tables = TABLES.filter((table) => shown[table] !== undefined);
    const versions = tables.map((table) => shown[table] as number);
    if (tables.length === 0 || new Set(versions).size !== 1) verdict.torn++;
    if (versions.some((version) => version < own || version < strong || version < atLeast)) verdict.stale++;
    if (versions.some((version) => version < bound)) verdict.beyond++;
    const counting = monotonic === 'all' ? TABLES : tables;
    const needed = counting.map((table) =>
      Math.max(seen.versions.get(`${table} ${row}`) ?? 0, acknowledgedBy(history, seen.frontier[table])),
    );
    if (isHeld && versions.some((version) => version < Math.max(...needed))) verdict.backwards++;
    for (const table of tables) {
      const key = `${table} ${row}`;
      const version = shown[table] as number;
      seen.versions.set(key, Math.max(seen.versions.get(key) ?? 0, version));
      const sentAt = history?.[version]?.sentAt;
      if (sentAt !== undefined) seen.frontier[table] = Math.max(seen.frontier[table], sentAt);
    }
  }

  for (const { id, continues, steps } of logs) {
    // A session with the token of another goes on from there.
    const seen = (continues === undefined ? undefined : seenBy.get(continues)) ?? clean();
    seenBy.set(id, seen);
    for (const step of steps) {
      if (step.kind === 'read') judgeRead(step, seen);
      else {
        seen.own.set(step.row, Math.max(seen.own.get(step.row) ?? 0, step.version));
        for (const table of TABLES) seen.frontier[table] = Math.max(seen.frontier[table], step.sentAt);
      }
    }
  }
  return { ...verdict, hitShares: tally.shares() };
}

/** Counts which reads were answered from caches. */
class Tally {
  readonly #counts = new Map<string, { hits: number; all: number }>();

  count({ rung, consistency, at, isFor }: Read, history: History | undefined): void {
    if (!isFor) return;
    const isHit = rung === 'memory' || rung === 'shared';
    const latest = history?.[acknowledgedBy(history, at)];
    const isRecent = latest !== undefined && at - latest.ackAt < 1_000;
    for (const what of ['all', consistency, ...(isRecent ? ['written in the last second'] : [])]) {
      const counts = this.#counts.get(what) ?? { hits: 0, all: 0 };
      this.#counts.set(what, counts);
      counts.all++;
      if (isHit) counts.hits++;
    }
  }

  shares(): Record<string, string> {
    const entries = [...this.#counts].map(([what, { hits, all }]) => [what, `${Math.round((100 * hits) / all)} %`]);
    return Object.fromEntries(entries) as Record<string, string>;
  }
}
